"""Regular series as a data source gives them: NAB, M4, page views, a user's own; made once, validated, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl
import pyarrow as pa

from bench.data.events import utc
from bench.errors import DataError

COLUMNS = ("series", "time", "value")
CHANNEL = "channel:"
"""Begins the names of further columns, one a channel, of series that measure several things; `value` is then the first of them."""
OPTIONAL = {"label": pl.Boolean, "test": pl.Boolean}
"""`label`: the step lies in a labelled anomaly. `test`: the step belongs to the fixed test part (M4)."""


@dataclass(frozen=True, eq=False)
class Series:
    """Validated series; make one with `Series.build`.

    `frame` has `series` (string categories), `time` (microseconds, UTC; null throughout where the source has no times:
    steps then stand in file order), `value` (float64, null: missing) and, where given, `label` and `test`; sorted by
    series and time. `cleaning` counts the raw rows dropped, by reason.
    """

    frame: pl.DataFrame
    name: str
    rows_read: int = 0
    cleaning: Mapping[str, int] = field(default_factory=dict)
    windows: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    """Labelled intervals of each series, ends inclusive, as the source wrote them."""

    @classmethod
    def build(
        cls,
        frame: pl.DataFrame,
        *,
        name: str,
        where: str = "",
        rows_read: int | None = None,
        cleaning: Mapping[str, int] | None = None,
        windows: Mapping[str, tuple[tuple[str, str], ...]] | None = None,
    ) -> Series:
        """Validate, type and sort `frame`; raise `DataError` that names `where`, the column and the cure."""
        where = where or name
        missing = [c for c in COLUMNS if c not in frame.columns]
        if missing:
            raise DataError(f"{where}: no column {missing[0]!r}; it has {', '.join(frame.columns)}")
        if frame.is_empty():
            raise DataError(f"{where}: no step is left; check the column map and the file")
        if not frame.schema["value"].is_numeric():
            raise DataError(f"{where}: column 'value' has type {frame.schema['value']}, expected numbers")
        frame = frame.with_columns(pl.col("series").cast(pl.String), pl.col("value").cast(pl.Float64).fill_nan(None))
        frame = frame.with_columns(_time(frame, where), *[pl.col(c).cast(t) for c, t in OPTIONAL.items() if c in frame.columns])
        frame = frame.with_columns(pl.col(c).cast(pl.Float64).fill_nan(None) for c in frame.columns if c.startswith(CHANNEL))
        if frame["series"].null_count():
            raise DataError(f"{where}: column 'series' is empty at row {frame['series'].is_null().arg_max()}; name every series")
        frame = frame.with_columns(pl.col("series").cast(pl.Enum(frame["series"].unique().sort())))
        frame = frame.select(*COLUMNS, *[c for c in frame.columns if c not in COLUMNS]).sort("series", "time", maintain_order=True)
        return cls(frame, name, len(frame) if rows_read is None else rows_read, dict(cleaning or {}), dict(windows or {}))

    @cached_property
    def table(self) -> pa.Table:
        """Return the series as an Arrow table."""
        return self.frame.to_arrow()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """List the series, sorted."""
        return tuple(self.frame["series"].unique().cast(pl.String).sort())

    @property
    def channels(self) -> tuple[str, ...]:
        """List the columns of the channels; empty where a series has one value a step."""
        return tuple(c for c in self.frame.columns if c.startswith(CHANNEL))

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.frame)


def _time(frame: pl.DataFrame, where: str) -> pl.Expr:
    kind = frame.schema["time"]
    if kind == pl.Null or frame["time"].null_count() == len(frame):
        return pl.lit(None, pl.Datetime("us", "UTC")).alias("time")
    if not isinstance(kind, pl.Datetime | pl.Date):
        raise DataError(f"{where}: column 'time' has type {kind}, expected dates or times; parse it first")
    if frame["time"].null_count():
        raise DataError(f"{where}: column 'time' is empty at row {frame['time'].is_null().arg_max()}; drop and count such rows")
    return utc(frame, "time")
