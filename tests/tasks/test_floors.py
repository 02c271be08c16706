import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics import vus
from bench.tasks.anomaly.smoothing import (
    LARGEST,
    abs_median,
    mean_shift,
    prefix_median,
    rolling_mean,
    rolling_variance,
    seasonal_residual,
)
from bench_datasets._social_nab import read_nab

few = settings(max_examples=60, deadline=None)  # seconds on a busy machine
NAB_BUFFER, DAY = 100, 288


def prefix(x):
    return np.arange(len(x)) < int(0.15 * len(x))


@pytest.fixture(scope="module")
def tweets(real):
    """Give the ten tweet series as (labels, values)."""
    frame = read_nab(real / "nab" / "realTweets", "tweets").frame
    return [(part["label"].to_numpy(), part["value"].to_numpy()) for part in frame.partition_by("series")]


FLOORS = {
    "random": (lambda x: np.random.default_rng(0).random(len(x)), 0.106, 0.01),
    "abs-median": (lambda x: abs_median(x, prefix(x)), 0.161, 0.005),
    "rolling-variance": (lambda x: rolling_variance(x, 100, centred=True), 0.320, 0.005),
    "rolling-mean-centred": (lambda x: mean_shift(x, prefix(x), DAY, centred=True), 0.389, 0.005),
    "seasonal-residual": (lambda x: seasonal_residual(x, prefix(x), DAY), 0.159, 0.005),
}


@pytest.mark.parametrize("name", FLOORS)
def test_the_floors_of_the_tweet_series_are_reproduced(tweets, name):
    floor, expected, within = FLOORS[name]
    assert len(tweets) == 10
    mean = np.mean([vus(y, floor(x), NAB_BUFFER)[1] for y, x in tweets])
    assert mean == pytest.approx(expected, abs=within)


@few
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=40), st.integers(1, 50), st.booleans())
def test_rolling_windows_equal_those_of_pandas_shortened_at_the_ends(values, width, centred):
    x = np.array(values, float)
    rolling = pd.Series(x).rolling(width, center=centred, min_periods=1)
    np.testing.assert_allclose(rolling_mean(x, width, centred=centred), rolling.mean(), atol=1e-12)
    np.testing.assert_allclose(rolling_variance(x, width, centred=centred), rolling.var(ddof=0), atol=1e-9)


@few
@given(st.integers(0, 12), st.integers(1, 8), st.booleans(), st.integers(0, 99))
def test_a_series_that_begins_later_is_windowed_as_if_it_stood_alone(start, width, centred, seed):
    x = np.random.default_rng(seed).normal(size=(2, 13))
    x[0, :start] = 0
    real = np.arange(13) >= np.array([[start], [0]])
    for window in (rolling_mean, rolling_variance):
        got = window(x, width, centred=centred, real=real)
        np.testing.assert_allclose(got[0, start:], window(x[0, start:], width, centred=centred), atol=1e-12)
        np.testing.assert_allclose(got[1], window(x[1], width, centred=centred), atol=1e-12)


def test_trailing_windows_never_look_ahead():
    x = np.random.default_rng(0).normal(size=60)
    later = np.where(np.arange(60) < 40, x, 1e6)
    for window in (rolling_mean, rolling_variance):
        np.testing.assert_array_equal(window(x, 7)[:40], window(later, 7)[:40])


def test_a_spike_leaves_no_trace_outside_its_windows_and_overflows_nowhere():
    x = np.random.default_rng(0).normal(size=50)
    spiked = x.copy()
    spiked[20] = 1e300
    for window in (rolling_mean, rolling_variance):
        near = slice(20, 25)
        got = window(spiked, 5)
        assert np.isfinite(got).all()
        assert (got[near] > 1e290).all()
        np.testing.assert_array_equal(np.delete(got, near), np.delete(window(x, 5), near))
    assert rolling_variance(spiked, 5)[22] == LARGEST
    assert abs_median(np.array([1e308, -1e308]), np.array([True, False])).tolist() == [0, LARGEST]


@few
@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=1, max_size=20))
def test_the_prefix_median_is_the_median_of_what_may_be_learned_from(rows):
    x, learn = (np.array(side) for side in zip(*rows, strict=True))
    assert prefix_median(x, learn) == (np.median(x[learn]) if learn.any() else 0)


def test_rows_have_medians_of_their_own():
    x = np.array([[1.0, 3, 9, 9], [5, 0, 0, 7]])
    learn = np.array([[True, True, False, False], [False] * 4])
    assert abs_median(x, learn).tolist() == [[1, 1, 7, 7], [5, 0, 0, 7]]
    assert mean_shift(x, learn, 1).tolist() == [[1, 1, 7, 7], [5, 0, 0, 7]]


def test_the_seasonal_residual_is_zero_for_a_repeated_pattern_and_sees_a_step_out_of_phase():
    x = np.tile([1.0, 5, 2], 6)
    x[16] = 1
    learn = np.arange(18) < 9
    assert seasonal_residual(x, learn, 3).nonzero()[0].tolist() == [16]
    assert seasonal_residual(np.stack([x, x]), np.stack([learn, learn]), 3)[1, 16] == 4


def test_a_phase_without_training_steps_uses_the_median_of_the_whole_prefix():
    x = np.array([1.0, 3, 8, 8, 3])
    assert seasonal_residual(x, np.array([True, True, False, False, False]), 4).tolist() == [0, 0, 6, 6, 2]
    assert seasonal_residual(x[:2], np.array([True, True]), 100).tolist() == [0, 0]


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_series_shorter_than_a_window_are_scored(steps):
    x, learn = np.arange(steps, dtype=float), np.zeros(steps, bool)
    floors = (rolling_mean(x, 288), rolling_variance(x, 100), abs_median(x, learn), seasonal_residual(x, learn, 288))
    assert all(floor.shape == (steps,) and np.isfinite(floor).all() for floor in floors)


def test_a_window_of_no_steps_is_refused():
    with pytest.raises(ValueError, match="width is 0"):
        rolling_mean(np.zeros(3), 0)
