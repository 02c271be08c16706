"""ARIMA and state space under the contract: any series, no look ahead, no neighbours, links and back, and the time bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.api import ArrayModel, Context
from bench.data.panel import Forecast, Panel, filled
from bench_plugins import _links as links
from bench_plugins.arima import Arima
from bench_plugins.state_space import StateSpace

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MODELS: dict[str, type[ArrayModel]] = {"arima": Arima, "state-space": StateSpace}
both = pytest.mark.parametrize("model", [Arima, StateSpace])


def panel(rows: Any, *, season: int = 7, horizon: int = 0, counts: bool = False, until: Any = None) -> Panel:
    """Right-align series of any lengths; NaN is a missing step."""
    steps = max(map(len, rows))
    grid = np.full((len(rows), steps), np.nan)
    for row, values in zip(grid, rows, strict=True):
        row[steps - len(values) :] = values
    values, mask, start = filled(grid)
    return Panel(
        values=values,
        mask=mask,
        start=start,
        until=np.full(len(rows), steps) if until is None else np.asarray(until),
        time=np.arange(steps + horizon)[None],
        known=np.zeros((1, steps + horizon, 8), np.float32),
        freq="",
        season=season,
        horizon=horizon,
        counts=counts,
    )


def odd_series(steps: int = 90) -> list[np.ndarray]:
    """Everything that a log may hold."""
    rng = np.random.default_rng(0)
    week = np.sin(np.arange(steps) * 2 * np.pi / 7)
    gaps = np.where(rng.random(steps) < 0.3, np.nan, week + rng.normal(size=steps))
    tail = np.where(np.arange(steps) > steps - 12, np.nan, week)
    spike = np.where(np.arange(steps) == 30, 1e300, week)
    return [
        week + 0.1 * rng.normal(size=steps),
        np.full(steps, 5.0),
        np.zeros(steps),
        np.zeros(0),
        np.array([3.0]),
        np.array([3.0, 4.0]),
        np.array([3.0, np.nan, 5.0]),
        gaps,
        tail,
        1e12 * (2 + week),
        -50 + week,
        spike,
        -spike,
        np.arange(steps) ** 2.0,
        rng.poisson(0.05, steps).astype(float),
        np.r_[np.zeros(steps - 1), 1.0],
        week,
        np.full(steps, 1e300),
        1e-12 * week,
    ]


@both
@pytest.mark.parametrize("transform", links.TRANSFORMS)
@pytest.mark.parametrize("counts", [False, True])
def test_any_series_gets_a_finite_forecast_with_ordered_quantiles(model: type[ArrayModel], transform: str, counts: bool):
    rows = [np.abs(row) if counts else row for row in odd_series()]
    given = panel(rows, horizon=14, counts=counts)
    found = model({"transform": transform}).predict(given, Context(quantiles=LEVELS))
    assert found.quantiles.shape == (len(rows), 14, 9)
    assert found.mean.shape == (len(rows), 14)
    assert np.isfinite(found.quantiles).all()
    assert np.isfinite(found.mean).all()
    assert (np.diff(found.quantiles, axis=2) >= 0).all()
    assert not counts or (found.quantiles.min() >= 0 and found.mean.min() >= 0)
    np.testing.assert_array_equal(np.flatnonzero(found.fallback), [3, 4, 5, 6])
    np.testing.assert_allclose(found.quantiles[1], 5.0, rtol=1e-9)
    np.testing.assert_allclose(found.quantiles[2], 0.0, atol=1e-9)


@both
@pytest.mark.parametrize("counts", [False, True])
def test_any_series_gets_finite_scores_and_none_where_nothing_was_observed(model: type[ArrayModel], counts: bool):
    rows = [np.abs(row) if counts else row for row in odd_series()]
    late = [np.where(np.arange(len(row)) == len(row) - 5, 1e300, row) for row in rows]
    for some in (rows, late):
        given = panel(some, counts=counts, until=np.full(len(some), 60))
        score = model({}).predict(given, Context())
        assert score.shape == given.values.shape
        assert np.isfinite(score).all()
        assert (score >= 0).all()
        assert not score[~given.mask].any()


@both
@pytest.mark.parametrize("horizon", [0, 5])
def test_empty_panels_and_panels_without_steps_are_served(model: type[ArrayModel], horizon: int):
    none = panel([np.ones(20)], horizon=horizon).take(np.zeros(0, int))
    bare = panel([np.zeros(0), np.zeros(0)], horizon=horizon)
    for empty in (none, bare):
        found = model({}).predict(empty, Context(quantiles=LEVELS))
        shape = (len(empty), horizon, 9) if horizon else empty.values.shape
        assert (found.quantiles if horizon else found).shape == shape


@both
def test_one_very_long_series_leaves_its_short_neighbours_alone(model: type[ArrayModel]):
    rng = np.random.default_rng(1)
    rows = [rng.normal(size=3000).cumsum(), rng.normal(size=5), rng.normal(size=60)]
    found = model({}).predict(panel(rows, horizon=7), Context(quantiles=LEVELS))
    alone = model({}).predict(panel(rows[2:], horizon=7), Context(quantiles=LEVELS))
    np.testing.assert_allclose(found.quantiles[2], alone.quantiles[0], rtol=1e-6)
    np.testing.assert_array_equal(found.fallback, [False, True, False])
    score = model({}).predict(panel(rows, until=[1000, 3000, 2990]), Context())
    assert np.isfinite(score).all()


@both
def test_a_shock_is_scored_above_everything_else(model: type[ArrayModel]):
    rng = np.random.default_rng(2)
    y = np.sin(np.arange(300) * 2 * np.pi / 7)[None] + 0.1 * rng.normal(size=(4, 300))
    y[[0, 1], [250, 270]] += 2.0
    score = model({}).predict(panel(y, until=np.full(4, 200)), Context())
    np.testing.assert_array_equal(score[:2].argmax(axis=1), [250, 270])
    assert score[2:, 200:].max() < 5
    assert 0.7 < np.sqrt((score[2:, 100:200] ** 2).mean()) < 1.3  # in standard deviations


@both
def test_a_score_depends_on_no_later_step(model: type[ArrayModel]):
    rows = [row[-90:] for row in odd_series() if len(row) == 90][:10]
    until = np.full(len(rows), 55)
    score = model({}).predict(panel(rows, until=until), Context())
    later = np.random.default_rng(3).normal(size=(len(rows), 20)) * 10
    changed = [np.r_[row[:70], more] for row, more in zip(rows, later, strict=True)]
    again = model({}).predict(panel(changed, until=until), Context())
    np.testing.assert_allclose(again[:, :70], score[:, :70], rtol=1e-9, atol=1e-9)
    assert (np.abs(again - score)[:, 70:].max(axis=1) > 1).sum() == 8  # the other two hold 1e300, beside which all is 0


@both
@pytest.mark.parametrize("horizon", [0, 9])
def test_a_series_is_answered_alike_alone_and_in_company(model: type[ArrayModel], horizon: int):
    rows = odd_series()
    whole = panel(rows, horizon=horizon, until=np.full(len(rows), 90 if horizon else 60))
    ctx = Context(quantiles=LEVELS)

    def answer(part: Panel) -> np.ndarray:
        found = model({}).predict(part, ctx)
        return found.quantiles if isinstance(found, Forecast) else found

    together = answer(whole)
    for n in range(len(rows)):
        alone = answer(whole.take(np.array([n])))[0]
        np.testing.assert_allclose(alone, together[n], rtol=1e-6, atol=1e-9 * np.abs(together[n]).max())


@both
def test_another_unit_and_another_origin_change_nothing_but_themselves(model: type[ArrayModel]):
    rng = np.random.default_rng(4)
    y = 10 + np.sin(np.arange(200) * 2 * np.pi / 7) + 0.3 * rng.normal(size=(3, 200)).cumsum(axis=1)
    ctx = Context(quantiles=LEVELS)
    plain = model({"transform": "none"}).predict(panel(y, horizon=7), ctx)
    moved = model({"transform": "none"}).predict(panel(1e6 * y - 3e6, horizon=7), ctx)
    np.testing.assert_allclose(moved.quantiles, 1e6 * plain.quantiles - 3e6, rtol=1e-5)


@both
def test_what_lies_behind_until_changes_no_estimate(model: type[ArrayModel]):
    rng = np.random.default_rng(5)
    y = rng.normal(size=(3, 120)).cumsum(axis=1)
    until = np.array([60, 90, 120])
    wild = np.where(np.arange(120) >= until[:, None], 1e5, y)
    one, other = (model({}).predict(panel(x, until=until), Context()) for x in (y, wild))
    before = np.arange(120) < until[:, None]
    np.testing.assert_allclose(one[before], other[before], rtol=1e-9)


@both
def test_intervals_hold_what_they_promise_on_a_random_walk(model: type[ArrayModel]):
    y = np.random.default_rng(6).normal(size=(100, 130)).cumsum(axis=1)
    found = model({"transform": "none"}).predict(panel(y[:, :-10], horizon=10), Context(quantiles=LEVELS))
    inside = (found.quantiles[..., 0] <= y[:, -10:]) & (y[:, -10:] <= found.quantiles[..., -1])
    assert 0.7 < inside.mean() < 0.88
    width = found.quantiles[..., -1] - found.quantiles[..., 0]
    assert np.median(width[:, -1] / width[:, 0]) == pytest.approx(np.sqrt(10), rel=0.35)


@both
def test_steps_missing_at_the_end_widen_the_forecast(model: type[ArrayModel]):
    y = np.random.default_rng(7).normal(size=160).cumsum()
    hole = np.r_[y[:-20], np.full(20, np.nan)]
    ctx = Context(quantiles=LEVELS)
    full, late = (model({"transform": "none"}).predict(panel([x], horizon=5), ctx) for x in (y[:-20], hole))
    width = [np.ptp(found.quantiles[0, 0]) for found in (full, late)]
    assert width[1] == pytest.approx(width[0] * np.sqrt(21), rel=0.3)


@both
def test_when_the_time_is_out_every_series_still_gets_a_marked_forecast(model: type[ArrayModel]):
    rng = np.random.default_rng(8)
    y = 50 + rng.normal(size=(6, 100))
    given = panel(y, horizon=7)
    late = model({}).predict(given, Context(quantiles=LEVELS, deadline=0.0))
    assert late.fallback.all()
    assert np.isfinite(late.quantiles).all()
    assert (np.abs(late.mean - 50) < 5).all()
    assert np.isfinite(model({}).predict(replace(given, horizon=0), Context(deadline=0.0))).all()


@pytest.mark.parametrize("name", MODELS)
def test_metadata_and_space_are_sound(name: str, tmp_path: Path):
    model = MODELS[name]
    space, default = model.space(), model.default()
    assert (model.name, model.runtime, model.deterministic, model.local) == (name, "none", True, True)
    assert set(default) == set(space)
    assert all(space[key]._contains(space[key].to_internal_repr(value)) for key, value in default.items())
    made = model(default)
    made.fit(panel([np.ones(30)]), Context())
    made.save(tmp_path)
    model(default).load(tmp_path)


@both
def test_every_corner_of_the_space_forecasts(model: type[ArrayModel]):
    rng = np.random.default_rng(9)
    given = panel(5 + rng.random((3, 80)), horizon=7)
    for key, choice in model.space().items():
        for value in getattr(choice, "choices", None) or (choice.low, choice.high):
            found = model({**model.default(), key: value}).predict(given, Context(quantiles=LEVELS))
            assert np.abs(found.quantiles - 5.5).max() < 5, (key, value)
            assert not found.fallback.any()


# ---- links


def link(y: np.ndarray, transform: str, *, counts: bool = False, season: int = 7) -> links.Link:
    return links.Link.of(links.History.of(panel([y], counts=counts), 10_000), transform, season, counts=counts)


@given(st.lists(st.floats(0.5, 1e6), min_size=3, max_size=20), st.sampled_from(links.TRANSFORMS), st.booleans())
@settings(max_examples=50, deadline=None)
def test_a_link_and_its_way_back_are_inverse(values: list[float], transform: str, counts: bool):
    y = np.array(values)
    there = link(y, transform, counts=counts)
    z = there.forward(y[None])
    back = there.forecast(z, np.zeros_like(z), (0.5,), np.zeros(1, bool))
    np.testing.assert_allclose(back.quantiles[0, :, 0], y, rtol=1e-6)
    np.testing.assert_allclose(back.mean[0], y, rtol=1e-6)


@pytest.mark.parametrize("transform", ["none", "sqrt", "log"])
@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("at", [-1.0, 0.0, 1.0])
def test_the_mean_is_that_of_the_predictive_distribution(transform: str, counts: bool, at: float):
    there = link(np.array([1.0, 4.0, 2.0, 9.0, 5.0, 7.0]), transform, counts=counts)
    levels = tuple((np.arange(20_000) + 0.5) / 20_000)
    found = there.forecast(np.full((1, 1), at), np.full((1, 1), 0.4), levels, np.zeros(1, bool))
    assert found.mean[0, 0] == pytest.approx(found.quantiles.mean(), rel=2e-3)


def test_a_link_that_the_values_do_not_allow_gives_way_to_the_identity():
    negative, zero = np.array([-1.0, 2.0, 3.0]), np.array([0.0, 2.0, 3.0])
    assert link(negative, "log").power[0] == link(negative, "sqrt").power[0] == link(zero, "log").power[0] == 1
    assert link(zero, "sqrt").power[0] == 0.5
    assert link(zero, "log", counts=True).power[0] == 0


@pytest.mark.parametrize(("spread", "power"), [(lambda m: 0.1 * m, 0.0), (lambda m: 0.3 * np.sqrt(m), 0.5), (lambda m: 1.0 + 0 * m, 1.0)])
def test_guerrero_finds_the_power_that_steadies_the_spread(spread: Callable[[np.ndarray], np.ndarray], power: float):
    level = np.repeat(np.linspace(10, 200, 30), 12)
    y = level + spread(level) * np.tile(np.linspace(-1, 1, 12), 30)
    assert links.guerrero(y[None], np.ones((1, 360), bool), 12)[0] == power


def test_a_forecast_on_the_log_scale_ends_at_ten_times_the_largest_value():
    there = link(np.array([1.0, 2.0, 3.0, 2.0]), "log", counts=True)
    found = there.forecast(np.zeros((1, 1)), np.full((1, 1), 1e3), (0.1, 0.9), np.zeros(1, bool))
    assert found.quantiles[0, 0, 1] <= 30
    assert found.mean[0, 0] <= 30
