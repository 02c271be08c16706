"""Arrow tables from Python values, and back, without pandas."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from bench.data import arrow

FLAGS = pa.list_(pa.string())
SCHEMA = pa.schema([("name", pa.string()), ("count", pa.int64()), ("when", pa.timestamp("us", "UTC")), ("flags", FLAGS)])
ROWS = [
    {"name": "a", "count": 3, "when": datetime(2024, 1, 2, tzinfo=UTC), "flags": ["x"]},
    {"name": None, "count": None, "when": None, "flags": []},
]
FRESH = """
import datetime, sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from bench.data import arrow

schema = pa.schema([("name", pa.string()), ("when", pa.timestamp("us", "UTC"))])
pq.write_table(arrow.table([{"name": "a", "when": datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)}], schema), sys.argv[1])
assert len(arrow.rows_of(arrow.read(Path(sys.argv[1])))) == 1
print("pandas" in sys.modules)
"""


def test_a_table_is_that_of_pyarrow_and_gives_its_rows_again() -> None:
    made = arrow.table([{**row, "more": 1} for row in ROWS], SCHEMA)
    assert made.equals(pa.Table.from_pylist(ROWS, SCHEMA))
    assert arrow.rows_of(made) == ROWS
    assert arrow.table([], SCHEMA).schema == SCHEMA


@pytest.mark.parametrize(("values", "kind"), [(["x"], pa.int64()), ([1], pa.string()), ([2**70], pa.int64())])
def test_a_value_of_another_type_is_refused(values: list[object], kind: pa.DataType) -> None:
    with pytest.raises(pa.ArrowInvalid, match="not all values are"):
        arrow.column(values, kind)


def test_neither_way_imports_pandas(tmp_path: Path) -> None:
    words = [sys.executable, "-c", FRESH, str(tmp_path / "one.parquet")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr
