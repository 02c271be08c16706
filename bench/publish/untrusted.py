"""Read what strangers published: sizes are bounded, nothing is unpickled, whatever is wrong ends as one clear line."""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.board.schema import SCHEMA, SCHEMA_VERSION, Row, completed, rows_to_table
from bench.data.ragged import Array
from bench.publish.store import PlaceError, told
from bench.tasks.known import NAMES as TASKS

MOST_ROWS = 10_000_000
MOST_BYTES = 1 << 31
"""Bytes of a table or a prediction in memory."""
TEXT = 100_000
"""Characters of one text in a row."""
ARRAY = re.compile(r"(0|[1-9][0-9]{0,3})\.([a-z_]{1,40})\.npy")
"""Names of the arrays of a prediction: part, then field."""


def document(content: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise PlaceError(f"{what}: not readable as JSON ({told(error)})") from None
    if not isinstance(found, dict):
        raise PlaceError(f"{what}: holds a {type(found).__name__}, expected a JSON object")
    return found


def table(content: bytes, what: str) -> pa.Table:
    """Read a Parquet file, batch by batch, so that a small file cannot fill the memory."""
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        if file.metadata.num_rows > MOST_ROWS or file.metadata.num_columns > 1_000:
            raise PlaceError(f"{what}: {file.metadata.num_rows:,} rows and {file.metadata.num_columns:,} columns, which is refused")
        batches, size = [], 0
        for batch in file.iter_batches(batch_size=1024):
            size += batch.nbytes
            if size > MOST_BYTES:
                raise PlaceError(f"{what}: larger than {MOST_BYTES:,} bytes in memory, which is refused")
            batches.append(batch)
        return pa.Table.from_batches(batches, file.schema_arrow)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError, OverflowError) as error:
        raise PlaceError(f"{what}: not readable as Parquet ({told(error)})") from None


def records(content: bytes, what: str, columns: Mapping[str, type]) -> list[dict[str, Any]]:
    """Read a Parquet file as dicts that have these columns, of these types, none of them missing."""
    try:
        found: list[dict[str, Any]] = table(content, what).to_pylist()
    except (pa.ArrowException, ValueError, MemoryError) as error:
        raise PlaceError(f"{what}: not readable ({told(error)})") from None
    for record in found:
        for name, kind in columns.items():
            if not isinstance(record.get(name), kind):
                raise PlaceError(f"{what}: column {name!r} holds {record.get(name)!r:.60}, expected {kind.__name__}")
    return found


def rows(content: bytes, what: str) -> list[Row]:
    """Read leaderboard rows: the exact schema, known words, finite numbers, parameters that are JSON objects."""
    read = table(content, what)
    version = (read.schema.metadata or {}).get(b"bench_schema_version", b"none").decode(errors="replace")
    if version != str(SCHEMA_VERSION):
        raise PlaceError(f"{what}: the rows' version is {version[:20]}, this bench reads {SCHEMA_VERSION}; use the bench that wrote them")
    read = completed(read)
    if not read.schema.equals(SCHEMA):
        raise PlaceError(f"{what}: its columns are not those of version {version}")
    try:
        found: list[Row] = read.to_pylist()
        rows_to_table(found)
    except (pa.ArrowException, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise PlaceError(f"{what}: {told(error)}") from None
    for at, row in enumerate(found):
        if words := _wrong(row):
            raise PlaceError(f"{what}: row {at}: {words}")
    return found


def _wrong(row: Row) -> str:
    """Describe what is wrong with a row that has the right columns; empty: nothing."""
    if row["task"] not in TASKS:
        return f"task {row['task'][:40]!r} is unknown"
    if row["created"] is None:
        return "created is missing"
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


def prediction(content: bytes, what: str) -> list[dict[str, Array]]:
    """Read the parts of a prediction from an npz file: numbers only, each array as large as its file says."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MOST_BYTES or len(members) > 10_000:
                raise PlaceError(f"{what}: larger than {MOST_BYTES:,} bytes in memory, which is refused")
            named = {member.filename: _array(archive, member, what) for member in members}
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, MemoryError, NotImplementedError, RuntimeError, OverflowError) as error:
        raise PlaceError(f"{what}: not readable as a prediction ({told(error)})") from None
    parts: dict[int, dict[str, Array]] = {}
    for name, array in named.items():
        found = ARRAY.fullmatch(name)
        if found is None:
            raise PlaceError(f"{what}: holds {name[:60]!r}, expected arrays named PART.FIELD")
        parts.setdefault(int(found[1]), {})[found[2]] = array
    if sorted(parts) != list(range(len(parts))) or not parts:
        raise PlaceError(f"{what}: its parts are {sorted(parts)[:5]}, expected 0, 1, ...")
    return [parts[part] for part in range(len(parts))]


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
