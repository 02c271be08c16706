"""The ARIMA of users' activity: coefficients against statsmodels, forecasts against recursions by hand, P(no event)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from plugins.churn_kit import fitted, inputs_of, leavers, rows_of
from scipy.stats import nbinom
from sklearn.metrics import roc_auc_score
from statsmodels.tsa.ar_model import AutoReg

from bench.api import ChurnTrain, Context
from bench_plugins import _activity as activity
from bench_plugins import _activity_forecast as forecasts
from bench_plugins.arima import Arima

CTX = Context(horizon=28.0, history=10_000)


def long_series(phi: tuple[float, ...], steps: int = 6000) -> np.ndarray:
    rng = np.random.default_rng(0)
    z = np.zeros(steps)
    for t in range(2, steps):
        z[t] = sum(c * z[t - 1 - i] for i, c in enumerate(phi)) + rng.normal()
    return z[None]


@pytest.mark.parametrize("d", [0, 1])
def test_on_one_long_series_the_coefficients_are_those_of_an_autoregression(d: int):
    z = long_series((0.5, 0.2))
    z = np.cumsum(z, axis=1) if d else z
    found = forecasts.coefficients(z, np.ones(z.shape, bool), float(z.mean()), 2, d)
    theirs = AutoReg(np.diff(z[0]) if d else z[0], lags=2).fit()
    np.testing.assert_allclose(found[2:], theirs.params[1:], atol=0.02)


def test_users_share_their_coefficients_and_keep_their_levels():
    level = np.array([[0.0], [5.0], [20.0]])
    z = level + np.concatenate([long_series((0.6, 0.0), 3000)] * 3)
    known = np.ones(z.shape, bool)
    fitted_ = forecasts.coefficients(z, known, float(z.mean()), 1, 0)
    assert fitted_[2] == pytest.approx(0.6, abs=0.05)
    far = forecasts.foreseen(z, known, float(z.mean()), fitted_, 0, 60)[:, -1]
    np.testing.assert_allclose(far, level[:, 0], atol=0.5)


@pytest.mark.parametrize("d", [0, 1])
def test_forecasts_go_on_from_one_another(d: int):
    z = np.array([[1.0, 3.0, 2.0, 4.0]])
    known, fitted_ = np.ones(z.shape, bool), np.array([0.1, 0.0, 0.5, -0.2])
    found = forecasts.foreseen(z, known, 2.5, fitted_, d, 3)[0]
    mean = 0.0 if d else (10 + forecasts.DRAW * 2.5) / (4 + forecasts.DRAW)
    x = list(np.diff(z[0]) if d else z[0])
    for _ in range(3):
        x.append(mean + 0.1 + 0.5 * (x[-1] - mean) - 0.2 * (x[-2] - mean))
    np.testing.assert_allclose(found, 4.0 + np.cumsum(x[-3:]) if d else x[-3:])


def test_what_is_unknown_counts_as_the_users_mean():
    fitted_ = np.array([0.0, 0.0, 0.5, 0.3])
    hole = np.array([[9.0, 9.0, 2.0]]), np.array([[False, False, True]])
    short = np.array([[2.0]]), np.array([[True]])
    a, b = (forecasts.foreseen(z, known, 1.0, fitted_, 0, 4) for z, known in (hole, short))
    np.testing.assert_allclose(a, b)
    nothing = forecasts.foreseen(np.array([[9.0]]), np.array([[False]]), 1.0, fitted_, 0, 4)
    np.testing.assert_allclose(nothing, 1.0)


@pytest.mark.parametrize("shape", [0.1, 1.0, 30.0])
def test_p_no_event_is_that_of_the_negative_binomial(shape: float):
    mean = np.array([0.01, 0.5, 3.0, 40.0])
    np.testing.assert_allclose(forecasts.empty(mean, shape), nbinom.pmf(0, shape, shape / (shape + mean)))
    np.testing.assert_allclose(forecasts.empty(mean, 1e9), np.exp(-mean), rtol=1e-5)


@pytest.mark.parametrize("transform", forecasts.LINKS)
def test_every_transform_has_its_inverse(transform: str):
    there, back = forecasts.LINKS[transform]
    np.testing.assert_allclose(back(there(np.arange(9.0))), np.arange(9.0), atol=1e-12)


def test_more_and_later_activity_means_less_churn():
    model = fitted(Arima, leavers(600, 0), CTX)
    often, once, late = [*range(100, 0, -8)], [100.0], [100.0, 3.0]
    p = model.predict(inputs_of(rows_of([often, late, once])), CTX)
    assert p[0] < p[1] - 0.1
    assert p[1] < p[2] - 0.05


def test_the_trend_decides_the_differences_and_auto_takes_the_likelier():
    train = leavers(600, 0)
    state = {trend: fitted(Arima, train, CTX, trend=trend).state for trend in ("never", "always", "auto")}
    assert (int(state["never"]["d"]), int(state["always"]["d"])) == (0, 1)
    losses = [
        forecasts.surprise(fitted(Arima, train, CTX, trend=trend).predict(inputs_of(train), CTX), train.y) for trend in ("never", "always")
    ]
    assert int(state["auto"]["d"]) == int(np.argmin(losses))


@dataclass(frozen=True)
class Counting(Context):
    """Say stop from the `last`-th time on that it is asked."""

    last: int = 10**9
    asked: list[int] = field(default_factory=list)

    def should_stop(self) -> bool:
        self.asked.append(1)
        return len(self.asked) >= self.last


def test_told_to_stop_it_calibrates_on_the_rows_that_it_reached(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forecasts, "ROWS", 100)
    train, told = leavers(600, 0), Counting(horizon=28.0, history=10_000, last=3)
    model = fitted(Arima, train, told)
    assert len(told.asked) == 4, "asked before each hundred rows but the first, and before the second trend"
    assert int(model.state["d"]) == 0
    reached = train.take(activity.shuffled(train)[:300])
    np.testing.assert_allclose(model.state["calibration"], refitted(model, reached), rtol=1e-6)
    assert (model.state["calibration"] != fitted(Arima, train, CTX, trend="never").state["calibration"]).any()
    assert roc_auc_score(train.y, model.predict(inputs_of(train), CTX)) > 0.75


def refitted(model: Arima, rows: ChurnTrain) -> np.ndarray:
    """Calibrate what a fitted model foresees for some rows."""
    seen = activity.Activity.of(rows, CTX.horizon / model.params["periods"], model.state["passive"])
    mean = forecasts.expected(seen, model.state, model.params)
    return activity.calibration(forecasts.empty(mean, float(model.state["shape"])), rows.y)


def test_in_parts_it_foresees_what_it_does_at_once(monkeypatch: pytest.MonkeyPatch):
    train = leavers(600, 0)
    at_once = fitted(Arima, train, CTX)
    monkeypatch.setattr(forecasts, "ROWS", 7)
    in_parts = fitted(Arima, train, CTX)
    assert at_once.state.keys() == in_parts.state.keys()
    for name, array in at_once.state.items():
        np.testing.assert_array_equal(array, in_parts.state[name])
