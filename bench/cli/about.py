"""What `bench data info` computes: counts of a log or of series, as JSON takes them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from bench.data.events import Events
from bench.data.series import Series


def about(data: Events | Series) -> dict[str, Any]:
    """Describe a log, or series."""
    return about_series(data) if isinstance(data, Series) else about_events(data)


def about_events(events: Events) -> dict[str, Any]:
    """Compute what `info` shows: counts, weekly activity, users by active days, gaps between active days."""
    frame = events.frame
    time: Any = frame["time"]
    days = (
        frame.filter(pl.col("kind").cast(pl.String).is_in(list(events.activity)))
        .select("user", day=pl.col("time").dt.date())
        .unique()
        .sort("user", "day")
    )
    gaps = days.with_columns(gap=pl.col("day").diff().over("user").dt.total_days())["gap"].drop_nulls().to_numpy()
    per_user = days.group_by("user").len()["len"].to_numpy()
    span = np.histogram(time.to_physical().to_numpy(), bins=60)[0]
    return {
        "events": len(events),
        "users": events.users,
        "items": frame["item"].drop_nulls().n_unique(),
        "kinds": dict(frame.group_by("kind").len().sort("len", descending=True).select(pl.col("kind").cast(pl.String), "len").iter_rows()),
        "labels": _labels(events),
        "first": time.min().date().isoformat(),
        "last": time.max().date().isoformat(),
        "rows_read": events.rows_read,
        "dropped": dict(events.cleaning),
        "activity": span.tolist(),
        "users_by_active_days": _binned(per_user, (1, 2, 3, 5, 10, 20, 50, 100)),
        "gaps_days": _binned(gaps, (1, 2, 7, 14, 28, 56, 91, 182)),
    }


def about_series(series: Series) -> dict[str, Any]:
    """Compute counts: series, steps and how many each series has, missing values, labelled and fixed test steps."""
    frame = series.frame
    lengths = frame.group_by("series").len()["len"].to_list()
    first, last = frame["time"].min(), frame["time"].max()
    values = frame["value"].drop_nulls().to_numpy()
    return {
        "series": len(lengths),
        "steps": len(series),
        "shortest": min(lengths),
        "longest": max(lengths),
        "missing": frame["value"].null_count(),
        "test": _marked(frame, "test"),
        "labelled": _marked(frame, "label"),
        "smallest": float(values.min(initial=np.inf)),
        "largest": float(values.max(initial=-np.inf)),
        "first": "" if first is None else str(first),
        "last": "" if last is None else str(last),
        "rows_read": series.rows_read,
        "dropped": dict(series.cleaning),
    }


def _marked(frame: pl.DataFrame, name: str) -> int:
    return int(frame[name].sum()) if name in frame.columns else 0


def _labels(events: Events) -> dict[str, int]:
    if events.labels is None:
        return {}
    churned = int(events.labels["y"].sum())
    return {"churned": churned, "stayed": len(events.labels) - churned}


def _binned(values: Any, edges: Sequence[int]) -> dict[str, int]:
    counts = np.histogram(values, bins=[*edges, np.inf])[0]
    labels = [f"{a}" if b == a + 1 else f"{a}-{b - 1}" for a, b in itertools.pairwise(edges)] + [f"{edges[-1]}+"]
    return {label: int(n) for label, n in zip(labels, counts, strict=True)}
