"""What each step towards a busy GPU gains, as ratios in one run. Not measured yet: no GPU was at hand.

    python tests/benchmarks/bench_gpu.py [--model lstm ...] [--jobs 1,2,4,8]

First, one process: the CPU seconds and the clock of a default churn fit with rows that lie on the GPU against batches that are
made on the host and copied, and with lengths rounded to few shapes against lengths as they are. Then several jobs at once on
one GPU, as `bench doctor --gpu` times them.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import torch

from bench.api import Context
from bench.execute.gpus import gpus
from bench.neural import loop, resident
from bench.registry import discover, models
from bench.runs import gpu_check
from bench.tasks.profiles import PROFILES

SHORT = PROFILES["short"]
WAYS = ("resident, few shapes", "resident, every shape", "copied batch by batch")


def fit(kind: Any, train: Any, way: str) -> float:
    """Fit once; returns seconds by the clock, the GPU's work included."""
    kept, rounded = loop.resident, resident.rounded
    if way == "copied batch by batch":
        loop.resident = lambda rows, _: rows
    if way == "resident, every shape":
        resident.rounded = lambda steps: steps
    try:
        began = time.perf_counter()
        kind(kind.default()).fit(train, Context(device="cuda:0", epochs=SHORT.epochs, history=SHORT.history, rows=SHORT.rows))
        torch.cuda.synchronize()
        return time.perf_counter() - began
    finally:
        loop.resident, resident.rounded = kept, rounded


def main() -> None:
    """Print a line for each model and way, then one for each number of jobs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append")
    parser.add_argument("--jobs", default="1,2,4,8")
    asked = parser.parse_args()
    found = gpus()
    if not found:
        sys.exit("no GPU that NVIDIA's driver knows")
    split, registry = gpu_check.simulated(), discover()
    print(found[0].name)
    for name in asked.model or [name for name, runtime in gpu_check.NETWORKS.items() if runtime == "torch"]:
        kind = models(registry.sources["bench.models"][name])[name]
        fit(kind, split.stages["final"].train, WAYS[0])  # kernels are loaded
        took = {way: min(fit(kind, split.stages["final"].train, way) for _ in range(3)) for way in WAYS}
        for way, seconds in took.items():
            print(f"  {name:15} {way:24} {seconds:6.2f} s   {seconds / took[WAYS[-1]]:.2f} x")
    gpu_check.AT_ONCE = tuple(int(n) for n in asked.jobs.split(","))
    gpu_check.timed(gpu_check.attempts(split), found[0], print)


if __name__ == "__main__":
    main()
