"""`bench plugin new` and `check`: a written plugin passes, a broken one is told what it breaks, and none brings the tool down."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from execute.kit import lives, wait_until

from bench.cli import invoke
from bench.errors import ConfigError
from bench.execute.sandbox import obstacle
from bench.registry import GROUPS, Source
from bench.testing.scaffold import write_distribution, write_file
from bench.testing.supervise import check as verdicts_of

PLUGIN = """
import os, sys, time
import numpy as np
import bench
{head}

class Odd(bench.ArrayModel):
    name = "odd"
    tasks = frozenset({{"churn"}})
    {body}

    def fit(self, train, ctx):
        self.state = {{"rate": np.array(train.y.mean())}}

    def predict(self, inputs, ctx):
        {predict}
        return np.full(len(inputs), float(self.state["rate"]))


@bench.hookimpl
def bench_models():
    return [Odd]
"""


def odd(folder: Path, *, head: str = "", body: str = "", predict: str = "pass") -> Path:
    path = folder / "odd.py"
    path.write_text(PLUGIN.format(head=head, body=body, predict=predict))
    return path


def checked(path: Path | str, *words: str, code: int, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    assert invoke(["plugin", "check", str(path), *words, "--json"]) == code
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


def statuses(rows: list[dict[str, str]]) -> dict[str, str]:
    return {row["check"]: row["status"] for row in rows}


@pytest.mark.parametrize("words", [[], ["--dataset"]])
def test_a_written_plugin_passes_its_checks_as_it_stands(words, tmp_path, capsys):
    assert invoke(["plugin", "new", "my-own", *words, "--to", str(tmp_path)]) == 0
    path = tmp_path / "my_own.py"
    assert f"bench plugin check {path}" in capsys.readouterr().out
    assert 'name = "my-own"' in path.read_text()
    assert len(path.read_text().splitlines()) <= 100
    rows = checked(path, code=0, capsys=capsys)
    assert {row["status"] for row in rows} <= {"ok", "skipped"}
    assert {row["plugin"] for row in rows} == {"my-own"}
    if not words:
        assert {row["task"] for row in rows} == {"", "churn", "forecasting", "anomaly"}
        assert {row["check"] for row in rows if row["status"] == "skipped"} == {
            "a local model learns nothing across series",
            "told to stop it ends soon and still predicts",
            "what it shows of itself can be drawn",
        }


def test_a_written_task_passes_its_checks_and_so_do_the_models_beside_it(tmp_path, capsys):
    assert invoke(["plugin", "new", "my-own", "--task", "--to", str(tmp_path)]) == 0
    capsys.readouterr()
    rows = checked(tmp_path / "my_own.py", code=0, capsys=capsys)
    assert {row["plugin"] for row in rows} == {"my-own", "my-own-rate", "my-own-recent"}
    assert {row["status"] for row in rows} == {"ok"}
    assert statuses([row for row in rows if row["plugin"] == "my-own"])["no later event changes what a model sees"] == "ok"


def test_a_task_whose_users_are_chosen_by_what_comes_is_found(tmp_path, capsys):
    assert invoke(["plugin", "new", "my-own", "--task", "--to", str(tmp_path)]) == 0
    path = tmp_path / "my_own.py"
    path.write_text(path.read_text().replace('on="user", how="left"', 'on="user", how="inner"'))
    capsys.readouterr()
    rows = checked(path, code=1, capsys=capsys)
    assert [row["check"] for row in rows if row["status"] == "failed"] == ["no later event changes what a model sees"]


def test_a_written_distribution_has_its_entry_point_and_a_plugin_that_passes(tmp_path, capsys):
    assert invoke(["plugin", "new", "my-own", "--distribution", "--to", str(tmp_path)]) == 0
    home = tmp_path / "my-own"
    assert 'my-own = "my_own.plugin"' in (home / "pyproject.toml").read_text()
    assert {p.name for p in home.iterdir()} == {"pyproject.toml", "README.md", "src", "tests"}
    capsys.readouterr()
    rows = checked(home / "src" / "my_own" / "plugin.py", "--task", "churn", code=0, capsys=capsys)
    assert {row["task"] for row in rows} == {"", "churn"}


def test_a_written_adapter_distribution_is_found_among_datasets(tmp_path):
    home = write_distribution("my-own", tmp_path, kind="dataset")
    assert '[project.entry-points."bench.datasets"]\nmy-own = "my_own.plugin"' in (home / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    "name", ["My-Model", "my_model", "-x", "a--b", "3d", "", "../x", "json", "class", "bench", "lstm", "retail", "ensemble"]
)
def test_a_name_that_cannot_be_one_is_refused_in_one_line(name, tmp_path, capsys):
    assert invoke(["plugin", "new", "--to", str(tmp_path), "--", name]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_never_overwritten(tmp_path, capsys):
    path = write_file("my-own", tmp_path, kind="model")
    path.write_text("mine")
    assert invoke(["plugin", "new", "my-own", "--to", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert path.read_text() == "mine"
    write_distribution("my-own", tmp_path, kind="model")
    with pytest.raises(ConfigError, match="exists already"):
        write_distribution("my-own", tmp_path, kind="dataset")


def test_a_shipped_plugin_is_checked_by_name(capsys):
    rows = checked("base-rate", code=0, capsys=capsys)
    assert statuses(rows)["the same seed gives the same answer"] == "ok"
    assert statuses(checked("retail", code=0, capsys=capsys))["it reads valid events or series"] == "ok"


def test_each_check_is_a_line_and_a_failure_says_why(tmp_path, capsys):
    path = odd(tmp_path, predict='raise ValueError("two\\nlines \\x1b[31m")')
    assert invoke(["plugin", "check", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "odd: it imports without a gpu: ok" in lines
    (line,) = (one for one in lines if "it answers every row" in one)
    assert line.startswith("odd churn: it answers every row with finite numbers: failed: ValueError: two lines")
    raised = path.read_text().splitlines().index('        raise ValueError("two\\nlines \\x1b[31m")') + 1
    assert line.endswith(f"(odd.py:{raised})")
    assert line.isprintable()
    assert "failed" in lines[-1]


def test_failures_that_a_plugin_announces_are_told_from_others(tmp_path, capsys):
    body = 'expected_failures = {"a row alone gets the answer it gets among others": "it draws"}'
    noise = "return np.random.default_rng(ctx.seed).uniform(0, 1, len(inputs)).cumsum() / 1e3"
    found = statuses(checked(odd(tmp_path, body=body, predict=noise), code=1, capsys=capsys))
    assert found["a row alone gets the answer it gets among others"] == "expected failure"
    assert [name for name, status in found.items() if status == "failed"] == ["the order of rows does not matter"]


def test_a_plugin_that_ends_its_process_costs_one_check(tmp_path, capsys):
    path = odd(tmp_path, predict="os.kill(os.getpid(), 9) if not inputs.kind.any() else None")
    found = checked(path, code=1, capsys=capsys)
    failed = [(row["check"], row["reason"]) for row in found if row["status"] == "failed"]
    assert failed == [("kinds unseen in training get an answer", "the process was ended by SIGKILL")]
    assert statuses(found)["constant data gets an answer"] == "ok"


def test_a_check_that_never_ends_is_ended_with_all_that_it_started(tmp_path):
    started = tmp_path / "pid"
    hang = "import subprocess\n        if not inputs.kind.any():\n            child = subprocess.Popen(['sleep', '600'])\n"
    hang += f"            open({str(started)!r}, 'w').write(str(child.pid))\n            time.sleep(600)"
    source = Source("odd", str(odd(tmp_path, predict=hang)), is_file=True)
    verdicts = list(verdicts_of(source, GROUPS, "churn", seconds=10.0))
    ended = [v.check for v in verdicts if v.reason == "ran longer than 10 s"]
    assert "kinds unseen in training get an answer" in ended
    assert verdicts[-1].check == "it fits at seeded draws from its space"
    wait_until(partial(lambda pid: not lives(pid), int(started.read_text())), "the plugin's child is gone")


@pytest.mark.parametrize(
    ("head", "words"), [("raise RuntimeError('no luck')", "no luck"), ("sys.exit(3)", "SystemExit"), ("os._exit(3)", "exit code 3")]
)
def test_a_plugin_that_cannot_be_loaded_is_one_failed_line(head, words, tmp_path, capsys):
    (row,) = checked(odd(tmp_path, head=head), code=1, capsys=capsys)
    assert (row["check"], row["status"]) == ("it can be loaded", "failed")
    assert words in row["reason"]


@pytest.mark.parametrize("name", ["ensemble", "oracle"])
def test_a_name_that_boards_keep_for_themselves_is_refused(name, tmp_path, capsys):
    path = odd(tmp_path)
    text = path.read_text().replace('"odd"', f'"{name}"')
    path.write_text(text)
    (row,) = checked(path, code=1, capsys=capsys)
    assert (row["check"], row["status"]) == ("it can be loaded", "failed")
    assert f"offers a model '{name}', a name that boards keep for a row of their own; choose another, such as my-{name}" in row["reason"]
    words = ["--task", "churn", "--dataset", "retail", "--profile", "smoke", "--quiet", "--model", name, "--out", str(tmp_path / "run")]
    for file in (path, tmp_path / f"{name}.py"):  # known by what it offers, and by the file's own name
        file.write_text(text)
        assert invoke(["run", *words, "--plugin", str(file)]) == 2
        captured = capsys.readouterr()
        assert "a name that boards keep for a row of their own" in captured.err
        assert captured.err.count("\n") == 1
        assert captured.out == ""


def test_a_missing_library_is_skipped_with_the_command_that_brings_it_and_is_no_success(tmp_path, capsys):
    (row,) = checked(odd(tmp_path, head="import a_library_that_is_not_there"), code=1, capsys=capsys)
    assert (row["status"], "pip install" in row["reason"]) == ("skipped", True)


@pytest.mark.parametrize(
    "words", [["lstn"], ["nowhere.py"], ["."], ["base-rate", "--task", "chrun"], ["base-rate", "--task", "anomaly"], ["./tests/"]]
)
def test_bad_arguments_end_in_one_line_and_code_2(words, capsys):
    assert invoke(["plugin", "check", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_what_a_plugin_prints_stays_out_of_the_report(tmp_path, capsys):
    path = odd(tmp_path, head='print("noise", flush=True); os.write(1, b"noise")')
    rows = checked(path, "--task", "churn", code=0, capsys=capsys)
    assert "noise" not in json.dumps(rows)


def test_a_sampler_is_no_model_that_could_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["plugin", "check", "sobol"]) == 2
    assert "'sobol' is a sampler, of which there is no check" in capsys.readouterr().err


@pytest.mark.skipif(bool(obstacle("namespaces")), reason=f"no sandbox here: {obstacle('namespaces')}")
def test_a_plugin_under_check_sees_its_own_file_and_neither_the_home_nor_the_network(tmp_path, monkeypatch, capsys):
    home = tmp_path / "home"
    home.mkdir()
    (home / "secret").write_text("42")
    monkeypatch.setenv("HOME", str(home))
    tries = f"""
import socket
for seen in ({str(home / "secret")!r}, {str(tmp_path / "beside.txt")!r}):
    if os.path.exists(seen):
        raise RuntimeError("it sees " + seen)
if len(socket.if_nameindex()) > 1:
    raise RuntimeError("it has a network")
"""
    (tmp_path / "beside.txt").write_text("not its own")
    path = odd(tmp_path, head=tries)
    rows = checked(path, code=0, capsys=capsys)
    assert {row["status"] for row in rows} <= {"ok", "skipped"}
    assert invoke(["plugin", "check", str(path), "--sandbox", "off"]) == 1
    assert "it sees" in capsys.readouterr().out
