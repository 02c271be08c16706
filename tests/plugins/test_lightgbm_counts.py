"""Trees that correct a mean: negbin where there is nothing to learn, better where there is, blind to what comes later, and the contract."""

from __future__ import annotations

from dataclasses import replace

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
from plugins.test_forecast_counts import pinball, sold

from bench.data.panel import Panel
from bench_plugins import lightgbm_counts
from bench_plugins._count_means import factors
from bench_plugins._count_trees import Counts, aged, common
from bench_plugins._lag_features import Pairs, all_steps, drawn
from bench_plugins.forecast_counts import NegBin
from bench_plugins.lightgbm_counts import SHARES, LightgbmCounts

HORIZON = 14


def leaving(n: int = 150, steps: int = 200, seed: int = 0) -> np.ndarray:
    """Draw users who write about once a day until they leave for good, some each week: a silence means more than their mean says."""
    rng = np.random.default_rng(seed)
    rate, gone = rng.lognormal(0.3, 0.5, (n, 1)), rng.integers(40, 2 * steps, (n, 1))
    return rng.poisson(np.where(np.arange(steps) < gone, rate, 0.0)).astype(float)


def cut(y: np.ndarray) -> tuple[Panel, Panel, np.ndarray]:
    """Return a panel to learn from, one to forecast from, and the truth."""
    early, late = y[:, : -2 * HORIZON], y[:, :-HORIZON]
    return panel_of(early, horizon=HORIZON, counts=True), panel_of(late, horizon=HORIZON, counts=True), y[:, -HORIZON:]


@pytest.fixture(scope="module")
def learnt() -> LightgbmCounts:
    model = fitted(LightgbmCounts, cut(leaving())[0])
    assert model.trees is not None
    return model


def test_the_default_lies_in_the_space() -> None:
    space, default = LightgbmCounts.space(), LightgbmCounts.default()
    assert space.keys() == default.keys()
    assert all(space[key]._contains(space[key].to_internal_repr(default[key])) for key in space)


def test_it_learns_over_all_series_what_a_silence_means(learnt: LightgbmCounts) -> None:
    for seed in range(3):
        _, later, truth = cut(leaving(seed=seed))
        answer, base = learnt.predict(later, CTX), forecast(NegBin, later)
        assert pinball(answer.quantiles, truth) < 0.95 * pinball(base.quantiles, truth)
        silent = (later.values[:, -7:] == 0).all(axis=1) & (base.mean[:, 0] > 0.2)
        assert silent.any()
        assert np.asarray(answer.mean)[silent].sum() < 0.5 * np.asarray(base.mean)[silent].sum()


def test_where_there_is_nothing_to_find_it_stays_near_negbin() -> None:
    for seed in range(4):
        train, later, truth = cut(sold(steps=200, seed=seed))
        base = pinball(forecast(NegBin, later).quantiles, truth)
        assert pinball(fitted(LightgbmCounts, train).predict(later, CTX).quantiles, truth) < 1.02 * base


@pytest.mark.parametrize("panel", [ordinary(), panel_of(leaving(3, 30), horizon=HORIZON, counts=True), awkward()])
def test_what_counts_nothing_or_has_too_few_windows_is_forecast_by_negbin(panel: Panel) -> None:
    model = fitted(LightgbmCounts, panel)
    answer, base = model.predict(panel, CTX), forecast(NegBin, panel)
    assert (model.trees, model.share) == (None, 0.0)
    assert np.array_equal(answer.quantiles, base.quantiles)
    assert np.array_equal(answer.mean, base.mean)


def test_the_share_of_the_correction_is_chosen_by_what_the_trees_have_not_seen() -> None:
    """The last windows are turned upside down: what was right before is wrong there."""
    y = leaving()
    assert fitted(LightgbmCounts, panel_of(y, horizon=HORIZON, counts=True)).share > 0
    silent = (y[:, -42:-28] == 0).all(axis=1)
    y[silent, -28:] = 5.0
    assert fitted(LightgbmCounts, panel_of(y, horizon=HORIZON, counts=True)).share == 0.0


def test_what_all_series_share_at_a_step_is_told_from_the_week() -> None:
    steps, season, each = 140, 7, 50
    level = np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.1, steps)))
    week = np.exp(np.sin(np.arange(steps) * 2 * np.pi / 7))
    step = np.repeat(np.arange(steps), each)
    foreseen = np.full(len(step), 1e4)
    found = common(step, (1e4 * level * week)[step], foreseen, np.ones(len(step)), season)
    drift = np.log(level)
    usual = np.array([drift[p::season].mean() for p in range(season)])
    assert found == pytest.approx((drift - usual[np.arange(steps) % season])[step], abs=1e-3)
    assert common(step, foreseen * week[step], foreseen, np.ones(len(step)), season) == pytest.approx(0.0, abs=1e-9)


