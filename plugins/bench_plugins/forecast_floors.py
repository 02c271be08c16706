"""Forecasting floors: zero, the last value, the last season, the last window's mean, and each series' own history.

All are local and exact: they learn nothing in `fit`. A normal's spread comes from in-sample errors of the same forecast,
taken only where both of the values that make the error were observed.
"""

from __future__ import annotations

import numpy as np

from bench.api import Array, ArrayModel, Context, Model, hookimpl
from bench.data.panel import Forecast, Panel
from bench_plugins._stats_spread import historic, mean, normal, step_error, window_error

WINDOW = 14
"""Steps of the window average where there is no season; else it is one season."""
PER_PHASE = 8
"""Observed values of one phase of the season from which on climatology looks at that phase alone."""


def last_value(panel: Panel) -> Array:
    """Return the last observed value, float [N]; 0 where a series is empty."""
    return panel.values[:, -1] if panel.steps else np.zeros(len(panel))


def naive(panel: Panel, levels: tuple[float, ...]) -> Forecast:
    """Repeat the last value; its spread grows with the root of the step (Hyndman and Athanasopoulos, FPP3, 5.5)."""
    point = np.repeat(last_value(panel)[:, None], panel.horizon, axis=1)
    spread = step_error(panel, 1)[0][:, None] * np.sqrt(np.arange(1, panel.horizon + 1))
    return Forecast(normal(point, spread, levels, counts=panel.counts), point, panel.lengths == 0)


def seasonal_naive(panel: Panel, levels: tuple[float, ...]) -> Forecast:
    """Repeat the last season; its spread grows with the root of the seasons ahead (FPP3, 5.5).

    A series shorter than one season is served by `naive` and marked; one without a pair a season apart takes its spread.
    """
    simple, m = naive(panel, levels), panel.season
    if panel.steps < m:
        return Forecast(simple.quantiles, simple.mean, np.ones(len(panel), bool))
    ahead = np.arange(panel.horizon)
    point = panel.values[:, panel.steps - m + ahead % m]
    spread, pairs = step_error(panel, m)
    own, steps = spread[:, None] * np.sqrt(ahead // m + 1), step_error(panel, 1)[0][:, None] * np.sqrt(ahead + 1)
    quantiles = normal(point, np.where(pairs[:, None] > 0, own, steps), levels, counts=panel.counts)
    short = panel.lengths < m
    point = np.where(short[:, None], last_value(panel)[:, None], point)
    return Forecast(np.where(short[:, None, None], simple.quantiles, quantiles), point, short)


def window_average(panel: Panel, levels: tuple[float, ...]) -> Forecast:
    """Return the mean of the last season (of 14 steps where there is none), or of as many steps as there are.

    Steps that were not observed do not count; where none was, the last value stands. The error variance is measured
    one step and H steps ahead, and is linear between the two.
    """
    w = panel.season if panel.season > 1 else WINDOW
    recent = panel.mask[:, -w:]
    level = np.where(recent.any(axis=1), mean(panel.values[:, -w:], recent), last_value(panel))
    near, far = window_error(panel, w, 1)[0], window_error(panel, w, max(panel.horizon, 1))
    far_enough = np.where(far[1] >= PER_PHASE, far[0], near)
    way = np.linspace(0.0, 1.0, panel.horizon)
    top = np.maximum(np.maximum(near, far_enough), np.finfo(float).tiny)[:, None]
    spread = top * np.sqrt((near[:, None] / top) ** 2 * (1 - way) + (far_enough[:, None] / top) ** 2 * way)
    point = np.repeat(level[:, None], panel.horizon, axis=1)
    return Forecast(normal(point, spread, levels, counts=panel.counts), point, panel.lengths == 0)


def climatology(panel: Panel, levels: tuple[float, ...]) -> Forecast:
    """Return quantiles and mean of each series' observed values: of those of one phase of the season where they are 8, else of all."""
    n, m, h = len(panel), panel.season, panel.horizon
    quantiles, point = np.empty((n, h, len(levels))), np.empty((n, h))
    everything, average = historic(panel.values, panel.mask, levels), mean(panel.values, panel.mask)
    for phase in range(min(m, h)):
        phased = slice((panel.steps + phase) % m, None, m)
        values, seen = panel.values[:, phased], panel.mask[:, phased]
        enough = seen.sum(axis=1) >= PER_PHASE
        quantiles[:, phase::m] = np.where(enough[:, None], historic(values, seen, levels), everything)[:, None]
        point[:, phase::m] = np.where(enough, mean(values, seen), average)[:, None]
    return Forecast(quantiles, point, panel.lengths == 0)


class Floor(ArrayModel):
    """A local model without state: all happens in `predict`."""

    tasks = frozenset({"forecasting"})
    deterministic = True
    local = True

    def fit(self, train: Panel, ctx: Context) -> None:
        """Learn nothing."""


class Zero(Floor):
    """Forecast nothing at all: the best point forecast of most sparse counts by absolute error, and useless."""

    name = "zero"

    def predict(self, inputs: Panel, ctx: Context) -> Forecast:
        """Return zeros."""
        shape = len(inputs), inputs.horizon
        return Forecast(np.zeros((*shape, len(ctx.quantiles))), np.zeros(shape))


class Naive(Floor):
    """Repeat the last value."""

    name = "naive"

    def predict(self, inputs: Panel, ctx: Context) -> Forecast:
        """Return a normal around the last value."""
        return naive(inputs, ctx.quantiles)


class SeasonalNaive(Floor):
    """Repeat the last season."""

    name = "seasonal-naive"

    def predict(self, inputs: Panel, ctx: Context) -> Forecast:
        """Return a normal around the value one season before."""
        return seasonal_naive(inputs, ctx.quantiles)


class WindowAverage(Floor):
    """Repeat the mean of the last window."""

    name = "window-average"

    def predict(self, inputs: Panel, ctx: Context) -> Forecast:
        """Return a normal around the window's mean."""
        return window_average(inputs, ctx.quantiles)


class Climatology(Floor):
    """Return the history as the forecast: what a probabilistic model has to beat."""

    name = "climatology"

    def predict(self, inputs: Panel, ctx: Context) -> Forecast:
        """Return historic quantiles."""
        return climatology(inputs, ctx.quantiles)


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the floors."""
    return [Zero, Naive, SeasonalNaive, WindowAverage, Climatology]
