"""What the campaign of kills asks of a run that was killed and given again."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from pathlib import Path
from typing import Any

import polars as pl
import psutil
from campaigns.commands import STUCK

OTHER = {"workers", "created", "git_commit", "peak_memory_mb", "search_seconds", "fit_seconds", "predict_seconds"}
"""Columns of a board, and fields of an entry, that time and machine change."""
OTHER_OF_ENTRY = OTHER | {"finished", "log_tail"}
GONE_SECONDS = 15.0
"""Given to a run's processes and temporary files to be gone, on a busy machine."""


def told(ended: tuple[int, str], *, killed: bool) -> str:
    """Describe what is wrong with how a run ended; empty: nothing."""
    code, errors = ended
    if "Traceback" in errors or "Exception ignored" in errors:
        return f"a traceback: {errors.strip().splitlines()[-1][:200]}"
    if code == STUCK:
        return "stuck"
    usual = {0, 1, 130, 143, -signal.SIGTERM, -signal.SIGINT, -signal.SIGKILL} if killed else {0, 1}
    return "" if code in usual else f"exit code {code}: {errors.strip()[-200:]}"


def phase(run: Path, began: float) -> str:
    """Say how far a run that was started then has come: start-up, search, finals or write-out."""
    if not _since(run / "run.json", began):
        return "start-up"
    if any(_since(run / name, began) for name in ("leaderboard.part", "leaderboard.parquet")):
        return "write-out"
    return "finals" if '"stage": "final"' in (run / "ledger.jsonl").read_text(errors="replace") else "search"


def _since(path: Path, began: float) -> bool:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime >= began
    return False


def scores(run: Path) -> pl.DataFrame:
    """Read what a run found, without what time and machine change."""
    frame = pl.read_parquet(run / "leaderboard.parquet")
    return frame.select(name for name in frame.columns if name not in OTHER)


def entries(run: Path) -> dict[str, Any]:
    """Read the ledger's entries by key, without what time and machine change; raise `ValueError` for one that is there twice."""
    found: dict[str, Any] = {}
    for line in (run / "ledger.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["key"] in found and not found[entry["key"]]["again"]:
            raise ValueError(f"key {entry['key']} is there twice")
        found[entry["key"]] = {name: value for name, value in entry.items() if name not in OTHER_OF_ENTRY}
    return found


def files(run: Path) -> set[str]:
    """List a run's files but for logs."""
    return {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file() and path.parts[len(run.parts)] != "logs"}


def differing(plain: Path, run: Path) -> str:
    """Compare with the undisturbed run; empty: the same."""
    expected, found = scores(plain), scores(run)
    if not found.equals(expected):
        return f"other rows than without a kill: {len(found)} for {len(expected)}"
    try:
        if entries(run) != entries(plain):
            return "other entries than without a kill"
    except ValueError as error:
        return f"the ledger: {error}"
    other = files(run) ^ files(plain)
    return f"other files than without a kill: {sorted(other)[:5]}" if other else ""


def told_as_rows(run: Path) -> bool:
    """Return whether some row or trial says that its worker was ended from outside."""
    for name in ("leaderboard", "trials"):
        frame = pl.read_parquet(run / f"{name}.parquet")
        if "reason" in frame.columns and not frame.filter(pl.col("reason").str.contains("ended by SIG", literal=True)).is_empty():
            return True
    return False


def left(folder: Path) -> str:
    """Describe processes and temporary files of the run that are left."""
    until = time.monotonic() + GONE_SECONDS
    while True:
        alive = [p.pid for p in psutil.process_iter() if _is_of(p, str(folder))]
        there = sorted(str(path.relative_to(folder)) for path in (folder / "tmp").iterdir())
        if not (alive or there):
            return ""
        if time.monotonic() > until:
            return f"left: processes {alive}, files {there[:5]}"
        time.sleep(0.05)


def command_of(process: psutil.Process) -> list[str]:
    """Return a process's command line; empty: it has ended."""
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def _is_of(process: psutil.Process, mark: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return mark in " ".join(command_of(process)) or process.environ().get("TMPDIR", "").startswith(mark)
    return False
