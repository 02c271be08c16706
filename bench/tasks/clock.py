"""Steps of a regular grid: from microseconds to step numbers and back, for minutes, hours, days, weeks and months."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from bench.errors import ConfigError
from bench.ragged import Array

SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
WEEK = 7 * DAY
MONDAY = 3 * DAY
"""1970 began on a Thursday: weeks are counted from the Monday three days before."""
MONTH = 31 * DAY
UNITS = {"min": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}
SEASONS = {MINUTE: 1440, 5 * MINUTE: 288, 10 * MINUTE: 144, 15 * MINUTE: 96, 30 * MINUTE: 48, HOUR: 24, DAY: 7, WEEK: 52}
"""Step -> steps of its main cycle: a day for what is shorter than one, the week for days, the year for weeks."""
HORIZONS = {HOUR: 48, DAY: 14, WEEK: 13}
"""Step -> steps to forecast unless told otherwise."""


@dataclass(frozen=True)
class Clock:
    """Hold the step of a grid."""

    freq: str
    """As it is written: `15min`, `h`, `D`, `W`, `MS` (months); empty where the data has no time."""
    step: int
    """Microseconds; of the longest month for months; 0 without time."""

    @property
    def months(self) -> bool:
        """Say whether a step is a month."""
        return self.freq == "MS"

    @property
    def season(self) -> int:
        """Give the steps of the main cycle, 1 where none is known."""
        return 12 if self.months else SEASONS.get(self.step, 1)

    @property
    def horizon(self) -> int:
        """Give the steps to forecast unless told otherwise."""
        return 18 if self.months else HORIZONS.get(self.step, 48 if 0 < self.step < HOUR else 18)

    def number(self, time: Array) -> Array:
        """Give the number of the step that a time lies in, int64 [...], for `time` int64 [...] in microseconds."""
        if self.months:
            return time.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
        return (time + (MONDAY if self.step % WEEK == 0 else 0)) // self.step

    def begin(self, number: Array) -> Array:
        """Give the time at which a step begins, int64 [...] microseconds."""
        if self.months:
            return np.asarray(number, "datetime64[M]").astype("datetime64[us]").astype(np.int64)
        return number * self.step - (MONDAY if self.step % WEEK == 0 else 0)


NO_TIME = Clock("", 0)


def parse_clock(text: str) -> Clock:
    """Read a frequency: `D`, `h`, `W`, `MS`, or a number of `min`, `h`, `D`, `W` before; raise `ConfigError`."""
    if text in {"M", "MS", "1mo", "mo"}:
        return Clock("MS", MONTH)
    match = re.fullmatch(r"(\d*)\s*(min|[hHdDwW])", text.strip())
    if match is None or match[1] == "0":
        raise ConfigError(f"freq={text!r} is no frequency; write min, h, D, W or MS, with a number before it: 15min, 2h")
    return clock_of(int(match[1] or 1) * UNITS[match[2].lower()])


def clock_of(step: int) -> Clock:
    """Name a step of so many microseconds."""
    for unit, name in ((WEEK, "W"), (DAY, "D"), (HOUR, "h"), (MINUTE, "min")):
        if step % unit == 0:
            return Clock(name if step == unit else f"{step // unit}{name}", step)
    return Clock(f"{step / 1e6:g}s", step)


def guessed_clock(time: Array, owner: Array) -> Clock:
    """Guess the step of given series: the most frequent distance of neighbours, int64 [E] each, sorted by (owner, time).

    28 to 31 days are a month. Without two steps in any series a step is a day.
    """
    gaps = np.diff(time)[(np.diff(owner) == 0)]
    gaps = gaps[gaps > 0]
    if not len(gaps):
        return clock_of(DAY)
    step, seen = np.unique(gaps, return_counts=True)
    common = int(step[seen.argmax()])
    months = (gaps >= 28 * DAY) & (gaps <= MONTH)
    if common % DAY == 0 and months.mean() > 0.9 and len(np.unique(gaps)) > 1:
        return Clock("MS", MONTH)
    return clock_of(common)
