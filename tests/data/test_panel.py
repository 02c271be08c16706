"""The panel keeps its series right-aligned and its clock in step, however it is cut; and a cut forgets what came after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.panel import KNOWN, Forecast, Panel, calendar, filled
from bench.errors import PluginError

HOUR, DAY = 3_600_000_000, 86_400_000_000
ROWS = ("values", "mask", "start", "until", "time", "known")


def make(n: int, steps: int, horizon: int, seed: int, *, own_time: bool = False) -> Panel:
    """Make a panel of series that begin anywhere (or never), with steps missing."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(n, steps))
    raw[rng.random((n, steps)) < 0.3] = np.nan
    raw[np.arange(steps) < rng.integers(0, steps + 1, n)[:, None]] = np.nan
    values, mask, start = filled(raw)
    number = 100 + np.arange(steps + horizon) + (10 * np.arange(n)[:, None] if own_time else np.zeros((1, 1), np.int64))
    known = calendar(number * HOUR, number, 5, HOUR)
    until = np.full(n, steps)
    return Panel(
        values=values, mask=mask, start=start, until=until, time=number * HOUR, known=known, freq="h", season=5, horizon=horizon
    )  # fmt: skip


panels = st.builds(
    make, st.integers(0, 5), st.integers(1, 12), st.integers(0, 4), st.integers(0, 10**6), own_time=st.booleans()
)  # fmt: skip


def clock_of(panel: Panel, n: int) -> np.ndarray:
    return panel.time[n if len(panel.time) > 1 else 0]


def known_of(panel: Panel, n: int) -> np.ndarray:
    return panel.known[n if len(panel.known) > 1 else 0]


def assert_whole(panel: Panel, n: int, steps: int, horizon: int) -> None:
    """Check that all arrays agree on N, T and H, that padding is 0, and that nothing observed lies before a start."""
    assert (len(panel), panel.steps, panel.horizon) == (n, steps, horizon)
    assert panel.mask.shape == (n, steps)
    assert panel.start.shape == panel.until.shape == (n,)
    assert panel.time.shape[0] in {1, n}
    assert panel.time.shape[1] == panel.known.shape[1] == steps + horizon
    padding = np.arange(steps) < panel.start[:, None]
    assert not panel.mask[padding].any()
    assert (panel.values[padding] == 0).all()
    assert np.isfinite(panel.values).all()
    assert ((panel.start >= 0) & (panel.start <= steps)).all()


@settings(max_examples=100, deadline=None)
@given(panel=panels, data=st.data())
def test_a_cut_keeps_each_series_and_its_clock_right_aligned(panel: Panel, data: st.DataObject) -> None:
    at = np.array(data.draw(st.lists(st.integers(0, panel.steps), min_size=len(panel), max_size=len(panel))), np.int64)
    cut, last = panel.ending(at), int(at.max(initial=0))
    assert_whole(cut, len(panel), last, panel.horizon)
    for n, t in enumerate(at.tolist()):
        begin = min(int(panel.start[n]), t)
        assert cut.lengths[n] == t - begin
        assert cut.series(n).tolist() == panel.values[n, begin:t].tolist()
        assert cut.mask[n, last - t :].tolist() == panel.mask[n, :t].tolist()
        assert clock_of(cut, n)[last - t :].tolist() == clock_of(panel, n)[: t + panel.horizon].tolist()
        assert (known_of(cut, n)[last - t :] == known_of(panel, n)[: t + panel.horizon]).all()


@settings(max_examples=50, deadline=None)
@given(panel=panels, data=st.data())
def test_one_cut_for_all_is_the_same_as_cuts_that_happen_to_be_equal(panel: Panel, data: st.DataObject) -> None:
    at = np.full(len(panel), data.draw(st.integers(0, panel.steps)))
    simple, general = panel.ending(at), panel._realigned(at, int(at.max(initial=0)))
    for name in ROWS:
        one, other = getattr(simple, name), getattr(general, name)
        assert (np.broadcast_to(one, other.shape) == other).all(), name
    assert simple.until.tolist() == [simple.steps] * len(panel)


