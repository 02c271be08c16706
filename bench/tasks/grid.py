"""From a log or from given series to one dense grid of regular steps; nothing is chosen by what lies after a cut-off.

Letters for shapes: E events or rows, N series, T steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from bench.data.events import Events
from bench.data.panel import Panel, calendar, filled
from bench.data.ragged import Array
from bench.data.series import Series
from bench.errors import ConfigError, ProtocolError, suggest
from bench.tasks.clock import DAY, HOUR, MINUTE, NO_TIME, SECOND, Clock, guessed_clock, parse_clock

TOP = 20
"""Most members of a level that is no user's: those most active before the first test cut-off."""
ALL = 10**9
"""More members than a level has."""
STARTS = ("first", "global")
"""Whether the zeros before a member's first event count: they do not, or they do."""
MOST = 400_000_000
"""Most cells of a grid, 3.2 GB."""


@dataclass(frozen=True)
class Grid:
    """N series on a common grid of T steps."""

    names: tuple[str, ...]
    values: Array
    """float64 [N, T]: NaN where nothing is known: before a series begins, after it ends, where a step is missing."""
    number: Array
    """int64 [T]: the steps' numbers."""
    clock: Clock
    counts: bool
    """No value can be below 0: events are counted."""
    fixed: int = 0
    """Steps at the end that the source has set aside as its test part."""
    notes: tuple[str, ...] = ()

    @property
    def time(self) -> Array:
        """Return when each step begins, int64 [T] in microseconds; the steps' numbers where the data has no time."""
        return self.number if self.clock == NO_TIME else self.clock.begin(self.number)

    def panel(self, until: int, horizon: int, season: int) -> Panel:
        """Cut the panel that a model may see before step `until`, with the horizon's calendar behind it."""
        values, mask, start = filled(self.values[:, :until])
        ahead = np.arange(self.number[0], self.number[0] + until + horizon)
        time = ahead if self.clock == NO_TIME else self.clock.begin(ahead)
        known = calendar(time, ahead, season, self.clock.step)
        return Panel(
            values=values,
            mask=mask,
            start=start,
            until=np.full(len(values), until, np.int64),
            time=time[None],
            known=known[None],
            freq=self.clock.freq,
            season=season,
            horizon=horizon,
            # of what is summed or given, the past tells: what falls below 0 only later must not
            counts=self.counts or bool((values >= 0).all()),
        )

    def take(self, rows: Array) -> Grid:
        """Select series by index, in the order given."""
        return replace(self, names=tuple(self.names[n] for n in rows), values=self.values[rows])


def from_series(series: Series, options: Mapping[str, str]) -> Grid:
    """Lay given series on a grid: by their times, or, without any, their ends aligned."""
    for key in ("level", "target", "start"):
        if key in options:
            raise ConfigError(f"{key}={options[key]!r} cannot be set for {series.name}: its series are given; leave out --set {key}")
    frame = series.frame
    names = series.names
    if "freq" in options and frame["time"].null_count():
        raise ConfigError(f"freq={options['freq']!r}: the series of {series.name} have no times; leave out --set freq")
    owner = frame["series"].to_physical().to_numpy().astype(np.int64)
    owner = np.unique(owner, return_inverse=True)[1]
    value = frame["value"].to_numpy()
    fixed = _fixed(series, owner)
    notes: tuple[str, ...] = ()
    if frame["time"].null_count():
        counts = np.bincount(owner, minlength=len(names))
        _refuse_size(len(names), int(counts.max()), series.name)
        at = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts) + (counts.max() - counts)[owner]
        clock, number = NO_TIME, np.arange(counts.max())
    else:
        time = frame["time"].to_physical().to_numpy()
        clock = parse_clock(options["freq"]) if "freq" in options else guessed_clock(time, owner)
        steps = clock.number(time)
        _refuse_size(len(names), int(steps.max() - steps.min()) + 1, series.name)
        number = np.arange(steps.min(), steps.max() + 1)
        at = steps - steps.min()
        notes = _doubled(owner, at, series.name)
    values = np.full((len(names), len(number)), np.nan)
    values[owner, at] = value  # of several in one step the last stands
    return Grid(names, values, number, clock, counts=False, fixed=fixed, notes=notes)


def _fixed(series: Series, owner: Array) -> int:
    """Return the length of the test part that came with the data; it must be one for all series."""
    if "test" not in series.frame.columns:
        return 0
    steps = np.bincount(owner, weights=series.frame["test"].to_numpy().astype(float), minlength=len(series.names)).astype(int)
    if len(set(steps.tolist())) > 1:
        raise ProtocolError(
            f"{series.name}: the given test parts are {steps.min()} to {steps.max()} steps long; they must be of one length"
        )
    return int(steps[0])


def _doubled(owner: Array, at: Array, name: str) -> tuple[str, ...]:
    same = int(((np.diff(owner) == 0) & (np.diff(at) == 0)).sum())
    return (f"{name}: {same:,} rows share a step with another of their series; the last stands",) if same else ()


