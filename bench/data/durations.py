"""Durations as people write them: `91d`, `4w`, `12h`, `30min`."""

from __future__ import annotations

import re

from bench.errors import ConfigError

UNITS = {"min": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}
"""Microseconds."""


def parse_duration(text: str, *, name: str) -> int:
    """Read a duration as microseconds; raise `ConfigError` that names the option."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(min|h|d|w)", text.strip().lower())
    if match is None or float(match[1]) <= 0:
        raise ConfigError(f"{name}={text!r} is no duration; write it as 91d, 4w or 12h")
    return round(float(match[1]) * UNITS[match[2]])


def show_duration(microseconds: int) -> str:
    """Write a duration in the largest unit that divides it, weeks left out: `91d`, `12h`."""
    for unit in ("d", "h", "min"):
        if microseconds % UNITS[unit] == 0:
            return f"{microseconds // UNITS[unit]}{unit}"
    return f"{microseconds / UNITS['d']:.6g}d"
