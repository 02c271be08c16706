"""Run a plan of one's own over cells as `bench run` makes them: how the search itself is studied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.execute.devices import resolved
from bench.execute.jobs import Limits
from bench.execute.local import LocalExecutor
from bench.execute.machine import memory_mb
from bench.runs import runner, scheduler
from bench.runs.config import Config
from bench.runs.problem import Problem
from bench.runs.run_events import ignore
from bench.tasks.base import Task
from bench.tasks.lookup import task_named
from bench.tune.ledger import Ledger
from bench.tune.plan import Plan, Scope


def run_plan(config: Config, plan: Callable[[Any, Any, Any, Scope], Plan]) -> tuple[Task, list[Problem]]:
    """Run `plan` in the place of a run's for every model and data set of `config`, which names its folder; return the boards.

    Predictions on validation stay in the folder's `valid/`. The ledger makes it resumable, as a run is.
    """
    task, folder = task_named(config.task)(), Path(config.folder())
    scheduler.plan = plan  # type: ignore[assignment]
    scheduler.Driver._finish = lambda *_: None  # type: ignore[method-assign,assignment]  # no prediction is removed at a cell's end
    registry = runner.discover()
    requests = runner.requested(config.datasets, None, registry, holds=task.holds)
    executor = LocalExecutor(config.n_workers(), resolved("cpu"), folder / "slots")
    try:
        plugins = runner.Describer(executor, runner._model_sources(config, registry), memory_mb()).finish()[0]
        own = [p.asked(config.task) for p in plugins if p.name in config.models]
        problems = [replace(problem, plugins=own) for problem in runner._problems(requests, config, registry, task, ignore)]
        with Ledger(folder) as ledger:
            driver = scheduler.Driver(task, executor, ledger, Limits(600.0, memory_mb() / 4), runner._budget(config), ignore)
            runner._outcomes(problems, config, driver)
    finally:
        executor.close()
    return task, problems
