"""Time `bench report` for 200 models on 20 data sets and measure its pages: `python tests/benchmarks/bench_report.py`."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from report.test_scale import many_rows

from bench.board.schema import write_rows
from bench.report import build

SECONDS, MEMORY_MB, PAGE = 20, 1_000, 150_000


def main() -> None:
    """Build the report once and print its processor seconds, memory and largest pages."""
    with tempfile.TemporaryDirectory() as name:
        write_rows(Path(name) / "leaderboard.parquet", many_rows(20))
        began, wall = time.process_time(), time.perf_counter()
        report = build(name).parent
        took = time.process_time() - began
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        pages = sorted(report.glob("*.html"), key=lambda path: -path.stat().st_size)
        print(f"{len(pages):,} pages: {took:.1f} s of processor, {time.perf_counter() - wall:.1f} s in all, {memory:.0f} MB")
        print("largest:", ", ".join(f"{path.name} {path.stat().st_size:,}" for path in pages[:4]))
        assert took < SECONDS
        assert memory < MEMORY_MB
        assert pages[0].stat().st_size < PAGE
        assert not {"torch", "tensorflow"} & set(sys.modules)


if __name__ == "__main__":
    main()
