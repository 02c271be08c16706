"""Windows of a panel in units of their own: a context, and the horizon behind it.

Letters for shapes: n windows, P steps of a window (context and horizon), H horizon, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Array, Panel
from bench.neural.anchors import Anchor, phases
from bench.neural.windows import Places, ahead_known, mean, observed_at

OWN = 7
"""Features of a step besides values further back and what is known in advance."""
FAR = 10.0
"""Widest departure that a feature shows, in scales."""
FARTHEST = 1e3
"""Widest departure that is learnt, in scales."""


@dataclass(frozen=True, slots=True)
class Contexts:
    """N windows, each from its position 0: first its context, then H steps; what lies behind those is 0."""

    anchor: Anchor
    at: Array
    """int64 [n, P]: step of the grid."""
    series: Array
    """int64 [n, 1]."""
    context: Array
    """int64 [n, 1]: steps of context."""
    horizon: int
    value: Array
    """float64 [n, P]: 0 behind the context."""
    seen: Array
    """bool [n, P]: observed, and in the context."""
    base: Array
    """float64 [n, P]: the value a cycle before, in the horizon that of the context's last turn; or the level (see `Anchor`)."""
    back: Array
    """float64 [len(anchor.back), n, P]: values further back; `base` where the context does not reach."""
    level: Array
    """float64 [n, 1]: mean of the last turn."""
    spread: Array
    """float64 [n, 1]: mean distance of the context from `level`."""
    scale: Array
    """float64 [n, 1]: mean distance of the context's steps from their bases, the unit of departures (as in MASE)."""

    @classmethod
    def cut(cls, panel: Panel, places: Places, anchor: Anchor) -> Contexts:
        """Cut the windows whose context, of at most `anchor.context` steps, ends before `places.at`."""
        context = np.minimum(places.at - panel.start[places.series], anchor.context)[:, None]  # [n, 1]
        step = np.arange(int(context.max(initial=0)) + panel.horizon)  # [P]
        at, series = places.at[:, None] - context + step, places.series[:, None]
        value, seen = observed_at(panel, series, np.where(step < context, at, -1))
        level = recent_mean(value, seen, step >= context - anchor.recent)
        phase = phases(value, seen, context, anchor)[np.arange(len(value))[:, None], (step - context) % anchor.recent]
        base, back = lagged(value, context, level + phase, anchor)
        spread, scale = units(value, seen, level, anchor.cycle, counts=panel.counts)
        return cls(anchor, at, series, context, panel.horizon, value, seen, base, back, level, spread, scale)

    def features(self, panel: Panel, known: list[int]) -> Array:
        """Return float32 [n, P', F]: value, departures and place in the window, then the columns `known` of what is known.

        Of P steps the older ones stand there as means of turns, see `Anchor.tokens`.
        """
        step = np.arange(self.at.shape[1])
        inside, ahead = step < self.context, step - self.context
        real = ahead < self.horizon  # [n, P]
        own = [
            np.where(inside, (self.value - self.level) / self.spread, 0.0),
            self.seen,
            ~inside,
            self.departure(np.where(inside, self.value, self.base)),
            (self.base - self.level) / self.spread,
            np.maximum(ahead + 1, 0) / self.horizon,
            np.broadcast_to(np.log(self.scale / self.spread), real.shape),
            *map(self.departure, self.back),
        ]
        stacked = np.concatenate([np.stack(own, axis=-1), ahead_known(panel, self.series, self.at, known)], axis=-1)
        shown = np.where(real[..., None], np.clip(stacked, -FAR, FAR), 0.0)
        whole = self.anchor.near >= self.context.max(initial=0)
        return (shown if whole else pooled(shown, self.context, self.anchor)).astype(np.float32)

    def departure(self, value: Array) -> Array:
        """Measure values [n, P] from their bases, in scales."""
        return np.asarray((value - self.base) / self.scale)

    def ahead(self, x: Array) -> Array:
        """Select the H steps behind the context: [n, P] to [n, H]."""
        return np.take_along_axis(x, self.context + np.arange(self.horizon), axis=1)

    def target(self, panel: Panel) -> Array:
        """Return the departures of what came, float32 [n, H]; NaN where nothing was observed."""
        value, there = observed_at(panel, self.series, self.ahead(self.at))
        departure = (value - self.ahead(self.base)) / self.scale
        return np.where(there, np.clip(departure, -FARTHEST, FARTHEST), np.nan).astype(np.float32)


