"""Calibrate P(churn): one line through the log-odds, fitted on validation predictions, used where it helps on another validation.

Platt (1999): logit(p') = slope * logit(p) + intercept, by maximum likelihood. The slope is kept positive, so that no two
users change places and ROC AUC stays as it is (isotonic regression would tie users and change it). From one
cut-off to the next the level moves, and an intercept learnt at the last ones did harm at the next (Online Retail, log-loss
.544 to .576): there the slope alone is used, around the middle of the log-odds. Where entities are split at random, as with
given labels, the level is one, and the intercept is used too unless the rates of the validations differ beyond doubt.

It must help on every validation, beyond its standard error there, by what the others say. And a model that gets sharper as it
learns from more cut-offs needs less of a correction at the next (Online Retail, `arima`: slopes 1.77, 1.43, 1.39, on test
1.11): the slope goes no further than the trend of the validations' own slopes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.data.ragged import Array, hashed

CLIP = 1e-6
ERRORS = 1.0
"""Standard errors by which it must lower the log-loss on each validation, fitted on the others.

Chosen on 72 boards of simulated logs (`tests/benchmarks/bench_gates.py`): of 720 rows it corrects 27, 26 for the better and none for
the worse beyond its interval; a gain on the whole, with a loss on none, corrected 74, and 6 of them were worse beyond it."""
SURE = 0.01
"""Chance of rates as different as those seen where none has moved, below which they have."""
LEAST = 100
"""Validation rows below which nothing is fitted."""


@dataclass(frozen=True)
class Fold:
    """Validation predictions and labels of one cut-off: `p`, `y` and `group` (the user), [N] each."""

    p: Array
    y: Array
    group: Array


def calibration(folds: Sequence[Fold], *, level: bool) -> dict[str, float]:
    """Return slope and intercept, or nothing where calibrating does not help beyond its own uncertainty; `folds`: the latest first.

    `level`: whether validations and test are of one level, so that the intercept may be learnt.
    It is tried on each validation with what the others say; with one alone, on each half of its users with the other half.
    """
    if sum(len(f.y) for f in folds) < LEAST:
        return {}
    parts = list(folds) if len(folds) > 1 else _halves(folds[0])
    moving = not level or drifts([f.y for f in folds])
    for at, held in enumerate(parts):
        line = _fitted([f for n, f in enumerate(parts) if n != at], moving=moving)
        if line is None:
            return {}
        gain = _loss(held.p, held.y) - _loss(applied(held.p, *line), held.y)
        if not gain.mean() > ERRORS * gain.std() / np.sqrt(len(gain)):
            return {}
    line = _fitted(parts, moving=moving)
    if line is not None and moving and len(folds) > 1:
        line = _no_further_than_the_trend(line[0], folds)
    return {} if line is None else {"slope": line[0], "intercept": line[1]}


def _no_further_than_the_trend(slope: float, folds: Sequence[Fold]) -> tuple[float, float] | None:
    """Return a line with the slope, or with what the validations' own slopes tend to, whichever corrects less.

    `folds`: the latest first. None where the trend lies beyond 1, or a validation has no slope.
    """
    each = [line[0] for f in folds if (line := _fitted([f], moving=True)) is not None]
    if len(each) < len(folds):
        return None
    # a straight line through their logarithms, one step on
    ahead = float(np.exp(np.polyval(np.polyfit(-np.arange(len(each)), np.log(each), 1), 1.0)))
    if (ahead - 1) * (slope - 1) <= 0:
        return None
    least = min(slope, ahead, key=lambda s: abs(np.log(s)))
    return least, _turned(least, folds)


def _turned(slope: float, folds: Sequence[Fold]) -> float:
    """Return the intercept of a line that turns about the mean log-odds."""
    return (1 - slope) * float(_logit(np.concatenate([f.p for f in folds])).mean())


def applied(p: Array, slope: float, intercept: float) -> Array:
    """Apply a line to the log-odds of P(churn), float64 [N]."""
    z = np.clip(slope * _logit(p) + intercept, -700.0, 700.0)
    return np.asarray(1.0 / (1.0 + np.exp(-z)), np.float64)


def calibrated(p: Array, line: Mapping[str, float]) -> Array:
    """Apply what `calibration` returned."""
    return applied(p, line["slope"], line["intercept"]) if line else p


def _halves(fold: Fold) -> list[Fold]:
    first = hashed(fold.group, 11) < 0.5
    return [Fold(fold.p[rows], fold.y[rows], fold.group[rows]) for rows in (first, ~first)]


def drifts(labels: Sequence[Array]) -> bool:
    """Return whether the rates of several cut-offs differ beyond doubt (Pearson's chi-squared test)."""
    from scipy.special import chdtrc  # the upper tail of chi-squared; scipy.stats has it too, and takes half a second to import

    n, ones = np.array([len(y) for y in labels], float), np.array([y.sum() for y in labels], float)
    rate = ones.sum() / n.sum()
    if len(labels) < 2 or not 0 < rate < 1:
        return False
    statistic = ((ones - n * rate) ** 2 / (n * rate * (1 - rate))).sum()
    return bool(chdtrc(len(labels) - 1, statistic) < SURE)


def _fitted(folds: Sequence[Fold], *, moving: bool) -> tuple[float, float] | None:
    """Fit slope and intercept by Newton's method; None where there is one class only or the slope is not positive.

    Where rates are `moving`, each validation has an intercept of its own, and the line turns about the mean log-odds.
    """
    x, y = _logit(np.concatenate([f.p for f in folds])), np.concatenate([f.y for f in folds]).astype(np.float64)
    if not len(y) or y.min() == y.max():
        return None
    own = np.repeat(np.eye(len(folds)), [len(f.y) for f in folds], axis=0) if moving else np.ones((len(y), 1))
    design = np.column_stack([x, own])
    at = start = np.r_[1.0, np.zeros(own.shape[1])]
    # a little of the line that changes nothing: a prediction that separates the classes would else have no finite slope
    ridge = np.diag([1.0, *np.full(own.shape[1], 1e-3)])
    for _ in range(50):
        fitted = 1.0 / (1.0 + np.exp(-np.clip(design @ at, -30, 30)))
        slope = design.T @ (fitted - y) + ridge @ (at - start)
        step = np.linalg.solve(design.T @ (design * (fitted * (1 - fitted))[:, None]) + ridge, slope)
        at = at - step
        if np.abs(step).max() < 1e-9:
            break
    if not np.isfinite(at).all() or at[0] <= 0:
        return None
    return float(at[0]), _turned(float(at[0]), folds) if moving else float(at[1])


def _logit(p: Array) -> Array:
    q = np.clip(np.asarray(p, np.float64), CLIP, 1 - CLIP)
    return np.asarray(np.log(q) - np.log1p(-q))


def _loss(p: Array, y: Array) -> Array:
    q = np.clip(np.asarray(p, np.float64), CLIP, 1 - CLIP)
    return np.asarray(-np.where(y > 0, np.log(q), np.log1p(-q)))
