"""`bench run`: options and study file to a configuration, then the table on stdout."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from bench.cli.study import read_study
from bench.cli.usage import ReportedExit
from bench.errors import ConfigError
from bench.runs import arguments
from bench.runs.config import Config

if TYPE_CHECKING:
    from bench.board import Board


def run_command(study: Path | None, given: Mapping[str, Any], *, as_json: bool, quiet: bool) -> int:
    """Run and print, one task after the other; returns the exit code."""
    return _run_all(configurations(study, given), as_json=as_json, quiet=quiet)


def rerun_command(folder: Path, given: Mapping[str, Any], *, as_json: bool, quiet: bool) -> int:
    """Run what a folder's `run.json` says again; `given`: what is changed of it."""
    from bench.runs.run_folder import run_again

    return _run_all([replace(run_again(folder), **given).checked()], as_json=as_json, quiet=quiet)


def _run_all(configs: Sequence[Config], *, as_json: bool, quiet: bool) -> int:
    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # and is not ignored, as of a command in the background
        signal.signal(signal.SIGINT, interrupt)
    found = []
    for config in configs:
        try:
            found.append(_run_one(config, as_json=as_json, quiet=quiet))
        except KeyboardInterrupt:
            return _stopped(config)
    if as_json:
        documents = [document(board, config) for board, config in zip(found, configs, strict=True)]
        whole = documents[0] if len(documents) == 1 else {"exit_code": max(d["exit_code"] for d in documents), "runs": documents}
        sys.stdout.write(json.dumps(whole, default=str, allow_nan=False) + "\n")
    return 0 if all(any(row["status"] == "ok" for row in board.rows) for board in found) else 1


def _run_one(config: Config, *, as_json: bool, quiet: bool) -> Board:
    """Run one task, and print its table where no document is asked for."""
    from bench.board.families import agreement_words, family_words
    from bench.cli.colour import painted
    from bench.cli.progress import choose
    from bench.cli.summary import print_summary
    from bench.runs.runner import execute

    with choose(sys.stderr, quiet=quiet, json=as_json, environ=os.environ) as listen:
        board = execute(config, listen)
    if as_json:
        return board
    sentences = [board.table(width=width()), *drift(board.rows, config.folder())]
    sys.stdout.write(painted("\n".join(sentences), sys.stdout, os.environ) + "\n")
    sys.stdout.flush()
    first = report(config.folder())
    if not quiet:
        for sentence in [*family_words(board.rows), *agreement_words(_details(config.folder()))]:
            sys.stderr.write(f"{sentence}\n")
        print_summary(board.rows, config.folder(), sys.stderr, first)
    return board


def report(folder: Path) -> Path:
    """Write the run's pages, and give the first."""
    from bench.report import build

    return build(folder)


def drift(rows: Sequence[dict[str, Any]], folder: Path) -> list[str]:
    """Describe how predicted and actual churn compare, from the run folder's details."""
    from bench.board.drift import drift_words

    details = _details(folder)
    return drift_words(rows, details) if details and "cutoff" in details[0] else []


def _details(folder: Path) -> list[dict[str, Any]]:
    import polars as pl

    return pl.read_parquet(folder / "details.parquet").to_dicts()


def configuration(study: Path | None, given: Mapping[str, Any]) -> Config:
    """Merge a study file and the options given beside it, which win, for one task; raise `ConfigError` with the cure."""
    return configurations(study, given)[0]


def configurations(study: Path | None, given: Mapping[str, Any]) -> list[Config]:
    """Merge a study file and the options given beside it, which win: one configuration for each task."""
    fields = {name: value for name, value in given.items() if value is not None}
    for name, option in {"options": "set", "params": "param", "space": "space"}.items():
        if isinstance(fields.get(name), list):
            fields[name] = pairs(fields[name], option)
    return arguments.configurations(arguments.merged(read_study(study) if study else {}, arguments.with_metric(fields)))


EXAMPLES = {"set": "horizon=28d", "param": "lstm.hidden=64", "space": "lstm.hidden=32:128"}


def pairs(items: Sequence[str], option: str = "set") -> dict[str, str]:
    """Read KEY=VALUE items; raise `ConfigError` for what is none."""
    found = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key or not value:
            raise ConfigError(f"--{option} {item!r} is no KEY=VALUE; write --{option} {EXAMPLES[option]}")
        found[key] = value
    return found


def document(board: Any, config: Config) -> dict[str, Any]:
    """Return the run as one JSON document: rows, verdicts, failures, paths."""
    folder = config.folder()
    failures = [{k: row[k] for k in ("dataset", "model", "tuning", "status", "reason")} for row in board.rows if row["status"] != "ok"]
    return {
        "exit_code": 0 if any(row["status"] == "ok" for row in board.rows) else 1,
        "rows": board.rows,
        "verdicts": [{"task_id": task, "dataset": name, "verdict": words} for (task, name), words in board.verdicts.items()],
        "failures": failures,
        "drift": drift(board.rows, folder),
        "folder": str(folder),
        "leaderboard": str(folder / "leaderboard.parquet"),
        "report": str(report(folder)),
    }


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; a moment later where an object is being deleted: what is raised there is told, and forgotten."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            again = threading.Timer(0.01, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _stopped(config: Config) -> int:
    """Describe what was kept, and how to go on."""
    folder = config.folder()
    ledger = folder / "ledger.jsonl"
    kept = ledger.read_bytes().count(b"\n") if ledger.exists() else 0
    command = shlex.join(["bench", *sys.argv[1:]])
    sys.stderr.write(f"\nstopped; {kept} finished jobs are kept in {folder}\nto go on: {command}\n")
    return ReportedExit(130)


def width() -> int | None:
    """Return the terminal's width; None where stdout is none: lines are then left unwrapped."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns
