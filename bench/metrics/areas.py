"""Compute the areas under the ROC and precision-recall curves, point by point, over pooled entities of any weights.

Only the labelled steps' scores matter as thresholds: each entity's steps are counted at and between them once, and many
weightings cost one matrix product. Letters for shapes: N entities, T steps of all entities, B weightings, G distinct scores
of labelled steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.data.ragged import Array

AT_ONCE = 1 << 15
"""Numbers looked at together: 256 KB an array (or one draw, if longer), so that they stay in the cache."""
SMOOTH = 1e-5
"""Added to precision + recall under the oracle's F1: so the code behind the published values has it, 5e-6 below the exact one."""


@dataclass(frozen=True, eq=False)
class Areas:
    """How many steps of each entity stand at and between the distinct scores of labelled steps; made by `collect`."""

    every: Array
    """float64 [N, 2 G + 1]: all steps; column 2 g + 1 those at the g-th lowest score of a labelled step, 2 g just below it."""
    labelled: Array
    """float64 [N, G]: the labelled steps at each score."""


def checked(y: Array, score: Array) -> tuple[Array, Array]:
    """Return labels as bool [T] and scores as float64 [T]; raise ValueError on other shapes, labels or scores."""
    y, score = np.asarray(y), np.asarray(score, np.float64)
    if y.ndim != 1 or y.shape != score.shape:
        raise ValueError(f"y has shape {y.shape}, score has shape {score.shape}; expected two vectors of one length")
    if y.dtype != bool and not np.isin(y, (0, 1)).all():
        raise ValueError("y holds values other than 0 and 1; expected 1 where a step is anomalous")
    if not np.isfinite(score).all():
        raise ValueError("score holds values that are not finite; expected one finite number a step")
    return y.astype(bool), score


def end_to_end(parts: Sequence[tuple[Array, Array]]) -> tuple[Array, Array, Array]:
    """Lay entities (y [T_n], score [T_n]) end to end: (y bool, score float64, entity int64), each [T]."""
    both = [checked(*part) for part in parts]
    owner = np.repeat(np.arange(len(both)), [len(y) for y, _ in both])
    y = np.concatenate([np.zeros(0, bool), *(y for y, _ in both)])
    return y, np.concatenate([np.zeros(0), *(score for _, score in both)]), owner


def segments(y: Array, owner: Array | None = None) -> tuple[Array, Array]:
    """List the runs of true steps in `y`, bool [T], none longer than its entity: (first step, last step), int64 [S]."""
    new = np.zeros(len(y) + 1, bool)  # an entity begins here
    if owner is not None:
        new[1:-1] = owner[1:] != owner[:-1]
    led, followed = np.append(False, y), np.append(y, False)
    first = followed & (~led | new)
    last = led & (~followed | new)
    return np.flatnonzero(first), np.flatnonzero(last) - 1


def collect(parts: Sequence[tuple[Array, Array]]) -> Areas:
    """Sort the scores of N entities, each (y [T_n], score [T_n]), into places among the labelled steps' scores."""
    y, score, owner = end_to_end(parts)
    cuts = np.unique(score[y])  # [G]
    g, n = len(cuts), len(parts)
    left = np.searchsorted(cuts, score)
    place = left + np.searchsorted(cuts, score, side="right")

    def counted(cell: Array, columns: int) -> Array:
        return np.bincount(cell, minlength=n * columns).reshape(n, columns).astype(np.float64)

    return Areas(counted(owner * (2 * g + 1) + place, 2 * g + 1), counted(owner[y] * g + left[y], g))


def areas_of(areas: Areas, weights: Array) -> dict[str, Array]:
    """Return auc_pr, auc_roc and oracle_f1, each float64 [B], with entity n counted `weights[b, n]` times, [B, N].

    auc_roc: chance that a labelled step scores above another, ties count half (Hanley and McNeil, 1982). auc_pr: average
    precision, no interpolation (Davis and Goadrich, 2006). oracle_f1: the best point by point F1 over all thresholds, with
    `SMOOTH`.
    nan where no step, or every step, has a label.
    """
    weights = np.asarray(weights, np.float64)
    step = max(1, AT_ONCE // areas.every.shape[1])
    parts = [_areas(areas, weights[b : b + step]) for b in range(0, len(weights), step)]
    found = np.concatenate([np.zeros((3, 0)), *parts], axis=1)
    return dict(zip(("auc_pr", "auc_roc", "oracle_f1"), found, strict=True))


def _areas(a: Areas, weights: Array) -> Array:
    """Return the three for `weights` [b, N], float64 [3, b]; sums of whole counts are exact, in whatever order."""
    up, every = weights @ a.labelled, weights @ a.every  # [b, G], [b, 2 G + 1]
    below = np.cumsum(every, axis=1)[:, :-1:2]  # [b, G]: all steps below each score
    positive, total = up.sum(axis=1, keepdims=True), every.sum(axis=1, keepdims=True)  # [b, 1]
    missed = np.cumsum(up, axis=1) - up  # labelled steps below each score
    hits, seen = positive - missed, total - below
    worse = below - missed + (every[:, 1::2] - up) / 2
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 is nan: the answer for what is undefined
        precision = np.divide(hits, seen, out=np.zeros(up.shape), where=seen > 0)
        recall = hits / positive
        auc_pr = np.sum(up * precision, axis=1) / positive[:, 0]
        auc_roc = np.sum(up * worse, axis=1) / (positive * (total - positive))[:, 0]
        oracle = np.max(2 * precision * recall / (precision + recall + SMOOTH), axis=1, initial=0)
    found = np.stack([auc_pr, auc_roc, oracle])
    found[:, ~((positive > 0) & (positive < total))[:, 0]] = np.nan
    return found
