"""Forecasts of counts as distributions: a negative binomial around a smoothed mean, and the history's own quantiles.

Both know the season: `negbin` by a factor for each phase, drawn towards 1 where little was counted; `seasonal-quantiles`
by values of the step's own phase weighing more than the others. Values age: a value of t steps ago weighs (1 - alpha) ** t.

Letters for shapes: N series, T steps, K values, M phases, H horizon, Q quantiles.
"""

from __future__ import annotations

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution

from bench.api import Array, ArrayModel, Context, Model, Params, hookimpl
from bench.data.panel import Forecast, Panel
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


class NegBin(ArrayModel):
    """A negative binomial around an exponentially weighted mean, times the factor of the season's phase."""

    name = "negbin"
    tasks = frozenset({"forecasting"})
    deterministic = True
    local = True

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search how fast the past is forgotten, and how far the season is trusted."""
        return {"alpha": FloatDistribution(0.003, 0.3, log=True), "prior": FloatDistribution(2.0, 200.0, log=True)}

    @staticmethod
    def default() -> Params:
        """Return a memory of about a month."""
        return {"alpha": 0.03, "prior": PRIOR}

    def fit(self, train: Panel, ctx: Context) -> None:
        """Learn nothing."""

    def predict(self, inputs: Panel, ctx: Context) -> Forecast:
        """Return the quantiles of each step's distribution; what is no count gets those of a normal."""
        given = {**self.default(), **self.params}
        shape = factors(inputs, given["prior"] if inputs.counts else 1e12)  # factors of what may be negative mean nothing
        m, steps = shape.shape[1], np.arange(inputs.steps)
        level = means(inputs, given["alpha"], shape)
        error, ratio = spread_of(inputs, level[:, :-1] * shape[:, steps % m])
        ahead = np.arange(inputs.horizon)
        point = level[:, -1:] * shape[:, (inputs.steps + ahead) % m]  # [N, H]
        # the season comes again, and so do its quantiles
        return Forecast(around(inputs, point, error, ratio, ctx.quantiles, min(m, inputs.horizon)), point, inputs.lengths == 0)


def weighted(values: Array, weight: Array, levels: tuple[float, ...]) -> Array:
    """Return the quantiles of each row's values [N, K] under weights [N, K], [N, Q]: the least value that reaches a level."""
    order = np.argsort(values, axis=1, kind="stable")
    ordered, reached = np.take_along_axis(values, order, 1), np.cumsum(np.take_along_axis(weight, order, 1), axis=1)
    total = reached[:, -1:]
    at = [np.argmax(reached >= level * total * (1 - 1e-12), axis=1) for level in levels]
    return np.stack([np.take_along_axis(ordered, a[:, None], 1)[:, 0] for a in at], axis=1)


class SeasonalQuantiles(ArrayModel):
    """The quantiles of a series' own past, of which the recent and those of the same phase of the season weigh more."""

    name = "seasonal-quantiles"
    tasks = frozenset({"forecasting"})
    deterministic = True
    local = True

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search how fast the past is forgotten, and what a value of another phase weighs."""
        return {"alpha": FloatDistribution(0.001, 0.1, log=True), "others": FloatDistribution(0.0, 1.0)}

    @staticmethod
    def default() -> Params:
        """Return a memory of about three months, and a fifth of the weight for other phases."""
        return {"alpha": 0.01, "others": 0.2}

    def fit(self, train: Panel, ctx: Context) -> None:
        """Learn nothing."""

    def predict(self, inputs: Panel, ctx: Context) -> Forecast:
        """Return weighted quantiles and means, one set for each phase."""
        given, n, m = {**self.default(), **self.params}, len(inputs), max(inputs.season, 1)
        quantiles, point = np.zeros((n, inputs.horizon, len(ctx.quantiles))), np.zeros((n, inputs.horizon))
        age = inputs.steps - 1 - np.arange(inputs.steps)
        for ahead in range(min(m, inputs.horizon) if inputs.steps else 0):
            same = (inputs.steps + ahead - np.arange(inputs.steps)) % m == 0
            weight = inputs.mask * (1 - given["alpha"]) ** age * np.where(same, 1.0, max(given["others"], 1e-6))
            quantiles[:, ahead::m] = weighted(inputs.values, weight, ctx.quantiles)[:, None]
            point[:, ahead::m] = ((weight * inputs.values).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-300))[:, None]
        return Forecast(quantiles, point, inputs.lengths == 0)


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return both."""
    return [NegBin, SeasonalQuantiles]
