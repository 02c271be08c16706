"""The checks of one plugin, one after the other, in a worker: each is announced, and its verdict told as it ends.

The executor kills the worker when a check takes too long; another one then goes on behind that check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from bench.registry import Source

Tell: TypeAlias = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Item:
    """One check that is to be run."""

    plugin: str
    task: str
    check: str
    call: Callable[[], None]
    excuse: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Name the check among all."""
        return self.plugin, self.task, self.check


def check_all(source: Source, groups: Sequence[str], task: str, done: Sequence[tuple[str, str, str]], *, tell: Tell) -> None:
    """Run the checks that are not `done` yet and tell of each when it begins and how it ended; runs in a worker."""
    try:
        items = list(items_of(source, groups, task))
    except BaseException as error:  # noqa: BLE001 - whatever a plugin raises at import ends as an answer
        tell(unloaded(error))
        return
    from bench.testing.verdicts import verdict_of

    for item in items:
        if item.key not in done:
            tell({"event": "begin", "key": item.key})
            tell({"event": "verdict", **verdict_of(*item.key, item.call, item.excuse).as_dict()})


def unloaded(error: BaseException) -> dict[str, Any]:
    """Explain why nothing can be checked: a bad argument, a missing library, or the plugin's own fault."""
    from bench.errors import ConfigError
    from bench.registry import MissingDependencyError
    from bench.testing.verdicts import reason_of

    why = "argument" if isinstance(error, ConfigError) else "missing" if isinstance(error, MissingDependencyError) else "fault"
    return {"event": "unloaded", "why": why, "reason": reason_of(error)}


def items_of(source: Source, groups: Sequence[str], task: str) -> Iterator[Item]:
    """List the checks of a plugin's models, adapters and tasks; raise `BenchError` where it offers none of what is asked."""
    from bench.errors import ConfigError, PluginError
    from bench.registry import load, models
    from bench.tasks.lookup import remember

    found = models(source) if "bench.models" in groups else {}
    adapters, tasks = (
        {str(one.name): one for batch in getattr(load(source).hook, hook)() for one in batch} if group in groups else {}
        for group, hook in (("bench.datasets", "bench_datasets"), ("bench.tasks", "bench_tasks"))
    )
    if source.is_file:
        for own in tasks.values():
            remember(own)
    beside = dict(found)
    if not source.is_file:
        found, adapters, tasks = ({n: p for n, p in those.items() if n == source.name} for those in (found, adapters, tasks))
    if not found and not adapters and not tasks:
        what = f"the name {source.name!r}" if not source.is_file else "a model, an adapter or a task"
        raise PluginError(f"{source.origin()} does not offer {what}; return it from bench_models, bench_datasets or bench_tasks")
    serving = {name: model for name, model in found.items() if not task or task in model.tasks}
    if found and not serving and task not in tasks:
        raise ConfigError(f"--task {task}: {', '.join(found)} serves {', '.join(sorted(set().union(*(m.tasks for m in found.values()))))}")
    for name, model in serving.items():
        yield from _of_model(name, model, [task] if task else sorted(model.tasks))
    for name, adapter in adapters.items():
        yield from _of_dataset(name, adapter)
    for name, found_task in tasks.items():
        yield from _of_task(name, found_task, beside)


def _of_model(name: str, model: Any, tasks: list[str]) -> Iterator[Item]:
    from bench.testing.checks import CHECKS
    from bench.testing.verdicts import SOUND, announced, reason_for, refuse_unsound

    expected = announced(model)
    yield Item(name, "", SOUND, partial(refuse_unsound, expected, [c.name for c in CHECKS]))
    for task in ("", *tasks):
        for check in CHECKS:
            if task in check.tasks or not (task or check.tasks):
                yield Item(name, task, check.name, partial(check.run, model, task), reason_for(expected, task, check.name))


def _of_dataset(name: str, adapter: Any) -> Iterator[Item]:
    from bench.testing.dataset_checks import DATASET_CHECKS
    from bench.testing.verdicts import SOUND, announced, reason_for, refuse_unsound

    expected = announced(adapter)
    yield Item(name, "", SOUND, partial(refuse_unsound, expected, [c.name for c in DATASET_CHECKS]))
    for check in DATASET_CHECKS:
        yield Item(name, "", check.name, partial(check.call, adapter, None), reason_for(expected, "", check.name))


def _of_task(name: str, task: Any, beside: Mapping[str, Any]) -> Iterator[Item]:
    """List the checks of a task, with a model that serves it: one of its own plugin, else its reference."""
    from bench.testing.task_checks import TASK_CHECKS, TaskCase
    from bench.testing.verdicts import SOUND, announced, reason_for, refuse_unsound

    expected = announced(task)
    yield Item(name, "", SOUND, partial(refuse_unsound, expected, [c.name for c in TASK_CHECKS]))
    case = TaskCase(task, _server(task, beside))
    for check in TASK_CHECKS:
        yield Item(name, "", check.name, partial(check.call, case), reason_for(expected, "", check.name))


def _server(task: Any, beside: Mapping[str, Any]) -> Any:
    """Find a model that serves a task: its reference where it can be had, else any of the same plugin; None: there is none."""
    from bench.registry import discover, models

    installed = discover().sources["bench.models"]
    for reference in dict.fromkeys(rule.reference for rule in task.rankings.values()):
        if reference in beside:
            return beside[reference]
        if reference in installed:
            return models(installed[reference])[reference]
    return next((model for model in beside.values() if task.name in model.tasks), None)
