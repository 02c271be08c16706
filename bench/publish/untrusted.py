"""Read what strangers published: sizes are bounded, nothing is unpickled, whatever is wrong ends as one clear line."""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from bench.board.schema import SCHEMA_VERSION, Row, completed, differing, rows_to_table
from bench.data.names import LONGEST, RULE, is_name
from bench.data.ragged import Array
from bench.publish import bounded
from bench.publish.store import PlaceError, reason_of
from bench.tasks.base import Split
from bench.tasks.lookup import NAMES as TASKS

MOST_ROWS = 5_000
"""Rows of one run."""
MOST_PLACE_ROWS = 20_000
"""Rows of all runs of a place together; a row takes some 8 kB as a dict."""
MOST_TEXT = 1 << 24
"""Bytes of the texts of one run's rows, and four times as many of those of all runs."""
MOST_RECORDS = 20_000
MOST_PARTS = 10_000
MOST_NODES = 2_000_000
"""Values of a JSON document: each takes some 70 bytes or more as an object."""
AHEAD = timedelta(days=1)
"""What clocks may differ by."""
TEXT = 100_000
"""Characters of one text in a row."""
ARRAY = re.compile(r"(0|[1-9][0-9]{0,3})\.([a-z_]{1,40})\.npy")
"""Names of the arrays of a prediction: part, then field."""


