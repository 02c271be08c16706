"""Score anomaly scores by the volume under the surface, VUS: exact, vectorised, over one series or many pooled entities.

Source: Paparrizos et al., "Volume Under the Surface" (VLDB 2022). For every width w = 0 ... W, steps within w // 2 of a
labelled segment carry a soft label, sqrt(1 - distance / w), summed over the segments in reach and at most 1. At each of
K thresholds, quantile picks of the scores, recall and precision count the soft labels, and recall is multiplied by the
share of segments that are met at all; segments whose buffers share a step count as one. VUS is the mean area over w.

What makes it fast: predictions enter only through the first threshold that a step passes, its bin, so a sum over the
predicted steps, for all thresholds at once, is a histogram over bins, cumulated. And the soft label of a step depends on
w and on its distances to the segments in reach alone, its profile, so one histogram over profiles and bins serves all w.

Letters for shapes: N entities, T steps of all entities, K thresholds, W buffer, B weightings (bootstrap draws),
A unlabelled steps in some buffer, U distinct profiles among them, S segments, M segments merged, over all half-widths.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.data.ragged import Array, spans
from bench.metrics.areas import Areas, areas_of, collect, end_to_end, segments

THRESHOLDS = 250
"""Thresholds of the authors' own code; the number is a part of the metric, for it moves VUS in the third digit."""

AT_ONCE = 1 << 13
"""Numbers looked at together: 64 KB an array (or one draw, if longer). Of larger ones a dozen leave the cache, which takes twice
the time."""

SURFACES, POINTS = ("vus_roc", "vus_pr"), ("auc_pr", "auc_roc", "oracle_f1")
"""What `vus_of` gives: over the widths, and point by point."""

TINY = 1e-300
"""Stands for the number of predicted steps where there are none: no hit is among them either."""


@dataclass(frozen=True, eq=False)
class Volume:
    """What the surface needs of N entities laid end to end: counts that add up over entities."""

    buffer: int
    seen: Array
    """float64 [N, K]: steps by the first threshold that they pass."""
    core: Array
    """float64 [N, K]: the labelled ones of them."""
    profiles: Array
    """int64 [U, at most S]: distances to the segments in reach, 1 ... W // 2; 0 fills up."""
    cell: Array
    """int64 [A], rising: profile x K + bin of each step in a buffer."""
    owner: Array
    """int64 [A]: its entity."""
    met: Array
    """int64 [M]: half-width x K + lowest bin of each segment, merged and widened by the half-width."""
    met_owner: Array
    """int64 [M]: its entity."""

    @cached_property
    def soft(self) -> Array:
        """Return the soft label of each profile at each width 0 ... `buffer`, float64 [W + 1, U]."""
        soft = np.zeros((self.buffer + 1, len(self.profiles)))
        for w in range(2, self.buffer + 1):
            near = (self.profiles > 0) & (self.profiles <= w // 2)
            roots = np.sqrt(1 - self.profiles / w, where=near, out=np.zeros(self.profiles.shape))
            soft[w] = np.minimum(roots.sum(axis=1), 1)
        return soft


@dataclass(frozen=True, eq=False)
class Pooled:
    """The scores of many entities, ready for any number of weightings; made by `pooled`."""

    volume: Volume
    areas: Areas


@dataclass(frozen=True)
class Runs:
    """The labelled segments of the entities, each int64 [S]: first and last step, and the bounds of their entity."""

    first: Array
    last: Array
    low: Array
    high: Array


def vus(y: Array, score: Array, buffer: int) -> tuple[float, float]:
    """Return (VUS-ROC, VUS-PR) of one series; nan, both, where no step or every step is labelled.

    `y`: 0 or 1 [T], 1 = anomalous. `score`: finite [T], higher = more anomalous. `buffer`: W >= 0, the widest buffer in
    steps, both sides together. Raises ValueError on other shapes or values.
    """
    roc, pr = _surface(_volume([(y, score)], buffer, THRESHOLDS), np.ones((1, 1)), SURFACES)
    return float(roc[0]), float(pr[0])


def pooled(parts: Sequence[tuple[Array, Array]], buffer: int, K: int = THRESHOLDS) -> Pooled:
    """Pool entities, each (y [T_n], score [T_n]) as in `vus`; no segment or buffer crosses from one into the next.

    Scores must be comparable over entities (`bench.metrics.anomaly.ranks`): the thresholds are common, and remain those
    of all entities counted once, whatever the weights. Memory: O(T + N K + W S).
    """
    return Pooled(_volume(parts, buffer, K), collect(parts))


def vus_of(pool: Pooled, weights: Array, wanted: Collection[str] = SURFACES + POINTS) -> dict[str, Array]:
    """Score the pool with entity n counted `weights[b, n]` times; [B, N], >= 0.

    Gives the `wanted` of vus_roc, vus_pr, auc_pr, auc_roc and oracle_f1, each float64 [B]; nan where no step, or every step,
    is labelled. Asked for vus_pr alone it takes half the time.
    """
    n = len(pool.volume.seen)
    weights = np.asarray(weights, np.float64)
    if weights.ndim != 2 or weights.shape[1] != n:
        raise ValueError(f"weights have shape {weights.shape}; expected (B, {n}), one column for each entity")
    surfaces = tuple(name for name in SURFACES if name in wanted)
    found = dict(zip(surfaces, _surface(pool.volume, weights, surfaces), strict=True)) if surfaces else {}
    points = areas_of(pool.areas, weights) if any(name in wanted for name in POINTS) else {}
    return {**found, **{name: points[name] for name in POINTS if name in wanted}}


def _volume(parts: Sequence[tuple[Array, Array]], buffer: int, K: int) -> Volume:
    if (buffer := operator.index(buffer)) < 0 or K < 1:
        raise ValueError(f"buffer is {buffer}, K is {K}; expected a buffer of 0 steps or more and at least 1 threshold")
    y, score, owner = end_to_end(parts)
    bins = _bins(score, K)
    seen, core = (_count(owner[rows] * K + bins[rows], (len(parts), K)) for rows in (slice(None), y))
    first, last = segments(y, owner)
    of = owner[first]
    runs = Runs(first, last, np.searchsorted(owner, of), np.searchsorted(owner, of, side="right") - 1)
    step, profile, profiles = _profiles(y, runs, buffer // 2)
    order = np.argsort(profile, kind="stable")
    step = step[order]
    met, which = _merged(bins, runs, buffer // 2, K)
    return Volume(buffer, seen, core, profiles, profile[order] * K + bins[step], owner[step], met, of[which])


def _bins(score: Array, K: int) -> Array:
    """Find the first of K falling thresholds that each step passes, int64 [T] for `score` [T]."""
    if not len(score):
        return np.zeros(0, np.int64)
    picks = np.linspace(0, len(score) - 1, K).astype(int)
    falling = -np.sort(score)[::-1][picks]  # negated, so they rise: [K]
    return np.searchsorted(falling, -score)


def _count(cell: Array, shape: tuple[int, int], weight: Array | None = None) -> Array:
    return np.bincount(cell, weight, shape[0] * shape[1]).reshape(shape).astype(np.float64, copy=False)


def _profiles(y: Array, runs: Runs, half: int) -> tuple[Array, Array, Array]:
    """Return the buffer steps [A], the profile of each [A] and the distances of each profile [U, at most S]."""
    left = np.maximum(runs.first - half, runs.low)
    right = np.minimum(runs.last + half, runs.high)
    before, _ = spans(left, runs.first - left)
    after, _ = spans(runs.last + 1, right - runs.last)
    step = np.concatenate([before, after])
    distance = np.concatenate([np.repeat(runs.first, runs.first - left) - before, after - np.repeat(runs.last, right - runs.last)])
    step, distance = step[~y[step]], distance[~y[step]]
    order = np.lexsort((distance, step))
    step, begin, count = np.unique(step[order], return_index=True, return_counts=True)
    table = np.zeros((len(step), max(1, count.max(initial=0))), np.int64)
    row = np.repeat(np.arange(len(step)), count)
    table[row, np.arange(len(row)) - begin[row]] = distance[order]
    profiles, profile = np.unique(table, axis=0, return_inverse=True)
    return step, profile.ravel(), profiles


def _merged(bins: Array, runs: Runs, half: int, K: int) -> tuple[Array, Array]:
    """Return half-width x K + lowest bin, and a segment inside, of each segment merged at half-widths 0 ... `half`: [M], [M]."""
    if not len(runs.first):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    core = np.minimum.reduceat(np.append(bins, 0), np.stack([runs.first, runs.last + 1], axis=1).ravel())[::2]  # [S]
    h = np.arange(half + 1)[:, None]
    rim = np.minimum(bins[np.maximum(runs.first - h, runs.low)], bins[np.minimum(runs.last + h, runs.high)])
    lowest = np.minimum.accumulate(np.minimum(rim, core), axis=0)  # [half + 1, S]
    apart = np.ones(lowest.shape, bool)
    apart[:, 1:] = (runs.last[:-1] + h < runs.first[1:] - h) | (runs.low[:-1] != runs.low[1:])
    at = np.flatnonzero(apart)
    low = np.minimum.reduceat(lowest.ravel(), at)
    return at // len(runs.first) * K + low, at % len(runs.first)


def _surface(v: Volume, weights: Array, wanted: Sequence[str]) -> Array:
    """Average areas of `SURFACES` over the widths, for `weights` [B, N]: float64 [len(wanted), B]."""
    step = max(1, AT_ONCE // ((v.buffer + 1) * v.seen.shape[1]))
    parts = [_surface_part(v, weights[b : b + step], wanted) for b in range(0, len(weights), step)]
    return np.concatenate([np.zeros((len(wanted), 0)), *parts], axis=1)


def _surface_part(v: Volume, weights: Array, wanted: Sequence[str]) -> Array:
    half, K = np.arange(v.buffer + 1) // 2, v.seen.shape[1]
    # whole numbers: their sums are exact in whatever order
    seen, core = (np.cumsum(weights @ x, axis=1)[:, None] for x in (v.seen, v.core))
    met = _counts(v.met, v.met_owner, weights, (half[-1] + 1, K)).cumsum(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 is nan: the answer for what is undefined
        existence = (met / met[:, :, -1:])[:, half]  # [b, W + 1, K]
        areas = _areas_of_widths(seen, core, _bonus(v, weights), existence, wanted).mean(axis=2)  # [len(wanted), b]
    areas[:, core[:, 0, -1] == seen[:, 0, -1]] = np.nan
    return np.asarray(areas)


def _bonus(v: Volume, weights: Array) -> Array:
    """Sum the soft labels of the predicted buffer steps, float64 [b, W + 1, K]; a block of profiles at a time bounds memory."""
    K = v.seen.shape[1]
    total = np.zeros((len(weights), v.buffer + 1, K))
    block = max(1, AT_ONCE // K)
    for u in range(0, len(v.profiles), block):
        soft = v.soft[:, u : u + block]
        rows = slice(*np.searchsorted(v.cell, [u * K, (u + block) * K]))
        total += soft @ _counts(v.cell[rows] - u * K, v.owner[rows], weights, (soft.shape[1], K))
    return np.cumsum(total, axis=2, out=total)


def _counts(cell: Array, owner: Array, weights: Array, shape: tuple[int, int]) -> Array:
    """Count each cell as often as its owner's weight says, for all weightings together: float64 [b, *shape]."""
    size, b = shape[0] * shape[1], len(weights)
    at = np.arange(b)[:, None] * size + cell
    return np.bincount(at.ravel(), weights[:, owner].ravel(), b * size).reshape(b, *shape)


def _areas_of_widths(seen: Array, core: Array, bonus: Array, existence: Array, wanted: Sequence[str]) -> Array:
    """Return areas under the curves, float64 [len(wanted), b, W + 1], from counts at each threshold, [b, 1 or W + 1, K].

    The ROC curve begins at (0, 0), ends at (1, 1) and is joined by straight lines; the other area is a sum of right steps.
    Works in place where it can: memory that is asked for anew at each step costs as much as the arithmetic.
    """
    positive = bonus / 2
    positive += core[..., -1:]
    hit = np.add(core, bonus, out=bonus)
    tpr = hit / positive
    np.minimum(tpr, 1, out=tpr)
    tpr *= existence
    rise, found = _steps(tpr), {}
    if "vus_roc" in wanted:
        fpr = np.subtract(seen, hit)
        fpr /= np.subtract(seen[..., -1:], positive, out=positive)
        last = (1 - fpr[..., -1]) * (1 + tpr[..., -1]) / 2
        run = _steps(fpr)
        run *= np.subtract(tpr, rise / 2, out=tpr)
        found["vus_roc"] = np.sum(run, axis=-1) + last
    hit /= np.maximum(seen, TINY)  # the precision
    hit *= rise
    return np.stack([found["vus_roc"] if name == "vus_roc" else np.sum(hit, axis=-1) for name in wanted])


def _steps(x: Array) -> Array:
    """Return by how much each number lies above the one before, the first above 0, along the last axis."""
    found = x.copy()
    found[..., 1:] -= x[..., :-1]
    return found
