"""Give the commands of a page in a terminal and write down what it prints: `python tests/cli/transcript.py` makes its page anew."""

from __future__ import annotations

import os
import random
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pexpect

PAGE = Path(__file__).resolve().parents[2] / "docs" / "first-ten-minutes.md"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
SECONDS = 600
"""Longest that a command may take on a busy machine: nothing is timed."""
COLUMNS = 150


@dataclass(frozen=True)
class Given:
    """A command, what the terminal printed and the exit code."""

    command: str
    printed: str
    code: int = 0


def commands(page: str) -> list[Given]:
    """Read the commands of a page, with what it says that each prints."""
    parts = [part for block in BLOCK.findall(page) for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [Given(command, printed.strip("\n")) for command, _, printed in (part.partition("\n") for part in parts)]


def given(page: str, place: Path) -> Iterator[Given]:
    """Give a page's commands in a terminal, in a folder that holds `orders.csv` and nothing else."""
    write_log(place / "orders.csv")
    own = {"BENCH_CACHE": "cache", "BENCH_CONFIG": "config", "TERM": "dumb", "PYTHONWARNINGS": "ignore"}
    environ = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "CI"}}
    environ |= {**own, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for one in commands(page):
        terminal = pexpect.spawn("/bin/sh", ["-c", one.command], cwd=place, env=environ, encoding="utf-8", dimensions=(50, COLUMNS))
        terminal.expect(pexpect.EOF, timeout=SECONDS)
        terminal.close()
        printed = (terminal.before or "").replace("\r\n", "\n").rstrip("\n")
        yield Given(one.command, printed, terminal.exitstatus or 0)


def written(page: str, found: list[Given]) -> str:
    """Put what was printed into the page's blocks."""
    told = iter(found)

    def block(match: re.Match[str]) -> str:
        lines = [line for _ in commands(match[0]) for one in [next(told)] for line in (f"$ {one.command}", *one.printed.splitlines())]
        return "```console\n" + "\n".join(lines) + "\n```"

    return BLOCK.sub(block, page)


def shape(printed: str) -> list[str]:
    """Return what two machines have in common of a command's lines, sorted: no number, no time, no width of a column.

    Lines of progress are left out, and what a search found beside `tuned`: another processor's sums may end in another digit.
    Of what is recommended there is but that something is: it weighs seconds.
    """
    lines = [re.sub(r"^take .*", "take", line) for line in printed.splitlines() if not re.match(r"\d+:\d\d \d+/\d+ ", line)]
    words = (re.sub(r"[+-]?(\d[\d,]*)?\.?\d+", "0", re.sub(r"\b\d{4}-\d\d-\d\d\b", "DAY", line)) for line in lines)
    plain = (re.sub(r"\b(tuned|default), .*", r"\1", line.replace("█", "").replace(" yes ", " no ")) for line in words)
    return sorted(filter(None, (" ".join(line.split()) for line in plain)))


def write_log(path: Path) -> None:
    """Write a shop's log with names of its own: customers come again and again until they do not."""
    rng, rows = random.Random(1), ["client,ordered_on,total"]
    for client in range(1500):
        last = rng.choice([360, rng.randrange(30, 360)])
        days = range(rng.randrange(20), last, rng.randrange(3, 15))
        rows += [f"c{client},{date(2024, 1, 1) + timedelta(days=d)},{rng.randrange(5, 90)}.50" for d in days]
    path.write_text("\n".join(rows) + "\n")


def main(arguments: list[str]) -> None:
    """Write the page anew, or with `--log FILE` its log alone."""
    if arguments[:1] == ["--log"]:
        write_log(Path(arguments[1]))
        return
    page = PAGE.read_text("utf-8")
    with tempfile.TemporaryDirectory() as place:
        PAGE.write_text(written(page, list(given(page, Path(place)))), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
