"""Fix horizon, season, windows and cut-offs of a forecasting split from the options and the length of the grid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bench.data.durations import parse_duration
from bench.data.events import Events
from bench.data.ragged import Array
from bench.data.series import Series
from bench.errors import ConfigError, ProtocolError
from bench.tasks.clock import DAY, NO_TIME, Clock, format_time
from bench.tasks.grid import ALL, STARTS, TOP, Grid, default_level, most_of, start_of
from bench.tasks.profiles import Profile
from bench.tasks.validations import fewer_note, validations_wanted

WINDOWS = 2
"""Test windows unless told otherwise."""
LEAST_SEASONS = 4
"""Seasons that training must cover, at least; and twice the horizon."""
FEW = 8
"""Below so many series, blocks of about a season's steps are resampled."""


@dataclass(frozen=True)
class Plan:
    """The choices of one forecasting split; cut-offs are numbers of steps from the grid's begin."""

    level: str
    target: str
    horizon: int
    season: int
    valid: tuple[int, ...]
    test: tuple[int, ...]
    most: int
    """Most members of the level, those with the most events before the test; `ALL`: every one that had an event."""
    fixed: bool
    notes: tuple[str, ...] = ()
    start: str = STARTS[0]
    """Where a log's members begin: see `STARTS`."""
    older: tuple[int, ...] = ()
    """Cut-offs of windows before the validations, as many as these at most: what a search has found is confirmed on them."""

    def task_id(self, clock: Clock, profile: Profile) -> str:
        """Format every choice that makes two scores comparable."""
        windows = "given" if self.fixed else len(self.test)
        caps = f"series={'all' if self.most == ALL else self.most}/" if self.most != most_of(self.level, {}, TOP) else ""
        start = f"/start={self.start}" if self.start != STARTS[0] else ""  # without a word: from each member's first event
        return (
            f"forecasting/v2/level={self.level}/target={self.target}{start}/freq={clock.freq or 'none'}/season={self.season}"
            f"/h={self.horizon}/windows={windows}/valid={len(self.valid)}/{caps}{profile.caps()}"
        )

    def pieces(self, series: int) -> int:
        """Describe into how many blocks a window is cut for resampling: one where there are enough series."""
        return 1 if series >= FEW else max(round(self.horizon / max(self.season, 1)), 1)

    def horizon_days(self, clock: Clock) -> float | None:
        """Return the horizon in days, None where the data has no time."""
        return None if clock == NO_TIME else self.horizon * (30.4375 * DAY * clock.months or clock.step) / DAY

    def moment(self, time: Array, cutoff: int, clock: Clock) -> str:
        """Write a cut-off as the time of the first step after it."""
        return format_time(int(time[cutoff]), clock)

    def moments(self, time: Array, cutoff: int, clock: Clock) -> list[str]:
        """Write the times of the steps after a cut-off."""
        return [format_time(int(t), clock) for t in time[cutoff : cutoff + self.horizon]]

    def words(self, grid: Grid) -> str:
        """Describe what is forecast."""
        step = {"D": "days", "h": "hours", "W": "weeks", "MS": "months", "QS": "quarters", "YS": "years"}.get(
            grid.clock.freq, f"steps of {grid.clock.freq}".removesuffix(" of ")
        )
        begin = "all from the log's begin" if self.start == "global" else "each from its first event"
        counted = f"{self.target} by {self.level}, {len(grid.names):,} series {begin}"
        what = f"{len(grid.names):,} series" if self.level == "given" else counted
        cutoffs = ", ".join(self.moment(grid.time, t, grid.clock) for t in self.test)
        return f"{what}, {grid.values.shape[1]:,} {step}, season {self.season}; {self.horizon} {step} ahead, tested from {cutoffs}"


