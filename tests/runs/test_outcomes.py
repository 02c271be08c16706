"""Outcomes of finished cells: kept beside the memory, read when they are asked for, gone with the process."""

from array import array
from pathlib import Path

import pytest

from bench.runs.outcomes import Outcomes
from bench.tune.plan import Outcome


def outcome(value: float) -> Outcome:
    entry = {"key": "k", "value": value, "replicates": {"tuned": array("d", [value] * 200)}}
    return Outcome((entry, entry), entry, {("default", 0): entry}, {"tuned": entry}, "trials", frozenset({"tuned"}), seed_matters=True)


def test_each_is_given_back_as_it_was_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    found = Outcomes(tmp_path)
    for n in (2, 0, 1):
        found.add(f"cell-{n}", outcome(n / 7))
    assert [found[f"cell-{n}"] for n in range(3)] == [outcome(n / 7) for n in range(3)]
    found.add("cell-3", outcome(3.0))
    assert list(found) == ["cell-2", "cell-0", "cell-1", "cell-3"]
    assert len(found) == 4
    assert found["cell-3"] == outcome(3.0)


def test_none_is_held_and_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    found = Outcomes(tmp_path)
    found.add("cell", outcome(1.0))
    assert found["cell"] is not found["cell"]
    assert list(tmp_path.iterdir()) == []


def test_a_cell_that_has_not_ended_has_none(tmp_path: Path) -> None:
    found = Outcomes(tmp_path)
    assert "cell" not in found
    with pytest.raises(KeyError):
        found["cell"]
