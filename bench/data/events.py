"""The canonical event log: one row an event, sorted by (user, time), validated once and never changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from bench.errors import DataError

COLUMNS = ("user", "time", "kind", "value", "item")
TEXTS = ("user", "kind", "item")
TIME = pl.Datetime("us", "UTC")
BLOCK = 1 << 22
"""Rows looked at together where a whole column would double what a large log needs."""


@dataclass(frozen=True, eq=False)
class Events:
    """A validated log; make one with `Events.build`.

    `frame` has `user` (string categories), `time` (microseconds, UTC), `kind`, `value` (float64, null allowed),
    `item` (null allowed) and any extra columns; an extra column `count` says how many events a row stands for.
    `cleaning` counts the raw rows dropped, by reason.
    """

    frame: pl.DataFrame
    name: str
    """Name of the recognised content, or the file's stem."""
    activity: tuple[str, ...]
    """Kinds that count as activity."""
    rows_read: int = 0
    cleaning: Mapping[str, int] = field(default_factory=dict)
    labels: pl.DataFrame | None = None
    """Churn labels that came with the data, or None: `user`, `y` (int8, 1 = churned), `cutoff` (the time from which on
    the label was observed), one row for each labelled user; all of them are among the users of `frame`'s categories."""
    horizon: str = ""
    """How long after its cut-off a given label looked (`10d`); empty without labels."""
    once: bool = False
    """A user takes an item once (a film is rated once), as the adapter's card says."""
    incidents: pl.DataFrame | None = None
    """Incidents that a simulator wrote beside its log, or None: `user`, `start`, `end`, `kind`; for the anomaly task alone."""
    law: Path | None = None
    """The file of the law by which a simulator drew items, or None; for the ceiling of the next-event task alone, see `bench.data.law`."""

    @classmethod
    def build(
        cls,
        frame: pl.DataFrame,
        *,
        name: str,
        activity: tuple[str, ...],
        where: str = "",
        rows_read: int | None = None,
        cleaning: Mapping[str, int] | None = None,
        labels: pl.DataFrame | None = None,
        horizon: str = "",
    ) -> Events:
        """Validate, type and sort `frame`; raise `DataError` that names `where`, the column and the row.

        Time without a zone is taken as UTC. Ids are strings, also where they look like numbers. NaN becomes null.
        """
        where = where or name
        frame = _with_all_columns(frame, where)
        labels = None if labels is None else _labels(labels, where)
        frame = _typed(frame, where, labels)
        _refuse_nulls(frame, where)
        if frame.is_empty():
            raise DataError(
                f"{where}: no event is left after cleaning ({_cleaning_words(cleaning or {})}); check the column map and the file"
            )
        frame = frame.select(*COLUMNS, *[c for c in frame.columns if c not in COLUMNS])
        if not in_order(frame.select("user", "time", "kind")):
            frame = frame.sort("user", "time", "kind", maintain_order=True)
        rows = len(frame) if rows_read is None else rows_read
        if labels is not None:
            labels = labels.with_columns(pl.col("user").cast(frame.schema["user"])).sort("user")
        return cls(frame, name, tuple(activity), rows, dict(cleaning or {}), labels, horizon)

    @cached_property
    def table(self) -> pa.Table:
        """Return the log as an Arrow table; `user`, `kind` and `item` are dictionary strings."""
        return self.frame.to_arrow()

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """List the kinds that occur, sorted."""
        return tuple(sorted(self.frame["kind"].unique().cast(pl.String)))

    @cached_property
    def users(self) -> int:
        """Return the number of users."""
        return self.frame["user"].n_unique()

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.frame)


def _with_all_columns(frame: pl.DataFrame, where: str) -> pl.DataFrame:
    missing = [c for c in ("user", "time") if c not in frame.columns]
    if missing:
        raise DataError(f"{where}: no column {missing[0]!r}; it has {', '.join(frame.columns)}")
    absent = {"kind": pl.lit("event"), "value": pl.lit(None, pl.Float64), "item": pl.lit(None, pl.String)}
    return frame.with_columns(**{name: fill for name, fill in absent.items() if name not in frame.columns})


