"""Anybody's event log: delimited text, Parquet or JSON lines, with a map from its columns to ours.

The columns are named by the options `user`, `time`, `kind`, `value` and `item`, or guessed from the usual names, which
is then said; all others pass through. Ids are texts; where all are written as floats (`17850.0`) the `.0` goes. An empty
kind becomes `unknown`; a value that is no number becomes empty (an error where more than 1 % are none). Each row that is
dropped is counted under the first reason that holds for it:

1. no user: the user is empty or written as nan, null, none or na
2. bad date: a time that cannot be read (an error where more than 1 % cannot)
3. implausible date: a time before 1970 or over ten years ahead; a Unix time that was cut short among whole ones
4. duplicate: an exact repetition of an earlier row, with the option `duplicates=drop` only
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import polars as pl

from bench.api import Dataset, DatasetCard, hookimpl
from bench.data.events import COLUMNS, Events
from bench.errors import DataError, suggest

from ._any_table import (
    chosen,
    column_named,
    columns_of,
    guessed,
    kind_of_table,
    likely,
    plain,
    read_part,
    say_others,
    stem,
    table_files,
    typed,
)
from ._moments import HELP, Clock, moments
from ._tables import IMPLAUSIBLE, NOBODY, Cleaned, Part, Stack, implausible, numbers, refuse_many, with_drop_reasons

KNOWN = {
    "user": (
        "user", "user_id", "customer", "customer_id", "client_id", "client", "account_id", "member_id", "visitor_id", "subscriber_id",
        "player_id", "person_id", "uid", "customer_no", "customer_number", "cust_id", "buyer_id", "shopper_id", "household_key",
        "household_id", "contact_id", "device_id", "card_id", "author_id",
    ),
    "time": (
        "time", "timestamp", "ts", "datetime", "date_time", "event_time", "created_at", "occurred_at", "date", "day", "when",
        "invoice_date", "order_date", "purchase_date", "transaction_date", "event_date", "visit_date", "order_time", "event_timestamp",
        "order_purchase_timestamp", "unix_time", "unixts", "moment", "start_time",
    ),
    "kind": ("kind", "event_type", "event_name", "event", "action", "activity", "activity_type", "event_kind"),
    "value": ("value", "amount", "revenue", "sales", "total", "order_value", "total_price", "net_amount", "spend"),
    "item": ("item", "item_id", "product_id", "sku", "stock_code", "article_id", "product", "movie_id", "asin"),
}  # fmt: skip
"""Names that are guessed where no option names the column; the earlier one wins."""

DUPLICATE = "(duplicate)"

log = logging.getLogger("bench")


class EventsFile(Dataset):
    """One row an event, in a file or a folder of files of one kind."""

    name = "events"
    card: ClassVar[DatasetCard] = DatasetCard(
        title="Your own event log: csv, Parquet or JSON lines with a map of its columns",
        licence="yours",
        source="a file, or a folder of files of one kind",
        citation="",
        activity=(),
        traps=(
            "local times without a zone are taken as UTC unless zone=NAME is given",
            "all kinds count as activity unless activity=KIND,... says which",
            "exact repetitions are kept unless duplicates=drop is given",
            "a whole column named count says how many events a row stands for",
        ),
    )
    options: ClassVar[Mapping[str, str]] = {
        "user": "column of the user (default: guessed from the usual names)",
        "time": "column of the time (default: guessed)",
        "kind": "column of the kind of event (default: guessed; none: all are one kind)",
        "value": "column of an amount (default: guessed; none: no amounts)",
        "item": "column of the item (default: guessed; none: no items)",
        **HELP,
        "activity": "kinds that count as activity, with commas between (default: all)",
        "duplicates": "keep (default) or drop exact repetitions of a row",
    }

    def detect(self, path: Path) -> str | None:
        """Name the form of a table whose user and time can be guessed: `csv`, `jsonl-folder`, ..."""
        try:
            files = table_files(path)
            kind = kind_of_table(files[0])
        except (DataError, OSError):
            return None
        columns = columns_of(files[0])
        if guessed(KNOWN["user"], columns) is None or guessed(KNOWN["time"], columns) is None:
            return None
        return f"{kind}-folder" if path.is_dir() else kind

    def read(self, path: Path, options: Mapping[str, str]) -> Events:
        """Read and clean the log at `path`; raise `DataError` that names file, column, row and cure."""
        drop = chosen("duplicates", options, ("keep", "drop")) == "drop"
        clock = Clock.of(options)
        files = table_files(path)
        say_others(path, files)
        raw = _stacked([read_part(file) for file in files], options)
        cleaned = _cleaned(raw, clock, drop=drop)
        kept = cleaned.clean_rows.drop(DUPLICATE)
        kinds = kept["kind"].unique().sort().to_list()
        return Events.build(
            kept,
            name=stem(path),
            activity=_activity(options, kinds, str(path)),
            where=str(path),
            rows_read=len(cleaned.rows),
            cleaning=cleaned.counts,
        )


def _mapped(columns: Sequence[str], options: Mapping[str, str], where: str) -> dict[str, str]:
    """Find the column of each of our names; raise `DataError` that proposes the likely one."""
    found: dict[str, str] = {}
    guesses: list[str] = []
    for ours, known in KNOWN.items():
        given = options.get(ours)
        if given == "none" and ours not in ("user", "time"):
            continue
        theirs = guessed(known, [c for c in columns if c not in found.values()]) if given is None else column_named(given, columns, where)
        if theirs is not None:
            found[ours] = theirs
            guesses += [f"{ours} = {theirs}"] if given is None else []
        elif ours in ("user", "time"):
            raise DataError(f"{where}: no column is known as the {ours}; {likely(known, columns)} Name it with --{ours} COLUMN")
    if guesses:
        log.info("columns guessed: %s", ", ".join(guesses))
    return found


def _stacked(parts: Sequence[Part], options: Mapping[str, str]) -> Stack:
    """Put the parts under each other, our columns by our names and all others by their own."""
    names = _mapped(parts[0].table.columns, options, parts[0].name)
    taken = {column for part in parts for column in part.table.columns} - set(names.values())
    tables = [_renamed(part, names, taken) for part in parts]
    try:
        rows = pl.concat(tables, how="diagonal_relaxed") if len(tables) > 1 else tables[0]
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{parts[0].name} and the files beside it differ in their types ({error}); give one file") from error
    return Stack(rows, parts, {ours: (theirs,) for ours, theirs in names.items()})


def _renamed(part: Part, names: Mapping[str, str], taken: Collection[str]) -> pl.DataFrame:
    """Put our columns first; `taken`: names of the extra columns of all parts."""
    columns = part.table.columns
    ours = [pl.col(column_named(theirs, columns, part.name)).alias(name) for name, theirs in names.items()]
    others = [c for c in columns if c not in names.values()]
    # an own column called kind that was not chosen as the kind is an extra one
    extra = plain(part.table.select(pl.col(c).alias(_raw(c, taken) if c in COLUMNS else c) for c in others), part.name)
    return pl.concat([part.table.select(ours), extra], how="horizontal") if extra.width else part.table.select(ours)


def _raw(name: str, taken: Collection[str]) -> str:
    """Return the name of an extra column that is called as one of ours: `raw_kind`, or `raw_raw_kind` beside a `raw_kind`."""
    raw = f"raw_{name}"
    return _raw(raw, taken) if raw in taken else raw


def _cleaned(raw: Stack, clock: Clock, *, drop: bool) -> Cleaned:
    """Type the columns and judge the rows."""
    rows = raw.rows
    duplicate = ~rows.select(pl.struct(pl.all()).is_first_distinct()).to_series() if drop else pl.lit(value=False)
    kind = _text(rows["kind"]).fill_null("unknown") if "kind" in raw.names else pl.lit("event")
    rows = rows.with_columns(
        _extra(rows),
        user=_users(rows["user"]),
        time=moments(raw, "time", clock),
        kind=kind,
        value=_values(raw) if "value" in raw.names else pl.lit(None, pl.Float64),
        item=_text(rows["item"]) if "item" in raw.names else pl.lit(None, pl.String),
        **{DUPLICATE: duplicate},
    )
    tests = {
        "no user": pl.col("user").is_null(),
        "bad date": pl.col("time").is_null(),
        IMPLAUSIBLE: pl.lit(implausible(rows["time"])),
        "duplicate": pl.col(DUPLICATE),
    }
    return with_drop_reasons(_counted(rows), tests)


def _extra(rows: pl.DataFrame) -> list[pl.Series]:
    """Type the texts of the extra columns."""
    return [typed(rows[name]) for name in rows.columns if name not in COLUMNS]


def _counted(rows: pl.DataFrame) -> pl.DataFrame:
    """Keep a column `count` where it can say how many events a row stands for; else give it another name."""
    if "count" not in rows.columns:
        return rows
    count = rows["count"]
    if count.dtype.is_integer() and not count.null_count() and (count >= 1).all():
        log.info("column 'count' is taken as the number of events that a row stands for")
        return rows
    raw = _raw("count", rows.columns)
    log.info("column 'count' is no number of events and passes through as %r", raw)
    return rows.rename({"count": raw})


def _text(column: pl.Series) -> pl.Series:
    """Return a column as stripped texts; an empty one is null."""
    text = column.cast(pl.String, strict=False).str.strip_chars()
    return text.replace("", None)


def _users(column: pl.Series) -> pl.Series:
    text = _text(column)
    known = text.zip_with(~text.str.to_lowercase().is_in(NOBODY).fill_null(value=True), text.clear(len(text)))
    floats = known.str.contains(r"^-?\d+\.0+$").all()
    return known.str.replace(r"\.0+$", "") if floats else known


def _values(raw: Stack) -> pl.Series:
    """Read the amounts; an empty one stays empty, a bad one becomes so."""
    column = raw.rows["value"]
    if column.dtype == pl.String:
        values, empty = numbers(raw, "value"), _text(column).is_null()
    elif column.dtype.is_numeric() or column.dtype in {pl.Boolean, pl.Null}:
        values, empty = column.cast(pl.Float64), column.is_null() | column.cast(pl.Float64).is_nan().fill_null(value=True)
        values = values.zip_with(values.is_finite(), values.clear(len(values)))
    else:
        where, name, row = raw.place("value", column.is_not_null())
        raise DataError(f"{where}: column {name!r} has type {column.dtype}, expected numbers, {row}; name another with --value COLUMN")
    refuse_many(values.zip_with(~empty, pl.repeat(0.0, len(values), eager=True)), raw, "value", "write numbers with a decimal point")
    bad = int((values.is_null() & ~empty).sum())
    if bad:
        log.info("column %r: %d values are no numbers and are left empty", raw.names["value"][0], bad)
    return values


def _activity(options: Mapping[str, str], kinds: Sequence[str], where: str) -> tuple[str, ...]:
    """Choose the kinds that count as activity; raise `DataError` for one that does not occur."""
    asked = [kind.strip() for kind in options.get("activity", "").split(",") if kind.strip()]
    for kind in asked:
        if kind not in kinds:
            raise DataError(f"{where}: activity={kind}: no event is of that kind; {suggest(kind, list(kinds))}")
    return tuple(dict.fromkeys(asked)) or tuple(kinds)


@hookimpl
def bench_datasets() -> list[type[Dataset]]:
    """Offer the adapter for own logs."""
    return [EventsFile]
