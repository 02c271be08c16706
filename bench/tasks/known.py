"""The tasks that `bench` knows by name; each is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import cast

from bench.errors import ConfigError, suggest
from bench.tasks.base import Task

HOMES = {
    "churn": ("bench.tasks.churn.task", "Churn"),
    "forecasting": ("bench.tasks.forecasting.task", "Forecasting"),
    "anomaly": ("bench.tasks.anomaly.task", "Anomaly"),
}
"""Task -> module and class."""
NAMES = tuple(HOMES)


def task_named(name: str) -> type[Task]:
    """Import a task's class; raise `ConfigError` for a name that is unknown."""
    if name not in HOMES:
        raise ConfigError(f"unknown task {name!r}; {suggest(name, NAMES)}")
    module, of_class = HOMES[name]
    return cast("type[Task]", getattr(importlib.import_module(module), of_class))
