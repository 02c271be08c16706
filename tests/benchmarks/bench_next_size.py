"""A run of next events over a log as large as the Netflix Prize: its time, and the memory of all its processes together.

    python tests/benchmarks/netflix_full.py FOLDER [RATINGS]
    python tests/benchmarks/bench_next_size.py FOLDER popular,recent-popular,markov,item-knn,ease [WORDS OF BENCH RUN ...]

The target, for 100,480,507 ratings and the five models that count: less than 12 GiB. What two processes share counts twice.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

GIB = 1 << 30


def held(process: psutil.Process) -> int:
    """Add up what a process and all below it hold in memory, in bytes."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.Error:
            continue
    return total


def main(folder: str, models: str, *more: str) -> None:
    """Run, look at the memory ten times a second, and print the board and both figures."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "bench", "run", "--task", "next-event", "--dataset", f"netflix={folder}", "--model", models]
        command += ["--trials", "1", "--seeds", "1", "--workers", "1", "--out", str(Path(scratch) / "run"), *more]
        began, most = time.monotonic(), 0
        with subprocess.Popen(command) as run:
            process = psutil.Process(run.pid)
            while run.poll() is None:
                most = max(most, held(process))
                time.sleep(0.1)
        print(f"{time.monotonic() - began:,.0f} s, at most {most / GIB:.1f} GiB in all processes together; exit code {run.returncode}")


if __name__ == "__main__":
    main(*sys.argv[1:])
