"""Many GPUs, without one: slots are dealt over them, each job's share of memory is enforced, and one that was full is tried alone.

A framework of a few lines stands for torch: it counts GPUs as the worker's environment shows them, keeps to the share that it
is given, and notes what it is told.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from execute.kit import Done, described, drive, model_text, tiny_split, write_plugin
from execute.kit import cell_of as cell_on_cpu

from bench.cli import invoke
from bench.errors import ConfigError
from bench.execute import gpu_memory, gpus, local
from bench.execute.gpus import Gpu, Load
from bench.execute.jobs import Plugin
from bench.execute.local import LocalExecutor
from bench.execute.messages import Result
from bench.execute.placement import Place, placed
from bench.execute.worker import failure
from bench.runs.run_events import JobRetried
from bench.runs.search_rows import trial_rows
from bench.tune.plan import Budget

BIG, SMALL_GPU = Gpu("H200", 144_000.0, 140_000.0), Gpu("T4", 16_000.0, 15_000.0)
TORCH = """
import os

share = 1.0


class cuda:
    device_count = staticmethod(lambda: sum(bool(n) for n in os.environ["CUDA_VISIBLE_DEVICES"].split(",")))
    get_device_properties = staticmethod(lambda n: type("Properties", (), {"total_memory": 16000 * 1024**2}))

    @staticmethod
    def set_per_process_memory_fraction(fraction, device):
        global share
        assert device == 0
        share = fraction


def manual_seed(seed): pass
"""
FIT = """
import torch
began = time.monotonic()
time.sleep(0.3)
with open({notes!r}, "a") as notes:
    words = (self.name, os.environ["CUDA_VISIBLE_DEVICES"], ctx.device, torch.share, os.getpid(), began, time.monotonic())
    notes.write(" ".join(map(str, words)) + "\\n")
if torch.share * 16000 < {needs}:
    raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
