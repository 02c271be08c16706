"""A pytest class for authors of models: inherit it, name the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import ClassVar

import pytest

from bench.api import Model
from bench.testing.checks import CHECKS, Check
from bench.testing.outcomes import run_check
from bench.testing.verdicts import announced, reason_for, refuse_unsound


class ModelTests:
    """Run every check on `model`, for each task that it serves.

    A check that fails for a good reason is announced in `expected_failures`, here or in the model: check -> reason.
    """

    model: ClassVar[type[Model]]
    expected_failures: ClassVar[Mapping[str, str]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Return one test for each task and check."""
        if {"task", "check"} <= set(metafunc.fixturenames):
            cases = list(_cases(self.model))
            metafunc.parametrize(("task", "check"), cases, ids=[f"{task}: {c.name}" if task else c.name for task, c in cases])

    def test_it_keeps_its_contract(self, task: str, check: Check) -> None:
        """Run one check; it is skipped where it says nothing about this model."""
        excuse = reason_for(announced(self.model, self.expected_failures), task, check.name)
        run_check(partial(check.run, self.model, task), excuse)

    def test_expected_failures_are_checks_that_exist_each_with_a_reason(self) -> None:
        """Refuse excuses for nothing, and without words."""
        refuse_unsound(announced(self.model, self.expected_failures), [c.name for c in CHECKS])


def _cases(model: type[Model]) -> Iterator[tuple[str, Check]]:
    """Return the checks that no task changes, then those of each task."""
    yield from (("", check) for check in CHECKS if not check.tasks)
    yield from ((task, check) for task in sorted(model.tasks) for check in CHECKS if task in check.tasks)
