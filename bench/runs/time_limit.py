"""A limit on the whole run's time: every cell gets the same share of the workers' minutes, its final fits kept back."""

from __future__ import annotations

import re

from bench.errors import ConfigError

UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds_of(text: str) -> float:
    """Read `30m`, `2h`, `90s` or plain seconds; raise `ConfigError` for what is none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?", text.strip().lower())
    if match is None or float(match[1]) <= 0:
        raise ConfigError(f"--time-limit {text!r} is no time; write it as 30m, 2h or 90s")
    return float(match[1]) * UNITS[match[2] or "s"]


def share(seconds: float, workers: int, cells: int) -> float:
    """Return the worker minutes of each cell."""
    return seconds * workers / max(cells, 1) / 60


def words(seconds: float, workers: int, cells: int, seeds: int) -> str:
    """State how the time is shared."""
    each = share(seconds, workers, cells)
    finals = f"the final fits of {seeds} seeds" if seeds > 1 else "the final fits"
    return (
        f"time limit {seconds / 60:g} min: {cells} cells share {workers} workers, {each:.1f} worker minutes each, {finals} kept back; "
        "every cell fits its default in any case"
    )
