"""What confinement costs: the same default run confined and not, taking turns, as a ratio of their seconds.

    python tests/benchmarks/bench_sandbox.py FOLDER [ROUNDS] [TASK]

Both kinds of run share the simulated data, which are made first; each is a run of its own folder, from an empty ledger. The
ratio is taken of each pair that ran one after the other, in turned order, and their median is printed with what a
single worker costs to start. At most 1.05 is asked for.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from execute.kit import described, steady

import bench
from bench.execute.local import LocalExecutor
from bench.execute.sandbox import WAYS, Sandbox, chosen, obstacle

MODES = ("off", "on")


def run_seconds(folder: Path, task: str, mode: str, models: Sequence[str]) -> float:
    """Return the seconds of one run, its results removed afterwards."""
    began = time.perf_counter()
    bench.run(task, models=models or None, sandbox=mode, out=folder)
    seconds = time.perf_counter() - began
    shutil.rmtree(folder)
    return seconds


def start_seconds(folder: Path, sandbox: Sandbox | None) -> float:
    """Return the seconds until a new worker has described a small plugin."""
    executor = LocalExecutor(1, "cpu", folder, sandbox)
    try:
        began = time.perf_counter()
        described(executor, [steady(folder.parent)])
        return time.perf_counter() - began
    finally:
        executor.close()


def main(folder: Path, rounds: int = 3, task: str = "churn", *models: str) -> None:
    """Measure and print."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("BENCH_CACHE", str(folder / "cache"))
    if chosen("auto") is None:
        sys.exit(f"no sandbox here: {obstacle('namespaces')}")
    run_seconds(folder / "warm", task, "off", models or ("base-rate",) if task == "churn" else models)
    pairs = []
    for at in range(rounds):
        order = MODES if at % 2 else MODES[::-1]
        found = {mode: run_seconds(folder / mode, task, mode, models) for mode in order}
        pairs.append(found)
        sys.stdout.write(f"off {found['off']:.1f} s, on {found['on']:.1f} s, ratio {found['on'] / found['off']:.3f}\n")
        sys.stdout.flush()
    sys.stdout.write(f"median ratio {statistics.median(p['on'] / p['off'] for p in pairs):.3f} of {rounds} pairs\n")
    for name, sandbox in (("unconfined", None), *((way, Sandbox(way=way)) for way in WAYS if not obstacle(way))):
        each = [start_seconds(folder / "slots", sandbox) for _ in range(9)]
        sys.stdout.write(f"a worker, {name}: {1000 * statistics.median(each):.0f} ms\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *map(int, sys.argv[2:3]), *sys.argv[3:])
