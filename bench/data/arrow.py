"""Arrow tables from Python values, and back.

pyarrow imports pandas, where it is installed, whenever it is given a list, asked for a time or for a whole data set of files: a
third of a second of each command. polars, and the reader of a single file, do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Type values, None among them, as an Arrow array; raise `pa.ArrowInvalid` where one is of another type."""
    try:
        series = pl.Series(values=values, dtype=pl.Series(pa.nulls(0, kind)).dtype, strict=True)
    except (TypeError, OverflowError, pl.exceptions.PolarsError) as error:
        raise pa.ArrowInvalid(f"not all values are {kind} ({' '.join(str(error).split())})") from error
    return series.to_arrow().cast(kind)


def table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Type rows as an Arrow table, the columns of the schema and no other; what a row lacks is null."""
    return pa.Table.from_arrays([column([row.get(field.name) for row in rows], field.type) for field in schema], schema=schema)


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows as plain dicts, null as None."""
    return pl.DataFrame(table).to_dicts()


def read(path: Path) -> pa.Table:
    """Read one Parquet file; raise `pa.ArrowException` or OSError where it is none."""
    with pq.ParquetFile(path) as file:
        return file.read()