"""


@pytest.mark.parametrize(
    ("arguments", "found", "expected"),
    [
        (("cpu", None, None), (), ["cpu"] * 3),
        (("cpu", 2, None), (BIG,), ["cpu"] * 2),
        (("cuda", None, 2), (BIG, BIG), ["cuda:0", "cuda:1"] * 2),
        (("cuda:1", None, 2), (BIG, BIG), ["cuda:1"] * 2),
        (("cuda:2,0", None, 1), (BIG,) * 3, ["cuda:2", "cuda:0"]),
        (("cuda", 3, None), (BIG, BIG), ["cuda:0", "cuda:1", "cuda:0"]),
        (("cuda", 1, 4), (BIG, BIG), ["cuda:0"]),
        (("cuda", None, None), (BIG, BIG), ["cuda:0", "cuda:1"]),  # three cores feed one job on each
        (("cuda:0", None, None), (), ["cuda:0"] * 3),  # no driver tells: a framework will
    ],
)
def test_slots_are_dealt_over_the_gpus_in_turn(arguments, found, expected):
    assert [place.device for place in placed(*arguments, found, cores=3)] == expected


@pytest.mark.parametrize(("gpu", "cores", "expected"), [(BIG, 64, 8), (SMALL_GPU, 64, 4), (Gpu("A10", 24_000, 23_000), 64, 5), (BIG, 6, 6)])
def test_how_many_jobs_share_a_gpu_follows_its_free_memory_and_the_cores(gpu, cores, expected):
    dealt = placed("cuda", None, None, (gpu,), cores)
    assert len(dealt) == expected
    assert sum(place.share_mb for place in dealt) == pytest.approx(0.9 * gpu.free_mb)
    assert {(place.name, place.memory_mb) for place in dealt} == {(gpu.name, gpu.memory_mb)}


def test_shares_are_of_the_fullest_gpu_where_slots_do_not_divide():
    assert {place.share_mb for place in placed("cuda", 3, None, (SMALL_GPU, SMALL_GPU), 8)} == {15_000 * 0.9 / 2}


def test_more_workers_than_jobs_and_gpus_that_are_not_there_are_refused():
    with pytest.raises(ConfigError, match=r"--workers 5 are more than 2 on each of 2 GPUs; raise --jobs-per-gpu"):
        placed("cuda", 5, 2, (BIG, BIG), 8)
    with pytest.raises(ConfigError, match=r"--device cuda:0,3: there is no GPU 3; 2 GPUs can be seen"):
        placed("cuda:0,3", None, None, (BIG, BIG), 8)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--device", "cuda:x"], "--device 'cuda:x' is unknown; use auto, cpu, cuda (every GPU), cuda:N or cuda:N,M"),
        (["--device", "cuda:0,"], "is unknown"),
        (["--jobs-per-gpu", "0"], "--jobs-per-gpu 0 leaves nothing to do"),
        (["--device", "cpu", "--jobs-per-gpu", "2"], "--jobs-per-gpu 2 goes with --device auto or cuda, not cpu"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_in_one_line(words, message, capsys, tmp_path):
    assert invoke(["run", "--task", "churn", *words, "--out", str(tmp_path / "run")]) == 2
    assert message in (err := capsys.readouterr().err)
    assert err.count("\n") == 1


@pytest.fixture
def torch_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Put the framework before the real one, in workers alone; gives the file of its notes."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "torch.py").write_text(TORCH)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(local, "load", lambda number, _: Load(40.0 + number, 500.0))
    return tmp_path / "notes"


def network(folder: Path, name: str, notes: Path, needs: int) -> Path:
    text = model_text(fit=FIT.format(notes=str(notes), needs=needs), body='runtime = "torch"\n')
    return write_plugin(folder, name, text, classes="Odd")


def driven(folder: Path, plugins: list[Path], places: list[Place], seeds: int = 1) -> Done:
    executor = LocalExecutor(0, "cpu", folder / "slots", places=places)
    try:
        found: list[Plugin] = described(executor, plugins)
        cells = [replace(cell_on_cpu(plugin, tiny_split()), device="cuda") for plugin in found]
        return drive(executor, folder / "run", cells, budget=Budget(trials=1, seeds=seeds))
    finally:
        executor.close()


@pytest.mark.usefixtures("torch_of")
def test_jobs_run_on_every_gpu_within_their_shares_and_their_lines_say_so(tmp_path, torch_of):
    places = placed("cuda", None, 1, (SMALL_GPU, SMALL_GPU), 8)
    done = driven(tmp_path, [network(tmp_path, "calm", torch_of, 0)], places, seeds=3)
    told = [line.split() for line in torch_of.read_text().splitlines()]
    assert {words[1] for words in told} == {"0", "1"}
    assert {words[2] for words in told} == {"cuda:0"}, "each worker counts the one GPU that it sees from 0"
    assert {float(words[3]) for words in told} == {15_000 * 0.9 / 16_000}
    for entry in done.entries.values():
        assert (entry["status"], entry["gpu"], entry["gpu_memory_mb"], entry["gpu_peak_mb"]) == ("ok", "T4", 16_000.0, 500.0)
        assert entry["gpu_utilisation"] in {40.0, 41.0}


@pytest.mark.usefixtures("torch_of")
def test_a_job_for_which_its_share_was_too_small_runs_once_more_alone(tmp_path, torch_of):
    places = placed("cuda", 2, 2, (SMALL_GPU,), 8)
    plugins = [network(tmp_path, "calm", torch_of, 0), network(tmp_path, "large", torch_of, 9_000)]
    done = driven(tmp_path, plugins, places, seeds=2)
    assert {entry["status"] for entry in done.entries.values()} == {"ok"}
    retried = [event for event in done.events if isinstance(event, JobRetried)]
    assert {(event.model, event.reason) for event in retried} == {("large", "its GPU was full; it is run once more, alone")}
    told = [line.split() for line in torch_of.read_text().splitlines()]
    alone = [words for words in told if float(words[3]) == 1.0]
    assert {words[0] for words in alone} == {"large"}
    assert len(alone) == len(retried) == sum(entry["model"] == "large" for entry in done.entries.values())
    for own in alone:
        beside = [other for other in told if other is not own and float(other[5]) < float(own[6]) and float(own[5]) < float(other[6])]
        assert beside == [], "nothing else runs meanwhile"
        assert sum(other[4] == own[4] for other in told) == 1, "its process runs nothing else"


@pytest.mark.usefixtures("torch_of")
def test_a_job_for_which_a_whole_gpu_is_too_small_is_a_row(tmp_path, torch_of):
    done = driven(tmp_path, [network(tmp_path, "huge", torch_of, 99_000)], placed("cuda", 2, 2, (SMALL_GPU,), 8))
    entry = done.of("tiny", "huge")
    assert (entry["status"], entry["again"]) == ("oom", False)
    assert entry["reason"].startswith("RuntimeError: CUDA out of memory")
    assert len(torch_of.read_text().splitlines()) == 2


def test_the_table_of_trials_tells_of_the_gpu_of_each():
    trial = dict.fromkeys(("number", "seed", "status", "reason", "value", "latest", "fit_seconds", "predict_seconds"), 1.0)
    trial |= {"peak_memory_mb": 9.0, "device": "cuda", "params": {}, "validations": {}, "scores": {}, "fits": 1.0}
    seen = {"gpu": "T4", "gpu_peak_mb": 500.0, "gpu_utilisation": 40.0}
    problem = SimpleNamespace(split=SimpleNamespace(task_id="id"), dataset="tiny")
    rows = trial_rows(problem, {"calm": SimpleNamespace(trials=[{**trial, **seen}, trial])})
    assert [{name: row[name] for name in seen} for row in rows] == [seen, dict.fromkeys(seen)]


@pytest.mark.parametrize(
    ("words", "full"),
    [
        ("CUDA out of memory. Tried to allocate 20.00 MiB", True),
        ("OOM when allocating tensor with shape[64,512] and type float on /job:localhost/device:GPU:0", True),
        ("CUDA error: device-side assert triggered", False),
        ("out of memory", False),
    ],
)
def test_the_words_of_both_frameworks_for_a_full_gpu_are_known(words, full):
    found = failure(RuntimeError(words))
    assert (found["gpu_full"], found["status"]) == (full, "failed" if "assert" in words else "oom")


def test_tensorflow_gets_its_bound_before_it_touches_the_gpu_and_once(monkeypatch):
    told: list[int] = []
    config = SimpleNamespace(
        list_physical_devices=lambda kind: [kind],
        get_logical_device_configuration=lambda _: told or None,
        LogicalDeviceConfiguration=lambda memory_limit: memory_limit,
        set_logical_device_configuration=lambda _, limits: told.extend(limits),
    )
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(config=config))
    for bound in (0.0, 1500.5, 3000.0):
        gpu_memory.limit_gpu_memory("tensorflow", bound)
    assert told == [1500]


def library(monkeypatch: pytest.MonkeyPatch, processes: dict[int, int | None]) -> None:
    """Let NVIDIA's library tell of two GPUs, and of processes on the second."""
    on = [SimpleNamespace(pid=pid, usedGpuMemory=held) for pid, held in processes.items()]
    fake = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda n: n,
        nvmlDeviceGetName=lambda n: f"GPU {n}",
        nvmlDeviceGetMemoryInfo=lambda n: SimpleNamespace(total=(n + 1) * 1024**3, free=1024**3 // 2),
        nvmlDeviceGetUtilizationRates=lambda n: SimpleNamespace(gpu=30 * n),
        nvmlDeviceGetComputeRunningProcesses=lambda n: on if n else [],
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(gpus, "DRIVER", Path(__file__))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_what_a_job_holds_of_its_gpu_is_what_its_processes_hold(monkeypatch):
    library(monkeypatch, {7: 100 * 1024**2, 8: 50 * 1024**2, 9: 10 * 1024**2})
    assert gpus.gpus() == (Gpu("GPU 0", 1024.0, 512.0), Gpu("GPU 1", 2048.0, 512.0))
    assert gpus.load(1, [7, 8, 99]) == Load(30.0, 150.0)
    assert gpus.load(2, [7]) is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpus.load(0, [9]) == Load(30.0, 10.0)


def test_memory_that_the_driver_hides_is_not_known_rather_than_none(monkeypatch):
    library(monkeypatch, {7: None})
    assert gpus.load(1, [7]) == gpus.load(1, [1]) == Load(30.0, None)


def test_the_peak_of_chunks_is_their_highest():
    chunks = [Result("ok", gpu_peak_mb=held) for held in (100.0, None, 300.0)]
    assert Result.joined(chunks).gpu_peak_mb == 300.0
    assert Result.joined([Result("ok")]).gpu_peak_mb is None
