"""The hooks that a plugin module may implement; each returns values, nothing is registered by side effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pluggy

if TYPE_CHECKING:
    # every worker reads this file to load its plugin, and a task brings the libraries of tables with it
    from bench.api import Dataset, Model, Sampler
    from bench.tasks.base import Task

hookspec = pluggy.HookspecMarker("bench")


@hookspec
def bench_models() -> list[type[Model]]:
    """Return the model classes of this plugin."""
    raise NotImplementedError


@hookspec
def bench_datasets() -> list[type[Dataset]]:
    """Return the dataset adapters of this plugin."""
    raise NotImplementedError


@hookspec
def bench_tasks() -> list[type[Task]]:
    """Return the tasks of this plugin: they run where the truth is, in the supervisor."""
    raise NotImplementedError


@hookspec
def bench_samplers() -> list[type[Sampler]]:
    """Return the samplers of this plugin: they run in the supervisor, and see spaces and scores alone."""
    raise NotImplementedError


class Hooks(Protocol):
    """The hooks as they are called: one list for each plugin that answers."""

    def bench_models(self) -> list[list[type[Model]]]:
        """Call every plugin's `bench_models`."""

    def bench_datasets(self) -> list[list[type[Dataset]]]:
        """Call every plugin's `bench_datasets`."""

    def bench_tasks(self) -> list[list[type[Task]]]:
        """Call every plugin's `bench_tasks`."""

    def bench_samplers(self) -> list[list[type[Sampler]]]:
        """Call every plugin's `bench_samplers`."""
