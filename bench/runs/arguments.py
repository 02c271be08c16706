"""From arguments as people write them (Python, a study file, the command line) to a checked configuration.

pydantic checks the types, strictly and against the annotations of `Config` itself: a field is declared once, and a wrong
one is a line, where typer knows the types of the command line alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from bench.errors import ConfigError, suggest
from bench.runs.config import Config
from bench.tasks.lookup import NAMES, task_named
from bench.tasks.ranked_by import OPTION, names_of, refuse_unknown

LISTS = ("datasets", "models", "plugins", "plugins_dirs")
"""Fields that hold several names or paths."""
COMMAS = ("datasets", "models")
"""Fields of which one text may hold several, with commas between."""
BY_MODEL = ("params", "space")
"""Fields of MODEL.KEY -> value, or of a table of values for each model."""
EXPECTED = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", tuple: "a name or a list of names"}


def configuration(given: Mapping[str, Any]) -> Config:
    """Build the configuration of a run; raise `ConfigError` for an unknown argument, a wrong type or what cannot be meant."""
    fields = typed(given)
    if not fields.get("task"):
        raise ConfigError("no task is given; write bench run --task churn, forecasting or anomaly")
    config = Config(**fields).checked()
    if OPTION in config.options and config.task in NAMES and (task := task_named(config.task)).proper:
        refuse_unknown(config.task, config.options[OPTION], task.proper, task.metrics)
    return config


def configurations(given: Mapping[str, Any]) -> list[Config]:
    """Build a configuration for each task: several are a list, or one text with commas.

    Each of several takes the options that it knows, of several metrics the one that ranks it, and a folder of its own inside
    `out`. All are checked before any of them is run.
    """
    task = given.get("task")
    tasks = list(dict.fromkeys(parts(task) if isinstance(task, str) else task)) if isinstance(task, str | list | tuple) else [task]
    if len(tasks) <= 1:
        return [configuration({**given, "task": tasks[0] if tasks else None})]
    fields = typed({key: value for key, value in given.items() if key != "task"})
    known = {name: set(task_named(name).options) for name in tasks if name in NAMES}
    everywhere = {key for key in fields.get("options", {}) if not any(key in own for own in known.values())}
    found = []
    for name in tasks:
        own = {key: value for key, value in fields.get("options", {}).items() if key in everywhere or key in known.get(name, ())}
        own |= _own_metric(own.pop(OPTION, None), str(name))
        out = {"out": str(Path(fields["out"]) / str(name))} if fields.get("out") else {}
        found.append(configuration({**fields, **out, "task": name, "options": own}))
    return found


def _own_metric(given: str | None, task: str) -> dict[str, str]:
    """Choose of the metrics given, with commas between, the one that ranks a task; a task that none is given of refuses them."""
    if given is None:
        return {}
    kind = task_named(task)
    known = names_of([name for level in kind.proper.values() for name in level], kind.metrics)
    return {OPTION: next((word for word in parts(given) if word.lower() in known), given)}


def with_metric(given: Mapping[str, Any]) -> dict[str, Any]:
    """Spell `metric`, which many ask for by itself, as the option of the task that it is."""
    metric, options = given.get("metric"), given.get("options") or {}
    rest = {key: value for key, value in given.items() if key != "metric"}
    if metric is None or not isinstance(options, Mapping):  # of what is no table, `typed` says so
        return rest
    return {**rest, "options": {**options, "metric": metric}}


def merged(study: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Put arguments over those of a study file: tables (`options`, `params`, `space`) key by key, all others as a whole."""
    tables = {key: {**study[key], **given[key]} for key in ("options", *BY_MODEL) if study.get(key) and given.get(key)}
    return {**study, **given, **tables}


def typed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Bring arguments to their types; raise `ConfigError` for an unknown one and for a wrong type.

    None stands for the default. One name will do where several are meant, numbers may be numpy's, paths texts or `Path`.
    """
    for key in given:
        if key not in types():
            raise ConfigError(f"unknown argument {key!r}; {suggest(key, list(types()))}")
    return {key: _typed(key, value) for key, value in given.items() if value is not None}


@cache
def types() -> dict[str, Any]:
    """Return the type of each argument, as `Config` declares it."""
    return get_type_hints(Config)


def _typed(name: str, value: Any) -> Any:
    """Bring one argument to its type; raise `ConfigError` that says what was given and what is expected."""
    import pydantic

    plain = _plain(name, value)
    try:
        return pydantic.TypeAdapter(types()[name]).validate_python(plain, strict=True)
    except pydantic.ValidationError:
        kind = types()[name]
        wanted = next(t for t in (get_args(kind) if isinstance(kind, UnionType) else (kind,)) if t is not type(None))
        expected = EXPECTED.get(get_origin(wanted) or wanted, "keys with a value each")
        quoted = "; write it without quotes" if wanted in {int, float} and isinstance(value, str) else ""
        raise ConfigError(f"{name}={value!r} is not {expected}{quoted}") from None


def _plain(name: str, value: Any) -> Any:
    """Return a value without what Python, numpy and TOML add to it."""
    if name == "data":
        return value
    if name in LISTS and isinstance(value, str | Path | Iterable):
        several = [value] if isinstance(value, str | Path) else list(value)
        return tuple(part for item in several for part in (parts(item) if name in COMMAS else [_path(item)]))
    if name == "options" and isinstance(value, Mapping):
        return {str(key): _text(key, item) for key, item in value.items()}
    if name in BY_MODEL and isinstance(value, Mapping):
        return dict(_by_model(value))
    if name == "time_limit" and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}s"
    return value.item() if isinstance(value, np.generic) else _path(value)


def parts(item: Any) -> list[Any]:
    """Part names with commas between; the path after an `=` is whole, unless the comma stands before another `NAME=`."""
    if not isinstance(item, str):
        return [_path(item)]
    pieces = [[piece] if "=" in piece else piece.split(",") for piece in re.split(r",(?=[\w.-]+=)", item)]
    return [name.strip() for piece in pieces for name in piece if name.strip()]


def _path(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _text(key: str, value: Any) -> str:
    """Spell an option's value as `--set` takes it; raise `ConfigError` for what is no single value."""
    if value is None or isinstance(value, Mapping):
        raise ConfigError(f"option {key}={value!r} is no single value; write a text or a number, such as horizon = '28d'")
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _by_model(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Spell `{"lstm": {"hidden": 64}}` as `lstm.hidden`, a pair as LOW:HIGH, a list of choices as A|B."""
    for key, value in given.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{name}", text) for name, text in _by_model(value))
        elif isinstance(value, tuple | list):
            numbers = len(value) >= 2 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value[:2])
            yield str(key), (":" if numbers else "|").join(map(str, value))
        else:
            yield str(key), str(value)
