"""What a forecast is best measured from, found in the training data: the last turn of a cycle, the last value, or a level.

Where the seasonal naive forecast is mostly noise (sparse counts), a network that begins with it has to unlearn it first.

Letters for shapes: N series, T steps, K errors, H horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Array, Context, Panel
from bench.neural.contexts import mean
from bench.neural.cycles import cycles

WINDOW = 7
"""Steps that a level is the mean of where there is no cycle and the metric's season is shorter."""
HORIZONS = 8
"""Horizons that a context covers, where the series are long enough."""


@dataclass(frozen=True)
class Anchor:
    """Say how a window of this panel is measured."""

    context: int
    """Steps of a context: the profile's history, 8 horizons and two of the longest cycle, unless the series are shorter."""
    cycle: int
    """Steps of the cycle whose last turn is the base of a forecast, 1 for the last value; 0: the level is."""
    recent: int
    """Steps that the level is the mean of: one turn of the short cycle."""
    other: int
    """Steps of the longer cycle, whose last turn stands beside the base; 0: there is none."""

    @classmethod
    def of(cls, train: Panel, ctx: Context) -> Anchor:
        """Choose the base with the least error over a horizon."""
        found = cycles(train)
        recent = found[0] if found else max(train.season, WINDOW)
        wanted = max(ctx.history, HORIZONS * train.horizon, 2 * max(found, default=1))
        longest = int(train.lengths.max(initial=1)) - train.horizon
        context = max(min(wanted, longest), 2 * recent, *found)
        errors = {m: naive_error(train, m) for m in (1, *found)}
        best = min(errors, key=lambda m: (errors[m], m))
        cycle = 0 if level_error(train, recent) < errors[best] else best
        return cls(context, cycle, recent, max((m for m in found if m > max(cycle, 1)), default=0))


def naive_error(train: Panel, m: int) -> float:
    """Return the error of repeating the last turn of m steps over a horizon, in units of the series' spread."""
    turns, steps = np.unique(np.arange(train.horizon) // m + 1, return_counts=True)
    kept = turns * m < train.steps
    each = []
    for lag in turns[kept] * m:
        off = np.abs(train.values[:, lag:] - train.values[:, :-lag])
        each.append(relative(train, off, train.mask[:, lag:] & train.mask[:, :-lag]))
    return float(np.average(each, weights=steps[kept])) if each else np.inf


def level_error(train: Panel, w: int) -> float:
    """Return the error of the mean of the last w steps over a horizon, in units of the series' spread."""
    if train.steps < w + train.horizon:
        return np.inf
    total = np.concatenate([np.zeros((len(train), 1)), np.cumsum(train.values, axis=1)], axis=1)
    average, each = (total[:, w:] - total[:, :-w]) / w, []  # [N, T - w + 1]: of the steps before w, w + 1, ...
    for h in sorted({0, train.horizon // 2, train.horizon - 1}):
        ends = train.steps - w - h
        begun = np.arange(ends) >= train.start[:, None]
        each.append(relative(train, np.abs(train.values[:, w + h :] - average[:, :ends]), train.mask[:, w + h :] & begun))
    return float(np.mean(each))


def relative(train: Panel, off: Array, seen: Array) -> float:
    """Average errors [N, K] where `seen`, each series' in units of its own mean distance from its mean; inf where none varies."""
    size = mean(np.abs(train.values - mean(train.values, train.mask)), train.mask)[:, 0]
    use = (size > 0) & np.isfinite(size) & seen.any(axis=1)
    return float((mean(off, seen)[use, 0] / size[use]).mean()) if use.any() else np.inf