def from_events(
    events: Events, options: Mapping[str, str], narrowed: Callable[[pl.DataFrame, Clock, int], pl.DataFrame] | None = None
) -> Grid:
    """Count (or sum) a log's events by member and step, from each member's first event to one global end.

    The last step is left out where the log ends inside it. All members are laid out; `chosen` picks those to forecast.
    `narrowed` may leave out events before that, given the log, the clock and the last whole step.
    """
    clock = parse_clock(options.get("freq", "D"))
    level, target = options.get("level", default_level(events)), options.get("target", "count")
    if target not in {"count", "sum"}:
        raise ConfigError(f"target={target!r} is unknown; use count (of events) or sum (of their values)")
    frame = _active(events, level)
    last = _last_whole(events.frame["time"].to_physical().to_numpy(), clock)
    frame = narrowed(frame, clock, last) if narrowed else frame
    member, names = _members(frame, level, events.name)
    step = clock.number(frame["time"].to_physical().to_numpy())
    first = int(step.min())
    if last < first:
        raise ProtocolError(f"{events.name}: the log ends inside its first step of {clock.freq}; choose a smaller one with --set freq=h")
    _refuse_size(len(names), last - first + 1, events.name)
    inside = (step <= last) & (member >= 0)
    weights = _amounts(frame, target, events.name)
    cell = member[inside] * (last - first + 1) + (step[inside] - first)
    values = np.bincount(cell, weights[inside], minlength=len(names) * (last - first + 1)).reshape(len(names), -1)
    begin = np.full(len(names), last - first + 1)
    np.minimum.at(begin, member[inside], step[inside] - first)
    values[np.arange(values.shape[1]) < begin[:, None]] = np.nan
    values = values[begin <= last - first]
    names = tuple(n for n, b in zip(names, begin, strict=True) if b <= last - first)
    return Grid(names, values, np.arange(first, last + 1), clock, counts=target == "count")


def default_level(events: Events) -> str:
    """Choose the level of a log: its items, or, where it names none, its users' total."""
    return "item" if events.frame["item"].null_count() < len(events.frame) else "total"


def chosen(grid: Grid, level: str, until: int, most: int = TOP) -> Grid:
    """Choose the members to forecast by what they did before step `until`: the `most` active of those that were."""
    seen = np.nansum(grid.values[:, :until], axis=1)
    active = np.flatnonzero(np.isfinite(grid.values[:, :until]).any(axis=1))
    if not len(active):
        raise ProtocolError(f"level={level!r}: no member has an event before the first test cut-off; choose another level or fewer windows")
    if most == ALL:
        return grid.take(active)
    best = active[np.lexsort((np.array(grid.names)[active], -seen[active]))][:most]
    return grid.take(best)


def begun(grid: Grid, start: str) -> Grid:
    """Let members whose first event comes later begin with the log, with zeros, where `start` is `global`.

    Asked of members that are chosen already: those of whom nothing was known at the cut-off must not come in with zeros.
    """
    return replace(grid, values=np.nan_to_num(grid.values)) if start == "global" else grid


def most_of(level: str, options: Mapping[str, str], default: int = TOP) -> int:
    """Return how many members of a level are forecast: as asked; else all users, and `default` of other members."""
    if level == "given" and "series" in options:
        raise ConfigError("series that are given are all forecast; leave out --set series")
    text = options.get("series", "all" if level in {"user", "given"} else str(default))
    if text != "all" and (not re.fullmatch(r"\d{1,7}", text) or int(text) < 1):
        raise ConfigError(f"series={text!r} is no number of series; use 1 or more, or all")
    return ALL if text == "all" else int(text)


def start_of(options: Mapping[str, str]) -> str:
    """Return where a log's members begin: `first`, each with its own first event, or `global`, all with the log."""
    start = options.get("start", STARTS[0])
    if start not in STARTS:
        raise ConfigError(f"start={start!r} is unknown; use first (each member begins with its first event) or global (all with the log)")
    return start


def _active(events: Events, level: str) -> pl.DataFrame:
    """Keep events of activity kinds; at level `kind` all are kept."""
    if level == "kind":
        return events.frame
    frame = events.frame.filter(pl.col("kind").cast(pl.String).is_in(list(events.activity)))
    if frame.is_empty():
        kinds = f"({', '.join(events.activity)}); the log has {', '.join(events.kinds)}"
        raise ProtocolError(f"{events.name}: no event is of an activity kind {kinds}")
    return frame


def _members(frame: pl.DataFrame, level: str, name: str) -> tuple[Array, tuple[str, ...]]:
    """Return the member of each event, int64 [E] (-1: none), and the members' names."""
    if level == "total":
        return np.zeros(len(frame), np.int64), ("total",)
    if level not in frame.columns or level in {"time", "value", "count"}:
        columns = [c for c in frame.columns if c not in {"time", "value", "count"}]
        raise ConfigError(f"level={level!r}: {name} has no such column; {suggest(level, ['total', *columns])}")
    texts = frame[level].cast(pl.String)
    names = texts.drop_nulls().unique().sort()
    if names.is_empty():
        raise ProtocolError(f"{name}: column {level!r} is empty; choose another level, such as --set level=total")
    codes = texts.cast(pl.Enum(names)).to_physical().cast(pl.Int64).fill_null(-1)
    return codes.to_numpy(), tuple(names)


def _amounts(frame: pl.DataFrame, target: str, name: str) -> Array:
    if target == "sum":
        if frame["value"].null_count() == len(frame):
            raise ConfigError(f"target='sum': {name} has no values; use --set target=count")
        return frame["value"].fill_null(0.0).to_numpy()
    return frame["count"].cast(pl.Float64).to_numpy() if "count" in frame.columns else np.ones(len(frame))


def _last_whole(time: Array, clock: Clock) -> int:
    """Return the last step that the log covers to its end; a log of days, say, covers the whole of its last day."""
    resolution = next((unit for unit in (DAY, HOUR, MINUTE, SECOND) if (time % unit == 0).all()), 1)
    last = int(time.max())
    number = int(clock.number(np.array([last]))[0])
    return number if int(clock.begin(np.array([number + 1]))[0]) <= last + resolution else number - 1


def _refuse_size(n: int, steps: int, name: str) -> None:
    if n * steps > MOST:
        cure = "choose a coarser step (--set freq=W) or level"
        raise ProtocolError(f"{name}: {n:,} series of {steps:,} steps are more than {MOST:,} cells; {cure}")
