"""Summarise a data set over time, for the picture that its page begins with: counts alone, no user and no value."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from bench.data.events import Events
from bench.data.series import Series

BINS = 120
"""Stretches of time that are told apart at most, but for logs of more than a century."""
HOURS = {"1h": 1, "1d": 24, "1w": 168, "1mo": 730, "1q": 2190, "1y": 8760}
WORDS = {"1h": "hour", "1d": "day", "1w": "week", "1mo": "month", "1q": "quarter", "1y": "year"}
GAPS = (1, 3, 7, 14, 28, 91)
"""Days at which groups of gaps end; the last group is longer."""


def overview(data: Events | Series) -> dict[str, Any]:
    """Count what happened in each stretch of time; {} where the data has no times.

    `step`: hour, day, week, ...; `time` [B]: the stretches' starts, ISO, none left out; of a log `events` [B], `users` [B]
    (active ones) and `gaps` [7]: gaps between two active days of a user, by `GAPS`; of series `observed` [B].
    """
    first, last = data.frame["time"].min(), data.frame["time"].max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return {}
    hours = (last - first).total_seconds() / 3600
    step = next((s for s, size in HOURS.items() if hours / size <= BINS), "1y")
    start = pl.col("time").dt.truncate(step).alias("start")
    if isinstance(data, Series):
        known = data.frame.lazy().filter(pl.col("value").is_not_null())
        counted = known.group_by(start).agg(observed=pl.col("series").n_unique())
        about: dict[str, Any] = {"unit": "series", "total": data.frame["series"].n_unique()}
    else:
        many = pl.col("count").sum() if "count" in data.frame.columns else pl.len()
        counted = data.frame.lazy().group_by(start).agg(events=many, users=pl.col("user").n_unique())
        about = {"unit": "events", "total": data.frame.select(many).item(), "users_total": data.users, "gaps": _gaps(data)}
    table = counted.collect().sort("start").upsample("start", every=step).fill_null(0)
    times = table["start"].dt.strftime("%Y-%m-%dT%H:%M").to_list()
    return {"step": WORDS[step], "time": times, **about, **table.drop("start").to_dict(as_series=False)}


def _gaps(events: Events) -> list[int]:
    """Count the gaps between neighbouring active days of a user, by length; the log is sorted by user and time."""
    day = pl.col("time").dt.epoch("d")
    gap = day.diff().filter((pl.col("user") == pl.col("user").shift()) & (day.diff() > 0))
    found = events.frame.lazy().select(gap.alias("gap")).collect()["gap"]
    counts: list[int] = np.bincount(np.searchsorted(GAPS, found.to_numpy()), minlength=len(GAPS) + 1).tolist()
    return counts
