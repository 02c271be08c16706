"""What a network sees of a forecasting task: windows of context and horizon in units of their own, one network for all series.

A window shows what the better of the seasonal naive forecast and the window's level says of each future step (`Anchor`), what
naive forecasts from further back say, and how the past departed from such forecasts. The outputs are departures too: a
network that gives 0 is that simple forecast.

Letters for shapes: N series, n windows, H horizon, Q quantiles, F features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from bench.api import Array, Context, Forecast, Panel
from bench.errors import PluginError
from bench.neural.anchors import Anchor
from bench.neural.batches import Lazy
from bench.neural.contexts import OWN, Contexts
from bench.neural.sizes import Sizes
from bench.neural.windows import MOST, Places, some, varying

COVER = 2
"""Times that a step is a target in an epoch, at most: windows that overlap more cost time and add little."""
FEWEST = 512
"""Windows that an epoch has in any case, where there are as many: a small panel needs steps of the optimiser too."""
KEPT = 2**28
"""Bytes of features up to which all windows are laid out once, and not anew in each epoch."""
CHUNK = 1024
"""Windows that are cut at once where only little of them is kept."""


@dataclass(frozen=True)
class ForecastEncoder:
    """Encode windows of a panel: a context, shorter where a series is, then the H steps that are asked."""

    horizon: int
    anchor: Anchor
    known: list[int]
    """Columns of `Panel.known` that vary in training."""
    quantiles: list[float]
    loss: ClassVar[str] = "pinball"

    @classmethod
    def fit(cls, train: Panel, ctx: Context) -> ForecastEncoder:
        """Take sizes from the task, and from `train` which cycles there are."""
        if not ctx.quantiles:
            raise PluginError("ctx.quantiles is empty; a forecast needs levels, such as (0.1, 0.5, 0.9)")
        return cls(train.horizon, Anchor.of(train, ctx), varying(train.known), list(ctx.quantiles))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ForecastEncoder:
        """Make the encoder again from its `state`."""
        own = {name: value for name, value in state.items() if name != "task"}
        return cls(**{**own, "anchor": Anchor(**own["anchor"])})

    def state(self) -> dict[str, Any]:
        """Return what was learnt, ready for JSON."""
        return {"task": "forecasting", **asdict(self)}

    @property
    def levels(self) -> tuple[float, ...]:
        """Return the levels of the quantiles."""
        return tuple(self.quantiles)

    @property
    def sizes(self) -> Sizes:
        """Return F, H, Q and the longest window."""
        f, h, q = OWN + len(self.anchor.back) + len(self.known), self.horizon, len(self.quantiles)
        longest = int(self.anchor.tokens(np.array(self.anchor.context)))
        return Sizes("forecasting", f, h, q, longest=longest + h, levels=self.levels)

    def training_rows(self, fit: Panel, ctx: Context) -> Lazy:
        """Cut training windows: all of a small panel, else a seeded choice (`COVER`, `ctx.rows`, `MOST`).

        A context has at least two turns where its series allows that; a series no longer than the horizon gives
        windows that end inside it, with as many targets as there are.
        """
        last = np.minimum(np.maximum(fit.steps - self.horizon, fit.start + 1), fit.steps - 1)
        first = np.maximum(np.minimum(fit.start + 2 * max(self.anchor.cycle, self.anchor.recent), last), fit.start + 1)
        enough = max(COVER * int(fit.lengths.sum()) // self.horizon, FEWEST)
        return self.rows(fit, some(first, last, min(enough, MOST if ctx.rows is None else ctx.rows), ctx.seed))

    def holdout_rows(self, holdout: Panel) -> Lazy:
        """Return a window for each series that has a context: the horizon from `until` on."""
        series = np.flatnonzero(holdout.start < holdout.until)
        return self.rows(holdout, Places(series, holdout.until[series]))

    def prediction_rows(self, inputs: Panel) -> Lazy:
        """Return a window for each series, its context the last steps."""
        if inputs.horizon != self.horizon:
            raise PluginError(f"the network was trained to forecast {self.horizon} steps and is asked for {inputs.horizon}; fit it again")
        return self.rows(inputs, ends(inputs))

    def decode(self, raw: Array, inputs: Panel) -> Forecast:
        """Turn departures, float32 [N, H Q], into quantiles, float64 [N, H, Q]; counts do not go below 0."""
        departure = raw.reshape(len(raw), self.horizon, len(self.quantiles)).astype(np.float64)
        base, scale = (np.concatenate(parts) for parts in zip(*map(naive, self.cuts(inputs, ends(inputs))), strict=True))
        quantiles = base[..., None] + scale[..., None] * departure
        return Forecast(np.maximum(quantiles, 0.0) if inputs.counts else quantiles)

    def rows(self, panel: Panel, places: Places) -> Lazy:
        """Return windows as rows; their features are made when asked for where all of them would fill the memory."""
        length = self.anchor.tokens(np.minimum(places.at - panel.start[places.series], self.anchor.context)) + self.horizon
        shape = len(places), int(length.max(initial=self.horizon)), self.sizes.f
        if 4 * math.prod(shape) <= KEPT:
            x, target = self.window_features(panel, places, shape)
            return Lazy(length, target, lambda rows: x[rows, : length[rows].max(initial=1)])
        target = np.concatenate([cut.target(panel) for cut in self.cuts(panel, places)])
        return Lazy(length, target, lambda rows: self.cut(panel, places.take(rows)).features(panel, self.known))

    def window_features(self, panel: Panel, places: Places, shape: tuple[int, int, int]) -> tuple[Array, Array]:
        """Return the features of all windows, float32 [n, P, F] = `shape`, right-padded, and their targets, float32 [n, H]."""
        x, target, begin = np.zeros(shape, np.float32), np.zeros((len(places), self.horizon), np.float32), 0
        for cut in self.cuts(panel, places):
            part, own = slice(begin, begin + len(cut.value)), cut.features(panel, self.known)
            x[part, : own.shape[1]], target[part] = own, cut.target(panel)
            begin += len(cut.value)
        return x, target

    def cuts(self, panel: Panel, places: Places) -> Iterator[Contexts]:
        """Cut many windows, some at a time: all at once would take many times the panel's memory."""
        for part in np.array_split(np.arange(len(places)), len(places) // CHUNK + 1):
            yield self.cut(panel, places.take(part))

    def cut(self, panel: Panel, places: Places) -> Contexts:
        """Cut windows in this encoder's units."""
        return Contexts.cut(panel, places, self.anchor)


def naive(cut: Contexts) -> tuple[Array, Array]:
    """Return what forecasts depart from, [n, H], and the unit of departures, [n, 1]."""
    return cut.ahead(cut.base), cut.scale


def ends(inputs: Panel) -> Places:
    """Place one window behind each series."""
    return Places(np.arange(len(inputs)), np.full(len(inputs), inputs.steps))
