"""Much of the same: ten thousand trivial trials in one run, and a ledger of a hundred thousand entries that is read again.

    python tests/campaigns/soak.py --trials 10000 --entries 100000 --scratch FOLDER

Printed: what the supervisor's memory grew by for each trial, between a quarter of them and the end; seconds until a run with
the long ledger has read it. A run that was cut off goes on from its ledger, as any other.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
from execute.kit import cell_of, described, executor_in, steady, tiny_split

from bench.execute.jobs import Limits
from bench.runs.run_events import Event, JobDone
from bench.runs.scheduler import Driver
from bench.tasks.churn.task import Churn
from bench.tune.ledger import Ledger
from bench.tune.plan import Budget

EACH = 40
"""Trials of a cell: a search of thousands is the sampler's own time."""


def trials(folder: Path, count: int) -> dict[str, float]:
    """Run so many trials; return bytes of memory for each, from a quarter of the way to the end, and trials a second."""
    split, process, seen = tiny_split(), psutil.Process(), list[tuple[int, int]]()
    done = [0]

    def listen(event: Event) -> None:
        done[0] += isinstance(event, JobDone) and event.entry["stage"] == "search"
        if done[0] % max(count // 40, 1) == 0:
            seen.append((done[0], process.memory_info().rss))

    with executor_in(folder / "slots", workers=2) as executor, Ledger(folder / "run") as ledger:
        (plugin,) = described(executor, [steady(folder)])
        driver = Driver(Churn(), executor, ledger, Limits(60.0, 2048.0), Budget(trials=EACH, seeds=1), listen)
        began = time.monotonic()
        for number in range(-(-count // EACH)):
            driver.run([cell_of(plugin, split, f"tiny-{number}")])
    seconds = time.monotonic() - began
    (first, low), (last, high) = next(pair for pair in seen if pair[0] >= count / 4), seen[-1]
    return {"trials": done[0], "bytes a trial": (high - low) / max(last - first, 1), "trials a second": done[0] / seconds}


def entry(number: int, of: Mapping[str, Any]) -> dict[str, Any]:
    """Make another entry like one that a run has written."""
    return {**of, "key": f"{number:032x}", "number": number}


def ledger(folder: Path, count: int) -> dict[str, float]:
    """Write a ledger of so many entries like those of a run, and read it as a resumed run does."""
    with executor_in(folder / "few slots") as executor, Ledger(folder / "few") as few:
        (plugin,) = described(executor, [steady(folder)])
        Driver(Churn(), executor, few, Limits(60.0, 2048.0), Budget(trials=4, seeds=1), lambda _: None).run([cell_of(plugin, tiny_split())])
        # entries that were just made are compact: those that are written are lists
        like = json.loads((folder / "few" / "ledger.jsonl").read_text().splitlines()[0])
    path = folder / "long" / "ledger.jsonl"
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        partial = path.with_suffix(".part")
        with partial.open("w") as stream:
            stream.writelines(json.dumps(entry(number, like), sort_keys=True) + "\n" for number in range(count))
        partial.replace(path)
    process = psutil.Process()
    before, began, worked = process.memory_info().rss, time.monotonic(), time.process_time()
    with Ledger(folder / "long") as found:
        seconds, cpu, entries = time.monotonic() - began, time.process_time() - worked, len(found.entries)
        grown = process.memory_info().rss - before
    return {
        "entries": entries,
        "seconds": seconds,
        "CPU seconds": cpu,
        "MB of the file": path.stat().st_size / 1e6,
        "MB of memory": grown / 1e6,
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
