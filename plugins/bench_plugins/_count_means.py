"""A smoothed mean of counts, the season's factors, and the spread around them: what the models of counts share.

Letters for shapes: N series, T steps, M phases, H horizon, Q quantiles.
"""

from __future__ import annotations

import numpy as np

from bench.api import Array
from bench.data.panel import Panel
from bench_plugins._stats_spread import normal, rms
from bench_plugins.forecast_sparse import LARGE, POISSON

PRIOR = 20.0
"""Counts that draw a phase's factor towards 1, as if so many had come without a season."""
WARM = 8
"""Steps of a series before its one-step errors count: the first means are guesses."""


def factors(panel: Panel, prior: float = PRIOR) -> Array:
    """Return each phase's share of a series' mean, float [N, M], 1 on average; phase 0 is that of step 0."""
    m, seen = max(panel.season, 1), np.where(panel.mask, panel.values, 0.0)
    phase = np.arange(panel.steps) % m
    total, number = (np.stack([x[:, phase == p].sum(axis=1) for p in range(m)], axis=1) for x in (seen, panel.mask))
    average = np.where((n := number.sum(axis=1)) > 0, total.sum(axis=1) / np.maximum(n, 1), 0.0)[:, None]  # [N, 1]
    size = np.where(average > 0, average, 1.0)
    raw = (total + prior) / (number * size + prior)
    return np.asarray(raw / raw.mean(axis=1, keepdims=True))


def means(panel: Panel, alpha: float, shape: Array) -> Array:
    """Return the mean of each step as foreseen from the steps before it, float [N, T + 1], without the season's factor.

    It is the aged sum of counts over the aged sum of factors, so that a quiet phase does not pull it down.
    """
    m, counts, weight = shape.shape[1], np.zeros(len(panel)), np.zeros(len(panel))
    found = np.zeros((len(panel), panel.steps + 1))
    for t in range(panel.steps):
        seen = panel.mask[:, t]
        counts = np.where(seen, (1 - alpha) * counts + panel.values[:, t], counts)
        weight = np.where(seen, (1 - alpha) * weight + shape[:, t % m], weight)
        found[:, t + 1] = counts / np.maximum(weight, 1e-9)
    return found


def spread_of(panel: Panel, expected: Array) -> tuple[Array, Array]:
    """Return root mean square error and variance-to-mean ratio of one-step forecasts `expected` [N, T], float [N] each."""
    late = panel.mask & (np.arange(panel.steps) >= panel.start[:, None] + WARM)
    late = np.where(late.any(axis=1, keepdims=True), late, panel.mask)
    error = rms(panel.values - expected, late)
    average = np.where(late, np.abs(expected), 0.0).sum(axis=1) / np.maximum(late.sum(axis=1), 1)
    return error, np.maximum(error**2 / np.where(average > 0, average, 1.0), POISSON)


def around(panel: Panel, point: Array, error: Array, ratio: Array, levels: tuple[float, ...], period: int) -> Array:
    """Return the quantiles around means `point` [N, H] that come again after `period` steps, [N, H, Q].

    Where a series counts they are of a negative binomial with a variance of `ratio` [N] times its mean, else of a normal with
    deviation `error` [N].
    """
    from scipy.stats import nbinom

    horizon = point.shape[1]
    quantiles = normal(point, np.repeat(error[:, None], horizon, axis=1), levels, counts=panel.counts)
    counted = (np.where(panel.mask, panel.values, 0.0) > 0).any(axis=1) & panel.counts
    whole = (panel.values == np.round(panel.values)).all(axis=1) & (point <= LARGE).all(axis=1) & counted
    if whole.any():
        r, turn = ratio[whole, None, None], np.maximum(point[whole, :period, None], 1e-9)
        each = np.asarray(nbinom.ppf(np.asarray(levels), turn / (r - 1), 1 / r))
        quantiles[whole] = each[:, np.arange(horizon) % period]
    return quantiles
