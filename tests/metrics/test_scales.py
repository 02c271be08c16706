import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics import scales as module
from bench.metrics.scales import Scales, scales, undefined

few = settings(max_examples=40, deadline=None)


def by_hand(series, seen, season):
    """Average over all pairs of one series, one at a time."""
    pairs = [(series[t], series[t - season]) for t in range(season, len(series)) if seen[t] and seen[t - season]]
    if not pairs:
        return math.nan, math.nan
    return sum(abs(a - b) for a, b in pairs) / len(pairs), sum((a - b) ** 2 for a, b in pairs) / len(pairs)


@st.composite
def panels(draw):
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    n, steps = draw(st.integers(1, 5)), draw(st.integers(0, 12))
    history = rng.integers(-3, 9, (n, steps)) * draw(st.sampled_from([1.0, 0.25, 1e6]))
    return history, rng.integers(0, steps + 1, n), rng.random((n, steps)) < draw(st.sampled_from([0.4, 0.9, 1.0])), draw(st.integers(1, 13))


@few
@given(panels())
def test_scales_equal_their_definition_pair_by_pair(case):
    history, start, mask, season = case
    got = scales(history, start, season, mask)
    for n, series in enumerate(history):
        expected = by_hand(series, mask[n] & (np.arange(len(series)) >= start[n]), season)
        assert (got.absolute[n], got.squared[n]) == pytest.approx(expected, rel=1e-12, nan_ok=True)


@few
@given(panels())
def test_a_gap_may_be_nan_or_masked_and_what_lies_before_the_start_does_not_count(case):
    history, start, mask, season = case
    hidden = np.where(mask & (np.arange(history.shape[1]) >= start[:, None]), history, np.nan)
    one, other = scales(history, start, season, mask), scales(hidden, np.zeros(len(history), int), season)
    np.testing.assert_array_equal(one.absolute, other.absolute)
    np.testing.assert_array_equal(one.squared, other.squared)


def test_only_a_changing_series_of_more_than_a_season_has_a_scale():
    history = np.array([[0, 0, 1, 2, 3, 5], [7, 7, 7, 7, 7, 7], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 4, 9], [0, 0, 0, 0, 0, 0]], float)
    got = scales(history, np.array([2, 0, 0, 4, 6]), 2)
    np.testing.assert_array_equal(got.absolute, [2.5, 0, 0, np.nan, np.nan])
    np.testing.assert_array_equal(got.squared, [6.5, 0, 0, np.nan, np.nan])
    assert undefined(got).tolist() == [False, True, True, True, True]


def test_a_series_that_is_constant_but_for_rounding_is_constant():
    prices = np.array([9.99, 14.95, 3.3, 0.1])
    sums = np.array([[sum(prices), sum(prices[::-1]), sum(prices[[1, 3, 2, 0]]), sum(prices[[2, 3, 0, 1]])]])
    assert len(set(sums[0])) > 1
    assert scales(sums, np.zeros(1, int), 1).absolute[0] == 0
    assert scales(np.array([[1e9, 1e9 + 1e-4]]), np.zeros(1, int), 1).absolute[0] > 0


def test_values_that_float64_cannot_square_are_undefined_not_infinite_or_zero():
    history = np.array([[0, 1e200], [0, 1e-200]])
    assert undefined(scales(history, np.zeros(2, int), 1)).all()


def test_chunks_do_not_change_the_result(monkeypatch):
    history = np.random.default_rng(0).normal(size=(50, 30))
    whole = scales(history, np.zeros(50, int), 7)
    monkeypatch.setattr(module, "AT_ONCE", 70)
    np.testing.assert_array_equal(scales(history, np.zeros(50, int), 7).squared, whole.squared)


def test_rows_can_be_repeated_one_for_each_window():
    got = Scales(np.array([1.0, 2]), np.array([3.0, 4])).take(np.array([0, 1, 0]))
    assert (got.absolute.tolist(), got.squared.tolist(), len(got)) == ([1, 2, 1], [3, 4, 3], 3)


@pytest.mark.parametrize(
    ("history", "start", "season", "mask", "says"),
    [
        (np.ones((2, 3)), np.zeros(2, int), 0, None, "season is 0"),
        (np.ones((2, 3)), np.zeros(3, int), 1, None, "start"),
        (np.ones(3), np.zeros(3, int), 1, None, "history"),
        (np.ones((2, 3)), np.zeros(2, int), 1, np.ones((2, 2), bool), "mask"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(history, start, season, mask, says):
    with pytest.raises(ValueError, match=says):
        scales(history, start, season, mask)
