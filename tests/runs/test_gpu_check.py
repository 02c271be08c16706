"""`bench doctor --gpu` and `--address`: what is said of GPUs and nodes, without any; fits that are only told of stand for real ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from plugins.network_kit import users

from bench.cli import invoke
from bench.errors import ConfigError
from bench.execute.cluster.messages import NodeFacts
from bench.execute.cluster.node_check import plugin_digests, versions
from bench.execute.cluster.survey import described
from bench.execute.gpus import Gpu, gpus
from bench.execute.jobs import bench_source
from bench.neural.switch import GRAPHS
from bench.registry import discover
from bench.runs import gpu_check, runner
from bench.runs.config import Config
from bench.runs.gpu_check import NETWORKS, Fitted, compared, graphs_wanted, keep, remembered, timed
from bench.runs.gpu_ways import hearing, time_ways, timed_ways

H200 = Gpu("H200", 144_000.0, 140_000.0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_without_a_gpu_the_doctor_says_so_in_one_line(capsys, monkeypatch):
    monkeypatch.setattr(gpu_check, "gpus", tuple)
    assert invoke(["doctor", "--gpu"]) == 2
    assert "doctor --gpu: no GPU can be seen" in capsys.readouterr().err


def test_each_network_is_compared_with_itself_on_the_cpu():
    said: list[str] = []
    auc = {"vae": 0.7}
    places: list[str] = []

    def attempt(name, at):
        places.append(at[0].device)
        on_gpu = at[0].number is not None
        return [Fitted("ok", "", auc.get(name, 0.8) if on_gpu else 0.8, 2.0 if on_gpu else 6.0)]

    assert not compared(attempt, H200, said.append)
    assert places == ["cpu", "cuda:0"] * len(NETWORKS)
    assert said[0] == "lstm            CPU 6.0 s, GPU 2.0 s (3.0 x); AUC 0.800 and 0.800"
    assert [line.split()[0] for line in said if line.endswith("DIFFER")] == ["vae"]
    auc["vae"] = 0.81
    assert compared(attempt, H200, said.append)


@pytest.mark.parametrize(("status", "sound"), [("skipped", True), ("failed", False), ("oom", False)])
def test_a_network_that_does_not_work_there_is_said_and_only_a_missing_library_passes(status, sound):
    said: list[str] = []

    def attempt(name, at):
        return [Fitted(status, "why") if name == "lstm" and at[0].number is not None else Fitted("ok", "", 0.8, 1.0)]

    assert compared(attempt, H200, said.append) is sound
    assert said[0] == f"lstm            GPU: {status}: why"


@pytest.mark.parametrize(
    ("took", "best"),
    [
        ({1: 1.0, 2: 1.0, 4: 1.0, 8: 1.95}, 4),
        ({1: 1.0, 2: 1.0, 4: 2.0, 8: 3.95}, 2),
        ({1: 1.0, 2: 2.5, 4: 5.0, 8: 10.0}, 1),
        ({1: 1.0, 2: 1.0}, 2),
    ],
)
def test_as_many_jobs_at_once_as_get_most_done_are_best(took, best, monkeypatch):
    clock, said = [0.0], list[str]()
    monkeypatch.setattr(gpu_check.time, "perf_counter", lambda: clock[0])

    def attempt(_, places):
        assert {place.device for place in places} == {"cuda:0"}
        assert sum(place.share_mb for place in places) == pytest.approx(0.9 * H200.free_mb)
        clock[0] += took.get(len(places), 0.0)
        return [Fitted("ok" if len(places) in took else "oom", "full", peak_mb=300.0)] * len(places)

    assert timed(attempt, H200, said.append) == best
    assert said[0] == "1 at once: 60.0 fits a minute, each holds 300 MB"
    assert said[-1] == f"best: --jobs-per-gpu {best}, which runs on a H200 use from now on"
    assert any(line == "4 at once: oom: full" for line in said) is (4 not in took)


def test_what_was_best_is_what_a_run_begins_with_unless_it_is_told_otherwise(cache, monkeypatch):
    monkeypatch.setattr(runner, "gpus", lambda: (H200, H200))
    monkeypatch.setattr(runner, "cores", lambda: 64)
    counted = {name: len(runner._places(replace(Config("churn", device="cuda"), **given))) for name, given in CASES.items()}
    assert counted == {"nothing": 16, "told": 4, "workers": 6}
    keep("H200", 3)
    keep("T4", 5)
    assert remembered([H200]) == 3
    assert remembered([H200, Gpu("A10", 1.0)]) == 3
    assert remembered([Gpu("A10", 1.0)]) is None
    counted = {name: len(runner._places(replace(Config("churn", device="cuda"), **given))) for name, given in CASES.items()}
    assert counted == {"nothing": 6, "told": 4, "workers": 6}
    (cache / "gpus.json").write_text("{")
    with pytest.raises(ConfigError, match=r"gpus.json cannot be read .*bench doctor --gpu"):
        remembered([H200])


def test_graphs_are_used_where_all_gpus_gain_by_them_or_the_environment_says_so(cache, monkeypatch):
    monkeypatch.delenv(GRAPHS, raising=False)
    monkeypatch.setattr(runner, "gpus", lambda: (H200, H200))

    def places():
        return {place.graphs for place in runner._places(Config("churn", device="cuda"))}

    assert places() == {False}
    keep("H200", 3, graphs=True)
    keep("T4", 5)
    assert places() == {True}
    assert remembered([H200]) == 3
    assert graphs_wanted([H200])
    assert not graphs_wanted([H200, Gpu("T4", 1.0)])
    assert not graphs_wanted([H200, Gpu("A10", 1.0)])
    assert not graphs_wanted([])
    monkeypatch.setenv(GRAPHS, "0")
    assert places() == {False}
    monkeypatch.setenv(GRAPHS, "1")
    assert graphs_wanted([])
    assert {place.graphs for place in runner._places(Config("churn", device="cpu"))} == {False}
    monkeypatch.setenv(GRAPHS, "yes")
    with pytest.raises(ConfigError, match=f"{GRAPHS}=yes: 1 captures"):
        graphs_wanted([H200])
    (cache / "gpus.json").write_text('{"H200": 3}')  # as it was written before
    monkeypatch.delenv(GRAPHS)
    assert (remembered([H200]), graphs_wanted([H200])) == (3, False)
    (cache / "gpus.json").write_text('{"H200": {"jobs": 3}}')
    with pytest.raises(ConfigError, match=r"gpus.json cannot be read"):
        remembered([H200])


def ways(auc=0.8, seconds=1.0, reason="", fused=()):
    yield {"way": "eager", "seconds": 2.0, "auc": 0.8, "reason": ""}
    yield {"way": "graphs", "seconds": seconds, "auc": auc, "reason": reason}
    yield from fused


def test_the_doctor_tells_what_graphs_and_fused_fits_gain():
    said: list[str] = []
    fused = (
        {"way": "4 fused", "members": 4, "seconds": 2.5, "reason": ""},
        {"way": "64 fused", "members": 64, "seconds": 0.0, "reason": "CUDA out of memory"},
    )
    found = {"lstm": ways(fused=fused), "self-attention": ways(seconds=1.6), "vae": ways(seconds=2.4)}
    assert timed_ways(found.__getitem__, "H200", said.append)
    assert said[:3] == [
        "lstm            eager 2.0 s, CUDA graphs 1.0 s (2.0 x); AUC 0.800 and 0.800",
        "lstm            4 fused: 2.5 s, one after another 8.0 s (3.2 x)",
        "lstm            64 fused: CUDA out of memory",
    ]
    assert said[-1] == f"CUDA graphs are used by runs on a H200 from now on; {GRAPHS}=0 or 1 says otherwise"


@pytest.mark.parametrize(
    ("lstm", "words"),
    [
        ({"auc": 0.7}, "lstm            eager 2.0 s, CUDA graphs 1.0 s (2.0 x); AUC 0.800 and 0.700 DIFFER"),
        ({"reason": "not captured"}, "lstm            CUDA graphs: not captured"),
    ],
)
def test_graphs_that_are_refused_or_learn_otherwise_are_not_used(lstm, words):
    said: list[str] = []
    assert not timed_ways(lambda name: ways(**(lstm if name == "lstm" else {})), "H200", said.append)
    assert said[0] == words
    assert said[-1].startswith("CUDA graphs are not used by runs on a H200")


def test_graphs_that_gain_nothing_or_could_not_be_timed_are_not_used():
    assert not timed_ways(lambda _: ways(seconds=1.95), "H200", lambda _: None)
    said: list[str] = []
    assert not timed_ways(lambda _: [{"way": "ended", "reason": "oom: full"}], "H200", said.append)
    assert said[0] == "lstm            CUDA graphs: oom: full"
    assert not timed_ways(lambda _: [], "H200", said.append)
    assert said[-2] == "vae             CUDA graphs: it was not timed"


def test_what_ends_the_timing_of_fused_fits_is_said_and_graphs_stay_timed():
    said: list[str] = []
    ended = ({"way": "ended", "reason": "timeout: ran longer"},)
    assert timed_ways(lambda _: ways(fused=ended), "H200", said.append)
    assert said[1] == "lstm            fused: timeout: ran longer"


def test_a_network_that_cannot_be_fitted_there_is_told_with_the_workers_own_words():
    """Here the GPU is made up: the worker finds none."""
    pytest.importorskip("torch", reason="torch is not installed")
    if gpus():
        pytest.skip("there is a GPU")
    (note,) = hearing(gpu_check.simulated(), H200)("vae")
    assert note["way"] == "ended"
    assert "cuda" in str(note["reason"]).lower()


def test_a_worker_times_all_ways_and_says_why_one_is_not_what_it_should_be(monkeypatch):
    """On a CPU graphs are refused and fused fits are the real ones; the data and the profile are small."""
    pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.setenv(GRAPHS, "")
    train, test = users(60), users(40, seed=1)
    told: list[dict[str, object]] = []
    source = discover().sources["bench.models"]["lstm"]
    time_ways(source, {"epochs": 1, "history": 8}, (2,), train, test, test.y, told.append)
    by_way = {str(note["way"]): note for note in told}
    assert list(by_way) == ["eager", "graphs", "2 fused", "2 fused, CUDA graphs"]
    assert by_way["eager"]["reason"] == ""
    assert 0 <= by_way["eager"]["auc"] == by_way["graphs"]["auc"] <= 1
    assert "no CUDA graphs on cpu" in str(by_way["graphs"]["reason"])
    assert by_way["2 fused"]["reason"] == ""
    assert by_way["2 fused"]["seconds"] > 0
    assert "no CUDA graphs on cpu" in str(by_way["2 fused, CUDA graphs"]["reason"])
    alone = discover().sources["bench.models"]["seq2seq"]
    told.clear()
    time_ways(alone, {"epochs": 1, "history": 8}, (2,), train, test, test.y, told.append)
    assert "it is trained alone" in str(told[-1]["reason"])


CASES = {"nothing": {}, "told": {"jobs_per_gpu": 2}, "workers": {"workers": 6}}


def test_the_doctor_says_what_each_node_has_and_lacks():
    first = NodeFacts("north", bench_source(), versions(), plugin_digests(), ("H200", "H200"), 16, confined=True)
    other = replace(first, name="south", gpus=(), slots=2, confined=False, versions={**first.versions, "torch": ""})
    third = replace(first, name="east", gpus=("T4",))
    rows = {row["node"]: row for row in described([first, other, third])}
    assert (rows["north"]["state"], rows["north"]["gpus"], rows["north"]["slots"]) == ("serves", "2 x H200", "16")
    assert rows["south"]["state"].startswith("left out: it has torch missing (")
    assert (rows["south"]["torch"], rows["south"]["gpus"], rows["south"]["confined"]) == ("-", "none", "no")
    assert rows["east"]["state"] == "left out: it has T4, node north has H200; run on nodes of one kind"


def test_a_cluster_that_is_not_there_is_one_line(capsys):
    pytest.importorskip("ray", reason="ray is not installed")
    assert invoke(["doctor", "--address", "127.0.0.1:1"]) == 2
    assert "no Ray cluster answers at 127.0.0.1:1" in capsys.readouterr().err