def document(content: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object."""
    if sum(content.count(mark) for mark in (b",", b"[", b"{", b":")) > MOST_NODES:
        raise PlaceError(f"{what}: more than {MOST_NODES:,} values, which is refused")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError, MemoryError) as error:
        raise PlaceError(f"{what}: not readable as JSON ({reason_of(error)})") from None
    if not isinstance(found, dict):
        raise PlaceError(f"{what}: holds a {type(found).__name__}, expected a JSON object")
    return found


def records(content: bytes, what: str, columns: Mapping[str, pa.DataType]) -> list[dict[str, Any]]:
    """Read a Parquet file as dicts that have these columns, of these types, none of them missing."""
    table = bounded.strings(content, what, columns, most_rows=MOST_RECORDS)
    found: list[dict[str, Any]] = bounded.decode_dictionaries(table, what, most=MOST_TEXT).to_pylist()
    return found


def loose_records(content: bytes, what: str, columns: Mapping[str, pa.DataType]) -> list[dict[str, Any]]:
    """Read a Parquet file as dicts of these columns, of these types; one that it lacks is None, others are passed over."""
    file = bounded.opened(content, what)
    found = {field.name: field.type for field in bounded.schema(file)}
    if wrong := next((name for name, kind in columns.items() if name in found and found[name] not in {kind, pa.null()}), ""):
        raise PlaceError(f"{what}: its column {wrong!r} is {found[wrong]}, expected {columns[wrong]}")
    table = bounded.decode_dictionaries(bounded.read(file, what, most_rows=MOST_RECORDS), what, most=MOST_TEXT)
    table = table.select([name for name in columns if name in found])
    return [{**dict.fromkeys(columns), **row} for row in table.to_pylist()]


def rows(content: bytes, what: str, *, most_rows: int = MOST_ROWS, most_text: int = MOST_TEXT) -> list[Row]:
    """Read leaderboard rows: the exact schema, known words, finite numbers, parameters that are JSON objects."""
    file = bounded.opened(content, what)
    found_schema = bounded.schema(file)
    version = (found_schema.metadata or {}).get(b"bench_schema_version", b"none").decode(errors="replace")
    if version != str(SCHEMA_VERSION):
        raise PlaceError(f"{what}: the rows' version is {version[:20]!r}, this bench reads {SCHEMA_VERSION}; use the bench that wrote them")
    if wrong := differing(found_schema):
        raise PlaceError(f"{what}: its columns are not those of version {version} ({wrong[:200]})")
    read = bounded.decode_dictionaries(bounded.read(file, what, most_rows=most_rows), what, most=most_text)
    try:
        found: list[Row] = completed(read).to_pylist()
        rows_to_table(found)
    except (pa.ArrowException, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise PlaceError(f"{what}: {reason_of(error)}") from None
    for at, row in enumerate(found):
        if words := _wrong(row):
            raise PlaceError(f"{what}: row {at}: {words}")
    return found


def refuse_too_many(runs: Mapping[str, Sequence[Row]], place: str) -> None:
    """Refuse a place whose runs, each small enough, are too many together."""
    rows_, text = 0, 0
    for found in runs.values():
        rows_ += len(found)
        text += sum(len(value) for row in found for value in row.values() if isinstance(value, str))
    if rows_ > MOST_PLACE_ROWS or text > 4 * MOST_TEXT:
        raise PlaceError(
            f"{place}: {rows_:,} rows with {text:,} bytes of text, which is refused: at most {MOST_PLACE_ROWS:,} rows are read"
        )


def _wrong(row: Row) -> str:
    """Describe what is wrong with a row that has the right columns; empty: nothing."""
    return _wrong_label(row) or _wrong_value(row)


def _wrong_label(row: Row) -> str:
    """Describe what is wrong with what a row is of."""
    if row["task"] not in TASKS:
        return f"task {row['task'][:40]!r} is unknown"
    if row["created"] is None:
        return "created is missing"
    if row["created"] > datetime.now(UTC) + AHEAD:
        return f"created is {row['created']:%Y-%m-%d %H:%M}, which is still to come: newer rows would never replace it"
    if strange := next((name for name in ("model", "dataset") if not is_name(row[name])), ""):
        return f"{strange} {row[strange][:LONGEST]!r} is no name: expected {RULE}"
    return ""


def _wrong_value(row: Row) -> str:
    for name, value in row.items():
        if isinstance(value, float) and not math.isfinite(value):
            return f"{name} is {value}, expected a finite number"
        if isinstance(value, str) and len(value) > TEXT:
            return f"{name} has {len(value):,} characters, at most {TEXT:,} are read"
    try:
        params = json.loads(row["params"] or "{}")
    except (ValueError, RecursionError):
        params = None
    return "" if isinstance(params, dict) else "params is no JSON object"


def prediction(content: bytes, what: str, most: int) -> list[dict[str, Array]]:
    """Read the parts of a prediction from an npz file: numbers only, each array as large as its file says, `most` bytes in all."""
    try:
        # the list of members becomes objects before it can be counted
        if content.count(b"PK\x01\x02") > MOST_PARTS:
            raise PlaceError(f"{what}: more than {MOST_PARTS:,} arrays, which is refused")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if (size := sum(member.file_size for member in members)) > most:
                raise PlaceError(
                    f"{what}: {size:,} bytes in memory, which is refused: no prediction for this data takes more than {most:,}"
                )
            named = {member.filename: _array(archive, member, what) for member in members}
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, MemoryError, RuntimeError, OverflowError) as error:
        # NotImplementedError, of an unknown packing, is a RuntimeError
        raise PlaceError(f"{what}: not readable as a prediction ({reason_of(error)})") from None
    parts: dict[int, dict[str, Array]] = {}
    for name, array in named.items():
        found = ARRAY.fullmatch(name)
        if found is None:
            raise PlaceError(f"{what}: holds {name[:60]!r}, expected arrays named PART.FIELD")
        parts.setdefault(int(found[1]), {})[found[2]] = array
    if sorted(parts) != list(range(len(parts))) or not parts:
        raise PlaceError(f"{what}: its parts are {sorted(parts)[:5]}, expected 0, 1, ...")
    return [parts[part] for part in range(len(parts))]


def max_bytes(split: Split, stage: str = "final") -> int:
    """Return the bytes that a prediction for this data takes at most: ten quantiles and more for each number of the truth."""
    return (1 << 20) + 16 * 8 * _numbers(split.truths[stage])


def _numbers(part: Any) -> int:
    """Count the numbers in arrays, and in what holds them."""
    if isinstance(part, np.ndarray):
        return part.size
    if isinstance(part, Mapping):
        return sum(map(_numbers, part.values()))
    if isinstance(part, list | tuple):
        return sum(map(_numbers, part))
    return sum(map(_numbers, vars(part).values())) if hasattr(part, "__dict__") else 0


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, what: str) -> Array:
    """Read one array; its header is checked first, because numpy makes room for whatever shape stands there."""
    content = archive.read(member)
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version not in {(1, 0), (2, 0)}:
        raise PlaceError(f"{what}: {member.filename[:60]!r} has format {version}, expected 1.0 or 2.0")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(stream)
    if dtype.kind not in "fiub":
        raise PlaceError(f"{what}: {member.filename[:60]!r} holds {dtype}, expected numbers; nothing else is loaded")
    if math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise PlaceError(f"{what}: {member.filename[:60]!r} says shape {list(shape)[:5]}, which is not what it holds")
    stream.seek(0)
    array: Array = np.lib.format.read_array(stream, allow_pickle=False)
    return array
