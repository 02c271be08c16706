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
OURS = tuple(name for name in FIRST if name in HOMES)
"""Those that come with `bench`: always there, whatever else is installed or broken."""
_OF_FILES: dict[str, type[Task]] = {}
_LOADED: dict[str, type[Task]] = {}


def remember(task: type[Task]) -> None:
    """Keep a task that came from a file, for the rows and pages that this process makes of it."""
    _OF_FILES[task.name] = task


def names() -> tuple[str, ...]:
    """List the tasks that this process knows: the installed ones, and those of files that it has loaded."""
    return (*NAMES, *_OF_FILES)


def task_named(name: str) -> type[Task]:
    """Return a task's class, imported once; raise `ConfigError` for a name that is unknown."""
    if name in _OF_FILES:
        return _OF_FILES[name]
    if name not in HOMES:
        raise ConfigError(f"unknown task {name!r}; {suggest(name, list(names()))}")
    if name not in _LOADED:
        _LOADED[name] = _loaded(name)
    return _LOADED[name]


def _loaded(name: str) -> type[Task]:
    """Import one task; whatever its module raises is told in one line, so that it stops nothing else."""
    module = HOMES[name].value.partition(":")[0]
    try:
        offered = {task.name: task for task in importlib.import_module(module).bench_tasks()}
    except Exception as error:
        raise PluginError(f"task {name!r} ({module}) cannot be loaded: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if name not in offered:
        raise PluginError(f"task {name!r}: {module} offers none of that name from bench_tasks")
    found: type[Task] = offered[name]
    return found
