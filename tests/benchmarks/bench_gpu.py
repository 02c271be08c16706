"""What each step towards a busy GPU gains, as ratios in one run. Not measured yet: no GPU was at hand.

    python tests/benchmarks/bench_gpu.py [--model lstm ...] [--jobs 1,2,4,8] [--members 4,16,64]

First, one process: the clock of a default churn fit with rows that lie on the GPU against batches that are made on the host and
copied, with lengths rounded to few shapes against lengths as they are, and with CUDA graphs against steps that are started kernel
by kernel. Then fits as one program against as many one after another, eager and with CUDA graphs. Last, several jobs at once on one
GPU, as `bench doctor --gpu` times them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from typing import Any

import torch

from bench.api import Context
from bench.errors import BenchError
from bench.execute.gpus import gpus
from bench.neural import loop, resident
from bench.neural.switch import GRAPHS
from bench.neural.together import fit_together
from bench.registry import discover, models
from bench.runs import gpu_check
from bench.tasks.profiles import PROFILES

SHORT = PROFILES["short"]
GRAPHED = "resident, few shapes, CUDA graphs"
WAYS = (GRAPHED, "resident, few shapes", "resident, every shape", "copied batch by batch")

CTX = Context(device="cuda:0", epochs=SHORT.epochs, history=SHORT.history, rows=SHORT.rows)


def fused(kind: Any, train: Any, members: int, graphs: str) -> float:
    """Fit so many as one program; returns seconds by the clock."""
    os.environ[GRAPHS] = graphs
    began = time.perf_counter()
    several = [kind(kind.default()) for _ in range(members)]
    for one in fit_together(several, train, [replace(CTX, seed=k) for k in range(members)]):
        if one.error is not None:
            raise one.error
    torch.cuda.synchronize()
    return time.perf_counter() - began


def together(kind: Any, train: Any, alone: float, members: int) -> None:
    """Print what so many as one program take, in units of as many eager fits one after another."""
    for graphs, said in (("0", "eager"), ("1", "CUDA graphs")):
        try:
            seconds = fused(kind, train, members, graphs)
        except (BenchError, RuntimeError) as error:
            print(f"  {kind.name:15} {members:3} fused, {said}: {error}")
            continue
        print(f"  {kind.name:15} {members:3} fused, {said:11} {seconds:6.2f} s   {members * alone / seconds:.1f} x one after another")


def fit(kind: Any, train: Any, way: str) -> float:
    """Fit once; returns seconds by the clock, the GPU's work included."""
    kept, rounded = loop.resident, resident.rounded
    os.environ[GRAPHS] = str(int(way == GRAPHED))
    if way == "copied batch by batch":
        loop.resident = lambda rows, _: rows
    if way == "resident, every shape":
        resident.rounded = lambda steps: steps
    try:
        began = time.perf_counter()
        kind(kind.default()).fit(train, CTX)
        torch.cuda.synchronize()
        return time.perf_counter() - began
    finally:
        loop.resident, resident.rounded = kept, rounded


def main() -> None:
    """Print a line for each model and way, then one for each number of jobs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append")
    parser.add_argument("--jobs", default="1,2,4,8")
    parser.add_argument("--members", default="4,16,64")
    asked = parser.parse_args()
    found = gpus()
    if not found:
        sys.exit("no GPU that NVIDIA's driver knows")
    split, registry = gpu_check.simulated(), discover()
    print(found[0].name)
    for name in asked.model or [name for name, runtime in gpu_check.NETWORKS.items() if runtime == "torch"]:
        kind = models(registry.sources["bench.models"][name])[name]
        train = split.stages["final"].train
        fit(kind, train, WAYS[1])  # kernels are loaded
        took = {way: min(fit(kind, train, way) for _ in range(3)) for way in WAYS}
        for way, seconds in took.items():
            print(f"  {name:15} {way:33} {seconds:6.2f} s   {seconds / took[WAYS[-1]]:.2f} x")
        for members in map(int, asked.members.split(",")):
            together(kind, train, took[WAYS[1]], members)
    gpu_check.AT_ONCE = tuple(int(n) for n in asked.jobs.split(","))
    gpu_check.timed(gpu_check.attempts(split), found[0], print)


if __name__ == "__main__":
    main()
