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
from bench_plugins._count_means import PRIOR, around, factors, means, spread_of


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
