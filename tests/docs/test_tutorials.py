"""The tutorials, done as a reader would: their files are written, their commands given, their leaderboards compared.

What the blocks mean: a `python` block is the file that the sentence before it names ("Save this as `NAME`:"), a `bash`
block holds commands, a block without a language shows what the last command printed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SAVED = re.compile(r"Save this as `([\w./-]+)`:\s*$")
SNIPPET = re.compile(r'^--8<-- "([^"]+)"$', re.MULTILINE)
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
    """Give the fenced blocks of a page, in order, with the files that they include."""
    parts = re.split(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    found = [(*parts[at + 1 : at + 3], parts[at].strip().rpartition("\n\n")[2]) for at in range(0, len(parts) - 1, 3)]
    return [Block(language, SNIPPET.sub(lambda m: (ROOT / m[1]).read_text("utf-8"), body), before) for language, body, before in found]


def tutorial(name: str) -> list[Block]:
    """Give the blocks of a page up to its first further heading: what a reader does."""
    text = (DOCS / "extend" / f"{name}.md").read_text("utf-8")
    found = blocks(text.partition("\n## ")[0])
    assert found, f"the page {name} has no blocks before its first heading"
    return found


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


def followed(name: str, home: Path) -> str:
    """Do what a tutorial says, compare what it shows, and return what its last commands printed."""
    printed = ""
    for block in tutorial(name):
        match block.language:
            case "python":
                (home / saved(block)).write_text(block.text, "utf-8")
            case "bash":
                printed = told(block.text, home)
            case _:
                assert ranks(printed) == ranks(block.text) != []
    return printed


def ranks(table: str) -> list[str]:
    """List the models of a printed leaderboard, from the top."""
    return re.findall(r"^\d+  +(?:yes|no)  +(\S+)", table, flags=re.MULTILINE)


def shown(home: Path) -> list[dict[str, Any]]:
    """Read the rows of the one run in a folder, as a file: this process does not know the task of a plugin."""
    (run,) = (home / "runs").iterdir()
    assert (run / "report" / "index.html").is_file()
    return pl.read_parquet(run / "leaderboard.parquet").to_dicts()


needs_shell = pytest.mark.skipif(shutil.which("sh") is None, reason="no shell on this machine")


def test_the_model_tutorial_has_its_blocks_and_is_short():
    assert [block.language for block in tutorial("model")] == ["python", "bash", ""]
    file, commands, _ = tutorial("model")
    assert saved(file) == "my_model.py"
    assert [line.split()[:2] for line in commands.lines] == [["bench", "plugin"], ["bench", "run"]]
    assert len(file.lines) + len(commands.lines) < MOST


@needs_shell
def test_the_model_tutorial_ends_with_its_model_on_the_leaderboard_that_it_shows(tmp_path):
    printed = followed("model", tmp_path)
    assert "17 checks, 0 failed" in printed
    rows = {row["model"]: row for row in shown(tmp_path) if row["tuning"] == "tuned"}
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert rows["overdue"]["roc_auc"] > 0.7


@needs_shell
def test_the_data_source_tutorial_passes_its_checks_and_is_run_on(tmp_path):
    printed = followed("data-source", tmp_path)
    assert re.search(r"\d+ checks, 0 failed", printed)
    rows = shown(tmp_path)
    assert {row["dataset"] for row in rows} == {"tills-sim"}
    assert {row["status"] for row in rows} == {"ok"}


@needs_shell
def test_the_task_tutorial_ends_with_a_board_of_its_task(tmp_path):
    followed("task", tmp_path)
    rows = shown(tmp_path)
    assert {row["task"] for row in rows} == {"above"}
    assert {row["model"] for row in rows} >= {"above-rate", "above-recent"}
    assert {row["status"] for row in rows} == {"ok"}


def test_a_python_block_without_its_file_name_is_found():
    with pytest.raises(AssertionError, match="no sentence before"):
        saved(blocks("Save it:\n\n```python\nimport bench\n```\n")[0])


def test_a_command_that_fails_is_found(tmp_path):
    with pytest.raises(AssertionError, match="no such file"):
        told("bench plugin check nowhere.py\ntrue", tmp_path)