def test_of_few_counts_nothing_common_is_believed() -> None:
    step = np.arange(70)
    found = common(step, np.where(step == 30, 2.0, 0.02), np.full(70, 0.02), np.ones(70), 7)
    assert np.abs(found).max() < 0.4, "a hundred times what was foreseen, of one series"


def test_features_do_not_look_at_the_origin_or_behind_it_and_are_those_of_a_panel_that_ends_there() -> None:
    panel = ordinary(6, 100, counts=True)
    pairs = drawn(panel, None, 10**9, 0)
    pairs = Pairs(*(x[pairs.origin == 60] for x in (pairs.series, pairs.origin, pairs.ahead)))
    values = panel.values.copy()
    values[:, 60:] = np.random.default_rng(5).poisson(1e6, values[:, 60:].shape)
    ended = panel.ending(np.full(6, 60))
    laid = [Counts(given, (7,), 0.03, 20.0).lay_out(pairs, 9) for given in (panel, replace(panel, values=values))]
    every = Counts(ended, (7,), 0.03, 20.0).lay_out(all_steps(ended), 9)
    at = pairs.series * ended.horizon + pairs.ahead
    assert len(pairs) > 30
    for name in ("x", "offset"):
        first, changed = (getattr(one, name) for one in laid)
        assert np.array_equal(first, changed, equal_nan=True)
        assert np.allclose(first, getattr(every, name)[at], equal_nan=True, rtol=1e-6)


def test_the_offset_is_the_aged_mean_times_the_phase() -> None:
    y = sold(5, 100)
    panel = panel_of(y, horizon=HORIZON, counts=True)
    laid = Counts(panel, (7,), 0.1, 20.0).lay_out(all_steps(panel), 3)
    weight = 0.9 ** np.arange(100)[::-1]
    mean = (y * weight).sum(axis=1) / weight.sum()
    assert aged(panel, 0.1)[:, -1] == pytest.approx(mean)
    wanted = (mean + 0.02)[:, None] * factors(panel)[:, (100 + np.arange(HORIZON)) % 7]
    assert np.exp(laid.offset).reshape(5, HORIZON) == pytest.approx(wanted)


@pytest.mark.parametrize("counts", [False, True])
def test_any_series_gets_a_finite_forecast_in_silence(counts: bool, learnt: LightgbmCounts, capfd: pytest.CaptureFixture[str]) -> None:
    panel = awkward(counts=counts)
    assert_contract(fitted(LightgbmCounts, panel).predict(panel, CTX), panel)
    assert_contract(learnt.predict(awkward(counts=True), CTX), awkward(counts=True))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (1, 1)])
def test_a_panel_without_series_or_without_steps_is_served(shape: tuple[int, int], learnt: LightgbmCounts) -> None:
    n, steps = shape
    panel = panel_of([np.ones(steps)] * max(n, 1), counts=True).take(np.arange(n))
    assert_contract(learnt.predict(panel, CTX), panel)
    assert_contract(forecast(LightgbmCounts, panel), panel)


def test_series_are_independent_the_panel_untouched_and_a_saved_model_the_same(learnt: LightgbmCounts, tmp_path: object) -> None:
    later = cut(leaving(20, seed=4))[1]
    assert not LightgbmCounts.local
    assert_independent(learnt, later)
    assert_untouched(LightgbmCounts, later)
    assert_saved(learnt, later, tmp_path)
    assert_saved(fitted(LightgbmCounts, ordinary(3, 40)), ordinary(3, 40), tmp_path)


def test_the_same_seed_gives_the_same_forecast_and_trees_stop_when_told(learnt: LightgbmCounts) -> None:
    train, later, _ = cut(leaving())
    again = fitted(LightgbmCounts, train)
    assert (again.predict(later, CTX).quantiles == learnt.predict(later, CTX).quantiles).all()
    stopped = fitted(LightgbmCounts, train, replace(CTX, deadline=0.0))
    assert stopped.trees is None or stopped.trees.num_trees() == 1
    assert stopped.share in SHARES


def test_long_panels_are_laid_out_in_blocks(learnt: LightgbmCounts, monkeypatch: pytest.MonkeyPatch) -> None:
    later = cut(leaving(20, seed=4))[1]
    whole = learnt.predict(later, CTX).quantiles
    monkeypatch.setattr(lightgbm_counts, "BLOCK", 33)
    monkeypatch.setattr("bench_plugins._lag_features.BLOCK", 33)
    assert (learnt.predict(later, CTX).quantiles == whole).all()
    assert whole.shape[-1] == len(LEVELS)
