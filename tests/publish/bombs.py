"""Make small files that stand for gigabytes, read each as a verifier would, and print how that ended.

Run as a process of its own, under a limit on memory: what is not refused takes the process with it.
"""

from __future__ import annotations

import io
import json
import resource
import sys
import zipfile
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.board.schema import SCHEMA
from bench.publish import bounded, untrusted
from bench.publish.package import INDEX, MEMBERS
from bench.publish.place import INDEX_COLUMNS, MEMBER_COLUMNS, MOST_MEMBERS
from bench.publish.store import PlaceError

LIMIT = 1 << 30
"""Bytes that reading a file may take."""
ROWS = 3_000_000
"""Each with 90,000 characters: 270 GB."""


def packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def repeated(schema: pa.Schema, rows: int, text: str) -> bytes:
    """Write each column as one value that recurs: texts as a dictionary, numbers by run-length."""
    columns = []
    for field in schema:
        kind = pa.dictionary(pa.int32(), field.type) if field.type == pa.string() else field.type
        value = {pa.string(): text, pa.list_(pa.string()): [text]}.get(field.type)
        if pa.types.is_dictionary(kind):
            columns.append(pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([value])))
        else:
            columns.append(pa.nulls(rows, kind) if value is None else pa.array([value] * rows, kind))
    sink = pa.BufferOutputStream()
    # without the stored Arrow schema a reader makes plain texts of the dictionaries, as of any file
    fields = [field.with_type(column.type) for field, column in zip(schema, columns, strict=True)]
    table = pa.Table.from_arrays(columns, schema=pa.schema(fields, schema.metadata))
    pq.write_table(table, sink, compression="zstd", store_schema=schema.metadata is not None)
    return sink.getvalue().to_pybytes()


def page(size: int) -> bytes:
    """Write one value so long that its page alone fills the memory."""
    sink = pa.BufferOutputStream()
    table = pa.table({name: pa.array(["x" * size if name == "member" else "x"]) for name in MEMBERS.names})
    pq.write_table(table, sink, compression="zstd", use_dictionary=False, write_statistics=False)
    return sink.getvalue().to_pybytes()


def nested(depth: int) -> bytes:
    kind: pa.DataType = pa.int8()
    for _ in range(depth):
        kind = pa.list_(kind)
    return packed(pa.table({"a": pa.nulls(1, kind)}))


def zipped(size: int, members: int = 1) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for at in range(members):
            with archive.open(f"{at}.prediction.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, {"descr": "|i1", "fortran_order": False, "shape": (size,)})
                for _ in range(size >> 20):
                    member.write(bytes(1 << 20))
    return stream.getvalue()


def many(members: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for at in range(members):
            archive.writestr(f"{at}", b"")
    return stream.getvalue()


def rows(content: bytes) -> object:
    return untrusted.rows(content, "rows.parquet")


def index(content: bytes) -> object:
    return untrusted.records(content, "predictions.parquet", INDEX_COLUMNS)


def members(content: bytes) -> object:
    table = bounded.strings(content, "members.parquet", MEMBER_COLUMNS, most_rows=MOST_MEMBERS)
    kept = table["member"].filter(bounded.equal_to(table["task_id"], "x" * 90_000))
    return bounded.same_texts(kept, pa.array(["0" * 32] * len(kept), pa.string()))


def hidden(content: bytes) -> object:
    """Read as if the file's footer had told of a small page: what is left is the limit on address space."""
    most, room = bounded.MOST_BYTES, bounded.HEADROOM
    bounded.MOST_BYTES, bounded.HEADROOM = 1 << 40, 1 << 27
    try:
        return members(content)
    finally:
        bounded.MOST_BYTES, bounded.HEADROOM = most, room


def prediction(content: bytes) -> object:
    return untrusted.prediction(content, "x.npz", 1 << 26)


def document(content: bytes) -> object:
    return untrusted.document(content, "run.json")


BOMBS: dict[str, tuple[Callable[[], bytes], Callable[[bytes], object]]] = {
    "a dictionary value of 90,000 characters, 3 million rows": (lambda: repeated(MEMBERS, ROWS, "x" * 90_000), members),
    "the same as an index": (lambda: repeated(INDEX, ROWS, "x" * 90_000), index),
    "run-lengths of every column": (lambda: repeated(SCHEMA, 200_000, "x"), rows),
    "rows with long texts": (lambda: repeated(SCHEMA, 4_000, "x" * 90_000), rows),
    "a page of 500 MB": (lambda: page(1 << 29), members),
    "a page of 500 MB that the footer hides": (lambda: page(1 << 29), hidden),
    "lists in lists, a hundred deep": (lambda: nested(100), members),
    "lists in lists, 3,000 deep": (lambda: nested(3_000), members),
    "an array of 250 MB of zeros": (lambda: zipped(1 << 28), prediction),
    "100 arrays of 4 MB": (lambda: zipped(1 << 22, 100), prediction),
    "20,000 empty members": (lambda: many(20_000), prediction),
    "10 million lists": (lambda: b'{"a":[' + b"[]," * 10_000_000 + b"1]}", document),
    "5 million dicts in dicts": (lambda: b'{"":' * 5_000_000, document),
}


def ended(make: Callable[[], bytes], read: Callable[[bytes], object]) -> tuple[int, str]:
    content = make()
    before = resource.getrlimit(resource.RLIMIT_AS)
    try:
        with bounded.headroom(LIMIT):
            return len(content), f"read: {read(content)!r:.80}"
    except PlaceError as error:
        return len(content), f"refused: {error}"
    finally:
        assert resource.getrlimit(resource.RLIMIT_AS) == before


def main() -> None:
    """Print a line of JSON a bomb: its bytes, how it ended."""
    for name, (make, read) in BOMBS.items():
        size, how = ended(make, read)
        sys.stdout.write(json.dumps({"name": name, "bytes": size, "how": how}) + "\n")


if __name__ == "__main__":
    main()