def choose(data: Events | Series, grid: Grid, options: Mapping[str, str], profile: Profile, *, simulated: bool) -> Plan:
    """Fix the plan; raise `ConfigError` for an option that means nothing and `ProtocolError` where the grid is too short."""
    clock, notes = grid.clock, []
    level = (options.get("level") or default_level(data)) if isinstance(data, Events) else "given"
    season = _integer_option(options, "season", clock.season)
    if clock == NO_TIME and "season" not in options:
        notes.append("the series have no times, so no season is known; give it with --set season=24")
    horizon = _horizon(options, clock, grid.fixed)
    if grid.fixed and horizon != grid.fixed:
        raise ProtocolError(f"{data.name}: horizon {horizon} is not that of the given test part, {grid.fixed}; leave out --set horizon")
    wanted = 1 if grid.fixed else _integer_option(options, "windows", _windows(profile, simulated=simulated))
    if grid.fixed and options.get("windows", "1") != "1":
        raise ProtocolError(f"{data.name}: the test part is given, so there is one window; leave out --set windows")
    steps, needed = grid.values.shape[1], max(LEAST_SEASONS * season, 2 * horizon)
    fitting = (steps - needed) // horizon - 1
    # `fitting` windows fit before the end: the test's, and one more that validates
    if fitting < 1:
        raise ProtocolError(_too_short(data.name, grid, horizon, season, needed))
    if fitting < wanted and "windows" in options:
        raise ProtocolError(
            f"{data.name}: {steps} steps leave room for {fitting} test windows of {horizon}, not {wanted}; --set windows={fitting}"
        )
    windows = min(wanted, fitting)
    if windows < wanted:
        notes.append(f"{windows} test window instead of {wanted}: before the first cut-off must lie {needed} steps (4 seasons, 2 horizons)")
    test = tuple(steps - k * horizon for k in range(windows, 0, -1))
    asked = validations_wanted(options, profile)
    validations = min(asked, fitting - windows + 1)
    notes += fewer_note(validations, asked, "window", f"before the first one must lie {needed} steps")
    valid = tuple(test[0] - k * horizon for k in range(validations, 0, -1))
    older = tuple(t for k in range(validations, 0, -1) if (t := valid[0] - k * horizon) >= needed)
    most = most_of(level, options, profile.series if simulated else TOP)
    target, start = options.get("target", "count"), start_of(options)
    return Plan(level, target, horizon, season, valid, test, most, bool(grid.fixed), tuple(notes), start, older)


def _windows(profile: Profile, *, simulated: bool) -> int:
    return profile.windows if simulated else WINDOWS


def _horizon(options: Mapping[str, str], clock: Clock, fixed: int) -> int:
    given = options.get("horizon")
    if given is None:
        return fixed or clock.horizon
    if re.fullmatch(r"\d+", given):
        return _integer_option(options, "horizon", 0)
    length = parse_duration(given, name="horizon")
    if clock == NO_TIME or clock.months or length % clock.step:
        raise ConfigError(f"horizon={given!r} is no whole number of steps of {clock.freq or 'series without time'}; give steps: horizon=14")
    return length // clock.step


def _integer_option(options: Mapping[str, str], key: str, default: int) -> int:
    text = options.get(key, str(default))
    if not re.fullmatch(r"\d{1,6}", text) or int(text) < 1:
        raise ConfigError(f"{key}={text!r} is no number of steps or windows; use 1 or more")
    return int(text)


def _too_short(name: str, grid: Grid, horizon: int, season: int, needed: int) -> str:
    steps = grid.values.shape[1]
    longest = min((steps - LEAST_SEASONS * season) // 2, steps // 4)
    if longest >= 1 and not grid.fixed:
        cure = f"--set horizon={longest}"
    else:
        nearest = horizon if grid.fixed else min(horizon, steps // 4)
        shortest = (steps - 2 * nearest) // LEAST_SEASONS if 0 < 4 * nearest <= steps else 0
        cure = f"--set season={shortest}" + (f" --set horizon={nearest}" if nearest < horizon else "") if shortest else "longer data"
    least = f"{needed} steps of training (4 seasons of {season}, twice the horizon)"
    return (
        f"{name}: {steps} steps of {grid.clock.freq or 'no frequency'} are too few for horizon {horizon}: "
        f"a validation and a test window, and {least}; try {cure}"
    )
