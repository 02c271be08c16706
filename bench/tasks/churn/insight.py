"""What a churn model shows of itself: a map of users, and how its answers rest on the steps of their past.

Both are counted here, where the truth is; nothing that is kept tells of fewer than `FEWEST` users.
Letters for shapes: N rows (a user at a cut-off), E steps, D numbers of an embedding, A ages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.api import Array, ChurnInputs
from bench.metrics.bootstrap import draws, interval
from bench.metrics.rounding import rounded

EMBEDDING, WEIGHTS = "embedding", "step_weights"
NAMES = (EMBEDDING, WEIGHTS)
WIDEST = 512
"""Numbers of an embedding, at most."""
FEWEST = 5
"""Users that a cell of the map, or an age, must hold to be kept."""
USERS_A_CELL = 12
"""Users that a cell of the map holds on average, unless that gives too few or too many cells."""
SIDE = (4, 16)
"""Fewest and most cells along one axis."""
LARGEST = 1e12
"""Beyond it squares and sums would leave the range of floats."""
TAIL = 0.5
"""Per cent at each end of an axis that are drawn in its outermost cells: a few users far out would leave no room for the others."""
AGES = (0, 1, 3, 7, 14, 28, 56, 91, 182, 365)
"""Where the ages of steps begin, in days before the cut-off."""
DRAWS = 200


def refusal(found: Mapping[str, Array], inputs: ChurnInputs) -> str:
    """Describe what is wrong with what a model gave; empty: nothing."""
    wanted = {EMBEDDING: f"[{len(inputs)}, 2 to {WIDEST}]", WEIGHTS: f"[{int(inputs.offsets[-1])}]"}
    for name, array in found.items():
        if name not in wanted:
            return f"insight names {name[:40]!r}; known: {', '.join(NAMES)}"
        if array.dtype.kind != "f":
            return f"insight[{name!r}] holds {array.dtype}, expected floats"
        right = (
            array.shape == (int(inputs.offsets[-1]),)
            if name == WEIGHTS
            else array.ndim == 2 and len(array) == len(inputs) and 2 <= array.shape[1] <= WIDEST
        )
        if not right:
            return f"insight[{name!r}] has shape {list(array.shape)}, expected {wanted[name]}"
        if not (np.abs(np.asarray(array, np.float64)) <= LARGEST).all():
            return f"insight[{name!r}] has numbers that are not finite, or beyond {LARGEST:g}"
        if name == WEIGHTS and (array < 0).any():
            return f"insight[{name!r}] has numbers below 0; a weight is a share"
    return ""


def counted(found: Mapping[str, Array], inputs: ChurnInputs, y: Array, p: Array, seed: int) -> dict[str, Any]:
    """Count what a model shows, ready for JSON: `map` and `ages`; one of which nothing can be drawn is left out.

    `y`: 0 or 1 [N]; `p`: P(churn) [N], as the board has it.
    """
    made: dict[str, Any] = {}
    if EMBEDDING in found:
        made["map"] = map_of(np.asarray(found[EMBEDDING], np.float64), y, p)
    if WEIGHTS in found:
        made["ages"] = ages_of(np.asarray(found[WEIGHTS], np.float64), inputs, seed)
    return {name: one for name, one in made.items() if one}


def principal(embedding: Array) -> tuple[Array, Array]:
    """Project on the two directions of most variance (Pearson 1901): [N, 2], and their shares of the whole, [2].

    The largest part of each direction is positive, so that the same numbers give the same map.
    """
    centred = embedding - embedding.mean(0)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    first = directions[:2]
    first = first * np.sign(first[np.arange(len(first)), np.abs(first).argmax(1)])[:, None]
    return centred @ first.T, spread[:2] ** 2 / max(float((spread**2).sum()), np.finfo(float).tiny)


def map_of(embedding: Array, y: Array, p: Array) -> dict[str, Any]:
    """Count users by cells of their map [N, D]: how many, the share that churned, the mean of what the model says; {}: all are alike."""
    if len(embedding) < 2 * FEWEST or not np.ptp(embedding, axis=0).any():
        return {}
    place, shares = principal(embedding)
    low, high = np.percentile(place, [TAIL, 100 - TAIL], axis=0)
    side = int(np.clip(np.sqrt(len(place) / USERS_A_CELL), *SIDE))
    width = np.where(high > low, high - low, 1.0)
    at = np.clip(np.floor((place - low) / width * side), 0, side - 1).astype(np.int64)
    cell = at[:, 0] * side + at[:, 1]
    found, counts = np.unique(cell, return_counts=True)
    kept = [
        {
            "x": rounded(float(low[0] + (c // side + 0.5) / side * width[0])),
            "y": rounded(float(low[1] + (c % side + 0.5) / side * width[1])),
            "n": int(n),
            "rate": rounded(float(y[cell == c].mean())),
            "score": rounded(float(p[cell == c].mean())),
        }
        for c, n in zip(found.tolist(), counts.tolist(), strict=True)
        if n >= FEWEST
    ]
    return {"users": len(place), "numbers": embedding.shape[1], "shares": [rounded(float(s)) for s in shares], "cells": kept}


def ages_of(weights: Array, inputs: ChurnInputs, seed: int) -> list[dict[str, Any]]:
    """Share out each user's weights [E] by the age of the step: mean over users, its 95 % interval, and what equal weights would give."""
    row = np.repeat(np.arange(len(inputs)), inputs.lengths)
    total = np.bincount(row, weights, len(inputs))
    there = total > 0
    age = np.searchsorted(AGES, inputs.days_before_cutoff, side="right") - 1
    by_age = row * len(AGES) + age
    shape = (len(inputs), len(AGES))
    size = len(inputs) * len(AGES)
    steps = np.bincount(by_age, minlength=size).reshape(shape)
    share = np.bincount(by_age, weights, size).reshape(shape)[there] / total[there, None]
    even = (steps / np.maximum(inputs.lengths, 1)[:, None])[there]
    if there.sum() < FEWEST:
        return []
    drawn = [(w @ share) / w.sum(1, keepdims=True) for w in draws(inputs.group[there], DRAWS, seed)]
    ends = [interval(column) for column in np.concatenate(drawn).T]
    users = (steps[there] > 0).sum(0)
    return [
        {
            "from": AGES[a],
            "to": AGES[a + 1] if a + 1 < len(AGES) else None,
            "users": int(users[a]),
            "share": rounded(float(share[:, a].mean())),
            "low": rounded(ends[a][0]),
            "high": rounded(ends[a][1]),
            "even": rounded(float(even[:, a].mean())),
        }
        for a in range(len(AGES))
        if users[a] >= FEWEST
    ]
