"""Turn lines of ratings into numbers, a block at a time; what cannot be read is counted and its first place kept.

A line of blanks and commas alone is no row. Each other line that is dropped is counted under the first reason that holds.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from bench.errors import DataError

from ._netflix_blocks import Block, blocks
from ._netflix_forms import Form, Log
from ._netflix_parse import NO_MOVIE, split, typed_lines

TOLERATED = 0.01
"""Share of bad rows above which the file is taken for misread, not the rows for bad."""

REASONS = ("bad line", "bad date", "bad rating", "probe")
Place = tuple[Path, int, str]


@dataclass
class Tally:
    """Count rows read and dropped, and keep the first place of each reason."""

    rows: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    first: dict[str, Place] = field(default_factory=dict)

    def refuse_many(self, form: Form) -> None:
        """Raise `DataError` where all rows or more than 1 % (one row is always forgiven) could not be read."""
        for reason, column, cure in _cures(form):
            bad = self.dropped[reason]
            if bad and (bad == self.rows or bad > max(1, TOLERATED * self.rows)):
                file, line, text = self.first[reason]
                where = f"{column} cannot be read on {bad:,} of {self.rows:,} rows, first on row {line} ({text[:80]!r})"
                raise DataError(f"{file}: {where}; {cure}")


def chunks(log: Log, tally: Tally, probe: pl.Series | None = None) -> Iterator[pl.DataFrame]:
    """Read the log: frames of `user` and `item` (uint32), `time` and `half` (uint8, the rating in half stars).

    `time` is in days (int32) for the Netflix form, else in seconds (uint32). `probe`: pairs to drop, see `pairs`. Counts into `tally`.
    """
    movie = NO_MOVIE
    before = f"{NO_MOVIE}:\n".encode() if log.form.is_netflix else b""
    for i, (block, raw) in enumerate(_ahead(blocks(log.files, before), log.form)):
        typed = typed_lines(raw, log.form, movie)
        if log.form.is_netflix:
            movie = int(typed["item"][-1])
        if log.form.name == "movielens-csv" and i == 0:
            typed = _without_header(typed)
        yield _dropping_faults(typed, block, tally, probe)


def pairs(file: Path) -> pl.Series:
    """Read `probe.txt` as numbers movie * 2^32 + user, uint64; raise `DataError` where a line is no pair."""
    form = Form("probe", "", ",", ("user",), whole=True)
    tally, found, movie = Tally(), [], NO_MOVIE
    for block, raw in _ahead(blocks([file], f"{NO_MOVIE}:\n".encode()), form):
        typed = typed_lines(raw, form, movie)
        movie = int(typed["item"][-1])
        found.append(_dropping_faults(typed, block, tally, None).select(_pair()).to_series())
    tally.refuse_many(form)
    if not tally.rows:
        raise DataError(f"{file} holds no pair; give the probe.txt that came with the training files")
    return pl.concat(found)


def _ahead(found: Iterable[Block], form: Form) -> Iterator[tuple[Block, pl.DataFrame]]:
    """Split the blocks into fields, the next one while the caller still works on the last: both leave cores idle at times."""
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[tuple[Block, Future[pl.DataFrame]]] = deque()
        for block in found:
            waiting.append((block, pool.submit(split, block, form)))
            if len(waiting) > 1:
                last, raw = waiting.popleft()
                yield last, raw.result()
        for last, raw in waiting:
            yield last, raw.result()


def _pair() -> pl.Expr:
    """Return customer and movie as one number."""
    return pl.col("item").cast(pl.UInt64) * 2**32 + pl.col("user").cast(pl.UInt64)


def _without_header(typed: pl.DataFrame) -> pl.DataFrame:
    """Skip the first line that holds anything."""
    first = typed["skip"].arg_min() or 0
    return typed.with_columns(skip=pl.col("skip") | (pl.int_range(pl.len()) == first))


def _dropping_faults(typed: pl.DataFrame, block: Block, tally: Tally, probe: pl.Series | None) -> pl.DataFrame:
    """Drop and count what is no rating; keep the first place of each reason."""
    row, line = ~pl.col("skip"), pl.col("line")
    dated, rated = pl.col("time").is_not_null(), pl.col("half").is_not_null()
    held = _pair().is_in(probe.implode()).fill_null(value=False) if probe is not None else pl.lit(value=False)
    tests = (row & ~line, row & line & ~dated, row & line & dated & ~rated, row & line & dated & rated & held)
    masks = dict(zip(REASONS, typed.select(t.alias(name) for name, t in zip(REASONS, tests, strict=True)), strict=True))
    tally.rows += len(typed) - int(typed["skip"].sum())
    for reason, mask in masks.items():
        if n := int(mask.sum()):
            tally.dropped[reason] += n
            if reason not in tally.first:
                tally.first[reason] = block.place(mask.arg_max() or 0)
    kept = typed.filter(row & line & dated & rated & ~held)
    return kept.select("user", "item", "time", "half")


def _cures(form: Form) -> tuple[tuple[str, str, str], ...]:
    """Return (reason, how the column is called, cure) of each reason that may mean a misread file."""
    fields = {"netflix": "a line MOVIE_ID: and below it CUSTOMER_ID,RATING,YYYY-MM-DD", "probe": "MOVIE_ID: and below it CUSTOMER_ID"}
    wanted = fields.get(form.name.split("-")[0], "user, item, rating and time: whole numbers, without quotes")
    day = "write YYYY-MM-DD" if form.is_netflix else "write Unix seconds (UTC), whole numbers before the year 2106"
    scale = "whole stars from 1 to 5" if form.whole else "half stars from 0.5 to 5"
    time, rating = ("column 3", "column 2") if form.is_netflix else ("column 'timestamp'", "column 'rating'")
    return ("bad line", "the line", f"expected {wanted}"), ("bad date", time, day), ("bad rating", rating, f"expected {scale}")
