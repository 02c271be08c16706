"""Bring forecasts into the form that is scored: quantiles in order, a mean, nothing below zero where zero is the floor.

Letters for shapes: N rows, H horizon, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.data.ragged import Array

TOLERANCE = 1e-6
"""Quantiles cross where one lies below its neighbour by more than this share of the step's largest: float32 rounds below it."""


def sorted_quantiles(quantiles: Array) -> tuple[Array, float]:
    """Sort quantiles along Q; give them, [N, H, Q], and the share of rows x steps where neighbours were out of order.

    Sorting never raises the quantile loss (Chernozhukov, Fernandez-Val and Galichon, 2010). What is in order comes
    back as it is, not copied. Expects numbers: nan sorts last and is not counted.
    """
    drop = quantiles[:, :, :-1] - quantiles[:, :, 1:]  # [N, H, Q - 1]
    if not (drop > 0).any():
        return quantiles, 0.0
    largest = np.abs(quantiles).max(axis=2, keepdims=True)
    crossed = (drop > TOLERANCE * largest).any(axis=2)
    return np.sort(quantiles, axis=2), float(crossed.mean())


def mean_from_quantiles(quantiles: Array, levels: Sequence[float]) -> Array:
    """Integrate the quantile function over (0, 1), float64 [N, H], from quantiles [N, H, Q] at ascending `levels`.

    Linear between levels (the trapezoid rule), flat beyond the first and the last: a long tail is cut off, so for
    skewed data the result lies below the true mean. Raises ValueError for levels that are not ascending inside (0, 1).
    """
    at = checked_levels(levels, quantiles)
    width = np.diff(np.concatenate([[0.0], (at[1:] + at[:-1]) / 2, [1.0]]))  # each level stands for the stretch around it
    return np.asarray(np.einsum("nhq,q->nh", np.asarray(quantiles, np.float64), width))


def clipped(quantiles: Array, mean: Array) -> tuple[Array, Array, float]:
    """Raise what is negative to 0 in quantiles [N, H, Q] and mean [N, H]; give both and the share of rows x steps touched."""
    below = (quantiles < 0).any(axis=2) | (mean < 0)
    if not below.any():
        return quantiles, mean, 0.0
    return np.maximum(quantiles, 0), np.maximum(mean, 0), float(below.mean())


def quantile_loss(y: Array, quantiles: Array, levels: Sequence[float]) -> Array:
    """Average twice the pinball loss over the levels, float64 [N, H], for truth [N, H] and quantiles [N, H, Q].

    Twice the pinball loss at level a is |e| + (2a - 1) e with e = y - quantile (Koenker and Bassett, 1978): the absolute
    error at the median. The mean over evenly spaced levels approaches the CRPS.
    """
    total = np.zeros(y.shape)
    for q, level in enumerate(checked_levels(levels, quantiles)):
        error = y - quantiles[:, :, q]
        total += np.abs(error)
        total += (2 * level - 1) * error
    return total / len(levels)


def level_index(quantiles: Array, levels: Sequence[float], level: float) -> int:
    """Find one level among those of quantiles [N, H, Q]; raise ValueError that names the levels where it is missing."""
    found = np.flatnonzero(np.isclose(checked_levels(levels, quantiles), level, rtol=0, atol=1e-9))
    if not len(found):
        raise ValueError(f"the quantiles have levels {', '.join(map(str, levels))}; the metrics need {level} among them")
    return int(found[0])


def checked_levels(levels: Sequence[float], quantiles: Array) -> Array:
    """Return the levels as float64 [Q]; raise ValueError unless they ascend inside (0, 1) and fit quantiles [N, H, Q]."""
    at = np.asarray(levels, np.float64)
    if not len(at) or not ((at > 0) & (at < 1)).all() or (np.diff(at) <= 0).any():
        raise ValueError(f"levels are {tuple(levels)}; expected ascending numbers between 0 and 1")
    if quantiles.ndim != 3 or quantiles.shape[2] != len(at):
        raise ValueError(f"quantiles have shape {quantiles.shape}; expected (N, H, {len(at)}), one for each level")
    return at
