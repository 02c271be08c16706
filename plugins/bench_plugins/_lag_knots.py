"""Quantile levels that have trees of their own, and the quantiles between them.

Letters for shapes: K trained levels, Q quantiles asked for.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from bench.api import Array

KNOTS = 5
"""Most levels that have trees of their own."""


def knots(levels: tuple[float, ...]) -> tuple[float, ...]:
    """Choose the levels to train: lowest, highest, the median where it is asked for, and those halfway."""
    at = np.unique(np.linspace(0, len(levels) - 1, min(KNOTS, len(levels))).round().astype(int))
    return tuple(sorted({levels[k] for k in at} | ({0.5} & set(levels))))


def between(trained: Array, at: tuple[float, ...], levels: tuple[float, ...]) -> Array:
    """Interpolate sorted quantiles [..., K] at the levels `at` linearly in the normal score, [..., Q]; flat beyond the outermost."""
    ordered = np.sort(trained, axis=-1)
    inverse = NormalDist().inv_cdf
    z, wanted = np.array([inverse(q) for q in at]), np.array([inverse(q) for q in levels])
    upper = np.clip(np.searchsorted(z, wanted), 1, max(len(z) - 1, 1))
    if len(z) == 1:
        return np.repeat(ordered, len(levels), axis=-1)
    way = np.clip((wanted - z[upper - 1]) / (z[upper] - z[upper - 1]), 0.0, 1.0)
    return np.asarray(ordered[..., upper - 1] * (1 - way) + ordered[..., upper] * way)