def lagged(value: Array, context: Array, level: Array, anchor: Anchor) -> tuple[Array, Array]:
    """Return the base of each step, [n, P], and values further back, [len(anchor.back), n, P].

    Where the context does not reach back a cycle: the step's own value in the context, its last value in the horizon.
    """
    step = np.broadcast_to(np.arange(value.shape[1]), value.shape)
    ahead = np.maximum(step - context, 0)
    if anchor.cycle:
        last = np.where(context > 0, np.take_along_axis(value, np.maximum(context - 1, 0), axis=1), 0.0)
        source = step - anchor.cycle * (ahead // anchor.cycle + 1)
        base = reach(value, source, np.where(step >= context, last, value))
    else:
        base = np.broadcast_to(level, value.shape)
    return base, np.stack([reach(value, step - turn * (ahead // turn) - lag, base) for turn, lag in anchor.back])


def pooled(x: Array, context: Array, anchor: Anchor) -> Array:
    """Average the older steps of each window's context by turns, [n, P, F] to [n, P', F]; what is right of a window stays 0.

    `context`: int [n, 1]. The last `anchor.near` steps of a context and the horizon stay as they are.
    """
    old = np.maximum(context - anchor.near, 0)  # [n, 1]
    turns = -(-old // anchor.recent)
    token = np.arange(x.shape[1] + int((turns - old).min(initial=0)))  # [P']
    begin = np.where(token < turns, np.maximum(old - (turns - token) * anchor.recent, 0), old + token - turns)
    end = np.where(token < turns, old - (turns - token - 1) * anchor.recent, begin + 1)
    begin, end = np.minimum(begin, x.shape[1]), np.minimum(end, x.shape[1])  # [n, P']
    total = np.concatenate([np.zeros((len(x), 1, x.shape[2])), np.cumsum(x, axis=1)], axis=1)
    row = np.arange(len(x))[:, None]
    return np.asarray((total[row, end] - total[row, begin]) / np.maximum(end - begin, 1)[..., None])


def reach(value: Array, source: Array, otherwise: Array) -> Array:
    """Take `value` at the positions `source`, [n, P] each, and `otherwise` where they lie before the window."""
    return np.where(source >= 0, np.take_along_axis(value, np.maximum(source, 0), axis=1), otherwise)


def recent_mean(value: Array, seen: Array, recent: Array) -> Array:
    """Return the mean of the steps `recent` that were seen, [n, 1]; of all that were where there are none."""
    recent = recent & seen
    return np.where(recent.any(axis=1, keepdims=True), mean(value, recent), mean(value, seen))


def units(value: Array, seen: Array, level: Array, cycle: int, *, counts: bool) -> tuple[Array, Array]:
    """Return spread and scale of contexts, [n, 1] each, never 0; the scale is the spread where there is no cycle (0).

    A context without a difference over a cycle falls back on its differences from step to step, then on its spread, its
    size, 1. The scale of counts is at least 1, lest a user's only purchase weigh more than a hundred of another's.
    """
    size = mean(np.abs(value), seen)
    spread = first_positive(mean(np.abs(value - level), seen), size, np.ones_like(level))
    scale = first_positive(difference(value, seen, cycle), difference(value, seen, 1), spread) if cycle else spread
    return spread, np.maximum(scale, 1.0) if counts else scale


def difference(value: Array, seen: Array, lag: int) -> Array:
    """Return the mean absolute difference of steps that lie `lag` apart, [n, 1]; 0 where there are none."""
    return mean(np.abs(value[:, lag:] - value[:, :-lag]), seen[:, lag:] & seen[:, :-lag])


def first_positive(*choices: Array) -> Array:
    """Return, window by window, the first of `choices` that is no smaller than the square root of the smallest number."""
    return np.asarray(np.select([choice > 1e-150 for choice in choices], choices, 1.0))
