"""The tasks by name: those of installed distributions, and those of files that this process has loaded.

Names come from entry points, so that a task is imported when it is asked for. `bench.registry` loads tasks for a run, with
the checks of any plugin; here they are looked up for rows, columns and pages, which know a task by its name alone.
"""

from __future__ import annotations

import importlib
from collections import Counter
from importlib.metadata import EntryPoint, entry_points

from bench.errors import ConfigError, PluginError, suggest
from bench.tasks.base import Task

GROUP = "bench.tasks"
FIRST = ("churn", "forecasting", "anomaly", "next-event")
"""Our own tasks stand first, whatever else is installed."""


def _homes() -> dict[str, EntryPoint]:
    """Find the entry points, by name; a name that two distributions claim is nobody's (`bench.registry` says so)."""
    found = tuple(entry_points(group=GROUP))
    claims = Counter(point.name for point in found)
    order = {name: at for at, name in enumerate(FIRST)}
    return {p.name: p for p in sorted(found, key=lambda p: (order.get(p.name, len(order)), p.name)) if claims[p.name] == 1}


HOMES = _homes()
NAMES = tuple(HOMES)
"""The installed tasks."""
_OF_FILES: dict[str, type[Task]] = {}
_LOADED: dict[str, type[Task]] = {}


def remember(task: type[Task]) -> None:
    """Keep a task that came from a file, for the rows and pages that this process makes of it."""
    _OF_FILES[task.name] = task


def task_named(name: str) -> type[Task]:
    """Return a task's class, imported once; raise `ConfigError` for a name that is unknown."""
    if name in _OF_FILES:
        return _OF_FILES[name]
    if name not in HOMES:
        raise ConfigError(f"unknown task {name!r}; {suggest(name, [*NAMES, *_OF_FILES])}")
    if name not in _LOADED:
        module = importlib.import_module(HOMES[name].value.partition(":")[0])
        for task in module.bench_tasks():
            _LOADED[task.name] = task
        if name not in _LOADED:
            raise PluginError(f"task {name!r}: {module.__name__} offers none of that name from bench_tasks")
    return _LOADED[name]
