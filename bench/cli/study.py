"""Study files: a run's options written down, in TOML or YAML, with the long options as keys."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from bench.errors import ConfigError, suggest
from bench.runs import arguments

LISTS = {"dataset": "datasets", "model": "models", "plugin": "plugins", "plugins-dir": "plugins_dirs"}
"""Long options that may be repeated -> fields of the configuration."""
TABLES = {"set": "options", "param": "params", "space": "space"}
"""Options of KEY=VALUE -> fields: a table, or a list of KEY=VALUE."""
SINGLE = (
    "task", "source", "data", "name", "user", "time", "kind", "value", "item", "time-unit", "zone", "time-limit", "trials", "minutes",
    "seeds", "seed", "profile", "workers", "executor", "address", "device", "jobs-per-gpu", "sandbox", "job-seconds", "job-memory",
    "out", "overwrite", "portfolio", "prune", "metric", "sampler",
)  # fmt: skip
"""Long options that stand once; their fields are written with underscores."""


def read_study(path: Path) -> dict[str, Any]:
    """Read a study file as typed arguments; raise `ConfigError` that names the file and the key."""
    fields: dict[str, Any] = {}
    for key, value in _content(path).items():
        option = str(key).replace("_", "-")
        if option in TABLES:
            fields[TABLES[option]] = _table(option, value)
        elif option in LISTS or option in LISTS.values():
            fields[LISTS.get(option, option)] = value
        elif option in SINGLE:
            fields[option.replace("-", "_")] = value
        else:
            raise ConfigError(f"study file {path}: unknown key {key!r}; {suggest(option, [*SINGLE, *LISTS, *TABLES])}")
    try:
        plain = arguments.with_metric(fields)
        return {key: value if key == "task" else arguments.typed({key: value})[key] for key, value in plain.items() if value is not None}
    except ConfigError as error:
        raise ConfigError(f"study file {path}: {error}") from None


def _content(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        content = _yaml(text) if path.suffix in {".yaml", ".yml"} else tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(f"study file {path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"study file {path}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"study file {path}: it holds no keys; write task: churn and the other options, one a line")
    return content


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _table(option: str, value: Any) -> Any:
    from bench.cli.run import pairs

    return pairs(value, option) if isinstance(value, list) and all(isinstance(item, str) for item in value) else value
