"""Activity logs with given churn labels: KDD Cup 2015, daily counts of MOOC enrolments with the truth about dropout.

A course file has a row for each enrolment and day, `enrollment_id,time,event_access,...`, zeros included; the truth has
`enrollment_id,label` (truth.csv) or the same without a header (the cup's truth_train.csv). `user` is the enrolment, `kind`
what follows `event_` (access, video, ...), `value` and `count` how often it happened that day; `time` is the day's
midnight. Zero cells are no events. Each row that is dropped is counted under the first reason that holds for it:

1. no user: no enrolment
2. bad date: a day that cannot be read (an error where more than 1 % cannot)
3. implausible date: a day before 1970 or over ten years ahead
4. bad count: a count that is missing, negative or not whole
5. duplicate: a row for an enrolment and day that an earlier row had
6. all zero: a day without any event, which most are

and labels of enrolments without a row, "label without activity file". A label is 1 for dropout: no event in the ten days
after the enrolment's window. Its cut-off is the midnight after the window's last day, so nothing of the ten days is seen.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import polars as pl

from bench.api import Dataset, DatasetCard, hookimpl
from bench.data.events import Events
from bench.errors import DataError, suggest
from bench.sources.cache import source_files

from ._social_text import Table, read_table, readable, sniffed, suffix_of
from ._tables import IMPLAUSIBLE, Cleaned, implausible, with_drop_reasons

USER, DAY, PREFIX, LABEL = "enrollment_id", "time", "event_", "label"
KINDS = ("access", "discussion", "navigate", "page_close", "problem", "video", "wiki")
TRUTH = ("truth.csv", "truth_train.csv")
HORIZON = "10d"
KDD_CUP = (92_190, 3_073)
"""Rows and labelled enrolments of the four courses."""

log = logging.getLogger("bench")


class Activity(Dataset):
    """Daily counts of what learners did in a course, and who dropped out."""

    name = "activity"
    companions = TRUTH
    card: ClassVar[DatasetCard] = DatasetCard(
        title="KDD Cup 2015: activity and dropout in MOOCs of XuetangX, daily counts",
        licence="none stated; the log was published for the competition and research",
        source="https://www.kddcup2015.com; daily counts: https://github.com/KowsarTLB/Courses_datasets",
        citation="Feng, Tang & Liu 2019, doi:10.1609/aaai.v33i01.3301517; Talebi et al. 2024, doi:10.1016/j.eswa.2023.121187",
        activity=KINDS,
        traps=(
            "a user is an enrolment (one learner in one course); who is behind several is not given",
            "label 1 is dropout, and the majority (0.86 to 0.91): accuracy says nothing",
            "only days are known: recency counts whole days",
            "each course has its own 30 days; the ten days of the label come after them",
        ),
        horizon=HORIZON,
    )

    def detect(self, path: Path) -> str | None:
        """Name the raw form at `path`: `kddcup2015-wide`, a file or a folder of them; looks at headers only."""
        return "kddcup2015-wide" if course_files(path) else None

    def read(self, path: Path, options: Mapping[str, str]) -> Events:
        """Read the courses at `path`, a file or a folder, with the truth beside them; raise `DataError`."""
        source_files(path)
        files = course_files(path)
        if not files:
            raise DataError(f"{path} holds no course file; it needs {USER},{DAY},{PREFIX}access,... and {TRUTH[0]} beside it")
        cleaned, kinds = clean([read_table(f) for f in files])
        truth = next((t for t in (files[0].parent / name for name in TRUTH) if t.is_file()), None)
        labels, unknown = None, 0
        if truth is None:
            log.info("no %s beside %s: read without churn labels", " or ".join(TRUTH), files[0].name)
        else:
            labels, unknown = _labels(truth, cleaned.rows)
        known = (len(cleaned.rows), 0 if labels is None else len(labels))
        return Events.build(
            _events(cleaned.clean_rows, kinds),
            name="kddcup2015-mooc" if known == KDD_CUP else self.plain_name(path),
            activity=kinds,
            where=str(path),
            rows_read=len(cleaned.rows),
            cleaning=cleaned.counts | ({"label without activity file": unknown} if unknown else {}),
            labels=labels,
            horizon="" if labels is None else HORIZON,
        )


def course_files(path: Path) -> list[Path]:
    """List the files at `path`, itself or directly in the folder, whose header is that of daily counts."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [f for f in files if f.is_file() and suffix_of(f) == ".csv" and _is_course(f)]


def clean(tables: Sequence[Table]) -> tuple[Cleaned, tuple[str, ...]]:
    """Type and judge the rows of all courses: `id`, `course`, `user`, `time`, a count for each kind; and list the kinds."""
    kinds = tuple(sorted({c.removeprefix(PREFIX) for t in tables for c in t.rows.columns if c.startswith(PREFIX)}))
    rows = _split_shared_ids(pl.concat(_typed(t, kinds) for t in tables))
    total = pl.sum_horizontal(kinds, ignore_nulls=False)
    tests = {
        "no user": pl.col("user").fill_null("") == "",
        "bad date": pl.col("time").is_null(),
        IMPLAUSIBLE: pl.lit(implausible(rows["time"])),
        "bad count": total.is_null(),
        "duplicate": ~pl.struct("user", "time").is_first_distinct(),
        "all zero": total == 0,
    }
    return with_drop_reasons(rows, tests), kinds


