"""ARIMA against statsmodels and scipy, the definitions, published numbers, and real series."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares as reference_fit
from scipy.signal import lfilter
from statsmodels.tsa.statespace.sarimax import SARIMAX
from statsmodels.tsa.stattools import kpss as reference_kpss

from bench.api import Context
from bench.data.panel import Forecast, Panel, filled
from bench_plugins import _arima_differences as differences
from bench_plugins import _arima_filters as filters
from bench_plugins import _arima_recursion as recursion
from bench_plugins import _arima_search as orders
from bench_plugins.arima import Arima

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SHAPE = filters.Shape(2, 2, 4)
COEFFICIENTS = np.array([[0.5, -0.3, 0.4, 0.2, 0.3, -0.5], [0.0, 0.0, -0.6, 0.0, 0.0, 0.4], [0.7, 0.0, 0.0, 0.0, 0.0, 0.0]])

AIR = np.array(
    [
        *(112, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118, 115, 126, 141, 135, 125, 149, 170, 170, 158, 133, 114, 140),
        *(145, 150, 178, 163, 172, 178, 199, 199, 184, 162, 146, 166, 171, 180, 193, 181, 183, 218, 230, 242, 209, 191, 172, 194),
        *(196, 196, 236, 235, 229, 243, 264, 272, 237, 211, 180, 201, 204, 188, 235, 227, 234, 264, 302, 293, 259, 229, 203, 229),
        *(242, 233, 267, 269, 270, 315, 364, 347, 312, 274, 237, 278, 284, 277, 317, 313, 318, 374, 413, 405, 355, 306, 271, 306),
        *(315, 301, 356, 348, 355, 422, 465, 467, 404, 347, 305, 336, 340, 318, 362, 348, 363, 435, 491, 505, 404, 359, 310, 337),
        *(360, 342, 406, 396, 420, 472, 548, 559, 463, 407, 362, 405, 417, 391, 419, 461, 472, 535, 622, 606, 508, 461, 390, 432),
    ],
    float,
)
"""International airline passengers, 1949 to 1960 (Box & Jenkins, series G)."""


def panel(rows: Any, season: int, horizon: int = 0, until: Any = None) -> Panel:
    steps = max(map(len, rows))
    grid = np.full((len(rows), steps), np.nan)
    for row, own in zip(grid, rows, strict=True):
        row[steps - len(own) :] = own
    values, mask, start = filled(grid)
    clock, known = np.arange(steps + horizon)[None], np.zeros((1, steps + horizon, 8), np.float32)
    until = np.full(len(rows), steps) if until is None else until
    return Panel(values=values, mask=mask, start=start, until=until, time=clock, known=known, freq="", season=season, horizon=horizon)


def mase(train: np.ndarray, test: np.ndarray, guess: np.ndarray, season: int) -> float:
    return float(np.abs(test - guess).mean() / np.abs(train[season:] - train[:-season]).mean())


def forecast(model: Any, given: Panel) -> Forecast:
    found = model.predict(given, Context(quantiles=LEVELS))
    assert isinstance(found, Forecast)
    return found


def polynomials(row: np.ndarray, shape: filters.Shape) -> tuple[np.ndarray, np.ndarray]:
    """Multiply out phi(B) Phi(B^m) and theta(B) Theta(B^m)."""
    phi, theta, phi_m, theta_m = (x[0] for x in shape.parts(row[None]))
    seasonal = np.zeros((2, shape.season + 1))
    seasonal[:, 0], seasonal[0, -1], seasonal[1, -1] = 1, -phi_m, theta_m
    return np.convolve(np.r_[1, -phi], seasonal[0]), np.convolve(np.r_[1, theta], seasonal[1])


def how(once: int, seasonal: int, season: int, n: int = 1, mean: float = 0.0) -> differences.Differences:
    return differences.Differences(np.full(n, once), np.full(n, seasonal), np.full(n, mean), season)


# ---- filters


def test_residuals_are_those_of_the_multiplied_out_polynomials():
    w = np.random.default_rng(0).normal(size=(60, 3))
    e = filters.residuals(w, COEFFICIENTS, SHAPE)
    for n, row in enumerate(COEFFICIENTS):
        ar, ma = polynomials(row, SHAPE)
        np.testing.assert_allclose(e[:, n], lfilter(ar, ma, w[:, n]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [SHAPE, filters.Shape(1, 3, 7), filters.Shape(2, 0, 5), filters.Shape(0, 2, 1), filters.Shape(0, 0, 4)])
def test_normal_equations_are_those_of_the_numerical_derivative(shape: filters.Shape):
    rng = np.random.default_rng(1)
    w, at = rng.normal(size=(50, 2)), rng.uniform(-0.4, 0.4, size=(2, shape.size))
    weight = (rng.random((50, 2)) > 0.2).astype(float)
    free = np.ones((2, shape.size), bool)
    free[1, -1] = False
    if shape.season == 1:
        at[:, -2:], free[:, -2:] = 0, False
    found = filters.normal(w, weight, at, free, shape)
    columns = np.zeros((shape.size, 50, 2))
    for k in range(shape.size):
        step = np.zeros(shape.size)
        step[k] = 1e-6
        columns[k] = (filters.residuals(w, at + step, shape) - filters.residuals(w, at - step, shape)) / 2e-6 * weight * free[:, k]
    e = filters.residuals(w, at, shape) * weight
    np.testing.assert_allclose(found.loss, (e**2).sum(axis=0))
    np.testing.assert_allclose(found.slope, np.einsum("ktr,tr->rk", columns, e), rtol=1e-5, atol=1e-5)
    fixed = np.eye(shape.size) * ~free[:, :, None]
    np.testing.assert_allclose(found.squared, np.einsum("ktr,ltr->rkl", columns, columns) + fixed, rtol=1e-5, atol=1e-5)


@given(st.lists(st.floats(-5, 5), min_size=6, max_size=6))
@settings(max_examples=200, deadline=None)
def test_pulled_coefficients_are_stationary_and_invertible_and_feasible_ones_stay(values: list[float]):
    at = filters.inside(np.array([values]), SHAPE)
    for polynomial in polynomials(at[0], SHAPE):
        assert np.abs(np.roots(polynomial)).max(initial=0) < 1
    np.testing.assert_allclose(filters.inside(at, SHAPE), at, atol=1e-8)


# ---- search


def test_the_fit_finds_the_least_squares_of_a_general_optimiser():
    rng = np.random.default_rng(2)
    shape = filters.Shape(1, 1, 6)
    truth = np.array([0.7, 0.3, 0.0, -0.5])
    ar, ma = polynomials(truth, shape)
    w = np.stack([lfilter(ma, ar, rng.normal(size=300)) for _ in range(4)], axis=1)
    free = np.tile([True, True, False, True], (4, 1))
    found, loss = orders.least_squares(w, np.ones_like(w), free, shape, lambda: False)
    for n in range(4):

        def error(x: np.ndarray, n: int = n) -> np.ndarray:
            return filters.residuals(w[:, [n]], np.array([[x[0], x[1], 0.0, x[2]]]), shape)[:, 0]

        best = reference_fit(error, [0.5, 0.0, -0.2], bounds=(-0.98, 0.98))
        assert loss[n] == pytest.approx(2 * best.cost, rel=1e-3)
        np.testing.assert_allclose(found[n, [0, 1, 3]], best.x, atol=0.03)
        np.testing.assert_allclose(found[n], truth, atol=0.25)


def test_every_order_of_the_grid_is_there_once():
    free = orders.grid(filters.Shape(3, 2, 7))
    assert len(np.unique(free, axis=0)) == len(free) == 4 * 3 * 4
    assert not free[0].any()
    assert (free[:, 1] <= free[:, 0]).all()
    assert len(orders.grid(filters.Shape(3, 2, 1))) == 4 * 3


@pytest.mark.parametrize(
    ("ar", "ma", "used"),
    [([1], [1], ""), ([1, -0.8], [1], "phi1"), ([1], [1, 0.7], "theta1"), ([1, -0.4, 0.5], [1], "phi1 phi2")],
)
def test_the_search_finds_the_order_of_most_simulated_series(ar: list[float], ma: list[float], used: str):
    e = np.random.default_rng(3).normal(size=(20, 400))
    w = lfilter(ma, ar, e, axis=1)
    shape = filters.Shape(2, 2, 1)
    found = orders.search(w, np.ones_like(w), np.ones(20, int), np.zeros(20, bool), shape, lambda: False)
    names = np.array(["phi1", "phi2", "theta1", "theta2", "Phi", "Theta"])
    right = [set(names[row != 0]) == set(used.split()) for row in found.coefficients]
    assert np.mean(right) >= 0.5
    np.testing.assert_allclose(found.sigma, 1, atol=0.15)


def test_the_airline_model_has_the_published_coefficients():
    z = np.log(AIR)[None]
    w, live = differences.difference(z, np.zeros(1, int), how(1, 1, 12))
    found, loss = orders.least_squares(w.T, live.T.astype(float), np.array([[True, False, True]]), filters.Shape(0, 1, 12), lambda: False)
    published = np.array([[-0.4018, 0.0, -0.5569]])  # exact maximum likelihood (R's arima, and Box & Jenkins' .4 and .6)
    np.testing.assert_allclose(found, published, atol=0.05)
    assert loss[0] <= filters.normal(w.T, live.T.astype(float), published, np.ones((1, 3), bool), filters.Shape(0, 1, 12)).loss[0]
    assert np.sqrt(loss[0] / 131) == pytest.approx(np.sqrt(0.001348), rel=0.03)


# ---- differences


def test_kpss_is_that_of_statsmodels():
    y = np.random.default_rng(4).normal(size=(3, 150))
    y[1] = y[1].cumsum()
    y[2, 50:] += 1.0
    found = differences.kpss(y, np.ones(y.shape, bool))
    for n in range(3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # p-values beyond its table
            expected = reference_kpss(y[n], "c", nlags=int(4 * 1.5**0.25))[0]
        assert found[n] == pytest.approx(expected, rel=1e-9)
    padded = np.pad(y, ((0, 0), (30, 0)))
    live = np.arange(180) >= np.full((3, 1), 30)
    np.testing.assert_allclose(differences.kpss(padded, live), found)


def test_differences_are_chosen_as_textbooks_do():
    rng = np.random.default_rng(5)
    noise, season = rng.normal(size=240), 3 * np.sin(np.arange(240) * np.pi / 6)
    rows = np.stack([noise, noise.cumsum(), noise + season, noise.cumsum() + 5 * season])
    found = differences.choose(rows, np.zeros(4, int), 12, "auto", "auto")
    np.testing.assert_array_equal(found.once, [0, 1, 0, 1])
    np.testing.assert_array_equal(found.seasonal, [0, 0, 1, 1])
    air = differences.choose(np.log(AIR)[None], np.zeros(1, int), 12, "auto", "auto")
    assert air.seasonal[0] == 1
    short = differences.choose(rows[:, :30], np.zeros(4, int), 12, "auto", "always")
    assert not short.seasonal.any()


def test_strength_is_one_for_a_pure_season_and_small_for_noise():
    t = np.arange(200)
    rows = np.stack(
        [np.tile([1.0, 5, 2, 8, 3], 40), np.random.default_rng(6).normal(size=200), np.where(t < 100, 0, np.sin(t * 2 * np.pi / 5))]
    )
    live = t >= np.array([[0], [0], [100]])
    found = differences.strength(rows, live, 5)
    np.testing.assert_allclose(found[[0, 2]], 1, atol=1e-9)
    assert found[1] < 0.3


def test_drift_is_kept_where_it_is_there():
    noise = np.random.default_rng(7).normal(size=(80, 300))
    noise[40:] += 1
    found = differences.choose(noise.cumsum(axis=1), np.zeros(80, int), 1, "always", "never")
    assert (found.mean[:40] == 0).mean() > 0.85  # a test at two standard errors
    np.testing.assert_allclose(found.mean[40:], 1, atol=0.25)
    twice = differences.mean_of(noise, np.ones(noise.shape, bool), np.full(80, 2))
    assert not twice.any()


# ---- recursion


@pytest.mark.parametrize(("d", "D"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_forecasts_variances_and_residuals_are_those_of_sarimax(d: int, D: int):
    rng = np.random.default_rng(8)
    row = np.array([[0.5, -0.3, 0.4, 0.0, 0.3, -0.5]])
    ar, ma = polynomials(row[0], SHAPE)
    y = lfilter(ma, ar, rng.normal(size=400))
    y = lfilter([1], np.convolve([1, -d], [1, 0, 0, 0, -D]), y)
    parameters = [0.5, -0.3, 0.4, 0.3, -0.5, 1.0]
    reference = SARIMAX(y, order=(2, d, 1), seasonal_order=(1, D, 1, 4)).smooth(parameters)
    ahead = reference.get_forecast(12)
    z, mask = np.pad(y, (0, 12))[None], np.arange(412)[None] < 400
    settled, e = recursion.run(z, mask, np.array([d + 4 * D]), row, SHAPE, how(d, D, 4))
    np.testing.assert_allclose(settled[0, 400:], ahead.predicted_mean, rtol=1e-6, atol=1e-6)
    growth = np.cumsum(recursion.psi(row, SHAPE, how(d, D, 4), 12) ** 2)
    np.testing.assert_allclose(growth, ahead.se_mean**2, rtol=1e-6)
    np.testing.assert_allclose(e[0, 200:400], reference.standardized_forecasts_error[0, 200:], atol=1e-6)


def test_a_mean_is_forecast_as_a_drift():
    z = np.pad(np.arange(50.0), (0, 5))[None]
    y, _ = recursion.run(z, np.arange(55)[None] < 50, np.array([1]), np.zeros((1, 6)), SHAPE, how(1, 0, 4, mean=1.0))
    np.testing.assert_allclose(y[0], np.arange(55.0))


def test_a_gap_is_bridged_by_its_own_forecast():
    y = np.random.default_rng(9).normal(size=80).cumsum()
    mask = np.ones((1, 80), bool)
    mask[0, 40:45] = False
    row = COEFFICIENTS[:1]
    bridged, e = recursion.run(np.where(mask, y, 1e6), mask, np.array([1]), row, SHAPE, how(1, 0, 4))
    cut, _ = recursion.run(np.pad(y[None, :40], ((0, 0), (0, 5))), np.arange(45)[None] < 40, np.array([1]), row, SHAPE, how(1, 0, 4))
    np.testing.assert_allclose(bridged[0, :45], cut[0])
    assert not e[0, 40:45].any()
    assert np.abs(e).max() < 100


# ---- the model


def test_air_passengers_are_forecast_as_well_as_by_the_published_automatic_choice():
    train, test = AIR[:-12], AIR[-12:]
    assert mase(train, test, train[-12:], 12) == pytest.approx(1.571, abs=5e-4)  # the seasonal naive, as published
    found = forecast(Arima({}), panel([train], 12, 12))
    median = found.quantiles[0, :, 4]
    assert mase(train, test, median, 12) < 0.65  # AutoARIMA: .608
    assert (200 * np.abs(median - test) / (median + test)).mean() < 4.5  # AutoARIMA: 4.03
    assert ((found.quantiles[0, :, 0] <= test) & (test <= found.quantiles[0, :, -1])).mean() >= 0.7
    assert found.mean is not None
    np.testing.assert_allclose(found.mean[0], median, rtol=0.02)


def test_the_score_is_the_residual_in_standard_deviations():
    e = np.random.default_rng(10).normal(size=(3, 600))
    y = lfilter([1], [1, -0.6], e, axis=1)
    score = Arima({"transform": "none", "trend": "never"}).predict(panel(y, 1, until=np.full(3, 400)), Context())
    assert isinstance(score, np.ndarray)
    np.testing.assert_allclose(score[:, 100:], np.abs(e[:, 100:]), atol=0.45)
    assert np.corrcoef(score[:, 400:].ravel(), np.abs(e[:, 400:]).ravel())[0, 1] > 0.98


def test_missing_steps_cost_little():
    y = np.tile([1.0, 2, 3, 4, 5, 3, 2], 40) + 0.1 * np.random.default_rng(11).normal(size=280)
    holes = np.where(np.random.default_rng(12).random(280) < 0.2, np.nan, y)
    found = forecast(Arima({}), panel([y[:-14], holes[:-14]], 7, 14)).quantiles[:, :, 4]
    assert np.abs(found - y[-14:]).mean(axis=1).max() < 0.4


def test_m4_hourly_is_forecast_better_than_by_the_last_day(real: Path):
    with (real / "m4_hourly" / "Hourly-train.csv").open() as lines:
        train = [np.array([float(x) for x in row[1:] if x]) for row in list(csv.reader(lines))[1::14]]
    with (real / "m4_hourly" / "Hourly-test.csv").open() as lines:
        test = [np.array([float(x) for x in row[1:] if x]) for row in list(csv.reader(lines))[1::14]]
    found = forecast(Arima({}), panel(train, 24, 48)).quantiles[:, :, 4]
    ours, last = (
        np.mean([mase(a, b, c, 24) for a, b, c in zip(train, test, guess, strict=True)])
        for guess in (found, [np.tile(a[-24:], 2) for a in train])
    )
    assert len(train) == 30
    assert ours < 0.85 * last
