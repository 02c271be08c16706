"""Which windows are cut, what stands in them, and in which units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.api import Context, Panel
from bench.data.panel import filled
from bench.neural.anchors import Anchor
from bench.neural.anomaly import AnomalyEncoder, local_spread
from bench.neural.contexts import OWN, Contexts, pooled
from bench.neural.encode import encoder_for, encoder_from
from bench.neural.forecasting import ForecastEncoder
from bench.neural.windows import Places, every, local_mean, some

CTX = Context(history=12, quantiles=(0.1, 0.5, 0.9))


def panel(values, horizon=5, season=4, until=None):
    """Make a panel without time; what is known of a step is its number."""
    values, mask, start = filled(np.asarray(values, float))
    n, steps = values.shape
    number = np.arange(steps + horizon)
    return Panel(
        values=values,
        mask=mask,
        start=start,
        until=np.full(n, steps) if until is None else np.asarray(until),
        time=number[None],
        known=np.stack([number, np.zeros(len(number))], -1).astype(np.float32)[None],
        freq="",
        season=season,
        horizon=horizon,
    )


def measured(context, cycle, *, recent=4, near=None, phased=False):
    """Make an anchor: the last turn of `cycle` steps is the base, or the level where it is 0."""
    return Anchor(context, cycle, recent, 0, context if near is None else near, phased)


bounds = st.lists(st.tuples(st.integers(0, 30), st.integers(-1, 40)), max_size=6).map(lambda x: np.array(x, np.int64).reshape(-1, 2))


@settings(deadline=None)
@given(bounds, st.integers(1, 50), st.integers(0, 3))
def test_places_lie_inside_are_never_twice_and_no_more_than_asked(span, most, seed):
    found = some(span[:, 0], span[:, 1], most, seed)
    pairs = set(zip(found.series.tolist(), found.at.tolist(), strict=True))
    assert len(pairs) == len(found) == min(most, sum(max(b - a + 1, 0) for a, b in span)) or len(found) <= most
    assert all(span[n, 0] <= at <= span[n, 1] for n, at in pairs)
    whole = every(span[:, 0], span[:, 1])
    if len(whole) <= most:
        assert len(pairs) == len(whole)


def test_a_seed_gives_one_choice_and_another_seed_another():
    first, last = np.zeros(4, np.int64), np.full(4, 999)
    a, b, c = (some(first, last, 50, seed).at for seed in (0, 0, 1))
    assert (a == b).all()
    assert (a != c).any()
    assert np.bincount(some(first, last, 400, 0).series, minlength=4).min() > 60


def test_a_window_is_the_context_and_the_horizon_and_nothing_behind():
    encoder = ForecastEncoder(5, measured(12, 4), [0], [0.5])
    given = panel(np.arange(40.0)[None])
    changed = panel(np.where(np.arange(40) < 20, np.arange(40.0), -9.0)[None])
    here = Places(np.array([0]), np.array([20]))
    x, length = encoder.rows(given, here).padded(np.array([0]))
    assert length.tolist() == [12 + 5]
    assert x.shape == (1, 17, OWN + 3 + 1)  # the column of zeros says nothing and is left out
    assert (x == encoder.rows(changed, here).padded(np.array([0]))[0]).all()
    assert (x[0, :, -1] == np.clip(np.arange(8, 25), -10, 10)).all()


def test_the_base_is_the_last_season_and_the_target_a_departure_from_it_in_seasonal_differences():
    values = np.array([[1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6, 9, 9, 9, 9, 9.0]])  # rises by 1 a season of 4
    cut = Contexts.cut(panel(values), Places(np.array([0]), np.array([12])), measured(12, 4))
    assert cut.ahead(cut.base).tolist() == [[3, 4, 5, 6, 3]]
    assert cut.scale.tolist() == [[1.0]]
    assert cut.level.tolist() == [[4.5]]
    assert cut.target(panel(values)).tolist() == [[6, 5, 4, 3, 6]]
    assert cut.ahead(cut.back[cut.anchor.back.index((4, 8))]).tolist() == [[2, 3, 4, 5, 2]]
    assert (cut.back[cut.anchor.back.index((4, 28))] == cut.base).all()  # the context does not reach


def test_missing_steps_are_no_target_and_do_not_count_for_the_scale():
    values = np.array([[1, 2, 3, 4, np.nan, 3, 4, 5, 3, 4, 5, 6, 9, np.nan, 9, 9, 9]])
    cut = Contexts.cut(panel(values), Places(np.array([0]), np.array([12])), measured(12, 4))
    assert np.isnan(cut.target(panel(values))[0]).tolist() == [False, True, False, False, False]
    assert cut.scale.item() == pytest.approx(1.0)


@pytest.mark.parametrize(("values", "expected"), [([5, 5, 5, 5, 5, 5, 5, 5.0], 5.0), ([1, 3, 1, 3, 1, 3, 1, 3.0], 2.0), ([0.0] * 8, 1.0)])
def test_a_scale_is_never_zero(values, expected):
    cut = Contexts.cut(panel([values], season=2), Places(np.array([0]), np.array([8])), measured(8, 2))
    assert cut.scale.item() == expected


def test_a_purchase_of_a_rare_buyer_does_not_outweigh_all_others():
    values = np.where(np.arange(40) == 30, 1.0, 0.0)[None]
    plain, counts = panel(values), replace(panel(values), counts=True)
    here = Places(np.array([0]), np.array([40]))
    assert Contexts.cut(plain, here, measured(40, 4)).scale.item() < 0.1
    assert Contexts.cut(counts, here, measured(40, 4)).scale.item() == 1.0


@pytest.mark.parametrize("cycle", [4, 0])
def test_an_untrained_zero_is_what_forecasts_are_measured_from(cycle):
    given = panel(np.random.default_rng(0).normal(size=(3, 30)), horizon=6)
    encoder = ForecastEncoder(6, measured(12, cycle), [], [0.1, 0.5, 0.9])
    found = encoder.decode(np.zeros((3, encoder.sizes.o), np.float32), given).quantiles
    naive = given.values[:, [26, 27, 28, 29, 26, 27]] if cycle else np.repeat(given.values[:, 26:].mean(axis=1, keepdims=True), 6, axis=1)
    assert found.shape == (3, 6, 3)
    assert np.allclose(found, naive[..., None], atol=1e-12)


def test_a_level_with_phases_continues_a_cycle_on_a_level_that_has_moved():
    week = np.array([0.0, 3, -1, -2])
    values = np.concatenate([np.tile(week, 8) + 10, np.tile(week, 2) + 50])[None]
    cut = Contexts.cut(panel(values), Places(np.array([0]), np.array([40])), measured(40, 0, phased=True))
    assert np.allclose(cut.ahead(cut.base), [[50, 53, 49, 48, 50]])
    short = Contexts.cut(panel(values[:, :3]), Places(np.array([0]), np.array([3])), measured(40, 0, phased=True))
    assert np.isfinite(short.base).all()


def test_older_steps_are_read_as_means_of_turns_counted_from_the_near_ones_back():
    anchor = measured(12, 4, recent=4, near=2)
    x = np.arange(15.0)[None, :, None] * [[[1.0]], [[1.0]]]
    found = pooled(x, np.array([[12], [7]]), anchor)
    assert anchor.tokens(np.array([12, 7, 2, 0])).tolist() == [5, 4, 2, 0]
    assert found[0, :, 0].tolist() == [0.5, 3.5, 7.5, 10, 11, 12, 13, 14]
    assert found[1, :7, 0].tolist() == [0, 2.5, 5, 6, 7, 8, 9]


def test_a_row_is_as_long_as_what_stands_in_it():
    given = panel(np.random.default_rng(0).normal(size=(2, 60)))
    encoder = ForecastEncoder(5, measured(30, 0, near=8), [], [0.5])
    rows = encoder.rows(given, Places(np.array([0, 1, 1]), np.array([6, 21, 55])))
    x, length = rows.padded(np.arange(3))
    assert length.tolist() == [6 + 5, 8 + 4 + 5, 8 + 6 + 5]
    assert x.shape[1] == encoder.sizes.longest == 19
    assert all((row[at:] == 0).all() for row, at in zip(x, length, strict=True))
    assert all((row[at - 5 : at, 2] == 1).all() and (row[: at - 5, 2] == 0).all() for row, at in zip(x, length, strict=True))


def test_training_windows_see_no_held_out_step_and_held_ones_ask_for_just_these():
    values = np.random.default_rng(0).normal(size=(3, 40))
    fit, held = panel(values).holdout(0)
    other = panel(np.where(np.arange(40) < 35, values, 1e6)).holdout(0)[0]
    encoder = ForecastEncoder.fit(fit, CTX)
    rows, again = encoder.training_rows(fit, CTX), encoder.training_rows(other, CTX)
    assert (rows.target == again.target).all()
    assert not np.isnan(rows.target).any()
    at = encoder.holdout_rows(held)
    cut = Contexts.cut(held, Places(np.arange(3), np.full(3, 35)), encoder.anchor)
    assert np.allclose(at.target * cut.scale + cut.ahead(cut.base), values[:, 35:], atol=1e-5)


@pytest.mark.parametrize("rows", [1, 7, 10_000])
def test_the_profile_caps_the_training_windows(rows):
    given = panel(np.random.default_rng(0).normal(size=(3, 400)))
    ctx = replace(CTX, rows=rows)
    assert len(ForecastEncoder.fit(given, ctx).training_rows(given, ctx)) <= rows


@pytest.mark.parametrize("view", ["lagged", "echo", "hidden"])
def test_every_step_is_scored_once_or_more_and_processed_about_twice(view):
    given = panel(np.random.default_rng(0).normal(size=(2, 100)), horizon=0, until=[50, 50])
    encoder = AnomalyEncoder.fit(given, CTX, view)
    rows = encoder.prediction_rows(given)
    assert rows.lengths.sum() <= 2 * 2 * 100 + 2 * 2 * 12
    perfect = encoder.decode(np.nan_to_num(rows.target), given)
    assert (perfect == 0).all()
    wrong = encoder.decode(np.nan_to_num(rows.target) + 1, given)
    spread = local_spread(given, given.mask, given.season, ahead=view != "lagged")
    assert (wrong[:, given.season :] > 0).all()  # a window of one step has no spread
    # in typical errors and typical spreads of the prefix: an error that is the same everywhere leaves the spread
    assert np.corrcoef(wrong.ravel(), spread.ravel())[0, 1] > 0.8
    assert 0.5 < np.median(wrong[:, :50]) < 2


def visible(view, season=1):
    """Say, for the first window of a long series, which scored steps' values stand in which row's inputs: [rows, S, T]."""
    values = np.random.default_rng(0).normal(size=(1, 60))
    encoder = AnomalyEncoder.fit(panel(values, horizon=0, season=season), CTX, view)
    rows = []
    for t in range(60):
        other = values.copy()
        other[0, t] += 1
        here, there = (encoder.prediction_rows(panel(x, horizon=0, season=season, until=[0])) for x in (values, other))
        rows.append([(here.padded(np.array([r]))[0] != there.padded(np.array([r]))[0]).any(axis=(0, 2)) for r in range(4)])
    return np.array(rows).transpose(1, 2, 0), encoder  # [rows, W, T]


def begin(encoder, row):
    """Give the first scored step of a window of a series that begins at 0."""
    given = panel(np.zeros((1, 60)), horizon=0)
    return int(encoder.tiles(given, given.start).at[row])


@pytest.mark.parametrize("season", [1, 4])
def test_a_lagged_window_shows_at_each_step_what_came_before_and_not_the_step_itself(season):
    shown, encoder = visible("lagged", season)
    for row in range(4):
        first = begin(encoder, row) - encoder.scored  # as many steps of context as are scored
        for step in range(encoder.window):
            before = {first + step - 1, first + step - season} if season > 1 else {first + step - 1}
            assert np.flatnonzero(shown[row, step]).tolist() == sorted(t for t in before if t >= 0)


def test_an_echo_has_the_window_first_and_then_as_many_steps_without_values():
    shown, encoder = visible("echo")
    half = encoder.scored
    for row in range(4):
        first = begin(encoder, row)
        assert [np.flatnonzero(x).tolist() for x in shown[row, :half]] == [[t] for t in range(first, first + half)]
        assert not shown[row, half:].any()


def test_each_step_is_hidden_in_one_of_two_rows_and_asked_for_there_alone():
    shown, encoder = visible("hidden")
    given = panel(np.random.default_rng(0).normal(size=(1, 60)), horizon=0)
    asked = ~np.isnan(encoder.prediction_rows(given).target)
    for row in (0, 2):
        one, two = shown[row].any(axis=1), shown[row + 1].any(axis=1)
        assert (one != two).all()
        assert (asked[row] == ~one).all()
        assert (asked[row + 1] == ~two).all()


@pytest.mark.parametrize("horizon", [0, 5])
def test_an_encoder_comes_back_from_its_state(horizon):
    encoder = encoder_for(panel(np.random.default_rng(0).normal(size=(2, 30)), horizon=horizon), CTX, "hidden")
    assert encoder_from(encoder.state()) == encoder


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("width", [1, 4, 7, 50])
def test_a_local_mean_is_that_of_the_observed_steps_in_each_window(width, ahead):
    rng = np.random.default_rng(0)
    x, real = rng.normal(size=(2, 30)), rng.random((2, 30)) < 0.8
    found = local_mean(x, real, width, ahead=ahead)
    back = width - 1 - (width - 1) // 2 if ahead else width - 1
    for n, t in np.ndindex(x.shape):
        inside = slice(max(t - back, 0), t + width - back)
        assert found[n, t] == pytest.approx(x[n, inside][real[n, inside]].mean() if real[n, inside].any() else 0.0)
