"""Exponential smoothing of many series at once: a loop over steps, or over golden-section trials, never over series.

Letters for shapes: N series, K values, right-aligned. The recursions are those of Hyndman and Athanasopoulos, FPP3, 8.1.
"""

from __future__ import annotations

import numpy as np

from bench.api import Array

ROUNDS = 24
"""Golden-section steps: they narrow a bracket of .2 to 2e-6."""
GOLDEN = (5**0.5 - 1) / 2


def smoothed(steps: Array, alpha: Array | float) -> tuple[Array, Array]:
    """Smooth N series given step by step, `steps` [K, N], each from its first value on; see `from_first`.

    Gives the level after the last value, float [N] (0 where there is none), and the sum of squared one-step errors, [N].
    """
    level = steps[0].copy() if len(steps) else np.zeros(steps.shape[1])
    error, square, squares = np.empty_like(level), np.empty_like(level), np.zeros_like(level)
    for x in steps[1:]:
        np.subtract(x, level, out=error)
        np.multiply(error, error, out=square)
        squares += square
        error *= alpha
        level += error
    return level, squares


def from_first(values: Array, there: Array) -> Array:
    """Lay out right-aligned values [N, K] by step, [K, N], each row's first one before its start too: no error is made there."""
    first = values[np.arange(len(values)), there.argmax(axis=1)] if values.shape[1] else np.zeros(len(values))
    return np.ascontiguousarray(np.where(there, values, np.where(there.any(axis=1), first, 0.0)[:, None]).T)


def best_smoothed(values: Array, there: Array, bounds: tuple[float, float]) -> Array:
    """Smooth each row with the weight within `bounds` that has the least squared one-step error; give the levels, [N].

    Golden-section search, all rows at once; the middle where the error does not depend on the weight. Rows are brought to
    the same size first: squares of huge values overflow.
    """
    top = np.where(there, np.abs(values), 0.0).max(axis=1, initial=0.0)
    steps = from_first(values, there)
    scaled = steps / np.where(top > 0, top, 1.0)
    low, high = (np.full(len(values), bound) for bound in bounds)
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = smoothed(scaled, left)[1], smoothed(scaled, right)[1]
    even = at_left == at_right
    for _ in range(ROUNDS):
        down = at_left < at_right
        low, high = np.where(down, low, left), np.where(down, right, high)
        fresh = np.where(down, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
        found = smoothed(scaled, fresh)[1]
        left, right = np.where(down, fresh, right), np.where(down, left, fresh)
        at_left, at_right = np.where(down, found, at_right), np.where(down, at_left, found)
    return np.asarray(smoothed(steps, np.where(even, sum(bounds), low + high) / 2)[0])
