"""A pytest class for authors of tasks: inherit it, name the task and a model that serves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, ClassVar

import pytest

from bench.api import Model
from bench.data.events import Events
from bench.data.series import Series
from bench.tasks.base import Task
from bench.testing.outcomes import run_check
from bench.testing.task_checks import TASK_CHECKS, TaskCase, TaskCheck
from bench.testing.verdicts import announced, reason_for, refuse_unsound


class TaskTests:
    """Run every check on `task`, on an example log, or on the data that `data` returns.

    A check that fails for a good reason is announced in `expected_failures`, here or in the task: check -> reason.
    """

    task: ClassVar[type[Task]]
    model: ClassVar[type[Model] | None] = None
    """A model that serves it, and fits in no time: without one, nothing is scored."""
    data: ClassVar[Callable[[], Events | Series] | None] = None
    """Makes the data to cut; none: an example log, or example series."""
    options: ClassVar[Mapping[str, str]] = {}
    """What `--set` would give: those that fix the cut-offs, where later events would move them."""
    repeat: ClassVar[Callable[..., Any] | None] = None
    """(truth, prediction, rows int [R]) -> both with these rows; none: array by array, or by the truth's `take`."""
    not_repeatable: ClassVar[Mapping[str, str]] = {}
    """Metric -> why a weight does not count as repetition there, such as bins that are those of the full data."""
    expected_failures: ClassVar[Mapping[str, str]] = {}

    @pytest.mark.parametrize("check", TASK_CHECKS, ids=[c.name for c in TASK_CHECKS])
    def test_it_keeps_its_contract(self, check: TaskCheck) -> None:
        """Run one check; it is skipped where it says nothing about this task."""
        excuse = reason_for(announced(self.task, self.expected_failures), "", check.name)
        own: Any = type(self)
        run_check(lambda: check.call(_case(own)), excuse)

    def test_expected_failures_are_checks_that_exist_each_with_a_reason(self) -> None:
        """Refuse excuses for nothing, and without words."""
        refuse_unsound(announced(self.task, self.expected_failures), [c.name for c in TASK_CHECKS])


@lru_cache(maxsize=1)
def _case(tests: Any) -> TaskCase:
    """Cut the data and fit the model once for all checks of a class."""
    data = tests.data() if tests.data else None
    return TaskCase(tests.task, tests.model, data, tests.options, tests.repeat, tests.not_repeatable)
