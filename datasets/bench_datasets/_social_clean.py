"""Type and clean edges: every row that is dropped is counted under the first reason that holds for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from bench.errors import DataError

from ._social_forms import Edges
from ._social_text import readable
from ._tables import IMPLAUSIBLE, implausible, with_drop_reasons

LATEST = 4_102_444_800
"""Unix seconds of 2100: beyond it a number is no time in seconds."""


@dataclass(frozen=True)
class CleanEdges:
    """The edges that stay, typed: `source`, `target`, `value`, `time`, `kind`; and what was dropped, by reason."""

    rows: pl.DataFrame
    counts: dict[str, int]
    rows_read: int
    duplicates: int
    """Exact repetitions of an earlier row among those that stay or were dropped as such."""


def clean(parts: Sequence[Edges], *, drop_duplicates: bool) -> CleanEdges:
    """Type and judge the edges of all files; a row repeats another only within one kind."""
    rows = pl.concat(_typed(part) for part in parts)
    tests = {
        "no user": (pl.col("source").fill_null("") == "") | (pl.col("target").fill_null("") == ""),
        "bad time": pl.col("time").is_null(),
        IMPLAUSIBLE: pl.lit(implausible(rows["time"])),
        "bad weight": pl.col("value").is_nan(),
        "self-loop": pl.col("source") == pl.col("target"),
    }
    cleaned = with_drop_reasons(rows, tests)
    kept, counts = cleaned.clean_rows, cleaned.counts
    repeated = ~kept.select(pl.struct(pl.all()).is_first_distinct()).to_series()
    duplicates = int(repeated.sum())
    if drop_duplicates and duplicates:
        kept, counts = kept.filter(~repeated), counts | {"duplicate": duplicates}
    return CleanEdges(kept, counts, len(rows), duplicates)


def _typed(part: Edges) -> pl.DataFrame:
    """Type one file: a time that cannot be read is null, a weight that cannot be read NaN, an absent one null."""
    rows = part.rows
    return rows.select(
        "source",
        "target",
        _weights(part).alias("value"),
        _times(part).alias("time"),
        pl.lit(part.kind).alias("kind"),
    )


def _times(part: Edges) -> pl.Series:
    """Read Unix seconds, whole or with a fraction, as microseconds in UTC."""
    text = part.rows["time"]
    seconds = text.cast(pl.Float64, strict=False)
    good = (seconds.is_finite() & (seconds >= 0) & (seconds < LATEST)).fill_null(value=False)
    seconds = seconds.zip_with(good, seconds.clear(len(seconds)))
    readable(seconds, text, part.file, part.named["time"], "write Unix seconds (milliseconds are too large: divide them by 1000)")
    # float64 holds microseconds until 2100 exactly, once they are rounded
    return (seconds * 1e6).round().cast(pl.Int64).cast(pl.Datetime("us", "UTC"))


def _weights(part: Edges) -> pl.Series:
    text = part.rows["value"]
    if "value" not in part.named:
        return text.cast(pl.Float64)
    given = (text != "").fill_null(value=False)
    numbers = text.cast(pl.Float64, strict=False)
    bad = given & ~numbers.is_finite().fill_null(value=False)
    if bad.all() and len(bad):
        raise DataError(
            f"{part.file}: column {part.named['value']!r} holds no number on any row (first: {text[0]!r}); give the column of weights"
        )
    return numbers.zip_with(~bad, pl.Series([float("nan")]).new_from_index(0, len(bad)))
