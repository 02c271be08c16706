"""Calibration: it mends what is off on every validation, leaves alone what is right, and moves no user past another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from bench.tasks.churn.calibration import Fold, applied, calibrated, calibration, drifts


def fold(seed: int, n: int, slope: float = 1.0, shift: float = 0.0) -> Fold:
    """Draw labels from honest probabilities, and give predictions that are off by a line in the log-odds."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-0.5, 1.2, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.int8)
    return Fold(1 / (1 + np.exp(-(slope * z + shift))), y, np.arange(n))


def loss(p: np.ndarray, y: np.ndarray) -> float:
    return float(-np.mean(np.where(y > 0, np.log(p), np.log1p(-p))))


def test_a_line_that_is_off_alike_everywhere_is_found() -> None:
    line = calibration([fold(s, 4_000, slope=2.0, shift=1.0) for s in range(3)], level=True)
    assert line["slope"] == pytest.approx(0.5, abs=0.05)
    assert line["intercept"] == pytest.approx(-0.5, abs=0.1)
    new = fold(9, 4_000, slope=2.0, shift=1.0)
    assert loss(calibrated(new.p, line), new.y) < loss(new.p, new.y) - 0.02


def test_the_line_is_that_of_a_logistic_regression_on_the_log_odds() -> None:
    one = fold(3, 3_000, slope=1.7, shift=0.4)
    z = np.log(one.p / (1 - one.p))[:, None]
    oracle = LogisticRegression(C=np.inf).fit(z, one.y)
    line = calibration([one], level=True)
    assert line["slope"] == pytest.approx(oracle.coef_[0, 0], abs=2e-3)
    assert line["intercept"] == pytest.approx(oracle.intercept_[0], abs=2e-3)


@pytest.mark.parametrize("folds", [1, 3])
def test_honest_probabilities_are_nearly_always_left_alone(folds: int) -> None:
    touched = [bool(calibration([fold(100 * s + k, 1_000) for k in range(folds)], level=True)) for s in range(40)]
    assert np.mean(touched) < 0.3


def test_what_is_off_at_one_cut_off_one_way_and_at_another_the_other_way_is_left_alone() -> None:
    assert calibration([fold(1, 3_000, shift=0.7), fold(2, 3_000, shift=-0.7)], level=True) == {}


def test_few_rows_one_class_and_a_reversed_score_are_left_alone() -> None:
    assert calibration([fold(1, 50, slope=3.0)], level=True) == {}
    one = fold(1, 500, slope=3.0)
    assert calibration([Fold(one.p, np.zeros(500, np.int8), one.group)], level=True) == {}
    assert calibration([fold(s, 2_000, slope=-1.0) for s in range(3)], level=True) == {}


@settings(max_examples=50, deadline=None)
@given(slope=st.floats(0.05, 5.0), intercept=st.floats(-3, 3), seed=st.integers(0, 1000))
def test_no_user_passes_another(slope: float, intercept: float, seed: int) -> None:
    p = np.sort(np.random.default_rng(seed).uniform(0.001, 0.999, 100))
    found = applied(p, slope, intercept)
    assert (np.diff(found) >= 0).all()
    assert ((found > 0) & (found < 1)).all()


def test_where_the_rate_moves_the_slope_alone_is_used() -> None:
    """Over-confident at every cut-off while the level moves: the confidence is mended, the level stays about where it was."""
    rng, folds = np.random.default_rng(0), []
    for level in (-0.6, 0.0, 0.6):
        z = rng.normal(level, 0.6, 4_000)
        y = (rng.random(4_000) < 1 / (1 + np.exp(-z))).astype(np.int8)
        folds.append(Fold(1 / (1 + np.exp(-3.0 * (z - level))), y, np.arange(4_000)))
    assert drifts([f.y for f in folds])
    assert not drifts([f.y for f in (fold(1, 500), fold(2, 500))])
    line = calibration(folds, level=False)
    assert line["slope"] == pytest.approx(1 / 3, abs=0.05)
    assert calibrated(np.array([0.5]), line)[0] == pytest.approx(0.5, abs=0.02)


def test_a_line_that_helps_on_one_validation_by_less_than_its_error_is_left_alone() -> None:
    """Two cut-offs where it helps beyond doubt, and a third, of few users, where it hardly does."""
    sure, doubtful = [fold(s, 4_000, slope=2.0) for s in (1, 2)], fold(3, 60, slope=1.2)
    assert calibration(sure, level=True)
    assert calibration([*sure, doubtful], level=True) == {}


def test_a_model_that_gets_sharper_from_cut_off_to_cut_off_is_corrected_no_further_than_the_trend() -> None:
    """Latest first; `fold` predicts with 1 / slope of what would be right."""
    still = calibration([fold(s, 6_000, slope=1 / right) for s, right in enumerate((1.6, 1.6, 1.6))], level=False)
    assert still["slope"] == pytest.approx(1.6, abs=0.12)
    trend = [fold(s, 6_000, slope=1 / right) for s, right in enumerate((1.45, 1.6, 1.8))]
    # what the rest of them would do at the next cut-off: less than at any before
    assert 1.15 < calibration(trend, level=False)["slope"] < 1.42
    assert calibration(trend[::-1], level=False)["slope"] == pytest.approx(1.6, abs=0.12)
    # where it will soon be right by itself nothing is done
    assert calibration([fold(s, 6_000, slope=1 / right) for s, right in enumerate((1.2, 1.6, 2.2))], level=False) == {}
