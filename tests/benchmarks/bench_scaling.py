"""How a run would scale: its own job times, played through again on 1, 2, 8 and 64 slots. A simulation: no job runs.

    python tests/benchmarks/bench_scaling.py RUN [RUN ...] [--slots 1,2,8,64]

Each cell's jobs come in the order that its search needs: batches of four trials, each after the one before; the races on
further validations; then all finals at once. Slots are given out as the scheduler does: the first job of every cell, then
searches, then finals. Not in it: starting workers, moving data, and that jobs slow each other down. The last line of a run is
its critical path: the time that no number of slots shortens, and the cell that takes it.
"""

from __future__ import annotations

import argparse
import heapq
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.tune.search import BATCH

Wave = list[float]
"""Seconds of jobs that may run side by side; the next wave waits for all of them."""


@dataclass(frozen=True)
class Cell:
    """One model on one data set: its waves of jobs, and which of them are finals."""

    name: str
    searches: list[Wave]
    finals: Wave


def cells(run: Path) -> list[Cell]:
    """Read the jobs of a run's ledger; a line of the same key replaces the one before, and what was averaged took no job."""
    lines = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    latest = {line["key"]: line for line in lines if "key" in line}
    own: dict[str, list[Any]] = defaultdict(list)
    for line in latest.values():
        if line["fit_seconds"] + line["predict_seconds"] > 0:
            own[f"{line['dataset']}/{line['model']}"].append(line)
    return [Cell(name, waves(found), [seconds(line) for line in found if line["stage"] == "final"]) for name, found in own.items()]


def waves(found: Sequence[Any]) -> list[Wave]:
    """Group the fits on validations: the first validation by batches of trials, each further one at once."""
    tried = sorted((line for line in found if line["stage"] != "final"), key=lambda line: (line["stage"], line["number"]))
    made = groupby(tried, key=lambda line: (line["stage"], line["number"] // BATCH if line["stage"] == "search" else 0))
    return [[seconds(line) for line in wave] for _, wave in made]


def seconds(line: Any) -> float:
    """Return the worker seconds of one job."""
    return float(line["fit_seconds"] + line["predict_seconds"])


def makespan(found: Sequence[Cell], slots: int) -> tuple[float, str]:
    """Play a run through; return when the last job ends, and whose it is."""
    waiting: list[tuple[int, int, float, int]] = []  # (first, search or final; order; seconds; cell), least first
    busy: list[tuple[float, int]] = []  # (end, cell)
    left = [[(1, wave) for wave in cell.searches] + ([(2, cell.finals)] if cell.finals else []) for cell in found]
    open_jobs, queued, now, last = [0] * len(found), 0, 0.0, 0

    def begin(cell: int, *, first: bool) -> None:
        nonlocal queued
        kind, wave = left[cell].pop(0)
        open_jobs[cell] = len(wave)
        for at, each in enumerate(wave):
            queued += 1
            heapq.heappush(waiting, (0 if first and at == 0 else kind, queued, each, cell))

    for cell in range(len(found)):
        begin(cell, first=True)
    while waiting or busy:
        while waiting and len(busy) < slots:
            _, _, each, cell = heapq.heappop(waiting)
            heapq.heappush(busy, (now + each, cell))
        now, last = heapq.heappop(busy)
        open_jobs[last] -= 1
        if not open_jobs[last] and left[last]:
            begin(last, first=False)
    return now, found[last].name


def main() -> None:
    """Print a table for each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--slots", default="1,2,8,64")
    asked = parser.parse_args()
    for run in asked.runs:
        found = cells(run)
        jobs = sum(len(wave) for cell in found for wave in [*cell.searches, cell.finals])
        print(f"{run}: {len(found)} cells, {jobs} jobs; simulated")
        alone, _ = makespan(found, 1)
        for slots in map(int, asked.slots.split(",")):
            took, _ = makespan(found, slots)
            print(f"  {slots:4} slots {took:9.0f} s   {alone / took:5.1f} x")
        path, name = makespan(found, jobs)
        longest = next(cell for cell in found if cell.name == name)
        steps, own = len(longest.searches) + bool(longest.finals), sum(map(sum, [*longest.searches, longest.finals]))
        print(f"  critical path {path:.0f} s ({alone / path:.1f} x at most): {name}, {steps} waves, one after the other;", end=" ")
        print(f"by itself that cell gains {own / path:.1f} x at most, from waves of {BATCH} trials")


if __name__ == "__main__":
    main()