def _labels(labels: pl.DataFrame, where: str) -> pl.DataFrame:
    """Type given labels; a user is labelled once, with 0 or 1."""
    typed = labels.select(pl.col("user").cast(pl.String), pl.col("y").cast(pl.Int8), "cutoff")
    typed = typed.with_columns(utc(typed, "cutoff"))
    if typed.null_count().sum_horizontal().sum() or not typed["y"].is_in([0, 1]).all():
        raise DataError(f"{where}: labels must be 0 or 1 for every user, none missing; mend the file of labels")
    if typed["user"].is_duplicated().any():
        raise DataError(f"{where}: user {typed['user'].filter(typed['user'].is_duplicated())[0]!r} is labelled twice; keep one label each")
    return typed


def utc(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Return a column of dates or times as UTC microseconds; without a zone it is taken as UTC."""
    kind = frame.schema[name]
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        return pl.col(name).dt.convert_time_zone("UTC").cast(TIME)
    return pl.col(name).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _typed(frame: pl.DataFrame, where: str, labels: pl.DataFrame | None) -> pl.DataFrame:
    kind_of_time = frame.schema["time"]
    if not isinstance(kind_of_time, pl.Datetime | pl.Date):
        raise DataError(f"{where}: column 'time' has type {kind_of_time}, expected dates or times; parse it first")
    if not frame.schema["value"].is_numeric() and frame.schema["value"] != pl.Null:
        raise DataError(f"{where}: column 'value' has type {frame.schema['value']}, expected numbers")
    frame = frame.with_columns(utc(frame, "time"), pl.col("value").cast(pl.Float64))
    if frame["value"].is_nan().any():
        frame = frame.with_columns(pl.col("value").fill_nan(None))
    if frame["value"].is_infinite().any():
        row = frame["value"].is_infinite().arg_max()
        raise DataError(f"{where}: column 'value' is infinite at event {row}; drop or bound it")
    return frame.with_columns(_categories(frame[c], labels["user"] if c == "user" and labels is not None else None) for c in TEXTS)


def _categories(column: pl.Series, more: pl.Series | None) -> pl.Series:
    """Return a column as categories in sorted order: codes, dictionaries and sorting then depend on the values alone.

    The categories are the texts that occur, in the column or in `more`. A column that has them already is left as it is:
    on a large log each pass through text costs gigabytes.
    """
    kind = column.dtype
    column = column if isinstance(kind, pl.Enum) else column.cast(pl.String)
    values = column.drop_nulls().unique().cast(pl.String)
    if more is not None:
        values = pl.concat([values, more]).unique()
    values = values.sort()
    if isinstance(kind, pl.Enum) and kind.categories.equals(values):
        return column
    return column.cast(pl.String).cast(pl.Enum(values))


def in_order(frame: pl.DataFrame, numbers: Callable[[pl.Series], pl.Series] = pl.Series.to_physical) -> bool:
    """Return whether the rows are sorted by all columns, the first one first, nulls before numbers.

    `numbers` turns a column into what it is sorted by; a block of rows at a time is looked at.
    """
    for start in range(0, len(frame) - 1, BLOCK):
        tied = np.ones(min(BLOCK, len(frame) - 1 - start), bool)
        for column in frame.slice(start, BLOCK + 1):
            for key in _keys(numbers(column)):
                before, after = key[:-1], key[1:]
                if (tied & (after < before)).any():
                    return False
                tied &= after == before
    return True


def _keys(column: pl.Series) -> list[npt.NDArray[Any]]:
    """Return numbers that sort as a column of numbers does, [E] each; with nulls, whether there is a number comes first."""
    if not column.null_count():
        return [column.to_numpy()]
    return [column.is_not_null().to_numpy(), column.fill_null(0).to_numpy()]


def _refuse_nulls(frame: pl.DataFrame, where: str) -> None:
    for name in ("user", "time", "kind"):
        missing = frame[name].is_null()
        if missing.any():
            at, n = missing.arg_max(), missing.sum()
            raise DataError(f"{where}: column {name!r} is empty at event {at} ({n} in all); drop and count such rows")


def _cleaning_words(cleaning: Mapping[str, int]) -> str:
    return ", ".join(f"{reason}: {n:,}" for reason, n in cleaning.items()) or "nothing was dropped"
