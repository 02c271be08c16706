"""What the readers of tables share: files as text tables, rows that can be found again, judgement of whole columns."""

from __future__ import annotations

import gzip
import io
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import polars as pl
import pyarrow as pa
from pyarrow import csv

from bench.errors import DataError

Names: TypeAlias = Mapping[str, tuple[str, ...]]

HEAD_BYTES = 8_192
TOLERATED = 0.01
"""Share of rows with a bad date or number above which the column is taken for misread, not the rows for bad."""
TORN, TEN_DIGITS, AHEAD = 2e8, 1e9, 10 * 365.25 * 86_400
"""Seconds, see `implausible`."""
IMPLAUSIBLE = "implausible date"
CLOCK = r"\d:\d{2}"
ZONE = r"\d:\d{2}(:\d{2}(\.\d+)?)?\s*(Z|[+-]\d{2}:?\d{2})$"
NOBODY = ("", "nan", "null", "none", "na")
"""What exports write for a user that is not known, in lower case."""
REASON = "(reason)"
"""Column of the reasons to drop a row; no file has one of this name."""
UTF8_BOM, UTF16_BOMS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Part:
    """One raw table: a file, or a sheet of a workbook."""

    name: str
    """What an error message calls it."""
    table: pl.DataFrame


@dataclass(frozen=True)
class Stack:
    """The parts' rows under each other, by our names of the columns; `names` are the files' own."""

    rows: pl.DataFrame
    parts: Sequence[Part]
    names: Names

    def place(self, name: str, mask: pl.Series) -> tuple[str, str, str]:
        """Find the first marked row again: (where it lies, its column as the file calls it, row and text)."""
        at = mask.arg_max() or 0
        text, part = self.rows[name][at], self.parts[0]
        for part in self.parts:
            if at < len(part.table):
                break
            at -= len(part.table)
        column = next(n for n in self.names[name] if n in part.table.columns)
        return part.name, column, f"row {at + 1} ({text!r})"


@dataclass(frozen=True)
class Cleaned:
    """Typed rows with their reason to be dropped (null: kept), and how many there are of each."""

    rows: pl.DataFrame
    counts: dict[str, int]

    @property
    def clean_rows(self) -> pl.DataFrame:
        """Return the rows that stay."""
        return self.rows.filter(pl.col(REASON).is_null()).drop(REASON)


def with_drop_reasons(rows: pl.DataFrame, tests: Mapping[str, pl.Expr]) -> Cleaned:
    """Return each row the first of the reasons that hold for it, and count them in that order."""
    reason = pl.coalesce(pl.when(test).then(pl.lit(name)) for name, test in tests.items())
    rows = rows.with_columns(reason.alias(REASON))
    found = dict(rows[REASON].drop_nulls().value_counts().iter_rows())
    return Cleaned(rows, {name: found[name] for name in tests if name in found})


def implausible(times: pl.Series) -> pl.Series:
    """Mark the times, bool [E], that stand in no log: before 1970, over ten years ahead, or a Unix time that was cut short.

    Where most times are later than September 2001, when Unix times got their tenth digit, one before May 1976 lacks a digit
    or more: the last line of a torn file, or a number from another column.
    """
    seconds = times.dt.epoch("s")
    middle = seconds.median()
    least = TORN if isinstance(middle, float) and middle >= TEN_DIGITS else 0
    most = time.time() + AHEAD
    return ~seconds.is_between(least, most).fill_null(value=True)


def kind_of(file: Path) -> str:
    """Return a file's suffix in lower case, with the one before `.gz`: `.csv`, `.csv.gz`."""
    return "".join(s.lower() for s in file.suffixes[-2:]) if file.suffix.lower() == ".gz" else file.suffix.lower()


def unpacked(file: Path, most: int = -1) -> bytes:
    """Read and unpack a file, or its first bytes; raise `DataError`."""
    try:
        with gzip.open(file) if kind_of(file).endswith(".gz") else file.open("rb") as stream:
            return stream.read(most)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {file} ({error}); check its permissions, or copy or download it again") from error


def head_of(file: Path) -> bytes:
    """Read the first bytes of a file, unpacked."""
    return unpacked(file, HEAD_BYTES)


