"""What a forecast is best measured from, found in the training data: the last turn of a cycle, the last value, or a level.

Where the seasonal naive forecast is mostly noise (sparse counts), a network that begins with it has to unlearn it first:
the level of the last turn is the better beginning, and beside it what each phase of the cycle adds on average.

Letters for shapes: N series, n windows, T steps, P steps of a window, H horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Array, Context, Panel
from bench.neural.cycles import cycles
from bench.neural.windows import Places, mean, observed_at, some

WINDOW = 7
"""Steps that a level is the mean of where there is no cycle and the metric's season is shorter."""
BACK = (2, 3, 7)
"""Cycles back whose values stand beside the last turn's; 7 is the week of a daily cycle."""
HORIZONS = 8
"""Horizons that a context covers, where the series are long enough."""
TURNS = 8
"""Turns of a cycle that a phase is averaged over, at most."""
TRIED = 1000
"""Windows on which the bases are compared, at most."""


@dataclass(frozen=True)
class Anchor:
    """Choose how a window of this panel is measured."""

    context: int
    """Steps of a context: the profile's history, 8 horizons and two of the longest cycle, unless the series are shorter."""
    cycle: int
    """Steps of the cycle whose last turn is the base of a forecast, 1 for the last value; 0: the level is."""
    recent: int
    """Steps that the level is the mean of: one turn of the short cycle."""
    other: int
    """Steps of the longer cycle, whose last turn stands beside the base; 0: there is none."""
    near: int
    """Last steps of a context that a sequence network reads one by one; what lies further back it reads as means of turns."""
    phased: bool = False
    """The base is the level and what each phase of a turn adds to it."""

    @classmethod
    def of(cls, train: Panel, ctx: Context) -> Anchor:
        """Choose the base with the least error over a horizon."""
        found = cycles(train)
        recent = found[0] if found else max(train.season, WINDOW)
        wanted = max(ctx.history, HORIZONS * train.horizon, 2 * max(found, default=1))
        longest = int(train.lengths.max(initial=1)) - train.horizon
        context = max(min(wanted, longest), 2 * recent, *found)
        near = min(max(ctx.history, 2 * recent), context)
        tried = {m: cls(context, m, recent, further(found, m), near) for m in (1, 0, *found)}
        if found:
            tried[-1] = cls(context, 0, recent, further(found, recent), near, phased=True)
        errors = base_errors(train, list(tried.values()))
        return min(tried.values(), key=lambda a: errors[a])

    @property
    def back(self) -> tuple[tuple[int, int], ...]:
        """Return from which lags values stand beside the base: (steps of the cycle that is repeated, lag) each."""
        turn = self.cycle or self.recent
        near = {(turn, k * turn) for k in (BACK if self.cycle else (1, *BACK))}
        return tuple(sorted(near | ({(self.other, self.other)} if self.other else set())))

    def tokens(self, context: Array) -> Array:
        """Return how many steps a network reads of contexts, int [...]: near ones, and turns of the older ones."""
        old = np.maximum(context - self.near, 0)
        return np.asarray(context - old - (-old // self.recent))


def further(found: tuple[int, ...], cycle: int) -> int:
    """Return the longest cycle beyond a base's own; 0: there is none."""
    return max((m for m in found if m > max(cycle, 1)), default=0)


def base_errors(train: Panel, tried: list[Anchor]) -> dict[Anchor, float]:
    """Return the mean error of each base over the horizon of past windows, in units of the series' spread; inf where none is known."""
    most = max(max(a.cycle, (1 + a.phased) * a.recent) for a in tried)
    last = np.full(len(train), train.steps - train.horizon)
    places = some(np.minimum(train.start + most, last), np.where(train.start < last, last, -1), TRIED, 0)
    size = mean(np.abs(train.values - mean(train.values, train.mask)), train.mask)[places.series]
    wanted, seen = observed_at(train, places.series[:, None], places.at[:, None] + np.arange(train.horizon))
    seen = seen & (size > 0) & np.isfinite(size)
    if not seen.any():
        return dict.fromkeys(tried, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {a: float((np.abs(wanted - simple(train, places, a)) / size)[seen].mean()) for a in tried}


def simple(panel: Panel, places: Places, anchor: Anchor) -> Array:
    """Return the base of the horizon behind each place, [n, H]."""
    ahead, reach = np.arange(panel.horizon), max(anchor.cycle, anchor.recent * (TURNS if anchor.phased else 1))
    series, at = places.series[:, None], places.at[:, None] - reach + np.arange(reach)
    value, seen = observed_at(panel, series, np.where(at >= panel.start[series], at, -1))
    if anchor.cycle:
        return value[:, reach - anchor.cycle + ahead % anchor.cycle]
    level = mean(value[:, reach - anchor.recent :], seen[:, reach - anchor.recent :])
    end = np.full((len(value), 1), reach)
    return level + phases(value, seen, end, anchor)[:, ahead % anchor.recent]


def phases(value: Array, seen: Array, end: Array, anchor: Anchor) -> Array:
    """Return what each phase of a turn adds to the turn's mean, [n, recent], phase 0 following `end`; 0 where bases have no phases.

    `value`, `seen`: [n, P]; `end`: int [n, 1], the position behind the context.
    """
    turn, turns = anchor.recent, min(TURNS, max(value.shape[1] // anchor.recent, 1))
    if not anchor.phased or not value.shape[1]:
        return np.zeros((len(value), turn))
    at = end - turns * turn + np.arange(turns * turn)
    there = np.take_along_axis(seen, np.clip(at, 0, value.shape[1] - 1), axis=1) & (at >= 0)
    own = np.take_along_axis(value, np.clip(at, 0, value.shape[1] - 1), axis=1)
    each, there = own.reshape(-1, turns, turn), there.reshape(-1, turns, turn)
    there &= there.sum(axis=2, keepdims=True) * 2 > turn  # the mean of a few phases is no turn's mean
    average = (each * there).sum(axis=2, keepdims=True) / np.maximum(there.sum(axis=2, keepdims=True), 1)
    return np.asarray(((each - average) * there).sum(axis=1) / np.maximum(there.sum(axis=1), 1))
