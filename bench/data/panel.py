"""What a forecasting or anomaly model is given: regular series on one grid, and what a forecaster gives back.

Letters for shapes: N series, T steps, H horizon, Q quantiles, C known features.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from bench.data.ragged import Array
from bench.errors import PluginError

DAY = 86_400_000_000
HELD = 0.2
"""Share of each prefix that `Panel.holdout` keeps for early stopping where there is no horizon (anomaly)."""
KNOWN = ("season_sin", "season_cos", "day_sin", "day_cos", "week_sin", "week_cos", "year_sin", "year_cos")
"""Names of the columns of `Panel.known`: the phase of each cycle; a cycle that is no longer than a step, or unknown, is 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """N regular series, right-aligned: the last step of each stands at T - 1.

    A series that begins later has zeros before its `start`; a missing step repeats the last value seen. Neither is
    ever scored, and `mask` tells them apart from what was observed.
    """

    values: Array
    """float64 [N, T]: finite everywhere."""
    mask: Array
    """bool [N, T]: the value was observed."""
    start: Array
    """int64 [N]: index of the first observed step; T where there is none."""
    until: Array
    """int64 [N]: index of the first step that is not for learning: T, but for the scored steps of an anomaly task."""
    time: Array
    """int64 [1 or N, T + H]: microseconds since 1970 UTC, or step numbers where the data has no time."""
    known: Array
    """float32 [1 or N, T + H, C]: what is known in advance, named by `KNOWN`; it runs on over the horizon."""
    freq: str
    """Step of the grid as `--set freq` takes it (`D`, `h`, `W`, `MS`, `15min`); empty where the data has no time."""
    season: int
    """Steps of the main cycle, 1 for none; where series differ, that of most steps."""
    horizon: int = 0
    """Steps to forecast, H; 0 in an anomaly task."""
    counts: bool = False
    """The values are counts, or sums that cannot be negative."""
    seasons: Array | None = None
    """int64 [N]: each series' own `season`, where series of different steps stand together (anomaly); None: all have one."""
    channels: int = 1
    """C: so many series that follow each other are the channels of one entity (anomaly); see `joint`."""

    def __len__(self) -> int:
        """Return the number of series, N."""
        return len(self.values)

    @property
    def joint(self) -> Array:
        """Return the values by entity, float64 [N / C, T, C]: for models that read the channels together."""
        return self.values.reshape(-1, self.channels, self.steps).transpose(0, 2, 1)

    @property
    def steps(self) -> int:
        """Return the number of steps of the grid, T."""
        return int(self.values.shape[1])

    @property
    def lengths(self) -> Array:
        """Return the number of steps of each series from its start, int64 [N]."""
        return self.steps - self.start

    @property
    def cycles(self) -> Array:
        """Return the steps of each series' main cycle, int64 [N]."""
        return np.full(len(self), self.season) if self.seasons is None else self.seasons

    def series(self, n: int) -> Array:
        """Return one series from its first observed step to `until`, gaps filled, float64 [t]."""
        return self.values[n, self.start[n] : self.until[n]]

    def take(self, rows: Array) -> Panel:
        """Select series by index or mask, in the order given; what has one season then is a panel of that season."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else np.asarray(rows)
        own: dict[str, Any] = {name: getattr(self, name)[rows] for name in ("values", "mask", "start", "until")}
        shared: dict[str, Any] = {name: x if len(x := getattr(self, name)) == 1 else x[rows] for name in ("time", "known")}
        return replace(self, **own, **shared, **self._seasons(rows), channels=self._channels(rows))

    def alike(self, most: int) -> list[Array]:
        """List series in pieces of at most `most` neighbours that share a season: what a local model is handed at once."""
        most = max(most // self.channels, 1) * self.channels  # no entity is cut in two
        turns = np.flatnonzero(np.diff(self.cycles)) + 1
        pieces = np.split(np.arange(len(self)), turns)
        return [piece[at : at + most] for piece in pieces for at in range(0, max(len(piece), 1), most)]

    def ending(self, at: Array) -> Panel:
        """Cut each series before its own step `at`, int64 [N], and align the ends again; the horizon follows the cut."""
        last = int(at.max(initial=0))
        if (at == last).all():
            width = last + self.horizon
            cut: dict[str, Any] = {"values": self.values[:, :last], "mask": self.mask[:, :last], "start": np.minimum(self.start, last)}
            return replace(self, **cut, until=np.full(len(self), last), time=self.time[:, :width], known=self.known[:, :width])
        return self._realigned(np.asarray(at, np.int64), last)

    def holdout(self, seed: int) -> tuple[Panel, Panel]:
        """Split by time into (fit, held) for early stopping.

        `fit` ends before the held-out steps: the last H, or, without a horizon, the last 20 % of each series' prefix.
        `held` is the whole panel with `until` at the first of them. `seed` is not used: time decides.
        """
        if self.horizon:
            at = np.full(len(self), max(self.steps - self.horizon, 0))
        else:
            at = self.until - np.ceil(HELD * np.maximum(self.until - self.start, 0)).astype(np.int64)
        return self.ending(at), replace(self, until=at)

    def _channels(self, rows: Array) -> int:
        """Return the channels where the chosen rows are whole entities, else 1: a row is then a series of its own."""
        c = self.channels
        if len(rows) % c:
            return 1
        each = np.asarray(rows).reshape(-1, c)
        return c if (each == each[:, :1] // c * c + np.arange(c)).all() else 1

    def _seasons(self, rows: Array) -> dict[str, Any]:
        if self.seasons is None or not len(rows):
            return {"seasons": None}
        own = self.seasons[rows]
        return {"season": int(own[0]), "seasons": None} if (own == own[0]).all() else {"seasons": own}

    def _realigned(self, at: Array, last: int) -> Panel:
        n, beyond = len(self), self.horizon
        source = np.arange(last + beyond) - (last - at)[:, None]  # [N, T' + H]: index into the old grid
        inside = np.clip(source, 0, self.steps - 1)[:, :last]
        real = source[:, :last] >= self.start[:, None]
        rows = np.arange(n)[:, None]
        clock = np.clip(source, 0, self.time.shape[1] - 1)
        return replace(
            self,
            values=np.where(real, self.values[rows, inside], 0.0),
            mask=self.mask[rows, inside] & real,
            start=np.minimum(self.start + (last - at), last),
            until=np.full(n, last),
            time=np.broadcast_to(self.time, (n, self.time.shape[1]))[rows, clock],
            known=np.broadcast_to(self.known, (n, *self.known.shape[1:]))[rows, clock],
        )


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a forecaster gives for N series: quantiles at `ctx.quantiles`, and the mean where it has one."""

    quantiles: Array
    """float [N, H, Q]: at the levels of `ctx.quantiles`, in their order."""
    mean: Array | None = None
    """float [N, H]; None: the core integrates it from the quantiles, and the row says so."""
    fallback: Array | None = None
    """bool [N]: series that a simpler method had to serve (too short, no convergence); the row says how many."""

    def arrays(self) -> dict[str, Array]:
        """Return the arrays by name, the mean only where there is one; raise `PluginError` for one that holds objects."""
        found = {f.name: np.asarray(value) for f in fields(self) if (value := getattr(self, f.name)) is not None}
        quantiles = found.get("quantiles", np.zeros(0))
        found.setdefault("fallback", np.zeros(len(quantiles) if quantiles.ndim else 0, bool))
        for name, array in found.items():
            if array.dtype.hasobject:
                raise PluginError(f"predict returned {name} of {array.dtype}, expected numbers")
        return found


