"""Croston-SBA, TSB and ADIDA against statsforecast, the distribution around their mean, and the contract."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from plugins.baseline_kit import (
    LEVELS,
    MEDIAN,
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
from scipy.stats import poisson

from bench_plugins import forecast_sparse as sparse

MODELS = {m.name: m for m in sparse.bench_models()}
all_three = pytest.mark.parametrize("name", MODELS)


def rare(n: int, seed: int) -> list[np.ndarray]:
    """Users that buy now and then, from every day to never."""
    rng = np.random.default_rng(seed)
    return [rng.poisson(rng.gamma(0.5, 0.6), rng.integers(1, 300)).astype(float) for _ in range(n)]


@all_three
@pytest.mark.parametrize("counts", [False, True])
def test_any_series_gets_a_finite_forecast(name, counts):
    panel = awkward(counts=counts)

    answer = forecast(MODELS[name], panel)

    assert_contract(answer, panel)
    assert (answer.fallback == (panel.lengths == 0)).all()


@all_three
@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (1, 1)])
def test_a_panel_without_series_or_without_steps_is_served(name, shape):
    n, steps = shape
    panel = panel_of([np.ones(steps)] * max(n, 1), counts=True).take(np.arange(n))

    assert_contract(forecast(MODELS[name], panel), panel)


@all_three
def test_series_do_not_influence_each_other(name):
    model = fitted(MODELS[name], ordinary(counts=True))

    assert model.local
    assert model.deterministic
    assert_independent(model, awkward())


@all_three
def test_the_panel_is_left_as_it_was(name):
    assert_untouched(MODELS[name], ordinary(counts=True))


@all_three
def test_a_saved_model_forecasts_the_same(name, tmp_path):
    assert_saved(fitted(MODELS[name], ordinary()), ordinary(), tmp_path)


def peer(name: str):
    models = pytest.importorskip("statsforecast.models")
    return {"croston-sba": models.CrostonSBA(), "tsb": models.TSB(alpha_d=0.1, alpha_p=0.1), "adida": models.ADIDA()}[name]


@all_three
def test_means_are_those_of_statsforecast(name):
    rows = rare(300, 0)
    expected = [peer(name).forecast(y, 1)["mean"][0] for y in rows]

    answer = forecast(MODELS[name], panel_of(rows, counts=True))

    # ADIDA's weight is searched for: the two searches stop at different distances from the same minimum
    assert answer.mean[:, 0] == pytest.approx(expected, rel=1e-4 if name == "adida" else 1e-12, abs=1e-12)
    assert (answer.mean == answer.mean[:, :1]).all()


@all_three
def test_a_missing_step_is_as_if_it_had_not_been(name):
    rng = np.random.default_rng(1)
    rows = rare(100, 2)
    gappy = [np.insert(y, np.sort(rng.integers(0, len(y) + 1, 20)), np.nan) for y in rows]

    assert forecast(MODELS[name], panel_of(gappy)).mean == pytest.approx(forecast(MODELS[name], panel_of(rows)).mean, rel=1e-9)


@all_three
def test_what_lies_before_a_series_start_does_not_matter(name):
    panel = ordinary(counts=True)
    begun = np.arange(panel.steps) >= panel.start[:, None]
    other = replace(panel, values=np.where(begun, panel.values, 1e6))

    assert (forecast(MODELS[name], other).quantiles == forecast(MODELS[name], panel).quantiles).all()


def test_after_demand_has_ended_tsb_falls_and_croston_does_not():
    busy = np.ones(100)
    ended = np.concatenate([busy, np.zeros(60)])

    tsb, croston = (forecast(MODELS[name], panel_of([busy, ended], counts=True)).mean[:, 0] for name in ("tsb", "croston-sba"))

    assert tsb == pytest.approx([1.0, 0.9**60])
    assert croston == pytest.approx([0.95, 0.95])


def test_counts_that_vary_less_than_a_poisson_are_forecast_as_one():
    panel = panel_of([[1.0, 2.0] * 40], counts=True)

    answer = forecast(sparse.Tsb, panel)

    assert (answer.quantiles[0, 0] == poisson.ppf(LEVELS, answer.mean[0, 0])).all()


@pytest.mark.parametrize("level", [0.3, 4.0])
def test_quantiles_of_overdispersed_counts_cover_what_they_promise(level):
    rng = np.random.default_rng(3)
    y = rng.negative_binomial(0.5, 0.5 / (0.5 + level), (2000, 310)).astype(float)
    answer = forecast(sparse.Adida, panel_of(y[:, :-10], counts=True)).quantiles
    truth = y[:, -10:, None]

    reached, below = (truth <= answer).mean(axis=(0, 1)), (truth < answer).mean(axis=(0, 1))

    assert (reached >= np.array(LEVELS) - 0.03).all()  # a quantile of counts is the first value that reaches its level
    assert (below <= np.array(LEVELS) + 0.03).all()


def test_sums_that_are_no_whole_numbers_get_a_normal_around_the_mean():
    y = np.where(np.arange(200) % 4 == 0, np.random.default_rng(4).gamma(3, 2, 200), 0.0)
    distance = np.sqrt(np.mean((y - forecast(sparse.Tsb, panel_of([y])).mean[0, 0]) ** 2))

    free, cut = (forecast(sparse.Tsb, panel_of([y], counts=counts)) for counts in (False, True))

    assert free.quantiles[0, :, MEDIAN] == pytest.approx(free.mean[0])
    assert free.quantiles[0, 0, 8] - free.mean[0, 0] == pytest.approx(1.2815515655446004 * distance)
    assert (cut.quantiles == np.maximum(free.quantiles, 0)).all()
