"""Type and clean raw retail tables: every row that is dropped is counted under the first reason that holds for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import polars as pl

from bench.errors import DataError, suggest

from ._retail_forms import Part

Names: TypeAlias = Mapping[str, tuple[str, ...]]

UCI: Names = {
    "invoice": ("InvoiceNo", "Invoice"),
    "item": ("StockCode",),
    "description": ("Description",),
    "quantity": ("Quantity",),
    "date": ("InvoiceDate",),
    "price": ("UnitPrice", "Price"),
    "user": ("CustomerID", "Customer ID"),
    "country": ("Country",),
}
"""Our names, and theirs in Online Retail and Online Retail II."""
CDNOW: Names = {"user": ("customer_id", "master_id"), "date": ("date",), "quantity": ("number_of_cds",), "value": ("dollar_value",)}
OPTIONAL = ("description", "country")

TOLERATED = 0.01
"""Share of rows with a bad date or number above which the column is taken for misread, not the rows for bad."""

CLOCK = r"\d:\d{2}"
ZONE = r"\d:\d{2}(:\d{2}(\.\d+)?)?\s*(Z|[+-]\d{2}:?\d{2})$"
# two-digit years come before four-digit ones, which would read 11 as the year 0011
TIMES = ("%Y-%m-%d %H:%M:%S", "%m/%d/%y %H:%M", "%m/%d/%Y %H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S%.f", "%m/%d/%Y %H:%M:%S")
DAYS = ("%Y%m%d", "%Y-%m-%d")
NOBODY = ("", "nan", "null", "none", "na")


@dataclass(frozen=True)
class Cleaned:
    """Hold typed rows with their `reason` to be dropped (null: kept)."""

    rows: pl.DataFrame
    counts: dict[str, int]

    @property
    def kept(self) -> pl.DataFrame:
        """Give the rows that stay."""
        return self.rows.filter(pl.col("reason").is_null())


@dataclass(frozen=True)
class Stack:
    """Hold the parts under each other in our names, all text, with `part` and `row` (from 1) to find a row again."""

    rows: pl.DataFrame
    parts: Sequence[Part]
    names: Names

    def place(self, name: str, mask: pl.Series) -> tuple[str, str, str]:
        """Find the first marked row again: (where it lies, its column as the file calls it, row and text)."""
        row = self.rows.row(mask.arg_max() or 0, named=True)
        part = self.parts[row["part"]]
        column = next(n for n in self.names[name] if n in part.table.columns)
        return part.name, column, f"row {row['row']} ({row[name]!r})"


def clean_uci(parts: Sequence[Part], *, sheets: bool) -> Cleaned:
    """Type and judge the rows of Online Retail, I or II; `sheets`: a part may repeat rows of an earlier one."""
    raw = _stacked(parts, UCI)
    rows = raw.rows.with_columns(
        _user(),
        pl.col("invoice", "item").str.strip_chars(),
        time=_times(raw, TIMES),
        quantity=_numbers(raw, "quantity"),
        price=_numbers(raw, "price"),
        repeats=_repeats_earlier_part(raw.rows) if sheets else pl.lit(value=False),
        duplicate=~raw.rows.select(pl.struct(*UCI).is_first_distinct()).to_series(),
    ).with_columns(
        kind=pl.when(pl.col("invoice").str.starts_with("C")).then(pl.lit("cancel")).otherwise(pl.lit("purchase")),
        value=pl.col("quantity") * pl.col("price"),
    )
    tests = {
        "in both sheets": pl.col("repeats"),
        "no user": pl.col("user").is_null(),
        "bad date": pl.col("time").is_null(),
        "duplicate": pl.col("duplicate"),
        "bad number": pl.col("value").is_null(),
        "stock correction": (pl.col("quantity") < 0) & (pl.col("kind") == "purchase"),
        "no price": pl.col("price") <= 0,
    }
    return _judged(rows, tests)


def clean_cdnow(part: Part) -> Cleaned:
    """Type and judge the rows of CDNOW: repeated rows are several orders a day, and free ones are orders too."""
    raw = _stacked([part], CDNOW)
    rows = raw.rows.with_columns(
        time=_times(raw, DAYS), quantity=_numbers(raw, "quantity"), value=_numbers(raw, "value"), kind=pl.lit("purchase")
    )
    tests = {
        "no user": pl.col("user").is_null(),
        "bad date": pl.col("time").is_null(),
        "bad number": pl.col("value").is_null() | pl.col("quantity").is_null(),
    }
    return _judged(rows, tests)


def _judged(rows: pl.DataFrame, tests: Mapping[str, pl.Expr]) -> Cleaned:
    """Give each row the first of the reasons that hold for it, and count them in that order."""
    reason = pl.coalesce(pl.when(test).then(pl.lit(name)) for name, test in tests.items())
    rows = rows.with_columns(pl.col("quantity").cast(pl.Int64), reason=reason)
    found = dict(rows["reason"].drop_nulls().value_counts().iter_rows())
    return Cleaned(rows, {name: found[name] for name in tests if name in found})


def _stacked(parts: Sequence[Part], names: Names) -> Stack:
    renamed = [_renamed(p, names).with_row_index("row", offset=1).with_columns(part=pl.lit(i)) for i, p in enumerate(parts)]
    return Stack(pl.concat(renamed), parts, names)


def _renamed(part: Part, names: Names) -> pl.DataFrame:
    """Select the columns that we know, in our names; an optional one that is absent is null."""
    have = part.table.columns
    theirs = {ours: next((n for n in known if n in have), None) for ours, known in names.items()}
    missing = [ours for ours, found in theirs.items() if found is None and ours not in OPTIONAL]
    if missing:
        second = "Invoice" in have or ("Price" in have and "UnitPrice" not in have)  # Online Retail II
        wanted = names[missing[0]][-1 if second else 0]
        # a column that has its place already is not what was meant
        free = [n for n in have if n not in theirs.values()]
        raise DataError(f"{part.name}: no column {wanted!r}; {suggest(wanted, free or have)}")
    null = pl.lit(None, pl.String)
    return part.table.select((pl.col(found) if found else null).cast(pl.String).alias(ours) for ours, found in theirs.items())


def _user() -> pl.Expr:
    """Spell a user in one way: `17850.0` and `17850` are the same, and an empty or NaN id is nobody."""
    text = pl.col("user").str.strip_chars().str.replace(r"\.0+$", "")
    return pl.when(~text.str.to_lowercase().is_in(NOBODY)).then(text)


def _repeats_earlier_part(rows: pl.DataFrame) -> pl.Series:
    """Mark the rows, bool [E], whose whole text also stands in an earlier part."""
    first = rows.group_by(*UCI).agg(first=pl.col("part").min())
    joined = rows.join(first, on=list(UCI), how="left", nulls_equal=True, maintain_order="left")
    return joined["part"] > joined["first"]


def _numbers(raw: Stack, name: str) -> pl.Series:
    """Read a column of numbers, float64 [E]; null where it is none, or where a quantity is not whole."""
    numbers = raw.rows[name].str.strip_chars().cast(pl.Float64, strict=False)
    good = numbers.is_finite()
    if name == "quantity":
        good = good & (numbers == numbers.round()) & (numbers.abs() < 2**53)
    numbers = numbers.zip_with(good, numbers.clear(len(numbers)))
    _refuse_many(numbers, raw, name, "write numbers with a decimal point and without thousands separators")
    return numbers


def _times(raw: Stack, formats: Sequence[str]) -> pl.Series:
    """Read the dates, in UTC; null where the text is none."""
    text = raw.rows["date"].str.strip_chars()
    formats = [*formats, *[f.replace(" ", "T") for f in formats if " " in f]]
    zoned = text.str.contains(ZONE).fill_null(value=False)
    if zoned.any():
        _refuse_mixed(zoned, text.str.contains(CLOCK).fill_null(value=False) & ~zoned, raw)
        formats = [f + "%#z" for f in formats]
    times = pl.Series([None], dtype=pl.Datetime("us")).new_from_index(0, len(text))
    for form in formats:
        if times.null_count():
            read = text.str.to_datetime(form, strict=False, time_unit="us").dt.replace_time_zone(None)
            times = times.zip_with(times.is_not_null(), read)
    _refuse_many(times, raw, "date", "write YYYY-MM-DD HH:MM:SS or, the month first, M/D/YYYY H:MM (CDNOW: YYYYMMDD)")
    return times


def _refuse_many(values: pl.Series, raw: Stack, name: str, cure: str) -> None:
    """Raise where all values or more than 1 % (one row is always forgiven) could not be read."""
    bad = values.null_count()
    if bad and (bad == len(values) or bad > max(1, TOLERATED * len(values))):
        where, column, row = raw.place(name, values.is_null())
        raise DataError(f"{where}: column {column!r} cannot be read on {bad:,} of {len(values):,} rows, first on {row}; {cure}")


def _refuse_mixed(zoned: pl.Series, bare: pl.Series, raw: Stack) -> None:
    """Raise where some times have a zone and some have none; name the first of the fewer."""
    n, m = int(zoned.sum()), int(bare.sum())
    if not m:
        return
    where, column, row = raw.place("date", zoned if n <= m else bare)
    raise DataError(
        f"{where}: column {column!r} mixes {n:,} times with a zone and {m:,} without: {row} has {'one' if n <= m else 'none'}; "
        "give all an offset such as +00:00, or none (they are then taken as UTC)"
    )
