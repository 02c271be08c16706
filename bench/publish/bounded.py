"""Read strangers' Parquet: columns and inflated sizes are checked on what the file says, then held to while it is read.

A few bytes can stand for gigabytes: one dictionary value repeated by run-length, a page of zeros, lists in lists. So columns
are compared before any is read, texts stay the dictionary that they were written as, and what a file hides from its own
footer meets a limit on address space.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.publish.store import PlaceError, reason_of

MOST_VALUES = 1 << 24
"""Values of a table, of all columns together."""
MOST_BYTES = 1 << 28
"""Bytes of a table in memory, with each text that recurs once."""
MOST_BUNDLE = 1 << 16
"""Bytes of a Sigstore bundle: one certificate, one log entry with its path and some time stamps, about 10 kB."""
HEADROOM = 3 << 28
"""Bytes of address space that one file may take while it is read, beyond what the process has."""
FOOTER = {"thrift_string_size_limit": 1 << 20, "thrift_container_size_limit": 1_000}
"""Limits on the list of columns, which is read before anything can be checked; its nesting is followed by recursion."""
BROKEN = (pa.ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError, OverflowError)


def opened(content: bytes, what: str) -> pq.ParquetFile:
    """Open a Parquet file; no column is read."""
    try:
        with headroom():
            first = pq.ParquetFile(pa.BufferReader(content), **FOOTER)
            leaves = [first.metadata.schema.column(at) for at in range(first.metadata.num_columns)]
            texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
            return pq.ParquetFile(pa.BufferReader(content), read_dictionary=texts, **FOOTER)
    except BROKEN as error:
        raise PlaceError(f"{what}: not readable as Parquet ({reason_of(error)})") from None


def schema(file: pq.ParquetFile) -> pa.Schema:
    """Return the columns as the file says them: a text that is kept as a dictionary is a text."""
    return pa.schema([pa.field(f.name, _plain(f.type), nullable=f.nullable) for f in file.schema_arrow], file.schema_arrow.metadata)


def read(file: pq.ParquetFile, what: str, *, most_rows: int) -> pa.Table:
    """Read all columns, texts as dictionaries; raise `PlaceError` where they are larger than any honest file's."""
    about = file.metadata
    if about.num_rows > most_rows:
        raise PlaceError(f"{what}: {about.num_rows:,} rows, which is refused: at most {most_rows:,} are read")
    chunks = [about.row_group(at).column(leaf) for at in range(about.num_row_groups) for leaf in range(about.num_columns)]
    if sum(max(chunk.num_values, 0) for chunk in chunks) > MOST_VALUES:
        raise PlaceError(f"{what}: more than {MOST_VALUES:,} values, which is refused")
    if sum(max(chunk.total_uncompressed_size, 0) for chunk in chunks) > MOST_BYTES:
        raise PlaceError(f"{what}: larger than {MOST_BYTES:,} bytes in memory, which is refused")
    try:
        with headroom():
            table = file.read(use_threads=False)
    except BROKEN as error:
        raise PlaceError(f"{what}: not readable as Parquet ({reason_of(error)})") from None
    if table.num_rows > most_rows or table.nbytes > MOST_BYTES:
        raise PlaceError(f"{what}: larger than {MOST_BYTES:,} bytes in memory, which is refused")
    return table


def decode_dictionaries(table: pa.Table, what: str, *, most: int) -> pa.Table:
    """Replace dictionaries by their texts; raise `PlaceError` where that takes more than `most` bytes."""
    size = sum(_text(chunk) for column in table.columns for chunk in column.chunks)
    if size > most:
        raise PlaceError(f"{what}: {size:,} bytes of text, which is refused: at most {most:,} are read")
    return table.cast(pa.schema([pa.field(f.name, _plain(f.type), nullable=f.nullable) for f in table.schema], table.schema.metadata))


def strings(content: bytes, what: str, names: Mapping[str, pa.DataType], *, most_rows: int) -> pa.Table:
    """Read a table that has exactly these columns, none of them with a null; texts stay dictionaries."""
    file = opened(content, what)
    found = {field.name: field.type for field in schema(file)}
    if found != dict(names):
        said = ", ".join(f"{name} {kind}" for name, kind in list(found.items())[:5])
        raise PlaceError(f"{what}: its columns are {said:.200}; expected {', '.join(f'{n} {k}' for n, k in names.items())}")
    table = read(file, what, most_rows=most_rows)
    if empty := [name for name in table.column_names if table[name].null_count]:
        raise PlaceError(f"{what}: column {empty[0]!r} has empty values, expected none")
    return table


def equal_to(column: pa.ChunkedArray, text: str) -> pa.Array:
    """Compare a column of texts with one text, bool [E], by its dictionary: no text is copied."""
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], column.type)
    return pc.equal(whole.indices, pc.index(whole.dictionary, text).as_py())


def same_texts(column: pa.ChunkedArray, texts: pa.Array) -> bool:
    """Compare a column of texts with given ones, in order; a longer text than any of those is not spelt out."""
    if len(column) != len(texts):
        return False
    longest = pc.max(pc.binary_length(texts)).as_py() or 0
    if any((pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0) > longest for chunk in column.chunks if len(chunk)):
        return False
    found = pa.chunked_array([chunk.dictionary_decode() for chunk in column.chunks], texts.type)
    return bool(found.equals(pa.chunked_array([texts])))


@contextlib.contextmanager
def headroom(size: int = HEADROOM) -> Iterator[None]:
    """Bound what the block may add to the process's address space: more ends as `MemoryError`, not with the machine.

    Where the system knows no such limit, only the checks on what a file says of itself stand.
    """
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        before = resource.getrlimit(resource.RLIMIT_AS)
        wanted = pages * resource.getpagesize() + size
        resource.setrlimit(resource.RLIMIT_AS, (wanted if before[0] < 0 else min(wanted, before[0]), before[1]))
    except (ImportError, OSError, ValueError):
        yield
        return
    pool = pa.default_memory_pool()
    try:
        # others keep address space in store, which the limit would let them fill
        pa.set_memory_pool(pa.system_memory_pool())
        yield
    finally:
        pa.set_memory_pool(pool)
        resource.setrlimit(resource.RLIMIT_AS, before)


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return kind.value_type
    return pa.list_(_plain(kind.value_type)) if pa.types.is_list(kind) else kind


def _text(array: pa.Array) -> int:
    """Count the bytes of the texts of an array as if each stood for itself."""
    if pa.types.is_list(array.type):
        return _text(array.flatten())
    if not pa.types.is_dictionary(array.type):
        return 0
    return int(pc.sum(pc.take(pc.binary_length(array.dictionary).cast(pa.int64()), array.indices)).as_py() or 0)
