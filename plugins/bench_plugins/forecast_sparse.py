"""Baselines for intermittent demand: Croston's method as corrected by Syntetos and Boylan, TSB, and ADIDA.

All forecast one flat mean a series; a step that was not observed is left out, as if the series had not had it. A demand
is any value but 0. The methods say nothing of a distribution, so that one is put around their mean:

- series of whole numbers that cannot be negative: negative binomial, with the variance-to-mean ratio of the history
  (Poisson where that is at most 1);
- all others, and means above a million: normal, with the root mean square distance of the history from the forecast.

Series that are empty are forecast as 0 and marked.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.api import Array, ArrayModel, Context, Model, hookimpl
from bench.data.panel import Forecast, Panel
from bench_plugins._stats_smoothing import best_smoothed
from bench_plugins._stats_spread import mean, normal, rms, squeezed

ALPHA = 0.1
"""Smoothing weight of demands, intervals and probabilities; Croston (1972) takes .1 to .3, Syntetos and Boylan .05 to .2."""
BIAS = 1 - ALPHA / 2
"""What Syntetos and Boylan (2005) multiply by, as Croston's ratio is too high on average."""
BOUNDS = (0.1, 0.3)
"""Weights among which ADIDA chooses."""
BUCKETS = 2000
"""ADIDA smooths its last 2,000 buckets: older ones weigh less than .9 ** 2000."""
LARGE = 1e6
"""Means from which on a count is taken as normal."""
POISSON = 1 + 1e-6
"""Variance-to-mean ratio at which a negative binomial is a Poisson for all that matters here."""


def demand_levels(y: Array, there: Array) -> tuple[Array, Array, Array]:
    """Smooth demand sizes, the steps between demands, and the chance of a demand; three times float [N].

    The first interval runs from the start of the series. Without a demand: 0, 1, 0.
    """
    n = len(y)
    size, gap, chance, begun = np.zeros(n), np.ones(n), np.zeros(n), np.zeros(n, bool)
    waited, first = np.zeros(n), np.ones(n, bool)
    for x, here in zip(np.ascontiguousarray(y.T), np.ascontiguousarray(there.T), strict=True):
        hit = here & (x != 0)
        waited += here
        size = np.where(hit, np.where(begun, size + ALPHA * (x - size), x), size)
        gap = np.where(hit, np.where(begun, gap + ALPHA * (waited - gap), waited), gap)
        chance = np.where(here, np.where(first, hit, chance + ALPHA * (hit - chance)), chance)
        waited[hit] = 0
        begun |= hit
        first &= ~here
    return size, gap, chance


def croston_sba(y: Array, there: Array) -> Array:
    """Return demand over interval, corrected, float [N] (Syntetos and Boylan 2005)."""
    size, gap, _ = demand_levels(y, there)
    return np.asarray(BIAS * size / gap)


def tsb(y: Array, there: Array) -> Array:
    """Return demand times its chance, which also falls while nothing comes, float [N] (Teunter, Syntetos and Babai 2011)."""
    size, _, chance = demand_levels(y, there)
    return np.asarray(size * chance)


def adida(y: Array, there: Array) -> Array:
    """Sum over buckets of the mean interval's length, smooth, divide again, float [N] (Nikolopoulos et al. 2011).

    Steps at the start that fill no bucket are left out. The smoothing weight is each series' own.
    """
    steps, length, hits = y.shape[1], there.sum(axis=1), (there & (y != 0)).sum(axis=1)
    last = np.where(there & (y != 0), np.arange(steps), -1).max(axis=1, initial=-1)
    until_last = last - (steps - length) + 1
    width = np.where(hits > 0, np.maximum(np.round(until_last / np.maximum(hits, 1)), 1), 1).astype(np.int64)
    number = np.minimum(length // width, BUCKETS)  # [N]
    back = np.arange(number.max(initial=0), -1, -1)  # buckets counted from the end
    total = np.concatenate([np.zeros((len(y), 1)), np.cumsum(y, axis=1)], axis=1)
    edges = np.take_along_axis(total, np.maximum(steps - back * width[:, None], 0), axis=1)
    return np.asarray(best_smoothed(np.diff(edges, axis=1), back[:-1] <= number[:, None], BOUNDS) / width)


def spread_out(point: Array, y: Array, there: Array, levels: tuple[float, ...], *, counts: bool) -> Array:
    """Return the quantiles around flat means `point` [N], [N, Q]; see the top of this file."""
    from scipy.stats import nbinom

    quantiles = normal(point, rms(y - point[:, None], there), levels, counts=counts)
    average = mean(y, there)
    whole = (y == np.round(y)).all(axis=1) & (point <= LARGE) & (average > 0) & (point > 0) & counts
    if whole.any():
        variance = rms(y[whole] - average[whole, None], there[whole]) ** 2
        ratio = np.maximum(variance / average[whole], POISSON)[:, None]
        quantiles[whole] = nbinom.ppf(np.asarray(levels), point[whole, None] / (ratio - 1), 1 / ratio)
    return quantiles


class Intermittent(ArrayModel):
    """A local model without state that forecasts one flat mean a series."""

    tasks = frozenset({"forecasting"})
    deterministic = True
    local = True
    method: Callable[[Array, Array], Array]

    def fit(self, train: Panel, ctx: Context) -> None:
        """Learn nothing."""

    def predict(self, inputs: Panel, ctx: Context) -> Forecast:
        """Repeat the mean and its quantiles over the horizon."""
        y, there = squeezed(inputs)
        point = type(self).method(y, there)
        point = np.maximum(point, 0.0) if inputs.counts else point
        quantiles = spread_out(point, y, there, ctx.quantiles, counts=inputs.counts)
        repeated = np.repeat(quantiles[:, None], inputs.horizon, axis=1)
        return Forecast(repeated, np.repeat(point[:, None], inputs.horizon, axis=1), inputs.lengths == 0)


class CrostonSba(Intermittent):
    """Smooth the sizes of demands and the intervals between them."""

    name = "croston-sba"
    method = staticmethod(croston_sba)


class Tsb(Intermittent):
    """Smooth the sizes of demands and their chance."""

    name = "tsb"
    method = staticmethod(tsb)


class Adida(Intermittent):
    """Smooth sums over buckets."""

    name = "adida"
    method = staticmethod(adida)


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the three methods."""
    return [CrostonSba, Tsb, Adida]
