"""A pytest class for authors of dataset adapters: inherit it, name the adapter, and where it has no simulator, its data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest

from bench.api import Dataset
from bench.testing.dataset_checks import DATASET_CHECKS, DatasetCheck
from bench.testing.outcomes import run_check
from bench.testing.verdicts import announced, reason_for, refuse_unsound


class DatasetTests:
    """Run every check on `dataset`, on what its simulator writes, or on the data at `path`.

    A check that fails for a good reason is announced in `expected_failures`, here or in the adapter: check -> reason.
    """

    dataset: ClassVar[type[Dataset]]
    path: ClassVar[Path | None] = None
    expected_failures: ClassVar[Mapping[str, str]] = {}

    @pytest.mark.parametrize("check", DATASET_CHECKS, ids=[c.name for c in DATASET_CHECKS])
    def test_it_keeps_its_contract(self, check: DatasetCheck) -> None:
        """Run one check; it is skipped where it says nothing about this adapter."""
        excuse = reason_for(announced(self.dataset, self.expected_failures), "", check.name)
        run_check(partial(check.call, self.dataset, self.path), excuse)

    def test_expected_failures_are_checks_that_exist_each_with_a_reason(self) -> None:
        """Refuse excuses for nothing, and without words."""
        refuse_unsound(announced(self.dataset, self.expected_failures), [c.name for c in DATASET_CHECKS])
