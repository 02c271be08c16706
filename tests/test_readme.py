"""The README's tutorial, done as a reader would: its files are written, its commands given, its leaderboard compared.

What its blocks mean: a `python` block is the file that the sentence before it names ("Save this as `NAME`:"), a `bash`
block holds commands, a block without a language shows what the last command printed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from bench.board import Board

README = Path(__file__).resolve().parent.parent / "README.md"
TUTORIAL = "## Writing a model"
SAVED = re.compile(r"Save this as `([\w./-]+)`:\s*$")
MOST = 40
"""Lines that a reader writes until a model of their own stands on a leaderboard, commands included."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the paragraph before it."""

    language: str
    text: str
    before: str

    @property
    def lines(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.strip()]


def blocks(text: str) -> list[Block]:
    """Give the fenced blocks of the tutorial's section, in order."""
    assert text.count(f"\n{TUTORIAL}\n") == 1, f"the README has no section {TUTORIAL!r}"
    section = text.partition(f"\n{TUTORIAL}\n")[2].partition("\n## ")[0]
    parts = re.split(r"^```(\w*)\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
    return [Block(*parts[at + 1 : at + 3], parts[at].strip().rpartition("\n\n")[2]) for at in range(0, len(parts) - 1, 3)]


@cache
def tutorial() -> list[Block]:
    return blocks(README.read_text("utf-8"))


def saved(block: Block) -> str:
    """Name the file that a python block is."""
    found = SAVED.search(block.before)
    assert found, f"no sentence before a python block says where to save it: {block.before!r}"
    return found[1]


def told(commands: str, home: Path) -> str:
    """Give commands to a shell in which `bench` is the one that is tested; any that fails, fails the test."""
    tools = home / ".tools"
    tools.mkdir(exist_ok=True)
    (tools / "bench").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bench "$@"\n')
    (tools / "bench").chmod(0o755)
    env = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}
    done = subprocess.run(["sh", "-e"], input=commands, cwd=home, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def ranks(table: str) -> list[str]:
    """List the models of a printed leaderboard, from the top."""
    return re.findall(r"^\d+  +(?:yes|no)  +(\S+)", table, flags=re.MULTILINE)


def test_the_tutorial_has_its_blocks_and_is_short():
    assert [block.language for block in tutorial()] == ["python", "bash", ""]
    file, commands, _ = tutorial()
    assert saved(file) == "my_model.py"
    assert [line.split()[:2] for line in commands.lines] == [["bench", "plugin"], ["bench", "run"]]
    assert len(file.lines) + len(commands.lines) < MOST


@pytest.mark.skipif(shutil.which("sh") is None, reason="no shell on this machine")
def test_the_tutorial_ends_with_its_model_on_the_leaderboard_that_it_shows(tmp_path):
    printed = ""
    for block in tutorial():
        match block.language:
            case "python":
                (tmp_path / saved(block)).write_text(block.text, "utf-8")
            case "bash":
                printed = told(block.text, tmp_path)
            case _:
                assert ranks(printed) == ranks(block.text) != []
    assert "16 checks, 0 failed" in printed
    (run,) = (tmp_path / "runs").iterdir()
    rows = {row["model"]: row for row in Board.read(run).rows if row["tuning"] == "tuned"}
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert rows["overdue"]["roc_auc"] > 0.7
    assert (run / "report" / "index.html").is_file()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\n## Another\n```bash\nbench run\n```\n", "has no section"),
        (f"\n{TUTORIAL}\nSave it:\n\n```python\nimport bench\n```\n", "no sentence before"),
    ],
)
def test_a_tutorial_that_lost_what_it_needs_is_found(text, why):
    with pytest.raises(AssertionError, match=why):
        saved(blocks(text)[0])


def test_a_command_that_fails_is_found(tmp_path):
    with pytest.raises(AssertionError, match="no such file"):
        told("bench plugin check nowhere.py\ntrue", tmp_path)
