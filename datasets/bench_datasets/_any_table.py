"""Anybody's tables: delimited text, Parquet and JSON lines, packed or not, one file or a folder of one kind."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from bench.errors import DataError, suggest
from bench.sources.cache import source_files

from ._tables import UTF16_BOMS, Part, content_of, first_line, head_of, kind_of, read_csv

SUFFIXES = {
    "csv": (".csv", ".tsv", ".csv.gz", ".tsv.gz"),
    "parquet": (".parquet", ".pq"),
    "jsonl": (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"),
}
"""Kinds of tables in a folder; a file given by itself is known by its content."""
DELIMITERS = ",;\t|"
LOSSLESS = {pl.Int64: r"^-?(0|[1-9]\d{0,17})$", pl.Float64: r"^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$"}
"""Texts that are numbers and nothing more: `007` and `1,5` are not."""

log = logging.getLogger("bench")


def table_files(path: Path) -> list[Path]:
    """List the tables at `path`: itself, or the files of one kind directly in the folder; raise `DataError`."""
    found = source_files(path)
    if path.is_file():
        return [path]
    kinds: dict[str, list[Path]] = {}
    for file in found:
        kind = next((k for k, suffixes in SUFFIXES.items() if kind_of(file) in suffixes), "")
        if file.parent == path and not file.name.startswith((".", "_")):
            kinds.setdefault(kind, []).append(file)
    kinds.pop("", None)
    if not kinds:
        raise DataError(f"folder {path} holds no table; it needs files of one kind: {', '.join(s for k in SUFFIXES.values() for s in k)}")
    if len(kinds) > 1:
        raise DataError(
            f"folder {path} mixes {' and '.join(f'{k} ({files[0].name})' for k, files in kinds.items())}; give one kind or one file"
        )
    return next(iter(kinds.values()))


def say_others(path: Path, files: Sequence[Path]) -> None:
    """Name what lies beside the tables of a folder and is passed over."""
    others = [f.name for f in sorted(path.iterdir()) if f not in files] if path.is_dir() else []
    if others:
        log.info("passed over in %s: %s", path.name, ", ".join(others))


def kind_of_table(file: Path) -> str:
    """Report `csv`, `parquet` or `jsonl` by a file's first bytes; raise `DataError` for what is none."""
    head = head_of(file)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"PK\x03\x04", b"\x1f\x8b")) or (b"\0" in head and not head.startswith(UTF16_BOMS)):
        raise DataError(f"{file} is no table of text, Parquet or JSON lines; save it as .csv or .parquet (packed text ends in .gz)")
    start = first_line(head).lstrip()[:1]
    if start == "[":
        raise DataError(f"{file} is a JSON array; write JSON lines, one object a line")
    return "jsonl" if start == "{" else "csv"


def read_part(file: Path) -> Part:
    """Read one table; all columns of delimited text are text. Raises `DataError` that names file, row and cure."""
    kind = kind_of_table(file)
    if kind == "parquet":
        try:
            return Part(str(file), pl.read_parquet(file))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{file} cannot be read as Parquet ({_first(error)}); write or download it again") from error
    content = content_of(file)
    if kind == "csv":
        return Part(str(file), read_csv(content, file, delimiter_of(first_line(content))))
    try:
        return Part(str(file), pl.read_ndjson(io.BytesIO(content), infer_schema_length=None))
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{file}: {_bad_line(content) or _first(error)}; write one JSON object a line, with plain values") from error


def columns_of(file: Path) -> list[str]:
    """List a table's columns from its head; empty where it is no table."""
    try:
        kind = kind_of_table(file)
        if kind == "parquet":
            return list(pl.read_parquet_schema(file))
        line = first_line(head_of(file))
        return list(json.loads(line)) if kind == "jsonl" else [name.strip(' "') for name in line.split(delimiter_of(line))]
    except (DataError, OSError, ValueError, pl.exceptions.PolarsError):
        return []


def delimiter_of(line: str) -> str:
    """Find what separates a header's names: the candidate that stands outside quotes most often; a comma, if none."""
    outside = "".join(line.split('"')[::2])
    return max(DELIMITERS, key=outside.count)


def typed(column: pl.Series) -> pl.Series:
    """Return a column of texts as numbers where every text is one in its only spelling; else as it is."""
    if column.dtype != pl.String or column.null_count() == len(column):
        return column
    kind = next((kind for kind, pattern in LOSSLESS.items() if column.str.contains(pattern).all()), None)
    return column if kind is None else column.cast(kind)


def plain(frame: pl.DataFrame, where: str) -> pl.DataFrame:
    """Leave out columns that are no plain values, such as lists, and say so; decimals become floats."""
    nested = [n for n, t in frame.schema.items() if t.is_nested() or t in {pl.Binary, pl.Object}]
    if nested:
        log.info("%s: left out, being no plain values: %s", where, ", ".join(nested))
    wide = [n for n, t in frame.schema.items() if t.is_decimal() or t in {pl.Int128, pl.UInt128}]
    return frame.drop(nested).with_columns(pl.col(wide).cast(pl.Float64))


def column_named(name: str, columns: Sequence[str], where: str) -> str:
    """Return back a column that exists; raise `DataError` that proposes the likely one."""
    if name not in columns:
        raise DataError(f"{where}: no column {name!r}; {suggest(name, list(columns))}")
    return name


def guessed(known: Sequence[str], columns: Sequence[str]) -> str | None:
    """Find the column that goes by one of the known names, whatever its case and separators; the earlier name wins."""
    simple = {_simple(column): column for column in reversed(columns)}
    return next((simple[_simple(name)] for name in known if _simple(name) in simple), None)


def likely(known: Sequence[str], columns: Sequence[str]) -> str:
    """End a message about a missing column: the one that is most like a known name, or all there are."""
    import difflib

    def score(column: str, name: str) -> float:
        a, b = _simple(column), _simple(name)
        # InvoiceDate is a date
        return 0.9 if len(b) > 3 and b in a else difflib.SequenceMatcher(None, a, b).ratio()

    scores = {column: max(score(column, name) for name in known) for column in columns}
    best = max(scores, key=scores.__getitem__, default="")
    return f"did you mean {best!r}?" if best and scores[best] > 0.6 else f"it has {', '.join(columns)}."


def stem(path: Path) -> str:
    """Name data by its file or folder, without suffixes."""
    return path.resolve().name.split(".")[0] or path.name


def chosen(option: str, options: Mapping[str, str], allowed: Sequence[str]) -> str | None:
    """Return an option's value; None where it is not given. Raises `DataError` for what is not allowed."""
    value = options.get(option)
    if value is not None and value not in allowed:
        raise DataError(f"option {option}={value!r} is unknown; use {', '.join(allowed)}")
    return value


def _simple(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _first(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _bad_line(content: bytes) -> str:
    """Find the first line that is no JSON object: polars does not say which it was."""
    for number, line in enumerate(content.decode().splitlines(), start=1):
        try:
            if line.strip() and not isinstance(json.loads(line), dict):
                return f"line {number} is no JSON object"
        except ValueError as error:
            return f"line {number} is no JSON ({error})"
    return ""
