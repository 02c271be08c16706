"""Named data sets that a user has registered: one JSON file in the user's configuration folder."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from bench.data.names import LONGEST, RULE, is_name
from bench.errors import ConfigError, suggest


@dataclass(frozen=True)
class Registered:
    """One registered set: where it lies, who reads it and how, and whether it holds `events` or `series`."""

    adapter: str
    path: str
    options: Mapping[str, str] = field(default_factory=dict)
    holds: str = "events"


def sources_file() -> Path:
    """Return the file of registered sets, in `BENCH_CONFIG` or the platform's own folder; it may not exist yet."""
    return Path(os.environ.get("BENCH_CONFIG") or platformdirs.user_config_dir("bench")) / "datasets.json"


def registered() -> dict[str, Registered]:
    """Read the registered sets, sorted by name; raise `ConfigError` that names a damaged file."""
    file = sources_file()
    try:
        content = json.loads(file.read_text("utf-8"))
        return {name: Registered(**_checked(entry)) for name, entry in sorted(content.items())}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ConfigError(f"{file}, the list of registered data sets, cannot be read ({error}); mend or delete it") from error


def refuse_name(name: str, adapters: list[str]) -> None:
    """Raise `ConfigError` where a set cannot be registered by this name."""
    refuse_spelling(name)
    if name in adapters:
        raise ConfigError(f"{name!r} is the name of an adapter; choose another, such as {'my-' + name!r}")
    if name in (known := registered()):
        raise ConfigError(f"{name!r} is registered already, for {known[name].path}; first: bench data add --remove {name}")


def refuse_spelling(name: str) -> None:
    """Raise `ConfigError` for what cannot be a data set's name."""
    if not is_name(name):
        raise ConfigError(f"{name[:LONGEST]!r} is no name for a data set; use {RULE}")


def register(name: str, source: Registered) -> None:
    """Add a set to the list, in one step on disk."""
    _write({**registered(), name: source})


def forget(name: str) -> Registered:
    """Take a set off the list (its files stay) and return what it was; raise `ConfigError` where there is none."""
    known = registered()
    if name not in known:
        raise ConfigError(f"no registered data set {name!r}; {suggest(name, list(known))}")
    found = known.pop(name)
    _write(known)
    return found


def _checked(entry: Mapping[str, Any]) -> dict[str, Any]:
    texts = [entry["adapter"], entry["path"], *entry.get("options", {}).values(), entry.get("holds", "events")]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("adapter, path, options and holds must be texts")
    return dict(entry)


def _write(known: Mapping[str, Registered]) -> None:
    file = sources_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=file.parent, prefix=".datasets-")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump({name: asdict(source) for name, source in sorted(known.items())}, stream, indent=1)
        Path(partial).replace(file)
    except OSError as error:
        raise ConfigError(f"cannot write {file} ({error.strerror}); set BENCH_CONFIG to a folder of your own") from error
