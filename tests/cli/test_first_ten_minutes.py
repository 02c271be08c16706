"""The first ten minutes of a new user, in a terminal, from the commands that the documentation shows."""

from __future__ import annotations

import os
import random
import re
import sys
from datetime import date, timedelta
from pathlib import Path

import pexpect
import pytest

PAGE = Path(__file__).resolve().parents[2] / "examples" / "first_ten_minutes.md"
SECONDS = 300
"""Longest that a command may take on a busy machine: nothing is timed."""


def shop(path: Path) -> None:
    """Write a shop's log with names of its own: customers come again and again until they do not."""
    rng, rows = random.Random(1), ["client,ordered_on,total"]
    for client in range(1500):
        last = rng.choice([360, rng.randrange(30, 360)])
        days = range(rng.randrange(20), last, rng.randrange(3, 15))
        rows += [f"c{client},{date(2024, 1, 1) + timedelta(days=d)},{rng.randrange(5, 90)}.50" for d in days]
    path.write_text("\n".join(rows) + "\n")


def commands() -> list[tuple[str, str]]:
    """Read the page: each command, and the words that it says are printed."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    found = []
    for block in blocks:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            found.append((command, printed.strip()))
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new")
    shop(folder / "orders.csv")
    return folder


def test_every_command_of_the_page_does_what_the_page_says(place: Path) -> None:
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "BENCH_CACHE": str(place / "cache"),
        "BENCH_CONFIG": str(place / "config"),
        "TERM": "xterm",
        "PS1": "",
    }
    assert len(commands()) >= 8
    for command, printed in commands():
        output, status = pexpect.run(
            f"/bin/sh -c {pexpect_quoted(command)}", cwd=str(place), env=environ, timeout=SECONDS, withexitstatus=True, encoding="utf-8"
        )
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output)
        for line in printed.splitlines():
            for words in filter(None, (part.strip() for part in line.split("..."))):
                assert words in " ".join(plain.split()) or words in plain, f"{command}\n{output}"
        assert status == (2 if printed.startswith("error") else 0), f"{command}\n{output}"


def pexpect_quoted(command: str) -> str:
    import shlex

    return shlex.quote(command)
