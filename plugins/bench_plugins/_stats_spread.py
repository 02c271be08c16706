"""Spread around a point forecast: what the forecasting baselines share.

Letters for shapes: N series, K errors or past values, H horizon, Q quantiles.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from bench.api import Array


def rms(errors: Array, seen: Array) -> Array:
    """Give the root mean square of each row's errors [N, K] where `seen` [N, K], float [N]; 0 where none is seen.

    Errors are measured against the largest one, so that squares of huge values do not overflow.
    """
    size = np.where(seen, np.abs(errors), 0.0)
    top = size.max(axis=1, initial=0.0)
    size /= np.where(top > 0, top, 1.0)[:, None]
    return np.asarray(top * np.sqrt(np.einsum("nk,nk->n", size, size) / np.maximum(seen.sum(axis=1), 1)))


def normal(point: Array, spread: Array, levels: tuple[float, ...], *, counts: bool) -> Array:
    """Give the quantiles of a normal around `point` [..., H] with standard deviation `spread`, [..., H, Q].

    The median is `point` itself. Counts are cut off at 0.
    """
    z = np.array([NormalDist().inv_cdf(level) for level in levels])
    quantiles = point[..., None] + spread[..., None] * z
    return np.maximum(quantiles, 0.0) if counts else np.asarray(quantiles)


def historic(values: Array, seen: Array, levels: tuple[float, ...]) -> Array:
    """Give the quantiles of each row's seen values [N, K], linear between order statistics, [N, Q]; 0 where none is seen."""
    n = seen.sum(axis=1)[:, None]
    if not seen.size:
        return np.zeros((len(seen), len(levels)))
    ordered = np.sort(np.where(seen, values, np.inf), axis=1)
    at = np.asarray(levels) * np.maximum(n - 1, 0)  # [N, Q]
    low = at.astype(np.int64)
    lower, upper = (np.take_along_axis(np.where(n > 0, ordered, 0.0), np.minimum(k, np.maximum(n - 1, 0)), 1) for k in (low, low + 1))
    return np.asarray(lower + (at - low) * (upper - lower))


def mean(values: Array, seen: Array) -> Array:
    """Give the mean of each row's seen values [N, K], float [N]; 0 where none is seen."""
    return np.asarray(np.where(seen, values, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1))
