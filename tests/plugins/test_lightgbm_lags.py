"""LightGBM on lags: better than the seasonal naive where there is more to learn, blind to what comes later, and the contract."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
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
    mase,
    ordinary,
    panel_of,
)

from bench.data.panel import KNOWN, Panel
from bench_plugins import _lag_features as lag_features
from bench_plugins import lightgbm_lags
from bench_plugins.forecast_floors import SeasonalNaive
from bench_plugins.lightgbm_lags import LightgbmLags, between, knots

FEW = replace(CTX, rows=300)
QUICK = {"n_estimators": 30}


def shops(n: int = 30, steps: int = 800, horizon: int = 14) -> tuple[Panel, Panel, np.ndarray]:
    """Make series with trend, weekly and yearly cycle: a panel to learn from, one to forecast from, and the truth."""
    rng, t = np.random.default_rng(0), np.arange(steps + horizon)
    week = np.exp(rng.normal(0, 0.4, (n, 7)))[np.arange(n)[:, None], t % 7]
    year = 1 + 0.3 * np.sin(2 * np.pi * t / 365.25)
    level = rng.lognormal(3, 1, (n, 1)) * np.maximum(1 + rng.normal(0.001, 0.001, (n, 1)) * t, 0.1)
    y = level * week * year * np.exp(rng.normal(0, 0.15, (n, steps + horizon)))
    return panel_of(y[:, : steps - horizon], horizon=horizon), panel_of(y[:, :steps], horizon=horizon), y[:, steps:]


@pytest.fixture(scope="module")
def learnt() -> LightgbmLags:
    return fitted(LightgbmLags, ordinary(), FEW, **QUICK)


def test_the_default_lies_in_the_space():
    space, default = LightgbmLags.space(), LightgbmLags.default()

    assert space.keys() == default.keys()
    assert all(space[key]._contains(space[key].to_internal_repr(default[key])) for key in space)


def test_it_beats_the_seasonal_naive_and_covers_about_what_it_promises():
    train, later, truth = shops()
    answer = fitted(LightgbmLags, train, replace(CTX, rows=3000)).predict(later, CTX)

    median = answer.quantiles[..., MEDIAN]
    covered = (truth <= answer.quantiles[..., 8]).mean() - (truth < answer.quantiles[..., 0]).mean()

    assert mase(median, truth, later) < 0.85 * mase(forecast(SeasonalNaive, later).mean, truth, later)
    assert mase(answer.mean, truth, later) < 0.85 * mase(forecast(SeasonalNaive, later).mean, truth, later)
    assert covered == pytest.approx(0.8, abs=0.12)


def test_a_year_is_learnt_where_the_data_hold_it_twice_and_not_before():
    """In less, the day of the year is the time that has passed by another name: a drift of the level would be learnt as a season."""
    two, one = (panel_of([np.zeros(days)]) for days in (740, 720))
    assert lag_features.seen_twice(two).all()
    assert [name for name, seen in zip(KNOWN, lag_features.seen_twice(one), strict=True) if not seen] == ["year_sin", "year_cos"]
    assert lag_features.seen_twice(replace(one, freq="")).all(), "numbered steps have no year, and no column that says so"

    rng, t = np.random.default_rng(0), np.arange(400)
    drift = 20 * np.exp(0.6 * np.sin(t / 60)) * np.ones((12, 1)) + rng.normal(0, 1, (12, 400))
    panel = panel_of(drift[:, :390])
    model = fitted(LightgbmLags, panel, FEW, **QUICK)
    elsewhere = replace(panel, known=np.roll(panel.known, 200, axis=1) * [0, 0, 0, 0, 0, 0, 1, 1] + panel.known * [1, 1, 1, 1, 1, 1, 0, 0])
    assert not np.array_equal(elsewhere.known, panel.known)
    assert (model.predict(elsewhere, CTX).quantiles == model.predict(panel, CTX).quantiles).all(), "the day of the year plays no part"


@pytest.mark.parametrize("counts", [False, True])
def test_any_series_gets_a_finite_forecast_in_silence(counts, capfd):
    panel = awkward(counts=counts)

    answer = fitted(LightgbmLags, panel, FEW, **QUICK).predict(panel, CTX)

    assert_contract(answer, panel)
    assert (answer.fallback == (panel.lengths == 0)).all()
    assert capfd.readouterr() == ("", "")


def test_series_that_were_not_trained_on_are_served_as_well(learnt):
    assert_contract(learnt.predict(awkward(), CTX), awkward())


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (1, 1)])
def test_a_panel_without_series_or_without_steps_is_served(shape, learnt):
    n, steps = shape
    panel = panel_of([np.ones(steps)] * max(n, 1)).take(np.arange(n))

    assert_contract(learnt.predict(panel, CTX), panel)
    assert_contract(forecast(LightgbmLags, panel), panel)


def test_where_no_window_can_be_learnt_from_the_seasonal_naive_serves_all_and_says_so(tmp_path):
    panel = panel_of([np.arange(8.0), np.arange(10.0)], horizon=10)

    model = fitted(LightgbmLags, panel)
    answer = model.predict(panel, CTX)

    assert answer.fallback.all()
    assert (answer.quantiles == forecast(SeasonalNaive, panel).quantiles).all()
    assert_saved(model, panel, tmp_path)


def test_series_do_not_influence_each_other(learnt):
    assert not LightgbmLags.local
    assert not LightgbmLags.deterministic
    assert_independent(learnt, awkward())


def test_the_panel_is_left_as_it_was():
    assert_untouched(LightgbmLags, ordinary(3, 40))


def test_a_saved_model_forecasts_the_same(learnt, tmp_path):
    assert_saved(learnt, ordinary(seed=3), tmp_path)


def test_the_same_seed_gives_the_same_forecast_and_another_seed_another(learnt):
    again, other = (fitted(LightgbmLags, ordinary(), replace(FEW, seed=seed), **QUICK) for seed in (0, 1))
    first = learnt.predict(ordinary(seed=3), CTX).quantiles

    assert (again.predict(ordinary(seed=3), CTX).quantiles == first).all()
    assert not (other.predict(ordinary(seed=3), CTX).quantiles == first).all()


def test_forecasts_follow_the_unit_of_the_series(learnt):
    small = ordinary(seed=3)
    large = replace(small, values=small.values * 2.0**20)

    assert learnt.predict(large, CTX).quantiles == pytest.approx(2.0**20 * learnt.predict(small, CTX).quantiles, rel=1e-9)


def test_trees_stop_when_told():
    model = fitted(LightgbmLags, ordinary(), replace(FEW, deadline=0.0))

    assert {trees.num_trees() for trees in model.trees.values()} == {1}


def test_at_most_the_allowed_windows_and_pairs_are_drawn_and_they_end_within_the_panel():
    panel = ordinary(20, 100)

    every, some = (lag_features.drawn(panel, rows, 10**9, 0) for rows in (None, 50))
    few = lag_features.drawn(panel, 50, 70, 0)

    windows = {(n, t) for n, t in zip(some.series, some.origin, strict=True)}
    assert len(windows) == 50
    assert len(few) == 70
    assert (every.origin + panel.horizon <= panel.steps).all()
    assert (every.origin > panel.start[every.series]).all()
    assert panel.mask[every.series, every.origin + every.ahead].all()
    reach = [panel.mask[n, t : t + 10].sum() for n in range(20) for t in range(panel.start[n] + 1, panel.steps - 9)]
    assert len(every) == sum(reach)


def test_features_do_not_look_at_the_origin_or_behind_it():
    panel = ordinary(6, 80)
    pairs = lag_features.drawn(panel, None, 10**9, 0)
    pairs = lag_features.Pairs(*(x[pairs.origin == 60] for x in (pairs.series, pairs.origin, pairs.ahead)))
    values = panel.values.copy()
    values[:, 60:] = np.random.default_rng(5).normal(1e6, 1e6, values[:, 60:].shape)

    seen, changed = (
        lag_features.lay_out(lag_features.Source(given, (7,)), pairs, 14) for given in (panel, replace(panel, values=values))
    )  # fmt: skip

    assert len(pairs) > 30
    for name in ("x", "anchor", "scale"):
        assert np.array_equal(getattr(seen, name), getattr(changed, name), equal_nan=True)


def test_a_window_of_training_and_the_last_window_of_a_panel_that_ends_there_have_the_same_features():
    panel = ordinary(6, 80)
    ended = panel.ending(np.full(6, 60))
    series, ahead = np.divmod(np.arange(60), 10)
    inside = lag_features.lay_out(
        lag_features.Source(panel, lag_features.turns_of(panel)), lag_features.Pairs(series, np.full(60, 60), ahead), 14
    )

    at_the_end = lag_features.lay_out(lag_features.Source(ended, lag_features.turns_of(panel)), lag_features.all_steps(ended), 14)

    assert np.array_equal(inside.x, at_the_end.x, equal_nan=True)


def test_features_of_a_small_series_are_what_they_are_called():
    y = np.array([4.0, 0.0, 2.0, 6.0, 8.0, 10.0])
    panel = panel_of([y], season=2, horizon=3)

    laid = lag_features.lay_out(lag_features.Source(panel, lag_features.turns_of(panel)), lag_features.all_steps(panel), 3)
    row = dict(zip(("lag1", "lag2", "lag3", "before", "two", "all", "size", "share", "ago"), laid.x[1], strict=False))
    same = laid.x[1, 9:13]

    assert laid.anchor == pytest.approx([9, 9, 9])  # mean of 8, 10
    assert laid.scale == pytest.approx([(1 + 1 + 3 + 7) / 4] * 3)
    assert row["lag1"] == pytest.approx(1 / 3)
    assert row["lag3"] == pytest.approx(-1)
    assert row["before"] == pytest.approx((4 - 9) / 3)
    assert row["all"] == pytest.approx((5 - 9) / 3)
    assert row["share"] == pytest.approx(5 / 6)
    assert row["ago"] == 0
    assert same[:3] == pytest.approx((np.array([10, 6, 0]) - 9) / 3)  # one step ahead: the phase of 10, 6, 0
    assert np.isnan(same[3])
    assert laid.x[:, -1].tolist() == [0, 1, 2]


def test_rare_counts_are_measured_in_demands_not_in_their_small_noise():
    y = np.zeros(100)
    y[5] = 4
    panel = panel_of([y], counts=True)

    laid = lag_features.lay_out(lag_features.Source(panel, lag_features.turns_of(panel)), lag_features.all_steps(panel), 4)

    assert laid.scale == pytest.approx(np.full(10, 4 * 0.99))


def test_few_levels_carry_trees_the_outermost_and_the_median_among_them():
    assert knots(LEVELS[:9]) == (0.1, 0.3, 0.5, 0.7, 0.9)
    assert {0.1, 0.5, 0.99} < set(knots(LEVELS))
    assert len(knots(LEVELS)) <= 6
    assert knots((0.1, 0.5, 0.9)) == (0.1, 0.5, 0.9)
    assert knots((0.5,)) == (0.5,)


def test_between_the_levels_quantiles_lie_on_a_normal_and_never_cross():
    z = np.array([-1.2815515655446004, 0.0, 1.2815515655446004])
    normal = between(10 + 2 * z[None], (0.1, 0.5, 0.9), (0.1, 0.25, 0.5, 0.75, 0.9))

    assert normal[0] == pytest.approx([10 - 2.5631031, 10 - 1.3489795, 10, 10 + 1.3489795, 10 + 2.5631031])
    assert (np.diff(between(np.array([[3.0, 1.0, 2.0]]), (0.1, 0.5, 0.9), LEVELS)) >= 0).all()
    assert between(np.array([[3.0]]), (0.5,), (0.1, 0.5)).tolist() == [[3.0, 3.0]]


def test_the_most_pairs_hold_whatever_the_profile_allows(monkeypatch):
    monkeypatch.setattr(lightgbm_lags, "EXAMPLES", 40)
    asked, lay_out = [], lightgbm_lags.lay_out
    monkeypatch.setattr(lightgbm_lags, "lay_out", lambda source, pairs, lags: asked.append(len(pairs)) or lay_out(source, pairs, lags))

    fitted(LightgbmLags, ordinary(), replace(CTX, rows=None), **QUICK)

    assert asked == [40]


def test_cycles_are_found_in_the_data_whatever_the_metrics_season_is(tmp_path):
    """A cycle of 24 steps, and one of 168 behind it, in a panel whose metric has no season."""
    rng, t = np.random.default_rng(0), np.arange(24 * 7 * 6 + 48)
    shape = rng.normal(0, 1, (8, 24))[:, t % 24] * np.where(t // 24 % 7 < 5, 1.0, 0.2)
    y = 100 * (10 + shape + rng.normal(0, 0.1, (8, len(t))))
    blind, told, later = (panel_of(y[:, :end], season=m, horizon=48) for end, m in ((-96, 1), (-96, 24), (-48, 1)))
    naive = np.abs(np.diff(later.values)).mean()

    model = fitted(LightgbmLags, blind, FEW, **QUICK)
    error = np.abs(model.predict(later, CTX).quantiles[..., MEDIAN] - y[:, -48:]).mean()

    assert lag_features.turns_of(blind) == lag_features.turns_of(told) == (24, 168)
    assert model.turns == (24, 168)
    assert error < 0.5 * naive
    assert_saved(model, later, tmp_path)


def test_where_the_data_show_no_cycle_the_metrics_season_is_looked_at():
    noise = np.random.default_rng(0).normal(0, 1, (5, 200))

    assert lag_features.turns_of(panel_of(noise, season=9)) == (9,)
    assert lag_features.turns_of(panel_of(noise, season=1)) == (1,)
