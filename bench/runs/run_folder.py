"""One run folder is one run: the same configuration continues there, another one is refused or the old run moved aside."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from bench.errors import RunFolderError
from bench.runs.config import BUDGET, Config
from bench.tune.ledger import Ledger

log = logging.getLogger("bench")


def claim(config: Config) -> None:
    """Make sure that the configuration's folder may be written; raise `RunFolderError` where it holds another run.

    The same configuration continues there, and only its budget may grow: fewer trials would give a board that is worth less
    in the place of one that took longer. With `overwrite` the folder that is there is moved aside first.
    """
    folder = config.folder()
    old = _stored(folder)
    if config.overwrite and (old is not None or (folder / "ledger.jsonl").exists()):
        log.warning("the old run is kept as %s", move_to_numbered(folder))
    elif old is not None:
        _refuse_other(folder, config, *old)


def move_to_numbered(folder: Path) -> Path:
    """Rename a run folder to the first free of `NAME.1`, `NAME.2`, ...; raise `RunFolderError` where a run is going on in it."""
    with Ledger(folder):
        n = 1
        while (aside := folder.with_name(f"{folder.name}.{n}")).exists():
            n += 1
        folder.rename(aside)
    return aside


def stored_config(document: Mapping[str, Any]) -> Config:
    """Read the configuration of a `run.json`, its relative paths as they were meant where it was started."""
    known = {f.name for f in fields(Config)}
    given: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in document["config"].items() if key in known and v is not None
    }
    return Config(**given).anchored(Path(document.get("cwd", "")))


def _stored(folder: Path) -> tuple[Config, bool] | None:
    """Read what a folder holds, and whether it is finished; None where it holds no run, or none that can be read."""
    try:
        document = json.loads((folder / "run.json").read_text())
        return stored_config(document), bool(document.get("finished"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _refuse_other(folder: Path, config: Config, old: Config, finished: bool) -> None:
    theirs, ours = old.identity(), config.identity()
    other = [name for name in ours if theirs[name] != ours[name]]
    cure = "give another --out DIR, or --overwrite to move that run aside"
    if other:
        pairs = ", ".join(f"{name} {_format_value(theirs[name])} there, {_format_value(ours[name])} here" for name in other)
        raise RunFolderError(f"run folder {folder} holds another run ({pairs}); {cure}")
    for name in BUDGET:
        before, now = old.budget(name), config.budget(name)
        if finished and now < before:
            raise RunFolderError(f"run folder {folder} holds a finished run of {before} {name}, {now} are asked for; give more, or {cure}")


def _format_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key}={item}" for key, item in value.items()) or "none"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else "none" if value is None else str(value)


def run_again(folder: Path) -> Config:
    """Return the configuration of a run folder, to be run again into it; raise `RunFolderError` where there is none."""
    old = _stored(folder)
    if old is None:
        raise RunFolderError(f"{folder}: no run.json that can be read; give the folder that bench run wrote")
    return replace(old[0], out=str(folder), overwrite=False)
