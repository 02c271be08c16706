"""Which windows of a panel a network learns from, and what stands in them.

Letters for shapes: N series, n windows, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Array, Panel
from bench.data.ragged import hashed, spans

MOST = 20_000
"""Most training windows where the profile sets no bound; neighbouring windows tell nearly the same."""
DENSE = 8
"""Candidates for each window that is taken; a denser grid would only cost memory."""


@dataclass(frozen=True, slots=True)
class Places:
    """Name windows: a series and a step for each."""

    series: Array
    """int64 [n]."""
    at: Array
    """int64 [n]: a step of the grid, such as a window's first or the one behind its context."""

    def __len__(self) -> int:
        """Return the number of windows, n."""
        return len(self.series)

    def take(self, rows: Array) -> Places:
        """Select windows by index."""
        return Places(self.series[rows], self.at[rows])


def every(first: Array, last: Array, stride: int = 1) -> Places:
    """List the places `last`, `last - stride`, ... down to `first` of each series, int64 [N] each; none where last < first."""
    count = np.maximum((last - first) // stride + 1, 0)
    turn, _ = spans(np.zeros(len(count), np.int64), count)
    series = np.repeat(np.arange(len(count)), count)
    return Places(series, last[series] - turn * stride)


def some(first: Array, last: Array, most: int, seed: int) -> Places:
    """Choose at most `most` places in [first, last] of all series by a seeded hash, each as likely as any other.

    `first`, `last`: int64 [N]. Where there are far more than are taken, only every k-th is looked at, counted from `last`.
    """
    total = int(np.maximum(last - first + 1, 0).sum())
    found = every(first, last, max(1, total // (DENSE * most)))
    if len(found) <= most:
        return found
    lot = hashed(found.series * 2**32 + (last[found.series] - found.at), seed)
    chosen = np.sort(np.argpartition(lot, most)[:most])
    return Places(found.series[chosen], found.at[chosen])


def observed_at(panel: Panel, series: Array, at: Array) -> tuple[Array, Array]:
    """Return the values at grid steps `at` and whether they were observed; outside of the grid 0, and not.

    `series` and `at`: int, of shapes that broadcast to [n, P]. Returns float64 and bool, [n, P].
    """
    shape = np.broadcast_shapes(series.shape, at.shape)
    if panel.steps == 0:
        return np.zeros(shape), np.zeros(shape, bool)
    inside, clipped = (at >= 0) & (at < panel.steps), np.clip(at, 0, panel.steps - 1)
    return np.where(inside, panel.values[series, clipped], 0.0), inside & panel.mask[series, clipped]


def local_mean(x: Array, real: Array, width: int, *, ahead: bool) -> Array:
    """Average the `width` steps that end at each step, or with `ahead` those around it, float64 [N, T]; only those `real` count."""
    steps = x.shape[1]
    last = np.minimum(np.arange(steps) + ((width - 1) // 2 if ahead else 0), steps - 1)
    first = np.maximum(np.arange(steps) + ((width - 1) // 2 if ahead else 0) - width, -1)
    so_far = [np.pad(np.cumsum(np.where(real, each, 0.0), axis=1), ((0, 0), (1, 0))) for each in (x, np.ones(x.shape))]
    total, count = (each[:, last + 1] - each[:, first + 1] for each in so_far)
    return np.asarray(total / np.maximum(count, 1.0))


def ahead_known(panel: Panel, series: Array, at: Array, columns: list[int]) -> Array:
    """Return the `columns` of what is known in advance at grid steps `at`, float32 [n, P, C]; `series`: int [n, 1]."""
    row = np.minimum(series, len(panel.known) - 1)  # one row may serve all series
    return np.asarray(panel.known[row, np.clip(at, 0, panel.known.shape[1] - 1)][..., columns])


def varying(known: Array) -> list[int]:
    """List the columns of what is known in advance, [.., T, C], that are not the same everywhere."""
    flat = known.reshape(-1, known.shape[-1])
    return [] if len(flat) == 0 else [int(c) for c in np.flatnonzero((flat != flat[0]).any(axis=0))]


def mean(x: Array, where: Array) -> Array:
    """Average over the steps `where`, [n, P] to [n, 1]; 0 where there are none."""
    count = where.sum(axis=1, keepdims=True)
    return np.asarray((x * where).sum(axis=1, keepdims=True) / np.maximum(count, 1))
