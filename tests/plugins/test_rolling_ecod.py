"""ECOD on rolling statistics: shares are those that counting gives, nothing later moves a causal score, changes are found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.api import Context, Panel
from bench_plugins._tails import BLOCK
from bench_plugins.rolling_ecod import RollingEcod, RollingEcodWhole, jump, longest, rising


def panel_of(values, until, season):
    entities, steps = values.shape
    return Panel(
        values=values, mask=np.ones(values.shape, bool), start=np.zeros(entities, np.int64), until=np.full(entities, until),
        time=np.arange(steps)[None], known=np.zeros((1, steps, 8), np.float32), freq="", season=season,
    )  # fmt: skip


def counted(x, until):
    """Count naively, step by step."""
    found = np.zeros(len(x))
    for t, value in enumerate(x):
        known = x[: max(until, t)]
        found[t] = -np.log(((known > value).sum() + (known == value).sum() / 2 + 0.5) / (len(known) + 1))
    return found


@pytest.mark.parametrize("until", [1, 40, 700])
def test_shares_are_those_that_counting_gives(until):
    x = np.random.default_rng(0).integers(0, 30, 2 * BLOCK + 188).astype(float)  # many ties, more than two blocks
    found = rising(x[None], np.ones((1, len(x)), bool), np.array([until]))[0]
    np.testing.assert_allclose(found, counted(x, until), rtol=1e-12)


def test_steps_that_were_not_observed_are_neither_scored_nor_compared_with():
    x, real = np.random.default_rng(1).normal(size=(1, 90)), np.ones((1, 90), bool)
    real[0, 50:60] = False
    found = rising(np.where(real, x, 1e9), real, np.array([30]))
    np.testing.assert_allclose(found[real], counted(x[real], 30), rtol=1e-12)
    assert (found[~real] == 0).all()


def test_a_jump_is_the_change_between_two_windows():
    x = np.sinh(np.repeat([0.0, 3.0], 20))[None]
    real, start = np.ones((1, 40), bool), np.array([0])
    assert jump(x, real, start, 5, ahead=False)[0, 24] == pytest.approx(3.0)  # the last five steps against the five before
    assert jump(x, real, start, 5, ahead=True)[0, 19] == pytest.approx(3.0)  # what follows the step against what ends at it


@pytest.mark.parametrize("model", [RollingEcod, RollingEcodWhole])
def test_changes_of_level_and_of_spread_score_highest(model):
    rng = np.random.default_rng(2)
    values = rng.normal(size=(2, 600))
    values[0, 400:440] += 4
    values[1, 400:440] *= 6
    score = model({}).predict(panel_of(values, until=150, season=24), Context())
    assert all(400 <= int(np.argmax(row[150:])) + 150 < 470 for row in score)


def test_what_comes_later_moves_no_causal_score_but_the_whole_ones():
    values = np.random.default_rng(3).normal(size=(1, 300))
    later = values.copy()
    later[0, 250:] += 50
    one, other = (panel_of(x, until=100, season=12) for x in (values, later))
    np.testing.assert_array_equal(RollingEcod({}).predict(one, Context())[:, :250], RollingEcod({}).predict(other, Context())[:, :250])
    assert (RollingEcodWhole({}).predict(one, Context())[:, :250] != RollingEcodWhole({}).predict(other, Context())[:, :250]).any()


@pytest.mark.parametrize("model", [RollingEcod, RollingEcodWhole])
@pytest.mark.parametrize("values", [np.zeros((2, 40)), np.full((1, 3), 5.0), np.zeros((1, 0)), np.array([[0.0, 1e300] * 30])])
def test_constant_short_empty_and_huge_series_have_finite_scores(model, values):
    score = model({}).predict(panel_of(values, until=min(20, values.shape[1]), season=7), Context())
    assert score.shape == values.shape
    assert np.isfinite(score).all()


@pytest.mark.parametrize(("season", "learnt", "expected"), [(24, 600, 24), (288, 150, 288), (86_400, 600, 100), (1, 600, 100), (1, 15, 30)])
def test_a_season_longer_than_two_prefixes_is_none(season, learnt, expected):
    assert longest(panel_of(np.zeros((1, 900)), learnt, season), 1.0).tolist() == [expected]


def test_each_entity_has_the_windows_that_it_would_have_alone():
    values = np.random.default_rng(4).normal(size=(2, 400))
    both = replace(panel_of(values, until=200, season=150), until=np.array([60, 300]))
    alone = [replace(panel_of(values[n : n + 1], until=200, season=150), until=both.until[n : n + 1]) for n in range(2)]
    expected = np.concatenate([RollingEcod({}).predict(one, Context()) for one in alone])
    np.testing.assert_array_equal(RollingEcod({}).predict(both, Context()), expected)
    assert longest(both, 1.0).tolist() == [100, 150]


@pytest.mark.parametrize("end", [120, 250])
def test_a_causal_score_is_the_same_where_the_series_ends_earlier(end):
    whole = panel_of(np.random.default_rng(5).normal(size=(1, 300)), until=100, season=180)
    short = panel_of(whole.values[:, :end], until=100, season=180)
    np.testing.assert_array_equal(RollingEcod({}).predict(whole, Context())[:, :end], RollingEcod({}).predict(short, Context()))
