"""Fingerprint a log: one sha256 over what it says, whatever the order, chunks or dictionary codes it is stored in."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import numpy.typing as npt
import polars as pl

from bench.errors import DataError
from bench.events import COLUMNS, Events

Ints = npt.NDArray[np.int64]


def fingerprint(events: Events, version: str) -> str:
    """Digest column names, every value, the cleaning counts and the adapter's `version` ("retail/1"); hexadecimal.

    Each column becomes order-preserving numbers; the rows are sorted by all of them, so that their order cannot
    matter, not even among events of one user at one time. Neither the name nor the number of rows read enters.
    """
    frame = events.frame
    names = [*COLUMNS, *sorted(c for c in frame.columns if c not in COLUMNS)]
    coded = {name: _coded(frame[name]) for name in names}
    rows = pl.DataFrame([codes for _, codes in coded.values()]).sort(names, nulls_last=False)
    head = {
        "version": version,
        "cleaning": sorted(events.cleaning.items()),
        "rows": len(frame),
        "columns": [(name, kind) for name, (kind, _) in coded.items()],
    }
    digest = hashlib.sha256(json.dumps(head).encode())
    for name in names:
        digest.update(_bytes(rows[name]))
    return digest.hexdigest()


def _coded(column: pl.Series) -> tuple[str, pl.Series]:
    """Turn a column into (what its numbers mean, int64 numbers with the column's nulls)."""
    kind = column.dtype
    if isinstance(kind, pl.String | pl.Enum | pl.Categorical):
        return _coded_text(column.cast(pl.String))
    if kind.is_float():
        return "float", _coded_float(column)
    if kind == pl.UInt64:
        return "uint64", column.reinterpret(signed=True)
    if kind.is_integer() and kind != pl.Int128:
        return "int", column.cast(pl.Int64)
    if kind == pl.Boolean or kind.is_temporal():
        return str(kind), column.to_physical().cast(pl.Int64)
    if kind == pl.Null:
        return "null", column.cast(pl.Int64)
    raise DataError(f"column {column.name!r} has type {kind}, which has no fingerprint; cast it to text or numbers")


def _coded_text(column: pl.Series) -> tuple[str, pl.Series]:
    """Rank the distinct texts; the ranks stand for them because their digest goes into the column's meaning."""
    values = column.drop_nulls().unique().sort()
    # lengths keep ("ab", "c") apart from ("a", "bc")
    digest = hashlib.sha256(values.str.len_bytes().cast(pl.Int64).to_numpy().astype("<i8").tobytes())
    digest.update("".join(values.to_list()).encode())
    return f"text {digest.hexdigest()}", column.cast(pl.Enum(values)).to_physical().cast(pl.Int64)


def _coded_float(column: pl.Series) -> pl.Series:
    """Take the bits of the numbers, after making -0.0 equal 0.0 and all NaNs equal."""
    numbers = column.cast(pl.Float64).fill_null(0.0).to_numpy() + 0.0
    numbers[np.isnan(numbers)] = np.nan
    bits = pl.Series(column.name, numbers.view(np.int64))
    return bits.set(column.is_null(), None) if column.null_count() else bits


def _bytes(codes: pl.Series) -> bytes:
    """Spell the null mask, then the numbers as little-endian 64 bits."""
    mask = np.packbits(codes.is_null().to_numpy()) if codes.null_count() else np.zeros(0, np.uint8)
    numbers: Ints = codes.fill_null(0).to_numpy()
    return len(mask).to_bytes(8, "little") + mask.tobytes() + numbers.astype("<i8", copy=False).tobytes()
