"""Type and clean raw retail tables: every row that is dropped is counted under the first reason that holds for it."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from bench.errors import DataError, suggest

from ._tables import IMPLAUSIBLE, NOBODY, Cleaned, Names, Part, Stack, implausible, numbers, parsed, refuse_many, with_drop_reasons, zoned

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

# two-digit years come before four-digit ones, which would read 11 as the year 0011
TIMES = ("%Y-%m-%d %H:%M:%S", "%m/%d/%y %H:%M", "%m/%d/%Y %H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S%.f", "%m/%d/%Y %H:%M:%S")
DAYS = ("%Y%m%d", "%Y-%m-%d")


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
        quantity=pl.col("quantity").cast(pl.Int64),
    )
    tests = {
        "in both sheets": pl.col("repeats"),
        "no user": pl.col("user").is_null(),
        "bad date": pl.col("time").is_null(),
        IMPLAUSIBLE: pl.lit(implausible(rows["time"])),
        "duplicate": pl.col("duplicate"),
        "bad number": pl.col("value").is_null(),
        "stock correction": (pl.col("quantity") < 0) & (pl.col("kind") == "purchase"),
        "no price": pl.col("price") <= 0,
    }
    return with_drop_reasons(rows, tests)


def clean_cdnow(part: Part) -> Cleaned:
    """Type and judge the rows of CDNOW: repeated rows are several orders a day, and free ones are orders too."""
    raw = _stacked([part], CDNOW)
    rows = raw.rows.with_columns(
        time=_times(raw, DAYS), quantity=_numbers(raw, "quantity").cast(pl.Int64), value=_numbers(raw, "value"), kind=pl.lit("purchase")
    )
    tests = {
        "no user": pl.col("user").is_null(),
        "bad date": pl.col("time").is_null(),
        IMPLAUSIBLE: pl.lit(implausible(rows["time"])),
        "bad number": pl.col("value").is_null() | pl.col("quantity").is_null(),
    }
    return with_drop_reasons(rows, tests)


def _stacked(parts: Sequence[Part], names: Names) -> Stack:
    renamed = [_renamed(part, names).with_columns(part=pl.lit(i)) for i, part in enumerate(parts)]
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
    """Format a user in one way: `17850.0` and `17850` are the same, and an empty or NaN id is nobody."""
    text = pl.col("user").str.strip_chars().str.replace(r"\.0+$", "")
    return pl.when(~text.str.to_lowercase().is_in(NOBODY)).then(text)


def _repeats_earlier_part(rows: pl.DataFrame) -> pl.Series:
    """Mark the rows, bool [E], whose whole text also stands in an earlier part."""
    first = rows.group_by(*UCI).agg(first=pl.col("part").min())
    joined = rows.join(first, on=list(UCI), how="left", nulls_equal=True, maintain_order="left")
    return joined["part"] > joined["first"]


def _numbers(raw: Stack, name: str) -> pl.Series:
    """Read a column of numbers, float64 [E]; null where it is none, or where a quantity is not whole."""
    read = numbers(raw, name)
    if name == "quantity":
        read = read.zip_with((read == read.round()) & (read.abs() < 2**53), read.clear(len(read)))
    refuse_many(read, raw, name, "write numbers with a decimal point and without thousands separators")
    return read


def _times(raw: Stack, formats: Sequence[str]) -> pl.Series:
    """Read the dates, in UTC; null where the text is none."""
    text = raw.rows["date"].str.strip_chars()
    times = parsed(text, [f + "%#z" for f in formats] if zoned(text, raw, "date") else formats)
    refuse_many(times, raw, "date", "write YYYY-MM-DD HH:MM:SS or, the month first, M/D/YYYY H:MM (CDNOW: YYYYMMDD)")
    return times
