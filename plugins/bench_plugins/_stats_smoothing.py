"""Exponential smoothing of many series at once: a loop over steps, or over golden-section trials, never over series.

Letters for shapes: N series, K values, right-aligned. The recursions are those of Hyndman and Athanasopoulos, FPP3, 8.1.
"""

from __future__ import annotations

import numpy as np

from bench.api import Array

ROUNDS = 24
"""Golden-section steps: they narrow a bracket of .2 to 2e-6."""
GOLDEN = (5**0.5 - 1) / 2


def smoothed(values: Array, there: Array, alpha: Array | float) -> tuple[Array, Array]:
    """Smooth each row of `values` [N, K] where `there` [N, K], starting at its first value.

    Gives the level after the last value, float [N] (0 where there is none), and the sum of squared one-step errors, [N].
    """
    level, begun, squares = np.zeros(len(values)), np.zeros(len(values), bool), np.zeros(len(values))
    for x, here in zip(np.ascontiguousarray(values.T), np.ascontiguousarray(there.T), strict=True):
        error = np.where(here & begun, x - level, 0.0)
        squares += error**2
        level = np.where(here & ~begun, x, level + alpha * error)
        begun |= here
    return level, squares


def best_smoothed(values: Array, there: Array, bounds: tuple[float, float]) -> Array:
    """Smooth each row with the weight within `bounds` that has the least squared one-step error; give the levels, [N].

    Golden-section search, all rows at once; the middle where the error does not depend on the weight. Rows are brought to
    the same size first: squares of huge values overflow.
    """
    top = np.where(there, np.abs(values), 0.0).max(axis=1, initial=0.0)
    scaled = np.where(there, values, 0.0) / np.where(top > 0, top, 1.0)[:, None]
    low, high = (np.full(len(values), bound) for bound in bounds)
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = smoothed(scaled, there, left)[1], smoothed(scaled, there, right)[1]
    even = at_left == at_right
    for _ in range(ROUNDS):
        down = at_left < at_right
        low, high = np.where(down, low, left), np.where(down, right, high)
        fresh = np.where(down, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
        found = smoothed(scaled, there, fresh)[1]
        left, right = np.where(down, fresh, right), np.where(down, left, fresh)
        at_left, at_right = np.where(down, found, at_right), np.where(down, at_left, found)
    return np.asarray(smoothed(values, there, np.where(even, sum(bounds), low + high) / 2)[0])
