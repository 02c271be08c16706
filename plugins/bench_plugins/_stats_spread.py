"""Spread around a point forecast: what the forecasting baselines share.

Letters for shapes: N series, T steps, K errors or past values, H horizon, Q quantiles.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from bench.api import Array
from bench.data.panel import Panel


def rms(errors: Array, seen: Array) -> Array:
    """Return the root mean square of each row's errors [N, K] where `seen` [N, K], float [N]; 0 where none is seen.

    Errors are measured against the largest one, so that squares of huge values do not overflow.
    """
    size = np.where(seen, np.abs(errors), 0.0)
    top = size.max(axis=1, initial=0.0)
    size /= np.where(top > 0, top, 1.0)[:, None]
    return np.asarray(top * np.sqrt(np.einsum("nk,nk->n", size, size) / np.maximum(seen.sum(axis=1), 1)))


def normal(point: Array, spread: Array, levels: tuple[float, ...], *, counts: bool) -> Array:
    """Return the quantiles of a normal around `point` [..., H] with standard deviation `spread`, [..., H, Q].

    The median is `point` itself. Counts are cut off at 0.
    """
    z = np.array([NormalDist().inv_cdf(level) for level in levels])
    quantiles = point[..., None] + spread[..., None] * z
    return np.maximum(quantiles, 0.0) if counts else np.asarray(quantiles)


def historic(values: Array, seen: Array, levels: tuple[float, ...]) -> Array:
    """Return the quantiles of each row's seen values [N, K], linear between order statistics, [N, Q]; 0 where none is seen."""
    n = seen.sum(axis=1)[:, None]
    if not seen.size:
        return np.zeros((len(seen), len(levels)))
    ordered = np.sort(np.where(seen, values, np.inf), axis=1)
    at = np.asarray(levels) * np.maximum(n - 1, 0)  # [N, Q]
    low = at.astype(np.int64)
    lower, upper = (np.take_along_axis(np.where(n > 0, ordered, 0.0), np.minimum(k, np.maximum(n - 1, 0)), 1) for k in (low, low + 1))
    return np.asarray(lower + (at - low) * (upper - lower))


def mean(values: Array, seen: Array) -> Array:
    """Return the mean of each row's seen values [N, K], float [N]; 0 where none is seen."""
    return np.asarray(np.where(seen, values, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1))


def step_error(panel: Panel, lag: int) -> tuple[Array, Array]:
    """Return the root mean square of y(t) - y(t - lag), float [N], and the number of such pairs that were observed, int [N]."""
    if panel.steps <= lag:
        return np.zeros(len(panel)), np.zeros(len(panel), np.int64)
    pairs = panel.mask[:, lag:] & panel.mask[:, :-lag]
    return rms(panel.values[:, lag:] - panel.values[:, :-lag], pairs), pairs.sum(axis=1)


def window_error(panel: Panel, w: int, ahead: int) -> tuple[Array, Array]:
    """Return the root mean square error of past window averages `ahead` steps on, float [N], and their number, int [N]."""
    steps = panel.steps - ahead  # origins 1 .. steps: a window of up to w values before each, the target `ahead` behind it
    if steps < 1:
        return np.zeros(len(panel)), np.zeros(len(panel), np.int64)
    total, number = (
        np.concatenate([np.zeros((len(panel), 1)), np.cumsum(x[:, :steps], axis=1)], axis=1)
        for x in (np.where(panel.mask, panel.values, 0.0), panel.mask)
    )
    begin = np.maximum(np.arange(1, steps + 1) - w, 0)
    held = number[:, 1:] - number[:, begin]
    average = (total[:, 1:] - total[:, begin]) / np.maximum(held, 1)
    seen = panel.mask[:, ahead:] & (held > 0)
    return rms(panel.values[:, ahead:] - average, seen), seen.sum(axis=1)


def squeezed(panel: Panel) -> tuple[Array, Array]:
    """Return the observed values alone, right-aligned, float [N, T], and where they stand, bool [N, T]; 0 before them."""
    order = np.argsort(panel.mask, axis=1, kind="stable")
    there = np.take_along_axis(panel.mask, order, axis=1)
    return np.where(there, np.take_along_axis(panel.values, order, axis=1), 0.0), there