@settings(max_examples=50, deadline=None)
@given(panel=panels, seed=st.integers(0, 10**6))
def test_what_comes_after_a_cut_changes_nothing_before_it(panel: Panel, seed: int) -> None:
    rng = np.random.default_rng(seed)
    at = rng.integers(0, panel.steps + 1, len(panel))
    later = np.arange(panel.steps) >= at[:, None]
    other = replace(
        panel,
        values=np.where(later, rng.normal(size=panel.values.shape), panel.values),
        mask=np.where(later, rng.random(panel.mask.shape) < 0.5, panel.mask),
    )
    for name in ROWS:
        assert getattr(panel.ending(at), name).tobytes() == getattr(other.ending(at), name).tobytes()


@settings(max_examples=100, deadline=None)
@given(panel=panels, data=st.data())
def test_rows_are_taken_in_the_order_given_and_as_often_as_given(panel: Panel, data: st.DataObject) -> None:
    rows = st.integers(0, len(panel) - 1) if len(panel) else st.nothing()
    picked = data.draw(st.lists(rows, max_size=8)) if len(panel) else []
    taken = panel.take(np.array(picked, np.int64))
    assert_whole(taken, len(picked), panel.steps, panel.horizon)
    for at, n in enumerate(picked):
        assert taken.values[at].tolist() == panel.values[n].tolist()
        assert taken.mask[at].tolist() == panel.mask[n].tolist()
        assert (taken.start[at], taken.until[at]) == (panel.start[n], panel.until[n])
        assert clock_of(taken, at).tolist() == clock_of(panel, n).tolist()
        assert (known_of(taken, at) == known_of(panel, n)).all()


@given(panel=panels, seed=st.integers(0, 100))
def test_a_mask_takes_the_rows_where_it_is_true(panel: Panel, seed: int) -> None:
    chosen = np.random.default_rng(seed).random(len(panel)) < 0.5
    by_mask, by_index = panel.take(chosen), panel.take(np.flatnonzero(chosen))
    assert all(getattr(by_mask, name).tobytes() == getattr(by_index, name).tobytes() for name in ROWS)


@given(panel=panels.filter(lambda p: p.horizon and p.steps > p.horizon), seed=st.integers(0, 5))
def test_a_forecaster_holds_out_the_last_horizon_of_every_series(panel: Panel, seed: int) -> None:
    fit, held = panel.holdout(seed)
    cut = panel.steps - panel.horizon
    assert_whole(fit, len(panel), cut if len(panel) else 0, panel.horizon)
    assert all(fit.series(n).tolist() == panel.values[n, min(panel.start[n], cut) : cut].tolist() for n in range(len(panel)))
    assert held.until.tolist() == [cut] * len(panel)
    assert held.values is panel.values


def test_series_of_different_seasons_are_handed_out_in_pieces_of_one_season() -> None:
    panel = replace(make(7, 6, 0, 0), seasons=np.array([24, 24, 24, 7, 7, 1, 24]))
    pieces = panel.alike(2)
    assert [piece.tolist() for piece in pieces] == [[0, 1], [2], [3, 4], [5], [6]]
    alone = [panel.take(piece) for piece in pieces]
    assert [(one.season, one.seasons) for one in alone] == [(24, None), (24, None), (7, None), (1, None), (24, None)]
    both = panel.take(np.array([3, 0]))
    assert both.cycles.tolist() == [7, 24]
    assert panel.ending(panel.until - np.arange(7) % 3).cycles.tolist() == panel.cycles.tolist()
    plain = make(5, 6, 0, 0)
    assert [piece.tolist() for piece in plain.alike(3)] == [[0, 1, 2], [3, 4]]
    assert plain.cycles.tolist() == [5] * 5
    assert [len(piece) for piece in make(0, 6, 0, 0).alike(3)] == [0]