def calendar(time: Array, number: Array, season: int, step: int) -> Array:
    """Return what is known in advance of each step, float32 [..., C], named by `KNOWN`.

    `time`: int64 [...], microseconds since 1970; `number`: int64 [...], the steps' numbers, the same for every cut-off;
    `step`: microseconds of a step (of the longest month, for months), 0 where the data has no time.
    """
    lengths = (length if 0 < step < length else 0 for length in (DAY, 7 * DAY, 365.2425 * DAY))
    cycles = [(number, float(season if season > 1 else 0)), *((time, float(length)) for length in lengths)]
    columns: list[Any] = []
    for position, length in cycles:
        angle = 2 * np.pi * (position % length) / length if length else np.zeros(time.shape)
        columns += [np.sin(angle), np.cos(angle)] if length else [angle, angle]
    return np.stack(columns, axis=-1).astype(np.float32)


def filled(values: Array) -> tuple[Array, Array, Array]:
    """Make (values, mask, start) of a panel from right-aligned values with NaN where missing, float [N, T].

    A missing step repeats the last value; before the first observed step stands 0.
    """
    mask = np.isfinite(values)
    n, steps = values.shape
    last = np.maximum.accumulate(np.where(mask, np.arange(steps), -1), axis=1)
    start = np.where(mask, np.arange(steps), steps).min(axis=1, initial=steps).astype(np.int64)
    complete = np.where(last >= 0, values[np.arange(n)[:, None], np.maximum(last, 0)], 0.0)
    return complete, mask, start
