"""State space against statsmodels' Kalman filter and structural models, published numbers, and real series."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from statsmodels.datasets import nile
from statsmodels.tsa.statespace.kalman_filter import KalmanFilter
from statsmodels.tsa.statespace.structural import UnobservedComponents

from bench.api import Context
from bench.data.panel import Forecast, Panel, filled
from bench_plugins import _structural_filter as kalman
from bench_plugins import _structural_form as forms
from bench_plugins.state_space import StateSpace

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

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


def reference(form: forms.Form, ratios: np.ndarray, y: np.ndarray) -> Any:
    """Filter one series (NaN is missing) with statsmodels, from the same matrices."""
    selection = np.eye(form.size)
    made = KalmanFilter(
        k_endog=1,
        k_states=form.size,
        design=form.loading[None, :, None],
        transition=form.transition[..., None],
        selection=selection[..., None],
        state_cov=np.diag(ratios @ form.noise)[..., None],
        obs_cov=np.ones((1, 1, 1)),
        loglikelihood_burn=0,
    )
    made.bind(y[:, None].copy())
    made.initialize_approximate_diffuse(kalman.DIFFUSE)
    return made.filter()


# ---- the filter


@pytest.mark.parametrize("trend", forms.TRENDS)
@pytest.mark.parametrize(("season", "harmonics"), [(1, 0), (7, 0), (7, 2), (4, 9)])
def test_predictions_variances_and_likelihood_are_those_of_statsmodels(trend: str, season: int, harmonics: int):
    rng = np.random.default_rng(0)
    form = forms.build(trend, season, harmonics)
    y, mask = rng.normal(size=(3, 60)).cumsum(axis=1), rng.random((3, 60)) > 0.2
    mask[0] = True
    mask[:, 50:] = False
    ratios = rng.uniform(0.01, 1, size=(3, 3))
    found = kalman.run(form, np.where(mask, y, 1e9), mask, ratios)
    for n in range(3):
        theirs = reference(form, ratios[n], np.where(mask[n], y[n], np.nan))
        np.testing.assert_allclose(found.mean[n, form.size + 8 :], theirs.forecasts[0, form.size + 8 :], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(found.variance[n, form.size + 8 : 50], theirs.forecasts_error_cov[0, 0, form.size + 8 : 50], rtol=1e-6)
        v, variance = (y - found.mean)[n][mask[n]], found.variance[n][mask[n]]
        plain = -0.5 * (np.log(2 * np.pi * variance) + v**2 / variance).sum()
        assert plain == pytest.approx(theirs.llf, rel=1e-6)


@pytest.mark.parametrize(
    ("form", "options", "order"),
    [
        (forms.build("level", 1, 0), {"level": "llevel"}, (0,)),
        (forms.build("local", 1, 0), {"level": "lltrend"}, (0, 1)),
        (forms.build("local", 12, 0), {"level": "lltrend", "seasonal": 12}, (0, 1, 2)),
        (forms.build("level", 12, 3), {"level": "llevel", "freq_seasonal": [{"period": 12, "harmonics": 3}]}, (0, 2)),
        (forms.build("level", 12, 6), {"level": "llevel", "freq_seasonal": [{"period": 12}]}, (0, 2)),
    ],
)
def test_forms_are_the_structural_models_of_statsmodels(form: forms.Form, options: dict[str, Any], order: tuple[int, ...]):
    y = np.log(AIR) * 10
    ratios = np.array([0.5, 0.01, 0.1])
    theirs = UnobservedComponents(y, **options).filter([1.0, *ratios[list(order)]])
    ahead = theirs.get_forecast(24)
    mask = np.arange(len(y) + 24)[None] < len(y)
    found = kalman.run(form, np.pad(y, (0, 24))[None], mask, ratios[None])
    np.testing.assert_allclose(found.mean[0, len(y) :], ahead.predicted_mean, rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(found.variance[0, len(y) :]), ahead.se_mean, rtol=1e-6)


def test_the_nile_has_the_published_variances():
    y = nile.load_pandas().data["volume"].to_numpy(float)[None]
    form = forms.build("level", 1, 0)
    mask = np.ones(y.shape, bool)
    fits = []
    for ratio in (0.05, 1469.1 / 15099, 0.2):
        found = kalman.run(form, y / 100, mask, np.array([[ratio, 0, 0]]))
        used = kalman.counted(1, mask)
        fits.append(kalman.likelihood((y / 100 - found.mean).T, found.variance.T, used.T))
    assert np.argmax([fit[0] for fit, _ in fits]) == 1
    assert fits[1][1][0] * 1e4 == pytest.approx(15099, rel=0.001)  # Durbin & Koopman, section 2.10.3
    assert fits[1][0][0] - 99 * np.log(100) == pytest.approx(-632.5456, abs=1e-3)  # the exact diffuse likelihood
    _, ratios = kalman.choose([form], y / 100, mask, lambda: False)
    np.testing.assert_allclose(ratios, [[0.1, 0, 0]])


@pytest.mark.parametrize("form", [forms.build("level", 1, 0), forms.build("damped", 7, 0), forms.build("returning", 7, 3)])
def test_gains_are_those_of_the_filter_of_a_series_without_gaps(form: forms.Form):
    ratios = form.ratios()[::3]
    gain, variance = kalman.gains(form, ratios, 400)
    y = np.random.default_rng(1).normal(size=(1, 400)).cumsum(axis=1).repeat(len(ratios), axis=0)
    found = kalman.run(form, y, np.ones(y.shape, bool), ratios)
    np.testing.assert_allclose(variance.T, found.variance, rtol=1e-6)
    state = np.zeros((len(ratios), form.size))
    for t in range(400):
        np.testing.assert_allclose(state @ form.loading, found.mean[:, t], atol=1e-4)
        state = state @ form.transition.T + gain[t] * (y[:, t] - state @ form.loading)[:, None]


def test_the_choice_is_the_candidate_of_least_aic():
    rng = np.random.default_rng(2)
    week = np.tile([1.0, 0, 0, 2, 3, 0, 0], 20)
    rows = np.stack([week + rng.normal(size=140), rng.normal(size=140).cumsum(), 0.02 * np.arange(140) ** 1.5 + rng.normal(size=140)])
    mask = np.ones(rows.shape, bool)
    mask[1, 100:] = False
    some = [forms.build(trend, 7, 3) for trend in ("level", "local", "returning")]
    which, ratios = kalman.choose(some, rows, mask, lambda: False)
    used = kalman.counted(max(form.size for form in some), mask)
    for n in range(3):
        best = []
        for form in some:
            every = form.ratios()
            tiled = np.repeat(rows[n : n + 1], len(every), axis=0)
            found = kalman.run(form, tiled, np.repeat(mask[n : n + 1], len(every), axis=0), every)
            fit, _ = kalman.likelihood((tiled - found.mean).T, found.variance.T, np.repeat(used[n : n + 1], len(every), axis=0).T)
            best.append((2 * form.parameters - 2 * fit.max(), every[fit.argmax()]))
        index = int(np.argmin([aic for aic, _ in best]))
        assert which[n] == index
        np.testing.assert_array_equal(ratios[n], best[index][1])
    assert which[2] == 1  # the growing one needs its slope


def test_variances_of_simulated_series_are_found_to_the_next_point_of_the_grid():
    rng = np.random.default_rng(3)
    truth = np.array([0.01, 0.1, 1.0])
    y = (np.sqrt(truth)[:, None, None] * rng.normal(size=(3, 30, 600))).cumsum(axis=2) + rng.normal(size=(3, 30, 600))
    _, ratios = kalman.choose([forms.build("level", 1, 0)], y.reshape(90, 600), np.ones((90, 600), bool), lambda: False)
    middle = np.median(np.log10(ratios[:, 0]).reshape(3, 30), axis=1)
    np.testing.assert_allclose(middle, np.log10(truth), atol=0.5)


def test_gaps_hardly_change_the_choice():
    rng = np.random.default_rng(4)
    y = (0.3 * rng.normal(size=(40, 400))).cumsum(axis=1) + rng.normal(size=(40, 400))
    form = [forms.build("level", 1, 0)]
    holes = rng.random(y.shape) > 0.2
    full, some = (np.log10(kalman.choose(form, y, mask, lambda: False)[1][:, 0]) for mask in (np.ones(y.shape, bool), holes))
    assert abs(np.mean(full - some)) < 0.35


# ---- the model


def test_air_passengers_are_forecast_well_with_the_level_of_the_published_automatic_choice():
    train, test = AIR[:-12], AIR[-12:]
    found = forecast(StateSpace({}), panel([train], 12, 12))
    median = found.quantiles[0, :, 4]
    assert mase(train, test, train[-12:], 12) == pytest.approx(1.571, abs=5e-4)  # the seasonal naive, as published
    assert mase(train, test, median, 12) < 0.65  # AutoARIMA .608, Theta .864, AutoETS 1.170
    assert ((found.quantiles[0, :, 0] <= test) & (test <= found.quantiles[0, :, -1])).mean() >= 0.7


def test_the_score_is_the_innovation_in_standard_deviations():
    rng = np.random.default_rng(5)
    y = (0.3 * rng.normal(size=(2, 300))).cumsum(axis=1) + rng.normal(size=(2, 300))
    score = StateSpace({"transform": "none", "trend": "level", "season": "none"}).predict(panel(y, 1, until=np.full(2, 200)), Context())
    assert isinstance(score, np.ndarray)
    for n in range(2):
        fitted = UnobservedComponents(y[n, :200], "llevel").fit(disp=0)
        theirs = np.abs(UnobservedComponents(y[n], "llevel").filter(fitted.params).standardized_forecasts_error[0])
        np.testing.assert_allclose(score[n, 20:], theirs[20:], atol=0.4)
        assert np.corrcoef(score[n, 200:], theirs[200:])[0, 1] > 0.98


def test_missing_steps_cost_little():
    y = np.tile([1.0, 2, 3, 4, 5, 3, 2], 40) + 0.1 * np.random.default_rng(11).normal(size=280)
    holes = np.where(np.random.default_rng(12).random(280) < 0.2, np.nan, y)
    found = forecast(StateSpace({}), panel([y[:-14], holes[:-14]], 7, 14)).quantiles[:, :, 4]
    assert np.abs(found - y[-14:]).mean(axis=1).max() < 0.4


def test_a_series_too_short_for_a_season_is_served_without_one():
    short = np.tile([0.0, 10.0], 8)
    found = forecast(StateSpace({}), panel([short], 12, 12))
    assert not found.fallback.any()
    assert 2 < found.quantiles[0, -1, 4] < 8


def test_m4_hourly_is_forecast_better_than_by_the_last_day(real: Path):
    with (real / "m4_hourly" / "Hourly-train.csv").open() as lines:
        train = [np.array([float(x) for x in row[1:] if x]) for row in list(csv.reader(lines))[1::14]]
    with (real / "m4_hourly" / "Hourly-test.csv").open() as lines:
        test = [np.array([float(x) for x in row[1:] if x]) for row in list(csv.reader(lines))[1::14]]
    found = forecast(StateSpace({}), panel(train, 24, 48)).quantiles[:, :, 4]
    ours, last = (
        np.mean([mase(a, b, c, 24) for a, b, c in zip(train, test, guess, strict=True)])
        for guess in (found, [np.tile(a[-24:], 2) for a in train])
    )
    assert len(train) == 30
    assert ours < 0.95 * last
