"""Windows of a panel in units of their own: a context, and the horizon behind it.

Letters for shapes: n windows, P steps of a window (context and horizon), H horizon, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Array, Panel
from bench.neural.windows import Places, ahead_known, look

BACK = (2, 3, 7)
"""Seasons back whose values stand beside the last season's; 7 is the week of a daily cycle."""
OWN = 7 + len(BACK)
"""Features of a step besides what is known in advance."""
FAR = 10.0
"""Widest departure that a feature shows, in scales."""
FARTHEST = 1e3
"""Widest departure that is learnt, in scales."""


@dataclass(frozen=True, slots=True)
class Contexts:
    """N windows, each from its position 0: first its context, then H steps; what lies behind those is 0."""

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
    """float64 [n, P]: the value a season before; in the horizon that of the last season of the context."""
    back: Array
    """float64 [len(BACK), n, P]: values further back; `base` where the context does not reach."""
    level: Array
    """float64 [n, 1]: mean of the last season."""
    spread: Array
    """float64 [n, 1]: mean distance of the context from `level`."""
    scale: Array
    """float64 [n, 1]: mean absolute seasonal difference of the context, the unit of departures (as in MASE)."""

    @classmethod
    def cut(cls, panel: Panel, places: Places, longest: int) -> Contexts:
        """Cut the windows whose context, of at most `longest` steps, ends before `places.at`."""
        context = np.minimum(places.at - panel.start[places.series], longest)[:, None]  # [n, 1]
        step = np.arange(int(context.max(initial=0)) + panel.horizon)  # [P]
        at, series = places.at[:, None] - context + step, places.series[:, None]
        value, seen = look(panel, series, np.where(step < context, at, -1))
        base, back = lagged(value, context, panel.season)
        recent = seen & (step >= context - panel.season)
        level = np.where(recent.any(axis=1, keepdims=True), mean(value, recent), mean(value, seen))
        spread, scale = units(value, seen, level, panel.season, counts=panel.counts)
        return cls(at, series, context, panel.horizon, value, seen, base, back, level, spread, scale)

    def features(self, panel: Panel, known: list[int]) -> Array:
        """Return float32 [n, P, F]: value, departures and place in the window, then the columns `known` of what is known."""
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
        return np.where(real[..., None], np.clip(stacked, -FAR, FAR), 0.0).astype(np.float32)

    def departure(self, value: Array) -> Array:
        """Measure values [n, P] from the seasonal naive forecast, in scales."""
        return np.asarray((value - self.base) / self.scale)

    def ahead(self, x: Array) -> Array:
        """Select the H steps behind the context: [n, P] to [n, H]."""
        return np.take_along_axis(x, self.context + np.arange(self.horizon), axis=1)

    def target(self, panel: Panel) -> Array:
        """Return the departures of what came, float32 [n, H]; NaN where nothing was observed."""
        value, there = look(panel, self.series, self.ahead(self.at))
        departure = (value - self.ahead(self.base)) / self.scale
        return np.where(there, np.clip(departure, -FARTHEST, FARTHEST), np.nan).astype(np.float32)


def lagged(value: Array, context: Array, season: int) -> tuple[Array, Array]:
    """Return the values a season before each step, [n, P], and further back, [len(BACK), n, P].

    Where the context does not reach: the step's own value in the context, its last value in the horizon.
    """
    step = np.broadcast_to(np.arange(value.shape[1]), value.shape)
    ahead = step - context
    source = np.where(ahead >= 0, step - season * (ahead // season + 1), step - season)
    last = np.where(context > 0, np.take_along_axis(value, np.maximum(context - 1, 0), axis=1), 0.0)
    base = reach(value, source, np.where(ahead >= 0, last, value))
    return base, np.stack([reach(value, source - (seasons - 1) * season, base) for seasons in BACK])


def reach(value: Array, source: Array, otherwise: Array) -> Array:
    """Take `value` at the positions `source`, [n, P] each, and `otherwise` where they lie before the window."""
    return np.where(source >= 0, np.take_along_axis(value, np.maximum(source, 0), axis=1), otherwise)


def units(value: Array, seen: Array, level: Array, season: int, *, counts: bool) -> tuple[Array, Array]:
    """Return spread and scale of contexts, [n, 1] each, never 0.

    A context without a seasonal difference falls back on its differences from step to step, then on its spread, its size, 1.
    The scale of counts is at least 1, lest a user's only purchase weigh more than a hundred of another's.
    """
    size = mean(np.abs(value), seen)
    spread = first_positive(mean(np.abs(value - level), seen), size, np.ones_like(level))
    scale = first_positive(difference(value, seen, season), difference(value, seen, 1), spread)
    return spread, np.maximum(scale, 1.0) if counts else scale


def difference(value: Array, seen: Array, lag: int) -> Array:
    """Return the mean absolute difference of steps that lie `lag` apart, [n, 1]; 0 where there are none."""
    return mean(np.abs(value[:, lag:] - value[:, :-lag]), seen[:, lag:] & seen[:, :-lag])


def first_positive(*choices: Array) -> Array:
    """Give, window by window, the first of `choices` that is no smaller than the square root of the smallest number."""
    return np.asarray(np.select([choice > 1e-150 for choice in choices], choices, 1.0))


def mean(x: Array, where: Array) -> Array:
    """Average over the steps `where`, [n, P] to [n, 1]; 0 where there are none."""
    count = where.sum(axis=1, keepdims=True)
    return np.asarray((x * where).sum(axis=1, keepdims=True) / np.maximum(count, 1))
