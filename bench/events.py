"""The canonical event log: one row an event, sorted by (user, time), validated once and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl
import pyarrow as pa

from bench.errors import DataError

COLUMNS = ("user", "time", "kind", "value", "item")
TIME = pl.Datetime("us", "UTC")


@dataclass(frozen=True, eq=False)
class Events:
    """Hold a validated log; make one with `Events.build`.

    `frame` has `user` (string categories), `time` (microseconds, UTC), `kind`, `value` (float64, null allowed),
    `item` (null allowed) and any extra columns. `cleaning` counts the raw rows dropped, by reason.
    """

    frame: pl.DataFrame
    name: str
    """Name of the recognised content, or the file's stem."""
    activity: tuple[str, ...]
    """Kinds that count as activity."""
    rows_read: int = 0
    cleaning: Mapping[str, int] = field(default_factory=dict)

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
    ) -> Events:
        """Validate, type and sort `frame`; raise `DataError` that names `where`, the column and the row.

        Time without a zone is taken as UTC. Ids are strings, also where they look like numbers. NaN becomes null.
        """
        where = where or name
        frame = _with_all_columns(frame, where)
        frame = _typed(frame, where)
        _refuse_nulls(frame, where)
        if frame.is_empty():
            raise DataError(f"{where}: no event is left after cleaning ({_spelt(cleaning or {})}); check the column map and the file")
        frame = frame.select(*COLUMNS, *[c for c in frame.columns if c not in COLUMNS]).sort("user", "time", "kind", maintain_order=True)
        rows = len(frame) if rows_read is None else rows_read
        return cls(frame, name, tuple(activity), rows, dict(cleaning or {}))

    @cached_property
    def table(self) -> pa.Table:
        """Give the log as an Arrow table; `user`, `kind` and `item` are dictionary strings."""
        return self.frame.to_arrow()

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """List the kinds that occur, sorted."""
        return tuple(sorted(self.frame["kind"].unique().cast(pl.String)))

    @cached_property
    def users(self) -> int:
        """Count the users."""
        return self.frame["user"].n_unique()

    def __len__(self) -> int:
        """Count the events."""
        return len(self.frame)


def _with_all_columns(frame: pl.DataFrame, where: str) -> pl.DataFrame:
    missing = [c for c in ("user", "time") if c not in frame.columns]
    if missing:
        raise DataError(f"{where}: no column {missing[0]!r}; it has {', '.join(frame.columns)}")
    absent = {"kind": pl.lit("event"), "value": pl.lit(None, pl.Float64), "item": pl.lit(None, pl.String)}
    return frame.with_columns(**{name: fill for name, fill in absent.items() if name not in frame.columns})


def _typed(frame: pl.DataFrame, where: str) -> pl.DataFrame:
    kind_of_time = frame.schema["time"]
    if not isinstance(kind_of_time, pl.Datetime | pl.Date):
        raise DataError(f"{where}: column 'time' has type {kind_of_time}, expected dates or times; parse it first")
    if not frame.schema["value"].is_numeric() and frame.schema["value"] != pl.Null:
        raise DataError(f"{where}: column 'value' has type {frame.schema['value']}, expected numbers")
    time = pl.col("time").cast(pl.Datetime("us"))
    if isinstance(kind_of_time, pl.Datetime) and kind_of_time.time_zone is not None:
        time = pl.col("time").dt.convert_time_zone("UTC").cast(TIME)
    else:
        time = time.dt.replace_time_zone("UTC")
    value = pl.col("value").cast(pl.Float64).fill_nan(None)
    frame = frame.with_columns(time, value, *[pl.col(c).cast(pl.String) for c in ("user", "kind", "item")])
    if frame["value"].is_infinite().any():
        row = frame["value"].is_infinite().arg_max()
        raise DataError(f"{where}: column 'value' is infinite at event {row}; drop or bound it")
    # categories in sorted order: codes, dictionaries and sorting then depend on the values alone
    return frame.with_columns(pl.col(c).cast(pl.Enum(frame[c].drop_nulls().unique().sort())) for c in ("user", "kind", "item"))


def _refuse_nulls(frame: pl.DataFrame, where: str) -> None:
    for name in ("user", "time", "kind"):
        missing = frame[name].is_null()
        if missing.any():
            at, n = missing.arg_max(), missing.sum()
            raise DataError(f"{where}: column {name!r} is empty at event {at} ({n} in all); drop and count such rows")


def _spelt(cleaning: Mapping[str, int]) -> str:
    return ", ".join(f"{reason}: {n:,}" for reason, n in cleaning.items()) or "nothing was dropped"
