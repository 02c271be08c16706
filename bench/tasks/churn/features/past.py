"""The steps of some users up to a cut-off, gathered, and sums over them: all that a feature may see.

Every number of a user is computed from that user's own steps in their order, so that neither later events nor the users
gathered beside them change a bit of it. Letters: E steps, N users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.data.feature_names import WINDOWS
from bench.data.ragged import Array, spans
from bench.tasks.churn.prepared import DAY, Ragged

LATER = max(WINDOWS.values())
"""Quarters that are told apart; what is older counts as one more."""


@dataclass(frozen=True)
class Past:
    """Time-sorted steps of N users up to a cut-off, one user after another."""

    at: Array
    """int64 [E]: where the steps stand in the log."""
    offsets: Array
    """int64 [N + 1]."""
    row: Array
    """int64 [E]: the user, 0 to N - 1."""
    time: Array
    """int64 [E]: microseconds since 1970."""
    value: Array
    """float64 [E]."""
    count: Array
    """float64 [E]: events merged into the step."""
    quarter: Array
    """int64 [E]: quarters of the horizon before the cut-off, 0 the latest, at most `LATER`."""

    @classmethod
    def of(cls, steps: Ragged, begin: Array, end: Array, cutoff: int, horizon: int) -> Past:
        """Gather the steps `begin` to `end` [N] of each user; `cutoff`, `horizon` in microseconds."""
        at, offsets = spans(begin, end - begin)
        time = steps.time[at]
        row = np.repeat(np.arange(len(begin)), end - begin)
        quarter = np.minimum((cutoff - time) * 4 // horizon, LATER)
        return cls(at, offsets, row, time, steps.value[at], steps.count[at].astype(np.float64), quarter)

    def __len__(self) -> int:
        """Return the number of users, N."""
        return len(self.offsets) - 1

    @property
    def some(self) -> Array:
        """Return who has a step, bool [N]."""
        return np.diff(self.offsets) > 0

    @property
    def first(self) -> Array:
        """Return each user's first step, int64 [N]; of no use where there is none."""
        return np.minimum(self.offsets[:-1], max(len(self.row) - 1, 0))

    @property
    def last(self) -> Array:
        """Return each user's last step, int64 [N]; of no use where there is none."""
        at: Array = np.maximum(self.offsets[1:] - 1, 0)
        return at

    def sum(self, x: Array) -> Array:
        """Sum x [E] over each user's steps, in their order: float64 [N]."""
        total: Array = np.bincount(self.row, x, len(self)).astype(np.float64)
        return total

    def by(self, code: Array, size: int, x: Array) -> Array:
        """Sum x [E] over each user's steps of each code, int [E] below `size`: float64 [N, size]."""
        total: Array = np.bincount(self.row * size + code, x, len(self) * size).reshape(len(self), size).astype(np.float64)
        return total

    def of_step(self, x: Array, step: Array) -> Array:
        """Return x [E] at one step of each user, float64 [N]; 0 where a user has none."""
        return np.where(self.some, x[step], 0.0) if len(x) else np.zeros(len(self))

    def new_days(self) -> Array:
        """Mark the first step of each of a user's days, bool [E]."""
        fresh = np.ones(len(self.row), bool)
        day = self.time // DAY
        fresh[1:] = (day[1:] != day[:-1]) | (self.row[1:] != self.row[:-1])
        return fresh


def ratio(a: Array, b: Array) -> Array:
    """Divide, float64 [N]; 0 where there is nothing to divide by."""
    return np.divide(a, b, out=np.zeros(len(a)), where=np.abs(b) > 1e-12)


def entropy(counts: Array) -> Array:
    """Compute the entropy in nats of counts [N, K]: float64 [N]."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    return np.asarray(-(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1))


def extreme(x: Array, offsets: Array, *, largest: bool) -> Array:
    """Find the largest or smallest x [E] of each span, float64 [N]; 0 for an empty span."""
    out = np.zeros(len(offsets) - 1)
    some = np.diff(offsets) > 0
    if some.any():
        out[some] = (np.maximum if largest else np.minimum).reduceat(x, offsets[:-1][some])
    return out