def test_a_panel_no_longer_than_its_horizon_leaves_nothing_to_fit() -> None:
    fit, held = make(3, 4, 4, 0).holdout(0)
    assert (fit.steps, fit.time.shape, held.until.tolist()) == (0, (1, 4), [0, 0, 0])


def test_without_a_horizon_the_last_fifth_of_each_prefix_is_held_out() -> None:
    panel = replace(make(3, 20, 0, 1), start=np.array([0, 10, 20]), until=np.array([20, 15, 20]))
    fit, held = panel.holdout(0)
    assert held.until.tolist() == [16, 14, 20]  # a fifth of 20, 5 and 0 steps, rounded up
    assert fit.steps == 20
    assert fit.lengths.tolist() == [16, 4, 0]
    assert fit.series(1).tolist() == panel.values[1, 10:14].tolist()


@settings(max_examples=100, deadline=None)
@given(n=st.integers(0, 5), steps=st.integers(0, 12), seed=st.integers(0, 10**6))
def test_missing_steps_repeat_the_last_value_as_polars_fills_them(n: int, steps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    raw = np.where(rng.random((n, steps)) < 0.5, np.nan, rng.normal(size=(n, steps)))
    values, mask, start = filled(raw)
    assert (mask == np.isfinite(raw)).all()
    for row, own in enumerate(raw):
        series = pl.Series(own, dtype=pl.Float64).fill_nan(None)
        assert values[row].tolist() == series.forward_fill().fill_null(0.0).to_list()
        assert start[row] == next((at for at, value in enumerate(series) if value is not None), steps)


@pytest.mark.parametrize(
    ("step", "cycles"),
    [
        (HOUR, {"season", "day", "week", "year"}),
        (DAY, {"season", "week", "year"}),
        (7 * DAY, {"season", "year"}),
        (31 * DAY, {"season", "year"}),
        (0, {"season"}),
    ],
)
def test_the_calendar_has_the_phases_of_the_cycles_longer_than_a_step(step: int, cycles: set[str]) -> None:
    number = np.arange(5000, 5800)
    time = number * max(step, 1)
    found = calendar(time, number, 24, step)
    assert (found.dtype, found.shape) == (np.float32, (800, len(KNOWN)))
    length = {"day": DAY, "week": 7 * DAY, "year": 365.2425 * DAY}
    for k, name in enumerate(KNOWN):
        cycle, _, wave = name.partition("_")
        share = number / 24 if cycle == "season" else time / length[cycle]
        angle = 2 * np.pi * share
        wanted = (np.sin(angle) if wave == "sin" else np.cos(angle)) if cycle in cycles else np.zeros(800)
        assert found[:, k] == pytest.approx(wanted, abs=1e-5), name


def test_without_a_season_its_phase_is_zero() -> None:
    assert not calendar(np.arange(9) * DAY, np.arange(9), 1, DAY)[:, :2].any()


def test_a_forecast_gives_the_arrays_that_it_has() -> None:
    quantiles = np.zeros((2, 3, 9))
    assert {k: v.shape for k, v in Forecast(quantiles).arrays().items()} == {"quantiles": (2, 3, 9), "fallback": (2,)}
    full = Forecast(quantiles, np.ones((2, 3)), np.array([True, False])).arrays()
    assert set(full) == {"quantiles", "mean", "fallback"}
    assert full["fallback"].tolist() == [True, False]
    assert set(Forecast(None, np.ones((2, 3))).arrays()) == {"mean", "fallback"}  # what is wrong with it, the task says


def test_a_forecast_of_objects_is_refused() -> None:
    with pytest.raises(PluginError, match="predict returned mean of object, expected numbers"):
        Forecast(np.zeros((1, 1, 9)), np.array([[None]])).arrays()
