"""Read the incidents that a simulator wrote beside its log."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from bench.errors import DataError

NAME = "incidents.csv"
COLUMNS = ("user", "start", "end", "kind")


def read_incidents(path: Path) -> pl.DataFrame:
    """Read `user`, `start`, `end` (microseconds, UTC; half-open) and `kind`; raise `DataError` that names file and column."""
    table = pl.read_csv(path, infer_schema=False)
    missing = [c for c in COLUMNS if c not in table.columns]
    if missing:
        raise DataError(f"{path}: no column {missing[0]!r}; it has {', '.join(table.columns)}, expected {', '.join(COLUMNS)}")
    return table.select("user", *[_time(table, c, path) for c in ("start", "end")], "kind")


def _time(table: pl.DataFrame, column: str, path: Path) -> pl.Series:
    """Read days or times as both are written by simulators."""
    text = table[column]
    form = "%F %T" if text.str.len_chars().max() != len("2010-12-01") else "%F"
    try:
        return text.str.to_datetime(form, time_unit="us").alias(column)
    except pl.exceptions.InvalidOperationError as error:
        raise DataError(f"{path}: column {column!r} has {text[0]!r}; write times as 2010-12-01 08:26:00 or 2010-12-01") from error
