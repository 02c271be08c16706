"""What models of a user's activity share: active days counted in periods back from the cut-off, and a last calibration.

Letters: N rows (a user at a cut-off), K periods, oldest first, E steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from bench.api import Array, ChurnInputs, ChurnTrain
from bench.data.ragged import hashed

LONGEST = 100
"""Most periods that are looked back on: an event that lies farther back says little beyond them, and time grows with them."""
MOST = 4_000
"""Most rows that shared parameters are learnt from: a dozen numbers are then known well, and more rows only cost time."""
NEWTON = 50
"""Most steps of the calibration; it takes about six."""
SUREST = 1e-9
"""Nearest to 0 and 1 that a probability may come before its log odds are taken."""


@dataclass(frozen=True, slots=True)
class Activity:
    """Counts of active days by period; each row begins at its oldest known active day, which is not counted itself.

    What came before that day is unknown (the ragged part may be capped), and that there was such a day is given.
    """

    counts: Array
    """float64 [N, K]: distinct active days in each period; 0 before the beginning."""
    exposure: Array
    """float64 [N, K]: share of the period that lies behind the beginning: 0 before it, a fraction in its own period, then 1."""

    @classmethod
    def of(cls, inputs: ChurnInputs, width: float, passive: Array) -> Activity:
        """Count each row's activity in periods of `width` days, the last of which ends at the cut-off.

        `passive`: names of the kinds that are no activity. Where no active step is kept, a row begins at its recency.
        """
        names = np.array(inputs.kinds)
        days = inputs.days_before_cutoff.astype(np.float64)
        kept = ~np.isin(names, passive)[inputs.kind] & (days < LONGEST * width)
        row, age = np.repeat(np.arange(len(inputs)), inputs.lengths)[kept], days[kept]
        begin = np.clip(np.nan_to_num(inputs.column("recency")), 0.0, LONGEST * width)
        first = np.ones(len(row), bool)
        first[1:] = row[1:] != row[:-1]
        begin[row[first]] = age[first]
        periods = max(int(np.ceil(begin.max(initial=0.0) / width)), 1)
        back = np.floor(age / width).astype(np.int64)
        new = (np.floor(age) != np.floor(begin[row])) & _changes(row, back, np.floor(age))
        at = row[new] * periods + (periods - 1 - back[new])
        counts = np.bincount(at, minlength=len(inputs) * periods).reshape(len(inputs), periods)
        return cls(counts.astype(np.float64), np.clip(begin[:, None] / width - np.arange(periods)[::-1], 0.0, 1.0))

    def take(self, rows: Array | slice) -> Activity:
        """Select rows by index, mask or slice."""
        return Activity(self.counts[rows], self.exposure[rows])


def _changes(*columns: Array) -> Array:
    """Report where any column differs from the element before, bool [E]."""
    new: Array = np.ones(len(columns[0]), bool)
    new[1:] = np.logical_or.reduce([np.diff(column) != 0 for column in columns])
    return new


def passive_kinds(train: ChurnTrain, history: int) -> Array:
    """Name the kinds that are no activity (a cancellation, say), str [...]: those that `n_events` does not count.

    Least squares of `n_events` on the events of each kind, over the rows that are whole (fewer than `history` steps);
    where that is not exact, no kind is left out.
    """
    rows = np.flatnonzero(train.lengths < history)
    kinds = len(train.kinds)
    at = np.repeat(np.arange(len(train)), train.lengths) * kinds + train.kind
    seen = np.bincount(at, train.count, minlength=len(train) * kinds).reshape(len(train), kinds)[rows]
    total = np.nan_to_num(train.column("n_events")[rows])
    share = np.linalg.lstsq(seen.T @ seen, seen.T @ total, rcond=None)[0]
    counted = share > 0.5 - 1e-6
    exact = np.allclose(seen @ counted, total)
    passive: Array = np.array(train.kinds, np.str_)[~counted & seen.any(axis=0) & exact]
    return passive


def chosen(train: ChurnTrain) -> Array:
    """Choose at most `MOST` rows to learn shared parameters from: indices int64."""
    return shuffled(train)[:MOST]


def shuffled(train: ChurnTrain) -> Array:
    """Order the rows by a hash of user and cut-off, so that any first part is a fair sample of all: indices int64 [N]."""
    mixed = hashed(train.group * 1_000_003 + np.floor(train.cutoff).astype(np.int64), 0)
    order: Array = np.argsort(mixed, kind="stable")
    return order


def calibration(p: Array, y: Array) -> Array:
    """Fit P(y = 1) = expit(a + b logit p) and give (a, b) [2]; Platt (1999).

    A standard normal prior around a = 0, b = 1 (the model's own word) keeps both finite where labels are few or all alike.
    """
    x = np.stack([np.ones(len(p)), _odds(p)], axis=1)
    start = np.array([0.0, 1.0])
    at, loss = start, _loss(start, x, y, start)
    for _ in range(NEWTON):
        guess = expit(x @ at)
        slope = x.T @ (guess - y) + at - start
        curve = (x * (guess * (1 - guess))[:, None]).T @ x + np.eye(2)
        step = np.linalg.solve(curve, slope)
        while (new := _loss(at - step, x, y, start)) > loss and np.abs(step).max() > 1e-12:
            step = step / 2
        if np.abs(step).max() <= 1e-12 or new > loss:
            break
        at, loss = at - step, new
    return at


def _loss(at: Array, x: Array, y: Array, start: Array) -> float:
    z = x @ at
    return float((np.logaddexp(0.0, z) - y * z).sum() + ((at - start) ** 2).sum() / 2)


def calibrated(p: Array, fitted: Array) -> Array:
    """Apply a calibration (a, b) to probabilities [N]."""
    return np.asarray(expit(fitted[0] + fitted[1] * _odds(p)))


def surprise(p: Array, y: Array) -> float:
    """Compute the mean log-loss of probabilities [N]."""
    odds = _odds(p)
    return float((np.logaddexp(0.0, odds) - y * odds).mean()) if len(p) else 0.0


def _odds(p: Array) -> Array:
    return np.asarray(logit(np.clip(p, SUREST, 1 - SUREST)))
