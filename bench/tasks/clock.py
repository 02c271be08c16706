"""Steps of a regular grid: from microseconds to step numbers and back, for minutes, hours, days, weeks and months."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from bench.data.ragged import Array
from bench.errors import ConfigError

SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
WEEK = 7 * DAY
MONDAY = 3 * DAY
"""1970 began on a Thursday: weeks are counted from the Monday three days before."""
UNITS = {"min": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}
SEASONS = {DAY: 7, WEEK: 52}
"""Step -> steps of its main cycle; of what is shorter than a day and divides it, the day."""
HORIZONS = {HOUR: 48, DAY: 14, WEEK: 13, "MS": 18, "QS": 8, "YS": 6}
"""Step -> steps to forecast unless told otherwise; of months and longer, M4's."""
MONTHS = {"MS": 1, "QS": 3, "YS": 12}
"""Months of a step that has no fixed length."""
FEW, MOST = 10, 0.5
"""Fewest distances of neighbours, and the share of them that must be alike, for a series to have a step of its own."""
DAYS = {"MS": (28, 31), "QS": (90, 92), "YS": (365, 366)}
"""Least and most days of such a step."""


@dataclass(frozen=True)
class Clock:
    """The step of a grid."""

    freq: str
    """As it is written: `15min`, `h`, `D`, `W`, `MS`, `QS`, `YS` (months to years); empty where the data has no time."""
    step: int
    """Microseconds; of the longest one for months to years; 0 without time."""

    @property
    def months(self) -> int:
        """Return the number of months of a step, 0 where it is no number of months."""
        return MONTHS.get(self.freq, 0)

    @property
    def season(self) -> int:
        """Return the steps of the main cycle, 1 where none is known."""
        if self.months:
            return 12 // self.months
        return DAY // self.step if 0 < self.step < DAY and DAY % self.step == 0 else SEASONS.get(self.step, 1)

    @property
    def horizon(self) -> int:
        """Return the steps to forecast unless told otherwise."""
        return HORIZONS.get(self.freq if self.months else self.step, 48 if 0 < self.step < HOUR else 18)

    def number(self, time: Array) -> Array:
        """Return the number of the step that a time lies in, int64 [...], for `time` int64 [...] in microseconds."""
        if self.months:
            return np.asarray(time.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) // self.months)
        return (time + (MONDAY if self.step % WEEK == 0 else 0)) // self.step

    def begin(self, number: Array) -> Array:
        """Return the time at which a step begins, int64 [...] microseconds."""
        if self.months:
            return (np.asarray(number) * self.months).astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
        return number * self.step - (MONDAY if self.step % WEEK == 0 else 0)


NO_TIME = Clock("", 0)


def parse_clock(text: str) -> Clock:
    """Read a frequency: `D`, `h`, `W`, `MS`, `QS`, `YS`, or a number of `min`, `h`, `D`, `W`; raise `ConfigError`."""
    named = {"M": "MS", "1mo": "MS", "mo": "MS"}.get(text, text)
    if named in MONTHS:
        return Clock(named, DAYS[named][1] * DAY)
    match = re.fullmatch(r"(\d*)\s*(min|[hHdDwW])", text.strip())
    if match is None or match[1] == "0":
        raise ConfigError(
            f"freq={text!r} is no frequency; write min, h, D, W or MS, QS, YS; a number may stand before the first four: 15min, 2h"
        )
    return clock_of(int(match[1] or 1) * UNITS[match[2].lower()])


def clock_of(step: int) -> Clock:
    """Name a step of so many microseconds."""
    for unit, name in ((WEEK, "W"), (DAY, "D"), (HOUR, "h"), (MINUTE, "min")):
        if step % unit == 0:
            return Clock(name if step == unit else f"{step // unit}{name}", step)
    return Clock(f"{step / 1e6:g}s", step)


def own_clock(time: Array, common: Clock) -> Clock:
    """Guess the step of one of several series, rising int64 [T]: its own where most of its steps are one, else the common."""
    gaps = np.diff(time)
    if len(gaps) < FEW:
        return common
    own = guessed_clock(time, np.zeros(len(time), np.int64))
    return own if own.months or (gaps == own.step).mean() > MOST else common


def guessed_clock(time: Array, owner: Array) -> Clock:
    """Guess the step of given series: the most frequent distance of neighbours, int64 [E] each, sorted by (owner, time).

    28 to 31 days are a month, 90 to 92 a quarter, 365 or 366 a year. Without two steps in any series a step is a day.
    """
    gaps = np.diff(time)[(np.diff(owner) == 0)]
    gaps = gaps[gaps > 0]
    if not len(gaps):
        return clock_of(DAY)
    step, seen = np.unique(gaps, return_counts=True)
    common = int(step[seen.argmax()])
    for freq, (least, most) in DAYS.items():
        inside = (gaps >= least * DAY) & (gaps <= most * DAY)
        # 28 days, or 91, always, are weeks; 365 are a year
        if common % DAY == 0 and inside.mean() > 0.9 and (len(step) > 1 or freq == "YS"):
            return parse_clock(freq)
    return clock_of(common)


def format_time(time: int, clock: Clock) -> str:
    """Write a step's time: a day, a minute, or its number where the data has no time."""
    if clock == NO_TIME:
        return str(time)
    moment = datetime.fromtimestamp(time / 1e6, UTC)
    return moment.date().isoformat() if clock.step % DAY == 0 or clock.months else moment.isoformat(timespec="minutes")
