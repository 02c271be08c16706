"""Much of the same: ten thousand trivial trials in one run, and a ledger of a hundred thousand entries that is read again.

    python tests/campaigns/soak.py --trials 10000 --entries 100000 --scratch FOLDER

Printed: what the supervisor's memory grew by for each trial, between a quarter of them and the end; seconds until a run with
the long ledger has read it, and what it then keeps. A run that was cut off goes on from its ledger, as any other.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
from execute.kit import cell_of, described, executor_in, steady, tiny_split

from bench.execute.jobs import Limits
from bench.runs.run_events import Event, JobDone, Listener, ignore
from bench.runs.scheduler import Driver
from bench.tasks.churn.task import Churn
from bench.tune.ledger import Ledger
from bench.tune.plan import Budget

EACH = 40
"""Trials of a cell: a search of thousands is the sampler's own time."""


@contextlib.contextmanager
def cells(folder: Path, each: int, listen: Listener, workers: int = 2) -> Iterator[Callable[[int], object]]:
    """Yield what runs the cell of a number, each of so many trivial trials, all in one run."""
    split = tiny_split()
    with executor_in(folder / "slots", workers=workers) as executor, Ledger(folder / "run") as ledger:
        (plugin,) = described(executor, [steady(folder)])
        driver = Driver(Churn(), executor, ledger, Limits(60.0, 2048.0), Budget(trials=each, seeds=1), listen)
        yield lambda number: driver.run([cell_of(plugin, split, f"tiny-{number}")])


def trials(folder: Path, count: int) -> dict[str, float]:
    """Run so many trials; return bytes of memory for each, from a quarter of the way to the end, and trials a second."""
    process, seen = psutil.Process(), list[tuple[int, int]]()
    done = [0]

    def listen(event: Event) -> None:
        done[0] += isinstance(event, JobDone) and event.entry["stage"] == "search"
        if done[0] % max(count // 40, 1) == 0:
            seen.append((done[0], process.memory_info().rss))

    with cells(folder, EACH, listen) as run:
        began = time.monotonic()
        for number in range(-(-count // EACH)):
            run(number)
    seconds = time.monotonic() - began
    (first, low), (last, high) = next(pair for pair in seen if pair[0] >= count / 4), seen[-1]
    return {"trials": done[0], "bytes a trial": (high - low) / max(last - first, 1), "trials a second": done[0] / seconds}


def kept(folder: Path, warm: int, count: int, each: int = 4) -> float:
    """Run `warm` cells and `count` more; return the bytes of Python's objects that stay for each trial of the latter.

    What was allocated and is not yet freed is counted: neither time nor load changes it. A cell of four trials is drawn
    without the sampler, whose own cache of at most 1,000 values is thereby left out.
    """
    with cells(folder, each, ignore, workers=1) as run, traced() as size:
        for number in range(warm):
            run(number)
        before = size()
        for number in range(warm, warm + count):
            run(number)
        return (size() - before) / (count * each)


@contextlib.contextmanager
def traced() -> Iterator[Callable[[], int]]:
    """Yield what counts the bytes of objects that were made from here on and are still there."""

    def size() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        yield size
    finally:
        tracemalloc.stop()


def entry(number: int, of: Mapping[str, Any]) -> dict[str, Any]:
    """Make another entry like one that a run has written."""
    return {**of, "key": f"{number:032x}", "number": number}


def long_ledger(folder: Path, count: int) -> Path:
    """Write a ledger of so many entries like those of a run; return its folder."""
    with executor_in(folder / "few slots") as executor, Ledger(folder / "few") as few:
        (plugin,) = described(executor, [steady(folder)])
        Driver(Churn(), executor, few, Limits(60.0, 2048.0), Budget(trials=4, seeds=1), ignore).run([cell_of(plugin, tiny_split())])
    like = json.loads((folder / "few" / "ledger.jsonl").read_text().splitlines()[0])
    path = folder / "long" / "ledger.jsonl"
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        partial = path.with_suffix(".part")
        with partial.open("w") as stream:
            stream.writelines(json.dumps(entry(number, like), sort_keys=True) + "\n" for number in range(count))
        partial.replace(path)
    return path.parent


def ledger(folder: Path, count: int) -> dict[str, float]:
    """Read a ledger of so many entries as a resumed run does: when it is opened, and again each entry that is asked for."""
    long, process = long_ledger(folder, count), psutil.Process()
    before, began, worked = process.memory_info().rss, time.monotonic(), time.process_time()
    with Ledger(long) as found:
        seconds, cpu = time.monotonic() - began, time.process_time() - worked
        grown = process.memory_info().rss - before
        worked = time.process_time()
        entries = sum(each["key"] == key for key, each in found.entries.items())
        again = time.process_time() - worked
    return {
        "entries": entries,
        "seconds": seconds,
        "CPU seconds": cpu,
        "MB of the file": (long / "ledger.jsonl").stat().st_size / 1e6,
        "MB of memory": grown / 1e6,
        "CPU seconds to ask for each": again,
    }


def main() -> None:
    """Run both and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--scratch", type=Path, required=True)
    given = parser.parse_args()
    os.environ["BENCH_CACHE"] = str(given.scratch / "cache")
    given.scratch.mkdir(parents=True, exist_ok=True)
    for measure, count in ((ledger, given.entries), (trials, given.trials)):
        found = measure(given.scratch, count)
        sys.stdout.write(", ".join(f"{name} {value:,.1f}" for name, value in found.items()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
