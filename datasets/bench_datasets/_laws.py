"""Write by what law a simulator drew items, for who asks how much there was to find."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl

from bench.api import LAW, Array


def write_law(folder: Path, start: pl.Series | dt.datetime, item: pl.Series, weight: Array, user: pl.Series | None = None) -> None:
    """Write `law.parquet`: from `start` on a user (None: everybody) takes an item in proportion to its weight, [L] each.

    A law holds until the next start of the same user.
    """
    table = pl.DataFrame({
        "user": pl.repeat("*", len(item), eager=True) if user is None else user,
        "start": pl.repeat(start, len(item), eager=True) if isinstance(start, dt.datetime) else start,
        "item": item,
        "weight": pl.Series(weight, dtype=pl.Float32),
    })  # fmt: skip
    table.with_columns(pl.col("start").cast(pl.Datetime("us"))).sort("user", "start", "item").write_parquet(folder / LAW)
