"""Summarise a data set over time, for the picture that its page begins with: counts alone, no user and no value."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from bench.data.events import BLOCK, Events
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
        counted = known.group_by(start).agg(observed=pl.col("series").n_unique()).collect()
        about: dict[str, Any] = {"unit": "series", "total": data.frame["series"].n_unique()}
    else:
        counted, gaps = _counted(data, start)
        about = {"unit": "events", "total": int(counted["events"].sum()), "users_total": data.users, "gaps": gaps}
    table = counted.sort("start").upsample("start", every=step).fill_null(0)
    times = table["start"].dt.strftime("%Y-%m-%dT%H:%M").to_list()
    return {"step": WORDS[step], "time": times, **about, **table.drop("start").to_dict(as_series=False)}


def _counted(events: Events, start: pl.Expr) -> tuple[pl.DataFrame, list[int]]:
    """Count events and users of each stretch, and the gaps between neighbouring active days of a user, by length.

    The log is sorted by user and time: a user is new in a stretch where the event before is of another one, or of another
    user. So a block of events at a time is looked at, with the event before it, and a large log is never copied.
    """
    many = pl.col("count").sum() if "count" in events.frame.columns else pl.len()
    day = pl.col("time").dt.epoch("d")
    own = pl.col("user").to_physical() == pl.col("user").to_physical().shift()
    found, gaps = [], np.zeros(len(GAPS) + 1, np.int64)
    for at in range(0, len(events), BLOCK):
        before = min(at, 1)
        block = events.frame.lazy().slice(at - before, BLOCK + before).with_columns(start)
        marked = block.with_columns(
            fresh=(~(own & (pl.col("start") == pl.col("start").shift()))).fill_null(value=True),
            gap=pl.when(own).then(day.diff()),
        ).slice(before)
        table = marked.collect()
        found.append(table.group_by("start").agg(events=many, users=pl.col("fresh").sum()))
        days = table["gap"].drop_nulls().to_numpy()
        gaps += np.bincount(np.searchsorted(GAPS, days[days > 0]), minlength=len(gaps))
    return pl.concat(found).group_by("start").agg(pl.col("events", "users").sum()), gaps.tolist()
