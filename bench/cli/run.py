"""`bench run`: options and study file to a configuration, then the table on stdout."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from bench.errors import ConfigError, suggest
from bench.runs import arguments
from bench.runs.config import Config

LISTS = {"dataset": "datasets", "model": "models", "plugin": "plugins", "plugins-dir": "plugins_dirs"}
"""Long options that may be repeated -> fields of the configuration."""
OWN_FILE = ("data", "user", "time", "kind", "value", "item", "time-unit", "zone")
SINGLE = (
    "task", "source", *OWN_FILE, "trials", "minutes", "seeds", "seed", "profile", "workers", "device", "sandbox",
    "job-seconds", "job-memory", "out",
)  # fmt: skip
"""Long options that stand once; their fields are written with underscores."""


def run_command(study: Path | None, given: Mapping[str, Any], *, as_json: bool, quiet: bool) -> int:
    """Run and print; returns the exit code."""
    from bench.cli.progress import choose
    from bench.runs.runner import execute

    config = configuration(study, given)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with choose(sys.stderr, quiet=quiet, json=as_json, environ=os.environ) as listen:
            board = execute(config, listen)
    except KeyboardInterrupt:
        return _stopped(config)
    rows = board.rows
    usable = any(row["status"] == "ok" for row in rows)
    if as_json:
        sys.stdout.write(json.dumps(document(board, config), default=str, allow_nan=False) + "\n")
    else:
        from bench.board.families import family_words
        from bench.cli.summary import print_summary

        sys.stdout.write(board.table(width=width()) + "\n")
        sys.stdout.flush()
        first = report(config.folder())
        if not quiet:
            for sentence in [*drift(rows, config.folder()), *family_words(rows)]:
                sys.stderr.write(f"{sentence}\n")
            print_summary(rows, config.folder(), sys.stderr, first)
    return 0 if usable else 1


def report(folder: Path) -> Path:
    """Write the run's pages, and give the first."""
    from bench.report import build

    return build(folder)


def drift(rows: Sequence[dict[str, Any]], folder: Path) -> list[str]:
    """Describe how predicted and actual churn compare, from the run folder's details."""
    import polars as pl

    from bench.board.drift import drift_words

    details = pl.read_parquet(folder / "details.parquet")
    return drift_words(rows, details.to_dicts()) if "cutoff" in details.columns else []


def configuration(study: Path | None, given: Mapping[str, Any]) -> Config:
    """Merge a study file and the options given beside it, which win; raise `ConfigError` with the cure."""
    fields = {name: value for name, value in given.items() if value is not None}
    if isinstance(fields.get("options"), list):
        fields["options"] = pairs(fields["options"])
    return arguments.configuration({**(_study(study) if study else {}), **fields})


def pairs(items: Sequence[str]) -> dict[str, str]:
    """Read KEY=VALUE items; raise `ConfigError` for what is none."""
    found = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key or not value:
            raise ConfigError(f"--set {item!r} is no KEY=VALUE; write --set horizon=28d")
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


def _study(path: Path) -> dict[str, Any]:
    """Read a study file: the long options as keys, `set` as a table or a list of KEY=VALUE."""
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"study file {path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"study file {path}: {error}") from error
    fields: dict[str, Any] = {}
    for key, value in content.items():
        if key == "set":
            fields["options"] = pairs(value) if isinstance(value, list) else value
        elif key in LISTS:
            fields[LISTS[key]] = value
        elif key in SINGLE:
            fields[key.replace("-", "_")] = value
        else:
            raise ConfigError(f"study file {path}: unknown key {key!r}; {suggest(key, [*SINGLE, *LISTS, 'set'])}")
    try:
        return arguments.typed(fields)
    except ConfigError as error:
        raise ConfigError(f"study file {path}: {error}") from None


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _stopped(config: Config) -> int:
    """Describe what was kept, and how to go on."""
    folder = config.folder()
    ledger = folder / "ledger.jsonl"
    kept = ledger.read_bytes().count(b"\n") if ledger.exists() else 0
    command = shlex.join(["bench", *sys.argv[1:]])
    sys.stderr.write(f"\nstopped; {kept} finished jobs are kept in {folder}\nto go on: {command}\n")
    return 130


def width() -> int | None:
    """Return the terminal's width; None where stdout is none: lines are then left unwrapped."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns
