"""Times as people write them, to microseconds in UTC: dates, local and zoned times, Unix times of any unit.

Local times get the option `zone`, or are taken as UTC. Of a local time that occurs twice (clocks set back) the first is
meant; one that does not exist (clocks set forward) is read with the offset of the day before, that is, moved on by what
the clocks skipped. Both are counted in a note.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from bench.data.events import TIME
from bench.errors import DataError, suggest

from ._any_table import chosen
from ._tables import Stack, parsed, refuse_many, zoned

UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
"""Units of Unix time, in one second."""
WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
SMALLEST = 1e8
"""Seconds (March 1973) below which a number is more likely a day's number than a Unix time."""
EARLIEST, LATEST = -2_208_988_800, 7_258_118_400
"""Seconds of the years 1900 and 2200: what lies outside is no date of a log."""
ISO = (
    "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y/%m/%d %H:%M:%S%.f", "%Y/%m/%d %H:%M", "%Y/%m/%d",
)  # fmt: skip
CLOCKS = (" %H:%M:%S%.f", " %H:%M", "", " %I:%M:%S %p", " %I:%M %p")
ORDERS = {"dmy": "%d/%m/%Y", "mdy": "%m/%d/%Y"}
DIGITS = {8: "%Y%m%d", 14: "%Y%m%d%H%M%S"}
SLASHED = r"^(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})"
CURE = "write YYYY-MM-DD HH:MM:SS, with an offset such as +02:00 or without, or Unix times"

HELP = {
    "time_unit": "unit of numeric times: s, ms, us or ns (default: from their size)",
    "zone": "IANA name of the zone of local times, such as Europe/Berlin (default: UTC)",
    "date_order": "dmy or mdy, where dates such as 03/04/2024 do not tell (default: from days after the 12th)",
}

log = logging.getLogger("bench")


@dataclass(frozen=True)
class Clock:
    """What the user said of the times; None: to be found out."""

    unit: str | None = None
    zone: str | None = None
    order: str | None = None

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Clock:
        """Read the options; raise `DataError` with the likely name of an unknown zone."""
        zone = options.get("zone")
        if zone is not None:
            _refuse_zone(zone)
        return cls(chosen("time_unit", options, list(UNITS)), zone, chosen("date_order", options, list(ORDERS)))


def moments(raw: Stack, name: str, clock: Clock) -> pl.Series:
    """Read a column of times as microseconds in UTC, null where one is bad; raise `DataError` where many are."""
    column = raw.rows[name]
    kind = column.dtype
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        times = column.dt.convert_time_zone("UTC").cast(TIME)
    elif isinstance(kind, pl.Datetime | pl.Date):
        times = _localised(column.cast(pl.Datetime("us")), raw, name, clock)
    elif kind.is_numeric():
        times = _from_numbers(column, raw, name, clock)
    elif isinstance(kind, pl.String | pl.Enum | pl.Categorical):
        times = _from_text(column.cast(pl.String).str.strip_chars(), raw, name, clock)
    elif kind == pl.Null:
        times = column.cast(TIME)
    else:
        raise DataError(f"{raw.parts[0].name}: column {raw.names[name][0]!r} has type {kind}, which is no time; {CURE}")
    seconds = times.dt.epoch("s")
    times = times.zip_with(seconds.is_between(EARLIEST, LATEST), times.clear(len(times)))
    refuse_many(times, raw, name, CURE)
    return times


def _from_numbers(column: pl.Series, raw: Stack, name: str, clock: Clock) -> pl.Series:
    digits = column.cast(pl.Int64, strict=False).cast(pl.String)
    calendar = None if clock.unit else _from_digits(digits, raw, name)
    return _unix(column, raw, name, clock.unit) if calendar is None else _localised(calendar, raw, name, clock)


def _from_text(text: pl.Series, raw: Stack, name: str, clock: Clock) -> pl.Series:
    numeric = text.str.contains(r"^[+-]?\d+(\.\d+)?$").sum()
    if numeric > (len(text) - text.null_count()) / 2:
        calendar = None if clock.unit else _from_digits(text, raw, name)
        if calendar is not None:
            return _localised(calendar, raw, name, clock)
        whole = text.cast(pl.Int64, strict=False)
        return _unix(whole if whole.null_count() == text.null_count() else text.cast(pl.Float64, strict=False), raw, name, clock.unit)
    # one spelling of what is the same: 2024-01-31T10:00:00 UTC, ... +02, ... +0200
    text = text.str.replace(r"^(\d{4}-\d{1,2}-\d{1,2})T", "$1 ").str.replace(r"(\d)\s*(UTC|GMT)$", "${1}Z")
    text = text.str.replace(r"(:\d{2}(?:\.\d+)?)\s*([+-]\d{2})$", "${1}${2}:00").str.replace(
        r"(:\d{2}(?:\.\d+)?)\s+(Z|[+-]\d{2}:?\d{2})$", "$1$2"
    )
    text, formats = _ordered(text, raw, name, clock)
    if zoned(text, raw, name):
        return parsed(text, [f + "%#z" for f in _sorted(formats, text, "%#z")]).dt.replace_time_zone("UTC")
    return _localised(parsed(text, _sorted(formats, text)), raw, name, clock)


def _sorted(formats: tuple[str, ...], text: pl.Series, suffix: str = "") -> list[str]:
    """Put the format first that fits most of the first texts: a long column is then read once, not by each format."""
    first = text.head(1_000)
    return sorted(formats, key=lambda f: first.str.to_datetime(f + suffix, strict=False, time_unit="us").null_count())


def _ordered(text: pl.Series, raw: Stack, name: str, clock: Clock) -> tuple[pl.Series, tuple[str, ...]]:
    """Find out whether the day or the month comes first in 31/12/2024, and give the formats to try."""
    fields = text.str.extract_groups(SLASHED).struct.unnest()
    found = fields["1"].is_not_null()
    if not found.any():
        return text, ISO
    late = [int((fields[i].cast(pl.Int64) > 12).sum()) for i in ("1", "2")]
    dotted = text.str.contains(r"^\d{1,2}\.").any()
    order = clock.order or ("dmy" if dotted or late[0] > late[1] else "mdy" if late[1] > late[0] else "")
    where, column, row = raw.place(name, found)
    if not order:
        raise DataError(f"{where}: column {column!r} does not tell whether day or month comes first, {row}; give date_order=dmy or mdy")
    if not clock.order:
        log.info("column %r: the %s comes first in its dates (%s)", column, {"dmy": "day", "mdy": "month"}[order], row)
    return text.str.replace(SLASHED, "$1/$2/$3"), (*(ORDERS[order] + clock_ for clock_ in CLOCKS), *ISO)


def _from_digits(text: pl.Series, raw: Stack, name: str) -> pl.Series | None:
    """Read 20240131 and 20240131120000; None where the numbers are no such dates."""
    lengths = text.str.len_bytes().drop_nulls().unique().to_list()
    if len(lengths) != 1 or lengths[0] not in DIGITS or not text.str.contains("^(19|20)").all():
        return None
    times = parsed(text, [DIGITS[lengths[0]]])
    if times.null_count() > text.null_count() + 0.01 * len(text):
        return None
    log.info("column %r holds dates written as digits, such as %s", raw.names[name][0], text.drop_nulls()[0])
    return times


def _unix(numbers: pl.Series, raw: Stack, name: str, unit: str | None) -> pl.Series:
    """Read Unix times; their unit, unless given, follows from their size."""
    numbers = numbers.cast(pl.Float64 if numbers.dtype.is_float() or numbers.dtype.is_decimal() else pl.Int64, strict=False)
    if unit is None:
        unit = _unit(numbers, raw, name)
        log.info("column %r: Unix times in %s, by their size", raw.names[name][0], WORDS[unit])
    scale = UNITS[unit]
    numbers = numbers.zip_with(numbers.is_between(EARLIEST * scale, LATEST * scale), numbers.clear(len(numbers)))
    if numbers.dtype == pl.Float64:
        micros = (numbers * (1e6 / scale)).round().cast(pl.Int64)
    else:
        micros = numbers * round(1e6 / scale) if scale <= 1e6 else numbers // 1_000
    return micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _unit(numbers: pl.Series, raw: Stack, name: str) -> str:
    size = float(np.median(numbers.drop_nulls().abs().to_numpy())) if numbers.null_count() < len(numbers) else 0.0
    if size < SMALLEST and numbers.null_count() < len(numbers):
        where, column, row = raw.place(name, numbers.is_not_null())
        raise DataError(
            f"{where}: column {column!r} holds numbers too small for Unix times of our days, first on {row}; "
            "write dates, or give time_unit=s, ms, us or ns"
        )
    return next((unit for unit in UNITS if size / UNITS[unit] < 1e11), "ns")


def _localised(times: pl.Series, raw: Stack, name: str, clock: Clock) -> pl.Series:
    """Return local times their zone, and return UTC."""
    if clock.zone is None:
        return times.dt.replace_time_zone("UTC")
    first, last = (_in_zone(times, clock.zone, which) for which in ("earliest", "latest"))
    gone = first.is_null() & times.is_not_null()
    moved = _in_zone(times.dt.offset_by("-1d"), clock.zone, "earliest").dt.offset_by("24h")
    twice = int((first != last).sum())
    if twice or gone.any():
        log.info(
            "column %r in %s: %d local times occur twice, the first is meant; %d do not exist and are moved on",
            raw.names[name][0], clock.zone, twice, int(gone.sum()),
        )  # fmt: skip
    return first.zip_with(~gone, moved)


def _in_zone(times: pl.Series, zone: str, which: str) -> pl.Series:
    ambiguous = pl.lit(which)
    frame = times.alias("time").to_frame()
    local = pl.col("time").dt.replace_time_zone(zone, ambiguous=ambiguous, non_existent="null")
    return frame.select(local.dt.convert_time_zone("UTC")).to_series()


def _refuse_zone(zone: str) -> None:
    import zoneinfo

    try:
        pl.Series([], dtype=pl.Datetime("us")).dt.replace_time_zone(zone)
    except pl.exceptions.PolarsError:
        raise DataError(f"zone {zone!r} is no time zone; {suggest(zone, sorted(zoneinfo.available_timezones()))}") from None
