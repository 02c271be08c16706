"""What a model shows of itself is refused or counted: cells and ages of at least five users, and the numbers are those of the data."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from bench.tasks.churn import insight


def users(n: int, steps: int = 4) -> SimpleNamespace:
    """Give inputs of `n` users with as many steps each, 2, 10, 20 and 200 days old, the oldest first."""
    days = np.tile([200.0, 20.0, 10.0, 2.0][:steps], n).astype(np.float32)
    lengths = np.full(n, steps)

    class Inputs(SimpleNamespace):
        def __len__(self) -> int:
            return n

    return Inputs(offsets=np.r_[0, np.cumsum(lengths)], lengths=lengths, days_before_cutoff=days, group=np.arange(n))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"secret": np.zeros(3)}, "names 'secret'; known: embedding, step_weights"),
        ({"embedding": np.zeros((7, 2))}, "has shape [7, 2], expected [8, 2 to 512]"),
        ({"embedding": np.zeros((8, 1))}, "expected [8, 2 to 512]"),
        ({"embedding": np.zeros((8, 513))}, "expected [8, 2 to 512]"),
        ({"embedding": np.zeros(8)}, "expected [8, 2 to 512]"),
        ({"embedding": np.zeros((8, 2), int)}, "holds int64"),
        ({"embedding": np.full((8, 2), np.nan)}, "not finite"),
        ({"embedding": np.full((8, 2), 1e300)}, "beyond 1e+12"),
        ({"step_weights": np.ones(31)}, "has shape [31], expected [32]"),
        ({"step_weights": np.full(32, -0.5)}, "below 0"),
        ({"step_weights": np.full(32, np.inf)}, "not finite"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(found: dict[str, np.ndarray], words: str) -> None:
    assert words in insight.refusal(found, users(8))


def test_what_has_the_right_form_is_taken() -> None:
    assert insight.refusal({"embedding": np.zeros((8, 2), np.float32), "step_weights": np.ones(32, np.float16)}, users(8)) == ""
    assert insight.refusal({}, users(8)) == ""


def test_the_map_lies_along_the_directions_of_most_variance() -> None:
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(500, 2)) * [5.0, 2.0]
    turn, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    place, shares = insight.principal(plane @ turn[:2] + 3.0)
    assert shares == pytest.approx([np.var(plane[:, 0]) / np.var(plane, axis=0).sum(), 1 - shares[0]], abs=0.02)
    assert abs(np.corrcoef(place[:, 0], plane[:, 0])[0, 1]) > 0.99
    assert abs(np.corrcoef(place[:, 1], plane[:, 1])[0, 1]) > 0.99


def test_cells_count_users_with_their_outcome_and_small_ones_are_left_out() -> None:
    # two crowds, and three users far from both
    place = np.r_[np.tile([0.0, 0.0], (60, 1)), np.tile([10.0, 0.0], (40, 1)), np.tile([5.0, 9.0], (3, 1))]
    y, p = np.r_[np.ones(60), np.zeros(43)], np.r_[np.full(60, 0.9), np.full(43, 0.2)]
    found = insight.map_of(place, y, p)
    assert sorted((c["n"], c["rate"], c["score"]) for c in found["cells"]) == [(40, 0.0, 0.2), (60, 1.0, 0.9)]
    assert found["users"] == 103


def test_of_users_who_are_all_alike_there_is_no_map() -> None:
    assert insight.counted({"embedding": np.ones((50, 3))}, users(50), np.zeros(50), np.zeros(50), 0) == {}


def test_weights_are_shared_out_by_age_each_user_counting_once() -> None:
    inputs = users(20)
    weights = np.tile([0.0, 1.0, 1.0, 2.0], 20) * np.repeat(np.arange(1, 21), 4)
    ages = {one["from"]: one for one in insight.ages_of(weights, inputs, 0)}
    assert {age: one["share"] for age, one in ages.items()} == {1: 0.5, 7: 0.25, 14: 0.25, 182: 0.0}
    assert {one["even"] for one in ages.values()} == {0.25}
    assert all(one["low"] == one["share"] == one["high"] for one in ages.values()), "all users are alike"
    assert ages[182]["to"] == 365


def test_an_age_that_few_users_have_and_users_without_weight_are_left_out() -> None:
    inputs = users(20)
    inputs.days_before_cutoff[0] = 400.0
    weights = np.ones(80)
    weights[-4:] = 0
    ages = insight.ages_of(weights, inputs, 0)
    assert [one["from"] for one in ages] == [1, 7, 14, 182]
    assert {one["users"] for one in ages} == {19, 18}


def test_what_is_kept_is_plain_numbers_and_the_same_each_time() -> None:
    rng = np.random.default_rng(1)
    found = {"embedding": rng.normal(size=(300, 5)), "step_weights": rng.uniform(size=1200)}
    one, two = (insight.counted(found, users(300), rng.integers(0, 2, 300) * 0 + 1, np.full(300, 0.5), 7) for _ in range(2))
    assert json.dumps(one, allow_nan=False) == json.dumps(two)
    assert min(c["n"] for c in one["map"]["cells"]) >= insight.FEWEST
