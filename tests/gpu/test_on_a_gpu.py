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
from bench.runs import gpu_check
from bench.runs.run_events import JobRetried

FOUND = gpus()
pytestmark = pytest.mark.skipif(not FOUND, reason="no GPU that NVIDIA's driver knows")
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


def test_a_number_of_jobs_is_found_and_kept(attempt: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    best = gpu_check.timed(attempt, FOUND[0], lambda _: None)
    gpu_check.keep(FOUND[0].name, best)
    assert gpu_check.remembered(FOUND) == best
