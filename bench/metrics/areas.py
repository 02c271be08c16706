"""Compute the areas under the ROC and precision-recall curves, point by point, over pooled entities of any weights.

Only the labelled steps' scores matter as thresholds: all steps are sorted into the places between and at them once, and
a weighting costs one count of those places. Letters for shapes: N entities, T steps of all entities, B weightings,
G distinct scores of labelled steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.ragged import Array

SMOOTH = 1e-5
"""Added to precision + recall under the oracle's F1: so the code behind the published values has it, 5e-6 below the exact one."""


@dataclass(frozen=True, eq=False)
class Areas:
    """Hold where each step's score stands among the distinct scores of labelled steps; made by `collect`."""

    place: Array
    """int64 [T]: 2 g + 1 for the g-th lowest score of a labelled step, 2 g just below it, 2 G above all."""
    owner: Array
    """int64 [T]: the entity of each step."""
    labelled: tuple[Array, Array]
    """Place and entity of the labelled steps alone, in the order of time."""
    places: int
    """2 G + 1."""


def checked(y: Array, score: Array) -> tuple[Array, Array]:
    """Give labels as bool [T] and scores as float64 [T]; raise ValueError on other shapes, labels or scores."""
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
    place = np.searchsorted(cuts, score) + np.searchsorted(cuts, score, side="right")
    return Areas(place, owner, (place[y], owner[y]), 2 * len(cuts) + 1)


def areas_of(areas: Areas, weights: Array) -> dict[str, Array]:
    """Give auc_pr, auc_roc and oracle_f1, each float64 [B], with entity n counted `weights[b, n]` times, [B, N].

    auc_roc: chance that a labelled step scores above another, ties count half (Hanley and McNeil, 1982). auc_pr: average
    precision, no interpolation (Davis and Goadrich, 2006). oracle_f1: the best point by point F1 over all thresholds, with
    `SMOOTH`.
    nan where no step, or every step, has a label.
    """
    rows = [_areas(areas, row) for row in np.asarray(weights, np.float64)]
    return dict(zip(("auc_pr", "auc_roc", "oracle_f1"), np.array(rows, np.float64).reshape(-1, 3).T, strict=True))


def _areas(a: Areas, weights: Array) -> tuple[float, float, float]:
    place, owner = a.labelled
    up = np.bincount(place, weights[owner], a.places)[1::2]  # [G]
    every = np.bincount(a.place, weights[a.owner], a.places)
    below = np.cumsum(every)[:-1:2]  # [G]: all steps below each score
    positive, total = up.sum(), every.sum()
    if not 0 < positive < total:
        return np.nan, np.nan, np.nan
    missed = np.cumsum(up) - up  # labelled steps below each score
    hits, seen = positive - missed, total - below
    worse = below - missed + (every[1::2] - up) / 2
    precision = np.divide(hits, seen, out=np.zeros(len(up)), where=seen > 0)
    recall = hits / positive
    auc_roc = np.sum(up * worse) / (positive * (total - positive))
    oracle = np.max(2 * precision * recall / (precision + recall + SMOOTH))
    return float(np.sum(up * precision) / positive), float(auc_roc), float(oracle)
