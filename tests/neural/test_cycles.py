"""Cycles are found in the data, and forecasts are measured from what errs least; the metric's season decides neither."""

from __future__ import annotations

import numpy as np
import pytest
from plugins.baseline_kit import panel_of

from bench.api import Context
from bench.neural.anchors import Anchor
from bench.neural.cycles import cycles

NOISE = np.random.default_rng(0)


def waves(steps, *lengths, n=6, noise=0.3):
    t = np.arange(steps)
    values = sum(np.sin(2 * np.pi * (t + 3 * np.arange(n)[:, None]) / m) for m in lengths)
    return np.asarray(values) * 5 + np.random.default_rng(steps).normal(0, noise, (n, steps)) + 20


@pytest.mark.parametrize(("length", "season"), [(7, 1), (24, 1), (12, 7), (52, 1)])
def test_a_cycle_is_found_to_a_fiftieth_whatever_the_season_is_said_to_be(length, season):
    (found,) = cycles(panel_of(waves(400, length), season=season))
    assert abs(found - length) <= length // 50


def test_a_week_of_hours_is_found_behind_the_day():
    hours = np.arange(5 * 168)
    busy = np.array([1.0, 1.0, 1.1, 1.0, 0.9, 0.5, 0.4])[hours // 24 % 7] * np.sin(hours * np.pi / 12)
    values = 20 * np.tile(busy, (5, 1))
    assert cycles(panel_of(values + np.random.default_rng(3).normal(0, 0.5, values.shape), season=24)) == (24, 168)


@pytest.mark.parametrize(
    "values", [NOISE.normal(0, 1, (5, 300)), NOISE.normal(0, 1, (5, 300)).cumsum(1), np.full((3, 50), 4.0), np.ones((2, 1))]
)
def test_noise_walks_and_constants_have_no_cycle(values):
    assert cycles(panel_of(values, season=7)) == ()


def test_the_size_of_a_series_and_its_late_start_change_nothing():
    values = waves(300, 7)
    later = [row[start:] * size for row, start, size in zip(values, (0, 0, 20, 50, 0, 90), (1e-6, 1, 1e9, 1, 5, 1), strict=True)]
    assert cycles(panel_of(later, season=1)) == (7,)


def bases(*panels):
    return [(a.cycle, a.phased) for a in (Anchor.of(p, Context(history=8)) for p in panels)]


def test_a_forecast_is_measured_from_the_level_where_a_cycle_would_be_noise_and_from_the_end_of_a_walk():
    sparse = panel_of(np.random.default_rng(1).poisson(0.3, (8, 300)).astype(float), counts=True)
    walk = panel_of(np.random.default_rng(2).normal(0, 1, (8, 300)).cumsum(1))
    assert bases(sparse, walk) == [(0, False), (1, False)]


def test_a_cycle_that_stays_is_averaged_and_one_that_changes_its_form_is_repeated():
    rng, t = np.random.default_rng(3), np.arange(300)
    steady = rng.normal(0, 5, (6, 7))[:, t % 7] + rng.normal(0, 1, (6, 300)) + 20
    form = rng.normal(0, 1, (6, 43, 7)).cumsum(1).reshape(6, -1)[:, :300]  # each phase walks by itself
    assert bases(panel_of(steady), panel_of(form)) == [(0, True), (7, False)]


def test_the_profile_hides_no_cycle_and_short_series_bound_the_context():
    weekly = panel_of(waves(400, 52), season=1, horizon=13)
    assert Anchor.of(weekly, Context(history=8)).context >= 2 * 52
    assert Anchor.of(weekly, Context(history=256)).context == 256
    assert Anchor.of(panel_of(waves(60, 7), horizon=13), Context(history=256)).context == 60 - 13
