"""Fingerprint a log or series: one sha256 over what it says, whatever the order, chunks or dictionary codes it is stored in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from bench.data.events import BLOCK, COLUMNS, Events, in_order
from bench.data.series import COLUMNS as SERIES_COLUMNS
from bench.data.series import Series
from bench.errors import DataError

Ints = npt.NDArray[np.int64]


def fingerprint(data: Events | Series, version: str) -> str:
    """Digest column names, every value, the cleaning counts and the adapter's `version` ("retail/1"); hexadecimal.

    Labels of a log, windows of series count too. Each column becomes order-preserving numbers; the rows are sorted by
    all of them, so that their order cannot matter, not even among events of one user at one time: only the steps of
    series without times have an order. Neither the name nor the number of rows read enters.
    """
    head: dict[str, Any] = {"version": version, "cleaning": sorted(data.cleaning.items())}
    if isinstance(data, Series):
        head["windows"] = sorted(data.windows.items())
        return _digest(_with_steps(data.frame), SERIES_COLUMNS, head)
    if data.labels is not None:
        head["labels"] = _digest(data.labels, ("user", "y", "cutoff"), {"horizon": data.horizon})
    return _digest(data.frame, COLUMNS, head)


def _with_steps(frame: pl.DataFrame) -> pl.DataFrame:
    """Add each step's number within its series where no time says the order."""
    timeless = frame["time"].null_count() == len(frame)
    return frame.with_columns(pl.int_range(pl.len()).over("series").alias("(step)")) if timeless else frame


def _digest(frame: pl.DataFrame, first: tuple[str, ...], head: dict[str, Any]) -> str:
    """Digest a table, whatever the order of its rows and of the columns after the `first`; `head` goes before.

    Rows that are in order already are coded a block at a time: a large log then needs little memory beside its own.
    """
    names = [*first, *sorted(c for c in frame.columns if c not in first)]
    codes = {name: _code(frame[name]) for name in names}
    head = head | {"rows": len(frame), "columns": [(name, code.meaning) for name, code in codes.items()]}
    digest = hashlib.sha256(json.dumps(head).encode())
    if in_order(frame.select(names), lambda column: codes[column.name].numbers(column)):
        for name in names:
            _add(digest, frame[name], codes[name])
        return digest.hexdigest()
    rows = pl.DataFrame([codes[name].numbers(frame[name]) for name in names]).sort(names, nulls_last=False)
    for name in names:
        _add(digest, rows[name], Code("", lambda numbers: numbers))
    return digest.hexdigest()


@dataclass(frozen=True)
class Code:
    """Describe how a column becomes numbers."""

    meaning: str
    """What the numbers mean."""
    numbers: Callable[[pl.Series], pl.Series]
    """Turns the column, or a part of it, into int64 numbers with its nulls."""


def _code(column: pl.Series) -> Code:
    kind = column.dtype
    if isinstance(kind, pl.String | pl.Enum | pl.Categorical):
        return _text_code(column)
    if kind.is_float():
        return Code("float", _float_bits)
    if kind == pl.UInt64:
        return Code("uint64", lambda part: part.reinterpret(signed=True))
    if kind.is_integer() and kind != pl.Int128:
        return Code("int", lambda part: part.cast(pl.Int64))
    if kind == pl.Boolean or kind.is_temporal():
        return Code(str(kind), lambda part: part.to_physical().cast(pl.Int64))
    if kind == pl.Null:
        return Code("null", lambda part: part.cast(pl.Int64))
    raise DataError(f"column {column.name!r} has type {kind}, which has no fingerprint; cast it to text or numbers")


def _text_code(column: pl.Series) -> Code:
    """Rank the distinct texts; the ranks stand for them because their digest goes into the column's meaning."""
    values = column.drop_nulls().unique().cast(pl.String).sort()
    # lengths keep ("ab", "c") apart from ("a", "bc")
    digest = hashlib.sha256(values.str.len_bytes().cast(pl.Int64).to_numpy().astype("<i8").tobytes())
    digest.update("".join(values.to_list()).encode())
    kind = pl.Enum(values)
    if isinstance(column.dtype, pl.Enum):  # its codes lead to the ranks without a pass through text
        ranks = column.dtype.categories.cast(kind, strict=False).to_physical().cast(pl.Int64)
        return Code(f"text {digest.hexdigest()}", lambda part: ranks.gather(part.to_physical()).alias(part.name))
    return Code(f"text {digest.hexdigest()}", lambda part: part.cast(pl.String).cast(kind).to_physical().cast(pl.Int64))


def _float_bits(column: pl.Series) -> pl.Series:
    """Take the bits of the numbers, after making -0.0 equal 0.0 and all NaNs equal."""
    numbers = column.cast(pl.Float64).fill_null(0.0).to_numpy() + 0.0
    numbers[np.isnan(numbers)] = np.nan
    bits = pl.Series(column.name, numbers.view(np.int64))
    return bits.set(column.is_null(), None) if column.null_count() else bits


def _add(digest: hashlib._Hash, column: pl.Series, code: Code) -> None:
    """Format the null mask, then the numbers as little-endian 64 bits."""
    mask = np.packbits(column.is_null().to_numpy()) if column.null_count() else np.zeros(0, np.uint8)
    digest.update(len(mask).to_bytes(8, "little") + mask.tobytes())
    for start in range(0, len(column), BLOCK):
        numbers: Ints = code.numbers(column.slice(start, BLOCK)).fill_null(0).to_numpy()
        digest.update(np.ascontiguousarray(numbers, "<i8").data)
