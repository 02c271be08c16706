"""Entities of an anomaly task: the series that a source labels, or the daily counts of a log's most active users.

Letters for shapes: N entities, T steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from bench.data.events import Events
from bench.data.panel import Panel, calendar, filled
from bench.data.ragged import Array
from bench.data.series import Series
from bench.errors import ConfigError, ProtocolError
from bench.tasks.anomaly.incidents import incident_labels
from bench.tasks.clock import NO_TIME, Clock, guessed_clock, own_clock
from bench.tasks.grid import from_events
from bench.tasks.profiles import Profile

PREFIX = {"labelled": 0.15, "users": 0.5}
"""Share of an entity's steps that is for training: NAB's own probation for labelled series, half for users."""
LEAST = 50
"""Fewest steps of a training prefix; a labelled window that begins before them contaminates it."""
HALVINGS = 16
"""Most times that a prefix is halved to end before the first labelled window."""
USERS, STEPS = 100, 1000
"""Most users of a given log, those most active in the training part, and most steps, the latest."""


@dataclass(frozen=True)
class Entities:
    """N entities, right-aligned, with the labels that the source gave."""

    names: tuple[str, ...]
    values: Array
    """float64 [N, T]: NaN where nothing is known."""
    time: Array
    """int64 [1 or N, T]: microseconds, or step numbers where the data has no time."""
    number: Array
    """int64 [1 or N, T]: the steps' numbers."""
    until: Array
    """int64 [N]: end of each training prefix."""
    labels: Array | None
    """bool [N, T], or None where the source labels nothing."""
    clock: Clock
    """Of the most frequent step."""
    season: int
    """Of that step."""
    counts: bool
    contaminated: Array
    """bool [N]: a labelled step lies in the prefix."""
    choices: str = ""
    """What was chosen of them, as it stands in a task id."""
    of_log: bool = False
    """They are the users of a log."""
    clocks: tuple[Clock, ...] = ()
    """The clock of each entity where their steps differ, N of them, equal ones side by side; empty: all have `clock`."""
    seasons: Array | None = None
    """int64 [N]: the season of each entity's own step, where these differ."""
    channels: Array | None = None
    """float64 [N, T, C]: NaN where nothing is known; `values` is the first of them. None: one value a step."""

    @property
    def freq(self) -> str:
        """Format the step, or all steps where entities differ: `5min+h`."""
        return "+".join(dict.fromkeys(clock.freq for clock in self.clocks or (self.clock,)))

    @property
    def cycle(self) -> str:
        """Format the season, or that of each step where entities differ: `288+24`."""
        each = (self.season,) if self.seasons is None else self.seasons.tolist()
        return "+".join(dict.fromkeys(str(season) for season in each))

    @property
    def finest(self) -> Clock:
        """Return the clock of the shortest step, which can spell every entity's times."""
        return min(self.clocks or (self.clock,), key=lambda clock: clock.step)

    @property
    def mixture(self) -> str:
        """Return which steps stand together, and with which seasons; empty where all have one."""
        if not self.clocks:
            return ""
        seasons = [self.season] * len(self.clocks) if self.seasons is None else self.seasons.tolist()
        kinds = Counter((clock.freq, season) for clock, season in zip(self.clocks, seasons, strict=True))
        listed = ", ".join(f"{n} of {freq} (season {season})" for (freq, season), n in kinds.items())
        return f"series of different steps stand together: {listed}"

    def panel(self, values: Array | None = None) -> Panel:
        """Return what a model sees, with other values where some were injected; never a label."""
        complete, mask, start = filled(self.values if values is None else values)
        known = self._calendar()
        return Panel(
            values=complete, mask=mask, start=start, until=np.maximum(self.until, start), time=self.time, known=known,
            freq=self.clock.freq, season=self.season, counts=self.counts, seasons=self.seasons,
        )  # fmt: skip

    def _calendar(self) -> Array:
        if not self.clocks:
            return calendar(self.time, self.number, self.season, self.clock.step)
        seasons = np.full(len(self.names), self.season) if self.seasons is None else self.seasons
        each = zip(self.time, self.number, seasons.tolist(), self.clocks, strict=True)
        return np.stack([calendar(time, number, season, clock.step) for time, number, season, clock in each])

    def take(self, rows: Array) -> Entities:
        """Select entities by index, in the order given."""
        own = {name: getattr(self, name)[rows] for name in ("values", "until", "contaminated")}
        own |= {name: x[rows] for name in ("seasons", "channels") if (x := getattr(self, name)) is not None}
        clocks = tuple(self.clocks[n] for n in rows) if self.clocks else ()
        shared = {name: x if len(x := getattr(self, name)) == 1 else x[rows] for name in ("time", "number")}
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, names=tuple(self.names[n] for n in rows), labels=labels, clocks=clocks, **own, **shared)


def from_series(series: Series, options: Mapping[str, str]) -> Entities:
    """Take given series step by step as they come, their ends aligned.

    Series of different steps stand together, the shortest step first, each with the season of its own; `season=288` sets
    one for all.
    """
    for key in ("target", "users", "freq"):
        if key in options:
            raise ConfigError(f"{key}={options[key]!r} cannot be set for {series.name}: its series are given; leave out --set {key}")
    given = _aligned(series)
    clock, (entities, steps) = given.clock, given.values.shape
    share = _share(options, "labelled")
    labelled = None if given.labels is None else given.labels & np.isfinite(given.values)
    until, contaminated = _prefixes(labelled, given.start, steps, share)
    season = integer_option(options, "season", clock.season)
    clocks, number = (clock,) * entities, given.time
    if clock != NO_TIME:
        clocks = tuple(own_clock(row[n:], clock) for row, n in zip(given.time, given.start.tolist(), strict=True))
        number = np.stack([own.number(row) for own, row in zip(clocks, given.time, strict=True)])
    # the prefixes tell: what falls below 0 only later must not
    early = np.arange(steps) < until[:, None]
    counts = not any((x[early] < 0).any() for x in (given.values, given.channels) if x is not None)
    found = Entities(
        series.names, given.values, given.time, number, until, given.labels, clock, season, counts, contaminated, f"prefix={share:g}",
        channels=given.channels,
    )  # fmt: skip
    if len(set(clocks)) == 1:
        return found
    seasons = None if "season" in options else np.array([own.season for own in clocks])
    order = np.argsort([own.step for own in clocks], kind="stable")
    return replace(found, clocks=clocks, seasons=seasons).take(order)


@dataclass(frozen=True)
class _Aligned:
    """Given series in one grid, their ends aligned; what lies before `start` is empty."""

    values: Array
    """float64 [N, T]: NaN where nothing is known."""
    time: Array
    """int64 [N, T]: microseconds, or the place in the grid where the source has no times."""
    start: Array
    """int64 [N]: the first step of each series."""
    labels: Array | None
    """bool [N, T]"""
    channels: Array | None
    """float64 [N, T, C]"""
    clock: Clock


def _aligned(series: Series) -> _Aligned:
    frame = series.frame
    owner = np.unique(frame["series"].to_physical().to_numpy(), return_inverse=True)[1]
    dated = not frame["time"].null_count()
    length = np.bincount(owner, minlength=len(series.names))
    first = np.cumsum(length) - length
    at = np.arange(len(owner)) - first[owner] + (length.max() - length)[owner]

    def grid(x: Array, empty: float) -> Array:
        found = np.full((len(length), int(length.max()), *x.shape[1:]), empty, x.dtype)
        found[owner, at] = x
        return found

    stamps = frame["time"].to_physical().to_numpy() if dated else at
    values, channels, labels = grid(frame["value"].to_numpy(), np.nan), None, None
    if series.channels:
        channels = grid(frame.select(series.channels).to_numpy(), np.nan)
        values = np.where(np.isfinite(values), values, np.nan_to_num(channels).mean(axis=2))
        values[~np.isfinite(channels).any(axis=2)] = np.nan
    if "label" in frame.columns:
        labels = grid(frame["label"].fill_null(value=False).to_numpy(), empty=False)
    return _Aligned(values, grid(stamps, 0), length.max() - length, labels, channels, guessed_clock(stamps, owner) if dated else NO_TIME)


