"""Distributions of counts against scipy, definitions and simulators; the contract of the baselines."""

from __future__ import annotations

import numpy as np
import pytest
from plugins.baseline_kit import (
    CTX,
    LEVELS,
    assert_contract,
    assert_independent,
    assert_saved,
    assert_untouched,
    awkward,
    fitted,
    forecast,
    ordinary,
    panel_of,
)
from scipy.stats import nbinom

from bench_plugins._count_means import factors, means
from bench_plugins.forecast_counts import NegBin, SeasonalQuantiles, bench_models, weighted
from bench_plugins.forecast_floors import Climatology

MODELS = {m.name: m for m in bench_models()}
each = pytest.mark.parametrize("name", MODELS)
WEEK = np.array([0.2, 0.6, 1.0, 1.0, 1.2, 1.4, 1.6])


def sold(n=40, steps=371, seed=0, size=2.0, level=3.0):
    """Draw negative binomial counts with a week."""
    rng = np.random.default_rng(seed)
    mean = level * WEEK[np.arange(steps) % 7] * np.ones((n, 1))
    return rng.negative_binomial(size, size / (size + mean)).astype(float)


def pinball(quantiles, truth):
    departure = truth[..., None] - quantiles
    return np.maximum(np.array(LEVELS) * departure, (np.array(LEVELS) - 1) * departure).mean()


@each
@pytest.mark.parametrize("counts", [False, True])
def test_any_series_gets_a_finite_forecast_that_rises(name, counts):
    panel = awkward(counts=counts)
    assert_contract(forecast(MODELS[name], panel), panel)


@each
@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (1, 1)])
def test_a_panel_without_series_or_without_steps_is_served(name, shape):
    n, steps = shape
    panel = panel_of([np.ones(steps)] * max(n, 1)).take(np.arange(n))
    assert_contract(forecast(MODELS[name], panel), panel)


@each
def test_series_are_independent_the_panel_untouched_and_a_saved_model_the_same(name, tmp_path):
    model = fitted(MODELS[name], ordinary(counts=True))
    assert model.local
    assert model.deterministic
    assert_independent(model, ordinary(6, counts=True))
    assert_untouched(MODELS[name], ordinary(3, counts=True))
    assert_saved(model, ordinary(3, counts=True), tmp_path)


def test_negbin_finds_the_distribution_that_counts_were_drawn_from():
    values = sold(steps=1400)
    answer = forecast_with(NegBin, panel_of(values[:, :-7], counts=True, horizon=7), alpha=0.003)
    true = 3.0 * WEEK[np.arange(1393, 1400) % 7]
    assert np.abs(answer.mean.mean(axis=0) / true - 1).max() < 0.15
    ideal = nbinom.ppf(np.array(LEVELS), 2.0, (2.0 / (2.0 + true))[:, None])
    assert np.abs(answer.quantiles.mean(axis=0) - ideal).mean() < 0.45


def test_negbin_beats_the_history_where_the_level_moves():
    values = np.concatenate([sold(steps=200, level=1.0), sold(steps=157, seed=1, level=6.0)], axis=1)
    train, truth = panel_of(values[:, :-7], counts=True, horizon=7), values[:, -7:]
    assert pinball(forecast(NegBin, train).quantiles, truth) < 0.9 * pinball(forecast(Climatology, train).quantiles, truth)


def test_the_mean_is_the_aged_count_over_the_aged_factor_and_missing_steps_do_not_count():
    row = np.array([2.0, np.nan, 4.0, 0.0])
    panel = panel_of([row], season=1, counts=True)
    age = 0.9 ** np.array([2, 1, 0])
    found = means(panel, 0.1, np.ones((1, 1)))
    assert found[0, -1] == pytest.approx((age * [2.0, 4.0, 0.0]).sum() / age.sum())
    assert found[0, 2] == found[0, 1] == 2.0


def test_factors_are_one_on_average_and_drawn_to_one_where_little_was_counted():
    many, few = (factors(panel_of([7.0 * np.tile(WEEK, weeks)], counts=True), prior=20.0)[0] for weeks in (400, 1))
    assert many.mean() == pytest.approx(1.0)
    assert np.abs(many - WEEK / WEEK.mean()).max() < 0.01
    assert np.abs(few - 1).max() < 0.5 * np.abs(WEEK / WEEK.mean() - 1).max()


def test_weighted_quantiles_are_those_of_repeated_values():
    rng = np.random.default_rng(0)
    values, times = rng.normal(0, 1, (4, 9)), rng.integers(1, 5, (4, 9))
    for value, repeat, found in zip(values, times, weighted(values, times.astype(float), LEVELS), strict=True):
        assert (found == np.quantile(np.repeat(value, repeat), LEVELS, method="inverted_cdf")).all()


def test_seasonal_quantiles_look_at_the_phase_alone_where_others_weigh_nothing():
    panel = panel_of([np.tile(np.arange(7.0), 30)], horizon=7)
    answer = forecast_with(SeasonalQuantiles, panel, others=0.0)
    assert (answer.quantiles[0] == np.arange(7.0)[:, None]).all()


def forecast_with(model, panel, **params):
    return fitted(model, panel, **params).predict(panel, CTX)
