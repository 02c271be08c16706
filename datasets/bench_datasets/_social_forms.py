"""The raw forms of social logs: which files make up a log, and each as a table of edges in text.

An edge is a line `SRC DST UNIXTS` (SNAP) or `source,target,rating,time`, or has a header that names these in any order.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bench.api import SIMULATION
from bench.errors import DataError, suggest
from bench.sources.cache import source_files

from ._social_text import Table, is_number, read_table, sniffed, suffix_of

TEXT = (".txt", ".csv", ".tsv", ".edges")
"""Stands in a folder that the simulator has written; the log beside it is `MESSAGES`."""
MESSAGES = "messages.txt"

NAMES = {
    "source": ("src", "source", "from", "sender"),
    "target": ("dst", "target", "to", "receiver", "recipient"),
    "value": ("weight", "rating", "value"),
    "time": ("time", "unixts", "timestamp", "ts"),
}
"""Our names, and those that a header may have; the weight alone may be absent."""
ORDER = {3: ("source", "target", "time"), 4: ("source", "target", "value", "time")}
"""Columns of a file without a header, by their number."""
EARLY = 1e8
"""Unix seconds of 1973: a bare line of four numbers that ends with less is no edge (CDNOW's lines end with dollars)."""

log = logging.getLogger("bench")


@dataclass(frozen=True)
class Edges:
    """The edges of one file as text: `source`, `target`, `value` (null: no weight) and `time`."""

    file: Path
    kind: str
    rows: pl.DataFrame
    named: dict[str, str]
    """What the file calls our columns, for messages."""


def form_of(path: Path) -> str | None:
    """Name the form at `path` from the first lines of its files; None: these are no edges."""
    files = edge_files(path)
    if not files:
        return None
    form = _sniff(files[0])
    return f"{form}-folder" if path.is_dir() and len(files) > 1 else form


def edge_files(path: Path) -> list[Path]:
    """List the files of edges: `path` itself, or those directly in the folder."""
    if (path / SIMULATION).is_file() and (path / MESSAGES).is_file():
        return [path / MESSAGES]
    return [f for f in _candidates(path) if _sniff(f)]


def read_edges(path: Path) -> list[Edges]:
    """Read the files at `path`, each as a kind of events if there are several; raise `DataError`."""
    below = {f.parent.name for f in source_files(path) if f.parent != path and suffix_of(f) in TEXT}
    files = [path] if path.is_file() else edge_files(path)
    if not files:
        hint = f"give its folder {min(below)}" if below else f"it needs lines SRC DST UNIXTS in {', '.join(TEXT)}"
        raise DataError(f"folder {path} holds no file of edges; {hint}")
    others = [f.name for f in _candidates(path) if f not in files and suffix_of(f) != ".txt"]
    if others and not (path / SIMULATION).is_file():
        log.info("passed over, for they hold no edges: %s", ", ".join(others))
    kinds = [_stem(f) for f in files] if len(files) > 1 else ["message"]
    if len(set(kinds)) < len(kinds):
        twice = next(k for k in kinds if kinds.count(k) > 1)
        raise DataError(f"folder {path} holds two files for kind {twice!r}; keep the packed or the plain one")
    return [_edges(read_table(f), kind) for f, kind in zip(files, kinds, strict=True)]


def _candidates(path: Path) -> list[Path]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [f for f in files if f.is_file() and not f.name.startswith(".") and (suffix_of(f) in TEXT or f == path)]


def _sniff(file: Path) -> str | None:
    fields = sniffed(file)
    found = {ours for ours, known in NAMES.items() if {f.lower() for f in fields} & set(known)}
    if {"source", "target", "time"} <= found:
        return "snap-weighted" if "value" in found else "snap"
    if len(fields) not in ORDER or not all(is_number(f) for f in fields[2:]):
        return None
    if len(fields) == 3:
        return "snap" if float(fields[2]).is_integer() else None
    return "snap-weighted" if float(fields[3]) >= EARLY else None


def _stem(file: Path) -> str:
    return file.name.split(".")[0] or file.name


def _edges(table: Table, kind: str) -> Edges:
    """Name the columns, by the header or by their number."""
    have = table.rows.columns
    if table.has_header:
        low = {name.lower(): name for name in reversed(have)}
        named = {ours: next((low[n] for n in known if n in low), "") for ours, known in NAMES.items()}
        missing = [ours for ours in ("source", "target", "time") if not named[ours]]
        if missing:
            wanted = NAMES[missing[0]][0]
            raise DataError(f"{table.file}: no column {wanted!r}; {suggest(wanted, have)}")
    elif table.width in ORDER:
        table.rows.columns = list(ORDER[table.width])
        named = {name: name for name in ORDER[table.width]}
    else:
        shown = " ".join(str(field or "") for field in table.rows.row(0))
        raise DataError(
            f"{table.file}: the first line {shown!r} has {table.width} fields; expected SRC DST UNIXTS or source,target,rating,time"
        )
    named = {ours: theirs for ours, theirs in named.items() if theirs}
    rows = table.rows.select(pl.col(theirs).alias(ours) for ours, theirs in named.items())
    absent = [] if "value" in named else [pl.lit(None, pl.String).alias("value")]
    return Edges(table.file, kind, rows.with_columns(absent).select(*NAMES), named)