def first_line(head: bytes) -> str:
    """Return the first line that is not blank."""
    text = head.decode("utf-16", "replace") if head.startswith(UTF16_BOMS) else head.removeprefix(UTF8_BOM).decode("latin-1")
    return next((line for line in text.splitlines() if line.strip()), "")


def content_of(file: Path) -> bytes:
    """Return a file as UTF-8; what is neither that nor marked UTF-16 is taken as Latin-1, which old exports are."""
    content = unpacked(file)
    if content.startswith(UTF16_BOMS):
        return content.decode("utf-16", "replace").encode()
    try:
        content.decode()
    except UnicodeDecodeError:
        content = content.decode("latin-1").encode()
    return content.removeprefix(UTF8_BOM)


def read_csv(content: bytes, file: Path, delimiter: str = ",") -> pl.DataFrame:
    """Read all columns as text with Arrow: descriptions hold lone quotes (`FRAME 7" SINGLE`), which polars refuses."""
    options = csv.ReadOptions(use_threads=False)  # on one thread an error can name the row
    parse = csv.ParseOptions(newlines_in_values=True, delimiter=delimiter)
    try:
        names = csv.open_csv(io.BytesIO(content), options, parse).schema.names
        text = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""])
        table = csv.read_csv(io.BytesIO(content), options, parse, text)
        return pl.DataFrame(table).rename(str.strip)
    except (pa.ArrowInvalid, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0] if content.strip() else "the file is empty"
        if "straddling object" in reason:
            raise DataError(
                f"{file}: a row is longer than 1 MB, or a quote is never closed; mend that row, or save the file again"
            ) from error
        words = "commas" if delimiter == "," else repr(delimiter)
        raise DataError(f"{file}: {reason}; quote texts that hold {words}, or download the file again") from error


def zoned(text: pl.Series, raw: Stack, name: str) -> bool:
    """Return whether the times carry a zone; raise `DataError` where some do and some do not."""
    has_zone = text.str.contains(ZONE).fill_null(value=False)
    if has_zone.any():
        _refuse_mixed(has_zone, text.str.contains(CLOCK).fill_null(value=False) & ~has_zone, raw, name)
        return True
    return False


def parsed(text: pl.Series, formats: Sequence[str]) -> pl.Series:
    """Read each text by the first format that fits; null where none does. A `T` may stand for the space."""
    formats = [*formats, *[f.replace(" ", "T") for f in formats if " " in f]]
    times = pl.Series([None], dtype=pl.Datetime("us")).new_from_index(0, len(text))
    for form in formats:
        if times.null_count():
            read = text.str.to_datetime(form, strict=False, time_unit="us").dt.replace_time_zone(None)
            times = times.zip_with(times.is_not_null(), read)
    return times


def numbers(raw: Stack, name: str) -> pl.Series:
    """Read a column of texts as numbers, float64; null where one is none or not finite."""
    read = raw.rows[name].str.strip_chars().cast(pl.Float64, strict=False)
    return read.zip_with(read.is_finite(), read.clear(len(read)))


def refuse_many(values: pl.Series, raw: Stack, name: str, cure: str) -> None:
    """Raise where all values or more than 1 % (one row is always forgiven) could not be read."""
    bad = values.null_count()
    if bad and (bad == len(values) or bad > max(1, TOLERATED * len(values))):
        where, column, row = raw.place(name, values.is_null())
        raise DataError(f"{where}: column {column!r} cannot be read on {bad:,} of {len(values):,} rows, first on {row}; {cure}")


def _refuse_mixed(has_zone: pl.Series, bare: pl.Series, raw: Stack, name: str) -> None:
    """Raise where some times have a zone and some have none; name the first of the fewer."""
    n, m = int(has_zone.sum()), int(bare.sum())
    if not m:
        return
    where, column, row = raw.place(name, has_zone if n <= m else bare)
    raise DataError(
        f"{where}: column {column!r} mixes {n:,} times with a zone and {m:,} without: {row} has {'one' if n <= m else 'none'}; "
        "give all an offset such as +00:00, or none (they are then taken as UTC)"
    )
