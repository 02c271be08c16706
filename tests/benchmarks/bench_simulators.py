"""Each simulator's time for 10,000 users against ten times that for 1,000: it must not grow faster than the log.

Usage: python tests/benchmarks/bench_simulators.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from time import process_time

from bench.registry import discover

ROUNDS, SMALL, LARGE = 3, 1_000, 10_000


def seconds(name: str, users: int) -> float:
    """Measure the processor's seconds of one simulation."""
    with tempfile.TemporaryDirectory() as folder:
        began = process_time()
        discover().dataset(name).simulate(Path(folder), users, 0)
        return process_time() - began


def main() -> None:
    """Print the ratio of each simulator, the median of rounds; fail above 2."""
    for name in ("retail", "social", "netflix"):
        seconds(name, SMALL)  # imports
        ratios = [seconds(name, LARGE) / (LARGE / SMALL * seconds(name, SMALL)) for _ in range(ROUNDS)]
        print(
            f"{name:8} {LARGE:,} users against {LARGE // SMALL} x {SMALL:,}: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )
        assert median(ratios) < 2


if __name__ == "__main__":
    main()
