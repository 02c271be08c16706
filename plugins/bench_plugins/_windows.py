"""Cut each entity's steps into windows for detectors that compare windows with those of the entity's own prefix.

Letters for shapes: N entities, T steps, n windows, k of them in the prefix, W steps of a window.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from optuna.distributions import FloatDistribution

from bench.api import Array, Panel

SEASONS, THIRD = FloatDistribution(0.1, 2.0, log=True), 0.33
"""Length of a window in seasons; a third of a day of 5 minute steps is near the 100 steps of TSB-AD (Liu et al. 2024)."""
NO_SEASON = 288
"""Steps that stand for a season where none is known."""
SHORTEST, LONGEST = 4, 512
"""Bounds of a window in steps; it is also at most a quarter of the prefix."""
FAR = 1e6
"""Widest distance from the median that is told apart, in interquartile ranges."""

Score: TypeAlias = Callable[[Array, int, int], Array]
"""Of an entity's standardised steps, float64 [T], W and k: a score for each window, [T - W + 1], the first k in the prefix."""


def width_of(panel: Panel, n: int, seasons: float) -> int:
    """Return the steps of an entity's windows: a quarter of the prefix at most."""
    wanted = int(np.clip(round(seasons * (panel.season if panel.season > 1 else NO_SEASON)), SHORTEST, LONGEST))
    return max(min(wanted, int(panel.until[n] - panel.start[n]) // 4), 1)


def at_centres(score: Array, panel: Panel, seasons: float) -> Array:
    """Move each score, float64 [N, T], from the last step of its window to the step in its middle; the last ones are repeated."""
    found = np.zeros(score.shape)
    for n in range(len(panel)):
        at = np.minimum(np.arange(panel.steps) + width_of(panel, n, seasons) // 2, panel.steps - 1)
        found[n] = np.where(panel.mask[n], score[n, at], 0.0)
    return found


def scored(panel: Panel, seasons: float, score: Score, least: int = 1) -> Array:
    """Score the windows of each entity by itself, float64 [N, T]; a window's score is that of its last step.

    The first W - 1 steps have no window and get the median of the prefix's scores; steps that were not observed get 0, and
    so do all of an entity that has no window of `least` steps, or fewer than 2 steps, in its prefix: nothing was learnt of it.
    """
    found = np.zeros(panel.values.shape)
    for n in range(len(panel)):
        begin, learnt = int(panel.start[n]), int(panel.until[n] - panel.start[n])
        width = width_of(panel, n, seasons)
        if learnt < 2 or width < least:
            continue
        k = learnt - width + 1
        x, seen = panel.values[n, begin:], panel.mask[n, begin:]
        own = score(standardised(x, x[:learnt][seen[:learnt]]), width, k)
        found[n, begin:] = np.where(seen, np.concatenate([np.full(width - 1, np.median(own[:k])), own]), 0.0)
    return found


def standardised(x: Array, learnt: Array) -> Array:
    """Return `x` [T] in interquartile ranges of `learnt` from its median, cut off at `FAR`; `learnt`: [any length].

    Where that range is 0: in mean distances from the median, or in units. Quarters are taken: a difference of two large
    numbers may be too large for a number.
    """
    x, learnt = x / 4, learnt / 4
    low, level, high = np.quantile(learnt, (0.25, 0.5, 0.75)) if len(learnt) else (0.0, 0.0, 0.0)
    distance = np.sum(np.abs(learnt - level) / max(len(learnt), 1))
    spread = next(unit for unit in (high - low, distance, 0.25) if unit > 0)
    with np.errstate(over="ignore"):
        return np.asarray(np.clip((x - level) / spread, -FAR, FAR))