def from_log(events: Events, options: Mapping[str, str], profile: Profile, *, simulated: bool, among: Collection[str] | None) -> Entities:
    """Return the number of a log's events by user and step: the most active users of the training part; `among`: only these users."""
    most, longest = (profile.entities, profile.steps) if simulated else (USERS, STEPS)
    most = integer_option(options, "users", most)
    share = _share(options, "users")

    def narrowed(frame: pl.DataFrame, clock: Clock, last: int) -> pl.DataFrame:
        step = clock.number(frame["time"].to_physical().to_numpy())
        first = max(last - longest + 1, int(step.min()))
        split = first + int(share * (last - first + 1))
        frame = frame.with_columns(__step=pl.Series(step)).filter(pl.col("__step").is_between(first, last))
        frame = frame if among is None else frame.filter(pl.col("user").cast(pl.String).is_in(list(among)))
        before = frame.filter(pl.col("__step") < split).group_by("user").len().sort(["len", "user"], descending=[True, False])
        kept = frame.filter(pl.col("user").is_in(before["user"].head(most).implode()))
        if kept.is_empty():
            raise ProtocolError(f"{events.name}: no user is active in the training part of the log; give a longer one")
        return kept.drop("__step")

    grid = from_events(events, {**options, "level": "user"}, narrowed)
    steps = grid.values.shape[1]
    until = np.full(len(grid.names), int(share * steps), np.int64)
    season = integer_option(options, "season", grid.clock.season)
    nobody = np.zeros(len(grid.names), bool)
    time, number = grid.time[None], grid.number[None]
    choices = f"target={options.get('target', 'count')}/users={most}/steps={longest}/prefix={share:g}"
    return Entities(grid.names, grid.values, time, number, until, None, grid.clock, season, grid.counts, nobody, choices, of_log=True)


def with_incidents(events: Events, options: Mapping[str, str], profile: Profile, users: Collection[str], *, simulated: bool) -> Entities:
    """Take the users that have an incident of their own; the steps that it covers are labelled."""
    found = from_log(events, options, profile, simulated=simulated, among=users)
    assert events.incidents is not None
    labels = incident_labels(events.incidents, found.names, found.time[0], found.clock.step)
    before = np.arange(labels.shape[1]) < found.until[:, None]
    contaminated = np.asarray((labels & before & np.isfinite(found.values)).any(axis=1))
    return replace(found, labels=labels, contaminated=contaminated)


def _prefixes(labels: Array | None, start: Array, steps: int, share: float) -> tuple[Array, Array]:
    """End each prefix at its share of the steps, or at a half of that, a quarter, ..., before the first labelled one.

    Never at the labelled one itself: a worker sees where a prefix ends, and must not read from it where an anomaly begins.
    Where no such prefix of `LEAST` steps (or a quarter of the series) is left, it is the whole share; the second item says so.
    """
    length = steps - start
    longest = (share * length).astype(np.int64)
    if labels is None:
        return start + longest, np.zeros(len(start), bool)
    first = np.where(labels.any(axis=1), labels.argmax(axis=1), steps) - start
    tried = longest >> np.arange(HALVINGS)[:, None]  # [HALVINGS, N]
    fits = (tried <= first) & (tried >= np.minimum(LEAST, length // 4))
    found = np.where(fits.any(axis=0), tried[fits.argmax(axis=0), np.arange(len(start))], longest)
    return start + found, found > first


def _share(options: Mapping[str, str], of: str) -> float:
    text = options.get("prefix", str(PREFIX[of]))
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0.05 <= share <= 0.9:
        raise ConfigError(f"prefix={text!r} is no share of the steps to train on; use .05 to .9")
    return share


def integer_option(options: Mapping[str, str], key: str, default: int) -> int:
    """Read an option that is a whole number of at least 1; raise `ConfigError`."""
    text = options.get(key, str(default))
    if not text.isdecimal() or len(text) > 6 or int(text) < 1:
        raise ConfigError(f"{key}={text!r} is no whole number; use 1 or more")
    return int(text)
