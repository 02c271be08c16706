"""Measure how much each series changes over one season of its own past: the scales of MASE, RMSSE and SQL.

Letters for shapes: N series, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.data.ragged import Array

AT_ONCE = 1 << 17
"""Steps looked at together: 1 MB an array (or one series, if longer), so a long panel needs little memory of its own."""

ROUNDING = 1e-14
"""A mean change below this share of the series' largest value is rounding (sums in another order): the series is constant."""


@dataclass(frozen=True, eq=False)
class Scales:
    """What the errors of each series are divided by; 0 for a constant series, nan for one without a pair of steps."""

    absolute: Array
    """float64 [N]: mean |y_t - y_{t-m}|, in units of y."""
    squared: Array
    """float64 [N]: mean (y_t - y_{t-m})^2, in squared units of y."""

    def __len__(self) -> int:
        """Return the number of series, N."""
        return len(self.absolute)

    def take(self, rows: Array | slice) -> Scales:
        """Select or repeat series by index, mask or slice, in the order given (a row for each window, say)."""
        return Scales(self.absolute[rows], self.squared[rows])


def scales(history: Array, start: Array, season: int, mask: Array | None = None) -> Scales:
    """Average how far y_t lies from y_{t-m} over the history, m = `season`: the in-sample error of the seasonal naive forecast.

    `history`: float [N, T], right-aligned. `start`: int [N], each series' first step. `mask`: bool [N, T], observed
    (None: where finite; what is not finite is never observed). Only pairs of observed steps count. Raises ValueError
    for a season below 1 and for shapes that do not fit.

    Sources: Hyndman and Koehler (2006), absolute, m = 1; Makridakis et al. (2020, M4), absolute, m the season;
    Makridakis et al. (2022, M5), squared, from the first sale on.
    """
    history, start = np.asarray(history, np.float64), np.asarray(start)
    _check(history, start, season, mask)
    n, steps = history.shape
    found = np.empty((2, n))
    size = max(1, AT_ONCE // max(1, steps))
    for first in range(0, n, size):
        rows = slice(first, first + size)
        seen = np.isfinite(history[rows]) & (np.arange(steps) >= start[rows, None])
        found[:, rows] = _changes(history[rows], seen if mask is None else seen & mask[rows], season)
    return Scales(found[0], found[1])


def undefined(known: Scales) -> Array:
    """Return which series have no usable scale, bool [N]: constant, without a pair, or beyond what float64 can hold."""
    both = np.stack([known.absolute, known.squared])
    return np.asarray(~(np.isfinite(both) & (both > 0)).all(axis=0))


def _check(history: Array, start: Array, season: int, mask: Array | None) -> None:
    if season < 1:
        raise ValueError(f"season is {season}; expected the steps of a cycle, 1 for none")
    if history.ndim != 2 or start.shape != history.shape[:1]:
        raise ValueError(f"history has shape {history.shape}, start {start.shape}; expected (N, T) and (N,)")
    if mask is not None and mask.shape != history.shape:
        raise ValueError(f"mask has shape {mask.shape}; expected that of history, {history.shape}")


def _changes(values: Array, seen: Array, season: int) -> Array:
    """Return mean absolute and mean squared seasonal change of series [n, T], float64 [2, n]."""
    values = np.where(seen, values, 0.0)
    pairs = seen[:, season:] & seen[:, :-season]  # [n, T - m]; empty where the season is longer than the history
    count = pairs.sum(axis=1)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # 0 / 0 is nan: the answer for what is too short
        change = np.where(pairs, np.abs(values[:, season:] - values[:, :-season]), 0.0)
        mean = np.stack([change.sum(axis=1), np.einsum("nt,nt->n", change, change)]) / count
    constant = mean[0] <= ROUNDING * np.abs(values).max(axis=1, initial=0.0)
    return np.where(constant, 0.0, mean)