def _is_course(file: Path) -> bool:
    names = sniffed(file)
    return {USER, DAY} <= set(names) and any(n.startswith(PREFIX) for n in names)


def _typed(table: Table, kinds: Sequence[str]) -> pl.DataFrame:
    """Type one course; a count that is not whole or below 0 becomes null, a kind that the course lacks 0."""
    rows = table.rows
    if missing := [name for name in (USER, DAY) if name not in rows.columns]:
        # a first line that ends with a number is taken for data
        raise DataError(f"{table.file}: its first line is no header with {missing[0]!r}; mend it, or download the file again")
    day = rows[DAY].str.to_datetime("%Y-%m-%d", strict=False, time_unit="us")
    readable(day, rows[DAY], table.file, DAY, "write YYYY-MM-DD")
    counts = [_counts(table, k) if PREFIX + k in rows.columns else pl.lit(0, pl.Int64).alias(k) for k in kinds]
    return rows.select(pl.lit(table.file.name.split(".")[0]).alias("course"), pl.col(USER).alias("user"), day.alias("time"), *counts)


def _counts(table: Table, kind: str) -> pl.Series:
    text = table.rows[PREFIX + kind]
    number = text.cast(pl.Float64, strict=False)
    good = ((number >= 0) & (number == number.round()) & (number < 2**53)).fill_null(value=False)
    counts = number.zip_with(good, number.clear(len(number))).cast(pl.Int64).alias(kind)
    return readable(counts, text, table.file, PREFIX + kind, "write whole numbers, 0 for none")


def _split_shared_ids(rows: pl.DataFrame) -> pl.DataFrame:
    """Put the course before the enrolment where an id stands in two courses: those are two users."""
    shared = rows.group_by("user").agg(pl.col("course").n_unique()).filter(pl.col("course") > 1)
    user = pl.when(pl.col("user").is_in(shared["user"].implode())).then(pl.col("course") + "/" + pl.col("user")).otherwise(pl.col("user"))
    return rows.with_columns(user=user, id=pl.col("user"))


def _events(kept: pl.DataFrame, kinds: Sequence[str]) -> pl.DataFrame:
    """Turn each positive count into an event; its `count` tells the tasks how many it stands for."""
    long = kept.unpivot(kinds, index=["user", "time"], variable_name="kind", value_name="count")
    return long.filter(pl.col("count") > 0).with_columns(value=pl.col("count").cast(pl.Float64))


def _labels(file: Path, rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Read the labels of the enrolments in `rows`, with their cut-offs; and count the labels of others."""
    truth = _truth(file)
    window = rows.filter(pl.col("time").is_not_null()).group_by("id", "user").agg(pl.col("time").max())
    labels = truth.join(window, on="id", how="left").with_columns(cutoff=pl.col("time").dt.offset_by("1d"))
    known = labels.filter(pl.col("user").is_not_null())
    if known["id"].n_unique() < len(known):
        twice = known.filter(known["id"].is_duplicated())
        raise DataError(
            f"{file}: enrolment {twice['id'][0]!r} stands for {twice['user'][0]} and {twice['user'][1]}; give one course at a time"
        )
    unlabelled = window["user"].n_unique() - len(known)
    if unlabelled:
        log.info("%d enrolments have no label in %s: they take no part in churn", unlabelled, file.name)
    return known.select("user", "y", "cutoff"), len(labels) - len(known)


def _truth(file: Path) -> pl.DataFrame:
    """Read (id, y); raise `DataError` where a label is not 0 or 1 or an enrolment has two."""
    table = read_table(file)
    if not table.has_header:
        if table.width != 2:
            raise DataError(f"{file}: the first line has {table.width} fields; expected {USER},{LABEL}")
        named = table.rows.rename({"0": USER, "1": LABEL})
    else:
        named = table.rows
    for column in (USER, LABEL):
        if column not in named.columns:
            raise DataError(f"{file}: no column {column!r}; {suggest(column, named.columns)}")
    bad = ~named[LABEL].is_in(["0", "1"]).fill_null(value=False)
    if bad.any():
        row = bad.arg_max() or 0
        raise DataError(f"{file}: column {LABEL!r} is {named[LABEL][row]!r} on row {row + 1}; write 1 for dropout, 0 for one who stayed")
    twice = named[USER].is_duplicated()
    if twice.any():
        raise DataError(f"{file}: enrolment {named[USER].filter(twice)[0]!r} is labelled twice; keep one label each")
    return named.select(pl.col(USER).alias("id"), pl.col(LABEL).cast(pl.Int8).alias("y"))


@hookimpl
def bench_datasets() -> list[type[Dataset]]:
    """Offer the activity adapter."""
    return [Activity]
