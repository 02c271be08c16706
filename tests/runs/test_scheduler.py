"""In which order jobs are handed out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bench.runs.scheduler import LONG, knows_validation, place_of


def test_firsts_come_before_searches_and_these_before_finals_each_pass_turning_round() -> None:
    cells = range(3)
    firsts = [(place_of(n, first=True, final=False, seconds=0.0), ("first", n)) for n in cells]
    searches = [(place_of(n, first=False, final=False, seconds=n), ("search", n)) for n in cells]
    finals = [(place_of(n, first=False, final=True, seconds=n), ("final", n)) for n in cells]
    names = [name for _, name in sorted([*finals, *searches, *firsts])]
    assert names == [*(("first", n) for n in cells), *(("search", n) for n in reversed(cells)), *(("final", n) for n in cells)]


def test_of_finals_the_long_ones_come_first_the_longest_before_all() -> None:
    seconds = {0: 3.0, 1: LONG, 2: LONG - 1, 3: 5 * LONG}
    assert sorted(seconds, key=lambda n: place_of(n, first=False, final=True, seconds=seconds[n])) == [3, 1, 0, 2]
    # a search is never behind a final, however long that is
    assert place_of(9, first=False, final=False, seconds=0.0) < place_of(0, first=False, final=True, seconds=1e9)


@pytest.mark.parametrize(
    ("stage", "knows"), [("search", False), ("search-2", False), ("unseen-1", True), ("unseen-2", True), ("final", True)]
)
def test_what_learns_from_the_labels_of_validations_waits_for_all_searches(stage: str, knows: bool) -> None:
    job: Any = SimpleNamespace(stage=stage)
    assert knows_validation(job) is knows
    place = place_of(0, first=False, final=knows_validation(job), seconds=0.0)
    last_search = place_of(0, first=False, final=False, seconds=0.0)
    assert (place > last_search) is knows
