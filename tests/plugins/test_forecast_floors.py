"""The five forecasting floors: their definitions in plain loops, M4's published scores, calibration, and the contract."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plugins.baseline_kit import (
    CTX,
    LEVELS,
    MEDIAN,
    assert_contract,
    assert_independent,
    assert_saved,
    assert_untouched,
    awkward,
    fitted,
    forecast,
    m4_hourly,
    mase,
    ordinary,
    panel_of,
    smape,
)

from bench_plugins import forecast_floors as floors
from bench_plugins._stats_spread import rms

MODELS = {m.name: m for m in floors.bench_models()}
all_five = pytest.mark.parametrize("name", MODELS)


@all_five
@pytest.mark.parametrize("counts", [False, True])
def test_any_series_gets_a_finite_forecast(name, counts):
    panel = awkward(counts=counts)

    assert_contract(forecast(MODELS[name], panel), panel)


@all_five
@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (1, 1)])
def test_a_panel_without_series_or_without_steps_is_served(name, shape):
    n, steps = shape
    panel = panel_of([np.ones(steps)] * max(n, 1)).take(np.arange(n))

    assert_contract(forecast(MODELS[name], panel), panel)


@all_five
def test_floors_are_local_deterministic_and_have_nothing_to_tune(name):
    model = MODELS[name]

    assert model.local
    assert model.deterministic
    assert model.tasks == {"forecasting"}
    assert model.space() == model.default() == {}


@all_five
def test_series_do_not_influence_each_other(name):
    assert_independent(fitted(MODELS[name], ordinary()), awkward())


@all_five
def test_the_panel_is_left_as_it_was(name):
    assert_untouched(MODELS[name], ordinary())


@all_five
def test_a_saved_floor_forecasts_the_same(name, tmp_path):
    assert_saved(fitted(MODELS[name], ordinary()), ordinary(), tmp_path)


@all_five
def test_what_lies_before_a_series_start_does_not_matter(name):
    panel = ordinary()
    begun = np.arange(panel.steps) >= panel.start[:, None]
    other = replace(panel, values=np.where(begun, panel.values, 1e6))

    assert (forecast(MODELS[name], other).quantiles == forecast(MODELS[name], panel).quantiles).all()


def test_zero_forecasts_zero():
    answer = forecast(floors.Zero, ordinary())

    assert not answer.quantiles.any()
    assert not answer.mean.any()


@pytest.mark.parametrize("season", [1, 2, 7])
def test_point_forecasts_follow_their_definitions(season):
    rng = np.random.default_rng(3)
    rows = [rng.normal(size=rng.integers(1, 40)) for _ in range(30)]
    panel = panel_of(rows, season=season, horizon=16)
    expected = {
        "naive": [[y[-1]] * 16 for y in rows],
        "seasonal-naive": [[y[len(y) - season + h % season] if len(y) >= season else y[-1] for h in range(16)] for y in rows],
        "window-average": [[y[-(season if season > 1 else 14) :].mean()] * 16 for y in rows],
    }

    for name, points in expected.items():
        answer = forecast(MODELS[name], panel)
        assert answer.mean == pytest.approx(np.array(points), rel=1e-12, abs=1e-12)
        assert (answer.quantiles[..., MEDIAN] == answer.mean).all()


def test_only_series_below_a_season_are_marked_by_the_seasonal_naive_and_empty_ones_by_all():
    panel = panel_of([np.arange(float(n)) for n in range(12)], season=7)

    assert (forecast(floors.SeasonalNaive, panel).fallback == (np.arange(12) < 7)).all()
    for model in (floors.Naive, floors.WindowAverage, floors.Climatology):
        assert (forecast(model, panel).fallback == (np.arange(12) == 0)).all()


def test_spread_comes_from_past_errors_and_grows_with_the_root_of_steps_or_seasons():
    y = np.random.default_rng(4).normal(size=50)
    panel = panel_of([y], season=7, horizon=15)
    step, year = (np.sqrt(np.mean((y[lag:] - y[:-lag]) ** 2)) for lag in (1, 7))
    z = 1.2815515655446004

    naive, seasonal = (forecast(model, panel).quantiles[0] for model in (floors.Naive, floors.SeasonalNaive))

    assert naive[:, 8] - naive[:, MEDIAN] == pytest.approx(z * step * np.sqrt(np.arange(1, 16)))
    assert seasonal[:, 8] - seasonal[:, MEDIAN] == pytest.approx(z * year * np.sqrt([1] * 7 + [2] * 7 + [3]))
    assert naive[:, MEDIAN] - naive[:, 0] == pytest.approx(naive[:, 8] - naive[:, MEDIAN])


def test_a_gap_that_is_filled_with_the_last_value_does_not_narrow_the_spread():
    y = np.random.default_rng(5).normal(size=400)
    gappy = y.copy()
    gappy[50:350] = np.nan
    pairs = np.diff(y)[np.r_[0:49, 350:399]]

    answer = forecast(floors.Naive, panel_of([gappy], horizon=1)).quantiles[0, 0]

    assert answer[8] - answer[MEDIAN] == pytest.approx(1.2815515655446004 * np.sqrt(np.mean(pairs**2)))


@pytest.mark.parametrize(("name", "lag"), [("naive", 1), ("seasonal-naive", 7)])
def test_intervals_cover_what_they_promise_where_the_model_is_true(name, lag):
    walk = np.random.default_rng(6).normal(size=(3000, 120 // lag + 3, lag)).cumsum(axis=1).reshape(3000, -1)
    panel = panel_of(walk[:, :-15], season=7, horizon=15)

    answer, truth = forecast(MODELS[name], panel).quantiles, walk[:, -15:, None]

    assert (truth <= answer).mean(axis=(0, 1)) == pytest.approx(LEVELS, abs=0.02)


def test_a_window_average_of_noise_covers_what_it_promises_at_every_step():
    noise = np.random.default_rng(7).normal(size=(3000, 120))
    panel = panel_of(noise[:, :-10], season=7)

    covered = (noise[:, -10:, None] <= forecast(floors.WindowAverage, panel).quantiles).mean(axis=0)

    assert covered == pytest.approx(np.tile(LEVELS, (10, 1)), abs=0.03)


def test_a_window_average_of_a_walk_grows_less_sure_with_the_step():
    walk = np.random.default_rng(8).normal(size=(3000, 200)).cumsum(axis=1)
    panel = panel_of(walk[:, :-10], season=7)

    covered = (walk[:, -10:, None] <= forecast(floors.WindowAverage, panel).quantiles).mean(axis=0)

    assert covered[[0, -1], 8] == pytest.approx([0.9, 0.9], abs=0.03)


def test_climatology_is_numpys_quantiles_of_the_same_phase_or_of_all():
    rng = np.random.default_rng(9)
    y = rng.normal(size=7 * 8 + 3)
    y[20:27] = np.nan  # one week is missing, so that three phases of seven keep eight values
    panel = panel_of([y], season=7, horizon=9)
    phases = [y[(len(y) + h) % 7 :: 7] for h in range(9)]
    kept = [values[~np.isnan(values)] for values in phases]

    answer = forecast(floors.Climatology, panel)

    assert {len(values) >= 8 for values in kept} == {True, False}
    for h, values in enumerate(kept):
        chosen = values if len(values) >= 8 else y[~np.isnan(y)]
        assert answer.quantiles[0, h] == pytest.approx(np.quantile(chosen, LEVELS))
        assert answer.mean[0, h] == pytest.approx(chosen.mean())


def test_counts_are_cut_off_at_zero_and_sums_of_either_sign_are_not():
    y = [0.0, 3.0] * 20

    assert (forecast(floors.Naive, panel_of([y], counts=True)).quantiles >= 0).all()
    assert (forecast(floors.Naive, panel_of([y])).quantiles[..., 0] < 0).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.sampled_from([2.0**40, 2.0**-40, -1.0]))
def test_forecasts_follow_the_unit_of_the_series(seed, steps, unit):
    y = np.random.default_rng(seed).normal(size=steps)

    for model in MODELS.values():
        small, large = (forecast(model, panel_of([values], season=3)).quantiles for values in (y, unit * y))
        mirrored = small[..., :9] if unit > 0 else small[..., 8::-1]  # -y: the quantiles of the other side
        assert large[..., :9] == pytest.approx(unit * mirrored, rel=1e-9, abs=1e-9 * abs(unit))


def test_the_root_mean_square_of_huge_errors_does_not_overflow():
    assert rms(np.array([[3e200, -4e200, 1.0]]), np.array([[True, True, False]])) == pytest.approx([12.5**0.5 * 1e200])


@pytest.mark.parametrize(("name", "published"), [("naive", (43.003, 11.608)), ("seasonal-naive", (13.912, 1.193))])
def test_m4_hourly_gives_the_published_scores(name, published, real):
    panel, truth = m4_hourly(real)

    median = forecast(MODELS[name], panel).quantiles[..., MEDIAN]

    assert (round(smape(median, truth), 3), round(mase(median, truth, panel), 3)) == published


def test_the_horizon_is_that_of_the_panel_not_of_the_context():
    panel = ordinary()

    assert forecast(floors.Naive, panel, replace(CTX, horizon=3)).quantiles.shape[1] == panel.horizon
