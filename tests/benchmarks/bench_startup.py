"""Start-up of the command line as a ratio: `bench --help` and `bench list models` against an empty typer app.

Run it as `python tests/benchmarks/bench_startup.py`; the target is at most 1.5.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

EMPTY = """
import sys, typer
app = typer.Typer()
for name in "abcdefghijklm":
    def command(option: int = 0) -> None:
        pass
    app.command(name)(command)
sys.argv[0] = "empty"
app()
"""
PAIRS = 15


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    for arguments, empty in ((["--help"], ["--help"]), (["list", "models"], ["a"])):
        ours = [sys.executable, "-m", "bench", *arguments]
        theirs = [sys.executable, "-c", EMPTY, *empty]
        seconds(ours), seconds(theirs)
        ratios = [seconds(ours) / seconds(theirs) for _ in range(PAIRS)]
        low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
        print(f"bench {' '.join(arguments)}: {middle:.2f} x an empty typer app ({low:.2f} to {high:.2f}, {PAIRS} pairs)")


if __name__ == "__main__":
    main()
