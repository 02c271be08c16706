"""Regular series: long tables (`unique_id, ds, y`; `item_id, timestamp, target`), labelled ones, and M4's wide form.

A long table without a column of names is one series, named by its file. A folder is read as one set: files that are no
series are named and passed over. Labelled: a column `label`, `anomaly` or `is_anomaly` of 0 and 1. M4: a train file with
one series a row, values from the left, and the test file beside it; its steps have no time. Whole numbers in place of
times, such as 1, 2, 3, are steps too: they order the values, and a step that is missing is filled with an empty value.
Dropped and counted: `no series` (an empty name), `bad date` (an error where more than 1 % are bad). A value that is no
number is a missing one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import polars as pl

from bench.api import Dataset, DatasetCard, hookimpl
from bench.data.series import CHANNEL, Series
from bench.errors import DataError

from . import _series_wide as wide
from ._any_table import column_named, columns_of, guessed, likely, read_part, say_others, stem, table_files, typed
from ._moments import HELP, SMALLEST, Clock, moments
from ._series_long import broadened
from ._tables import Cleaned, Part, Stack, numbers, refuse_many, with_drop_reasons

KNOWN = {
    "series": ("unique_id", "item_id", "series_id", "series"),
    "time": ("ds", "timestamp", "time", "datetime", "date"),
    "value": ("y", "target", "value"),
    "label": ("label", "is_anomaly", "anomaly"),
}
OPTIONAL = ("series", "label")
MARKERS = ("changepoint", "change_point")
"""Columns that tell of anomalies beside the label: no channels."""
REASONS = ("no series", "bad date")
"""Of dropping a row."""
SPREAD = 10
"""Filling missing steps may make the series this many times longer at most; beyond that the numbers are no steps."""

log = logging.getLogger("bench")


@dataclass(frozen=True)
class Form:
    """The columns of a long table: theirs by our names."""

    names: Mapping[str, str]
    channels: tuple[str, ...] = ()
    """Theirs, where a step has several values; `value` is then the first of them."""

    @property
    def word(self) -> str:
        """Name the form for people."""
        return "labelled" if "label" in self.names else "long" if "series" in self.names else "single"


class SeriesFile(Dataset):
    """Series in a file or in a folder of files."""

    name = "series"
    card: ClassVar[DatasetCard] = DatasetCard(
        title="Your own series: long tables with or without labels, M4's wide form",
        licence="yours",
        source="a file or a folder of files; M4: https://github.com/Mcompetitions/M4-methods",
        citation="M4: Makridakis, Spiliotis & Assimakopoulos 2020, doi:10.1016/j.ijforecast.2019.04.014",
        activity=(),
        traps=(
            "local times without a zone are taken as UTC unless zone=NAME is given",
            "M4 has no times: its steps stand in order, and its series end together only by convention",
            "steps that are missing between two times are not filled here; a task sees them as missing",
        ),
    )
    options: ClassVar[Mapping[str, str]] = {
        "series": "column of the series' names (default: guessed; none: a file is one series)",
        "time": "column of the time (default: guessed)",
        "value": "column of the value (default: guessed)",
        "channels": "columns of several values a step, NAME,NAME or all (default: all, where there is a label and no value); or the one "
        "column that names each row's channel, beside its value",
        "label": "column of 0 and 1, 1 in an anomaly (default: guessed; none: no labels)",
        **HELP,
    }

    def detect(self, path: Path) -> str | None:
        """Name the form: `m4`, `long`, `labelled` or `single` (a file without names), with `-folder` for a folder."""
        if wide.pair_at(path) is not None:
            return "m4"
        try:
            forms = [form for file in table_files(path)[:20] if (form := _form(columns_of(file), {}, str(file))) is not None]
        except (DataError, OSError):
            return None
        return f"{forms[0].word}{'-folder' if path.is_dir() else ''}" if forms else None

    def read(self, path: Path, options: Mapping[str, str]) -> Series:
        """Read and clean the series at `path`; raise `DataError` that names file, column, row and cure."""
        pair = wide.pair_at(path)
        if pair is not None and not options:
            return wide.read_wide(pair)
        clock = Clock.of(options)
        tables = _tables(path, options)
        cleaned = [_cleaned(part, form, clock) for part, form in tables]
        frame = pl.concat([c.clean_rows for c in cleaned], how="diagonal_relaxed")
        counts = {reason: n for reason in REASONS if (n := sum(c.counts.get(reason, 0) for c in cleaned))}
        rows = sum(len(c.rows) for c in cleaned)
        return Series.build(_filled(frame, str(path)), name=stem(path), where=str(path), rows_read=rows, cleaning=counts)


def _tables(path: Path, options: Mapping[str, str]) -> list[tuple[Part, Form]]:
    """Read the tables of series and name what is passed over; raise `DataError` where none or two forms are left."""
    files = table_files(path)
    say_others(path, files)
    found: list[tuple[Part, Form]] = []
    for part, own in (broadened(read_part(file), options, KNOWN) for file in files):
        form = _form(part.table.columns, own, part.name)
        if form is not None:
            found.append((part, form))
        elif len(files) > 1:
            log.info("passed over: %s is no table of series; it has %s", part.name, ", ".join(part.table.columns))
    if not found:
        raise DataError(_no_series(files[0], options))
    first, form = found[0]
    for part, other in found:
        if set(other.names) != set(form.names) or other.channels != form.channels:
            raise DataError(f"{first.name} is {form.word} and {part.name} is {other.word}; give files of one form")
    return found


def _form(columns: Sequence[str], options: Mapping[str, str], where: str) -> Form | None:
    """Find the columns; None where a table is no series. A column asked for must be there."""
    names: dict[str, str] = {}
    for ours, known in KNOWN.items():
        given = options.get(ours)
        if given == "none" and ours in OPTIONAL:
            continue
        theirs = guessed(known, [c for c in columns if c not in names.values()]) if given is None else column_named(given, columns, where)
        if theirs is not None:
            names[ours] = theirs
    channels = _channels(columns, names, options, where)
    if channels:
        names["value"] = channels[0]
    return Form(names, channels) if "time" in names and "value" in names else None


def _channels(columns: Sequence[str], names: Mapping[str, str], options: Mapping[str, str], where: str) -> tuple[str, ...]:
    """Name the columns of the channels; none where there is one value a step."""
    given = options.get("channels", "")
    others = tuple(c for c in columns if c not in names.values() and guessed(MARKERS, [c]) is None)
    if given not in {"", "all"}:
        return tuple(column_named(name.strip(), columns, where) for name in given.split(","))
    return others if (given or ("value" not in names and "label" in names)) and len(others) > 1 and "time" in names else ()


def _no_series(file: Path, options: Mapping[str, str]) -> str:
    if wide.is_wide(file):
        return f"{file} is in M4's wide form, of which the train file and the test file beside it belong together; give the train file"
    columns = columns_of(file)
    missing = next((ours for ours in ("time", "value") if ours not in options and guessed(KNOWN[ours], columns) is None), "value")
    return f"{file}: no column is known as the {missing}; {likely(KNOWN[missing], columns)} Name it with --set series.{missing}=COLUMN"


def _cleaned(part: Part, form: Form, clock: Clock) -> Cleaned:
    """Type one table's columns and judge its rows; whole numbers for times become steps."""
    names = {**form.names, **{f"{CHANNEL}{name}": name for name in form.channels}}
    table = part.table.select(pl.col(theirs).alias(ours) for ours, theirs in names.items())
    raw = Stack(table, [part], {o: (t,) for o, t in names.items()})
    rows = raw.rows
    series = rows["series"].cast(pl.String).str.strip_chars().replace("", None) if "series" in form.names else pl.lit(stem(Path(part.name)))
    columns = [series.alias("series"), *(_values(raw, n).alias(n) for n in names if n == "value" or n.startswith(CHANNEL))] + (
        [_labels(raw).alias("label")] if "label" in form.names else []
    )
    steps = _steps(rows["time"], clock)
    if steps is None:
        rows = rows.with_columns(*columns, moments(raw, "time", clock).alias("time"), pl.lit(None, pl.Int64).alias("step"))
        bad = pl.col("time").is_null()
    else:
        rows = rows.with_columns(*columns, pl.lit(None).alias("time"), steps.alias("step"))
        bad = pl.col("step").is_null()
    return with_drop_reasons(rows, dict(zip(REASONS, (pl.col("series").is_null(), bad), strict=True)))


def _steps(column: pl.Series, clock: Clock) -> pl.Series | None:
    """Read a column of times as whole steps; None where it holds times."""
    column = typed(column) if column.dtype == pl.String else column
    small = column.dtype.is_integer() and clock.unit is None and (column.abs() < SMALLEST).all()
    dates = small and column.cast(pl.String).str.contains(r"^(19|20)\d{6}$").all()
    return column.cast(pl.Int64) if small and not dates else None


def _values(raw: Stack, name: str) -> pl.Series:
    column = raw.rows[name]
    if column.dtype != pl.String:
        if not column.dtype.is_numeric():
            raise DataError(f"{raw.parts[0].name}: column {raw.names[name][0]!r} has type {column.dtype}, expected numbers")
        values = column.cast(pl.Float64)
        return values.zip_with(values.is_finite(), values.clear(len(values)))
    values, text = numbers(raw, name), column.str.strip_chars().str.to_lowercase()
    empty = text.is_null() | text.is_in(["", "nan", "null", "na"])
    refuse_many(values.zip_with(~empty, pl.repeat(0.0, len(values), eager=True)), raw, name, "write numbers with a decimal point")
    return values


def _labels(raw: Stack) -> pl.Series:
    """Read 0 and 1, or false and true."""
    text = raw.rows["label"].cast(pl.String).str.to_lowercase().str.strip_chars()
    label = text.replace_strict({"0": False, "1": True, "false": False, "true": True, "0.0": False, "1.0": True}, default=None)
    if label.null_count():
        where, column, row = raw.place("label", label.is_null())
        raise DataError(f"{where}: column {column!r} must hold 0 or 1, {row}; mend it, or give --set series.label=none")
    return label.cast(pl.Boolean)


def _filled(frame: pl.DataFrame, where: str) -> pl.DataFrame:
    """Put steps in order and fill the missing ones; times stay as they are."""
    if frame["step"].null_count() == len(frame):
        return frame.drop("step")
    if frame["step"].null_count():
        raise DataError(f"{where}: some files hold times and some hold numbered steps; give files of one form")
    spans = frame.group_by("series").agg(pl.col("step").min().alias("a"), pl.col("step").max().alias("b"))
    if (spans["b"] - spans["a"] + 1).sum() > SPREAD * len(frame):
        raise DataError(
            f"{where}: the numbers in place of times are too far apart for steps; write dates, or give time_unit=s, ms, us or ns"
        )
    if frame.select(pl.struct("series", "step").is_duplicated().any()).item():
        raise DataError(f"{where}: a series has one step twice; number the steps of each series 1, 2, 3")
    whole = spans.select("series", step=pl.int_ranges("a", pl.col("b") + 1)).explode("step")
    filled = whole.join(frame, on=["series", "step"], how="left").sort("series", "step")
    return filled.with_columns(pl.col("label").fill_null(value=False) if "label" in frame.columns else []).drop("step")


@hookimpl
def bench_datasets() -> list[type[Dataset]]:
    """Offer the adapter for own series."""
    return [SeriesFile]
