"""What only a GPU can show; without one all of it is skipped. `bench doctor --gpu` says the same of a user's machine.

The torch networks' own checks on a GPU stand beside their twins on the `meta` device, in `plugins/test_devices.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from execute.kit import cell_of, described, drive, odd, tiny_split

from bench.execute.gpus import Gpu, gpus
from bench.execute.local import LocalExecutor
from bench.execute.placement import placed
from bench.neural.switch import GRAPHS
from bench.runs import gpu_check, gpu_ways
from bench.runs.run_events import JobRetried

FOUND = gpus()
pytestmark = pytest.mark.skipif(not FOUND, reason="no GPU that NVIDIA's driver knows")
LARGE_MB = 40_000
"""Memory from which a GPU counts as large."""
FILL = """
import torch
held = torch.zeros({mb} * 2**18, device=ctx.device)  # MB of 4-byte numbers
torch.cuda.synchronize()
"""


@pytest.fixture(scope="module")
def attempt() -> gpu_check.Attempt:
    return gpu_check.attempts(gpu_check.simulated())


def test_every_network_learns_there_as_well_as_on_the_cpu(attempt: gpu_check.Attempt) -> None:
    said: list[str] = []
    assert gpu_check.compared(attempt, FOUND[0], said.append), said


def test_jobs_run_side_by_side_on_each_gpu_and_are_seen_there(attempt: gpu_check.Attempt) -> None:
    done = attempt("lstm", placed("cuda", None, 2, FOUND, 2 * len(FOUND)))
    assert [each.status for each in done] == ["ok"] * 2 * len(FOUND)


def filled(tmp_path: Path, gpu: Gpu, mb: int, per_gpu: int) -> tuple[str, list[object]]:
    path = odd(tmp_path, "fills", fit=FILL.format(mb=mb), body='runtime = "torch"\n')
    executor = LocalExecutor(0, "cpu", tmp_path / "slots", places=placed("cuda:0", per_gpu, per_gpu, (gpu,), 8))
    try:
        cell = replace(cell_of(described(executor, [path])[0], tiny_split()), device="cuda")
        done = drive(executor, tmp_path / "run", [cell])
    finally:
        executor.close()
    return done.of("tiny", "fills")["status"], [event for event in done.events if isinstance(event, JobRetried)]


@pytest.mark.parametrize(("share", "retries"), [(0.5, 0), (1.5, 1)])
def test_a_job_holds_no_more_than_its_share_unless_it_is_alone(tmp_path: Path, share: float, retries: int) -> None:
    own = placed("cuda:0", 4, 4, FOUND[:1], 8)[0].share_mb
    status, retried = filled(tmp_path, FOUND[0], int(share * own), 4)
    assert status == "ok"
    assert bool(retried) == bool(retries)


@pytest.fixture(scope="module")
def timed() -> dict[str, dict[str, dict[str, object]]]:
    """Time all ways of each network once: way by network."""
    hear = gpu_ways.hearing(gpu_check.simulated(), FOUND[0])
    return {name: {str(note["way"]): dict(note) for note in hear(name)} for name in gpu_ways.TIMED}


@pytest.mark.parametrize("name", gpu_ways.TIMED)
def test_training_steps_are_captured_and_learn_what_they_learn_eager(name: str, timed: dict[str, dict[str, dict[str, object]]]) -> None:
    eager, graphs = timed[name]["eager"], timed[name]["graphs"]
    assert graphs["reason"] == ""
    assert graphs["auc"] == pytest.approx(eager["auc"], abs=gpu_ways.NEAR)


@pytest.mark.parametrize("name", gpu_ways.TIMED)
def test_64_fused_fits_are_many_times_as_quick_as_one_after_another(name: str, timed: dict[str, dict[str, dict[str, object]]]) -> None:
    """The goal is 15 times for LSTM and attention on one large GPU; a smaller one may gain less, and the report says what."""
    fused = timed[name]["64 fused, CUDA graphs"]
    assert fused["reason"] == ""
    assert 64 * timed[name]["eager"]["seconds"] / fused["seconds"] > (15 if FOUND[0].memory_mb > LARGE_MB else 4)  # type: ignore[operator]


@pytest.mark.parametrize("name", gpu_ways.TIMED)
@pytest.mark.parametrize("switch", ["0", "1"])
def test_members_on_a_gpu_are_what_they_are_on_a_cpu(name: str, switch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from neural.fused_kit import HUNDRED, member, weights

    from bench.neural.fused import Fused

    monkeypatch.setenv(GRAPHS, switch)
    moved = [member(name, k, {"epochs": 8, "device": "cuda:0"}) for k in range(7)]
    Fused(moved).run(HUNDRED, None)
    monkeypatch.setenv(GRAPHS, "0")
    own = [member(name, k, {"epochs": 8}) for k in range(7)]
    Fused(own).run(HUNDRED, None)
    for one, other in zip(moved, own, strict=True):
        assert (weights(one.net).cpu() - weights(other.net)).abs().max() < 1e-8


@pytest.mark.parametrize("rehearsed", [True, False])
def test_a_step_that_cannot_be_captured_is_said_and_goes_on_without(rehearsed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout goes on too: a capture that fails leaves torch's generator and stream in the middle of it."""
    import torch

    from bench.neural.graphs import WARM, CapturedStep, CudaRecorder

    recorder = CudaRecorder("cuda:0")
    if not rehearsed:
        monkeypatch.setattr(recorder, "rehearse", lambda step: (recorder.warm(step), ""))
    stream = torch.cuda.current_stream()
    step = CapturedStep(lambda x: torch.nn.functional.dropout(x[x > 0], 0.5).sum(), recorder)
    with pytest.warns(RuntimeWarning, match="not captured as a CUDA graph"):
        found = [float(step(torch.ones(1000, device="cuda:0"))) for _ in range(WARM + 3)]
    assert torch.cuda.current_stream() == stream
    assert len(set(found)) > 1
    assert all(800 < value < 1200 for value in found)


def test_a_number_of_jobs_is_found_and_kept(attempt: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    best = gpu_check.timed(attempt, FOUND[0], lambda _: None)
    gpu_check.keep(FOUND[0].name, best)
    assert gpu_check.remembered(FOUND) == best
