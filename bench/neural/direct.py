"""What a network that answers all steps at once sees of a forecasting task: one flat row a window, in units of the window.

Letters for shapes: N series, n windows, L steps of context, H horizon, Q quantiles, D numbers of a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from bench.api import Array, Context, Forecast, Panel
from bench.errors import PluginError
from bench.neural.anchors import Anchor, phases
from bench.neural.batches import Lazy
from bench.neural.contexts import FARTHEST, recent_mean, units
from bench.neural.forecasting import ends
from bench.neural.sizes import Sizes
from bench.neural.windows import MOST, Places, ahead_known, observed_at, some, varying

FEWEST = 12_288
"""Windows that an epoch has in any case: those of a small panel come several times."""
FAR = 10.0
"""Widest departure that a row shows, in spreads."""
OWN = 3
"""Numbers of a row that tell of the window as a whole."""


@dataclass(frozen=True)
class Window:
    """Contexts of L steps that end at the same place of their rows, and the units in which they are measured."""

    anchor: Anchor
    value: Array
    """float64 [n, L]; 0 before the series' start."""
    length: Array
    """int64 [n, 1]: steps of the context that the series has."""
    level: Array
    """float64 [n, 1]: mean of the last turn."""
    phase: Array
    """float64 [n, recent]: what each phase adds to the level, that of the first step asked first; 0 where the base has no phases."""
    spread: Array
    """float64 [n, 1]: mean distance of the context from `level`."""
    scale: Array
    """float64 [n, 1]: mean size of the departures from the base, the unit of what is asked."""

    @classmethod
    def cut(cls, panel: Panel, places: Places, anchor: Anchor) -> Window:
        """Cut the contexts that end before `places.at`."""
        step = np.arange(anchor.context)
        series, at = places.series[:, None], places.at[:, None] - anchor.context + step
        value, seen = observed_at(panel, series, np.where(at >= panel.start[series], at, -1))
        length = np.clip(places.at - panel.start[places.series], 0, anchor.context)[:, None]
        level = recent_mean(value, seen, step >= anchor.context - anchor.recent)
        spread, scale = units(value, seen, level, anchor.cycle, counts=panel.counts)
        end = np.full((len(value), 1), anchor.context)
        return cls(anchor, value, length, level, phases(value, seen, end, anchor), spread, scale)

    def scaled_context(self) -> Array:
        """Return the context in spreads from the level, [n, L]; 0 before the start."""
        inside = np.arange(self.anchor.context) >= self.anchor.context - self.length
        return np.where(inside, np.clip((self.value - self.level) / self.spread, -FAR, FAR), 0.0)

    def departures(self) -> Array:
        """Return by how many scales each step departs from its base, [n, L]; 0 where the base lies before the start."""
        before = np.roll(self.value, self.anchor.cycle, axis=1) if self.anchor.cycle else self.steady(np.arange(-self.anchor.context, 0))
        reached = np.arange(self.anchor.context) - self.anchor.cycle >= self.anchor.context - self.length
        return np.where(reached, (self.value - before) / self.scale, 0.0)

    def back(self, cycle: int, horizon: int) -> tuple[Array, Array]:
        """Return the last turn of a cycle, repeated over the horizon, and whether the series reaches back to it, [n, H] each."""
        at = self.anchor.context - cycle + np.arange(horizon) % cycle
        return self.value[:, at], self.anchor.context - at <= self.length

    def steady(self, ahead: Array) -> Array:
        """Return the level with its phases at steps counted from the end of the context, int [k] to [n, k]."""
        return np.asarray(self.level + self.phase[:, ahead % self.anchor.recent])

    def base(self, horizon: int) -> Array:
        """Return what a forecast is measured from, [n, H]."""
        if not self.anchor.cycle:
            return self.steady(np.arange(horizon))
        value, there = self.back(self.anchor.cycle, horizon)
        return np.where(there, value, self.level)


@dataclass(frozen=True)
class DirectEncoder:
    """Encode windows of a panel as rows of a fixed length: the last steps one by one, older ones by their turns' means."""

    horizon: int
    anchor: Anchor
    known: list[int]
    """Columns of `Panel.known` that vary in training."""
    quantiles: list[float]
    loss: ClassVar[str] = "pinball"

    @classmethod
    def fit(cls, train: Panel, ctx: Context) -> DirectEncoder:
        """Choose the context and the base from the training data."""
        if not ctx.quantiles:
            raise PluginError("ctx.quantiles is empty; a forecast needs levels, such as (0.1, 0.5, 0.9)")
        return cls(train.horizon, Anchor.of(train, ctx), varying(train.known), list(ctx.quantiles))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> DirectEncoder:
        """Make the encoder again from its `state`."""
        own = {name: value for name, value in state.items() if name != "task"}
        return cls(**{**own, "anchor": Anchor(**own["anchor"])})

    def state(self) -> dict[str, Any]:
        """Return what was learnt, ready for JSON."""
        return {"task": "direct", **asdict(self)}

    @property
    def levels(self) -> tuple[float, ...]:
        """Return the levels of the quantiles."""
        return tuple(self.quantiles)

    @property
    def sizes(self) -> Sizes:
        """Return D, H and Q; a row is one step."""
        a = self.anchor
        d = 2 * self.fine + self.turns + a.recent + bool(a.other) * self.horizon + OWN + 2 * len(self.known)
        return Sizes("forecasting", d, self.horizon, len(self.quantiles), levels=self.levels)

    @property
    def fine(self) -> int:
        """Return the last steps that are shown one by one: two turns."""
        return max(min(2 * self.anchor.recent, self.anchor.context - self.anchor.cycle), 0)

    @property
    def turns(self) -> int:
        """Return the turns of the short cycle in a context, each shown by its mean."""
        return self.anchor.context // self.anchor.recent

    def training_rows(self, fit: Panel, ctx: Context) -> Lazy:
        """Cut training windows: all of a small panel, again and again, else a seeded choice."""
        last = np.minimum(np.maximum(fit.steps - self.horizon, fit.start + 1), fit.steps - 1)
        first = np.maximum(np.minimum(fit.start + 2 * self.anchor.recent, last), fit.start + 1)
        places = some(first, last, MOST if ctx.rows is None else ctx.rows, ctx.seed)
        times = max(FEWEST // max(len(places), 1), 1)
        return self.rows(fit, places.take(np.tile(np.arange(len(places)), times)))

    def holdout_rows(self, holdout: Panel) -> Lazy:
        """Return a window for each series that has a context: the horizon from `until` on."""
        series = np.flatnonzero(holdout.start < holdout.until)
        return self.rows(holdout, Places(series, holdout.until[series]))

    def prediction_rows(self, inputs: Panel) -> Lazy:
        """Return a window for each series, its context the last steps."""
        if inputs.horizon != self.horizon:
            raise PluginError(f"the network was trained to forecast {self.horizon} steps and is asked for {inputs.horizon}; fit it again")
        return self.rows(inputs, ends(inputs))

    def rows(self, panel: Panel, places: Places) -> Lazy:
        """Return windows as rows, all made at once: a row is short."""
        window = Window.cut(panel, places, self.anchor)
        base, scale, x = window.base(self.horizon), window.scale, self.window_features(panel, places, window)
        at = places.at[:, None] + np.arange(self.horizon)
        value, there = observed_at(panel, places.series[:, None], at)
        target = np.where(there, np.clip((value - base) / scale, -FARTHEST, FARTHEST), np.nan).astype(np.float32)
        return Lazy(np.ones(len(places), np.int64), target, lambda rows: x[rows, None])

    def window_features(self, panel: Panel, places: Places, window: Window) -> Array:
        """Return rows, float32 [n, D]: two turns in spreads and in scales, turns' means, the profile, the longer cycle, the whole."""
        a, x = self.anchor, window.scaled_context()
        turned = x[:, a.context - self.turns * a.recent :].reshape(len(x), self.turns, a.recent)
        average = turned.mean(axis=2)  # [n, turns]
        profile = (turned - average[..., None]).mean(axis=1)  # [n, recent]
        fine = slice(a.context - self.fine, a.context)
        parts = [x[:, fine], average, profile, window.departures()[:, fine]]
        if a.other:
            far, there = window.back(a.other, self.horizon)
            parts.append(np.where(there, (far - window.base(self.horizon)) / window.scale, 0.0))
        parts += [np.log(window.scale / window.spread), window.length / a.context, np.log1p(np.abs(window.level) / window.spread)]
        first_and_last = places.at[:, None] + np.array([0, self.horizon - 1])
        known = ahead_known(panel, places.series[:, None], first_and_last, self.known).reshape(len(places), 2 * len(self.known))
        return np.concatenate([np.clip(np.concatenate(parts, axis=1), -FAR, FAR), known], axis=1).astype(np.float32)

    def decode(self, raw: Array, inputs: Panel) -> Forecast:
        """Turn departures, float32 [N, H Q], into quantiles, float64 [N, H, Q]; counts do not go below 0."""
        departure = raw.reshape(len(raw), self.horizon, len(self.quantiles)).astype(np.float64)
        window = Window.cut(inputs, ends(inputs), self.anchor)
        quantiles = window.base(self.horizon)[..., None] + window.scale[..., None] * departure
        return Forecast(np.maximum(quantiles, 0.0) if inputs.counts else quantiles)
