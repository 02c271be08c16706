"""The published search of a run: every trial, what each search chose, and the validation predictions of what it chose.

Parameters, scores and statuses, no data. `consistent` derives from them what a row says of its search; with the data at
hand, `rescore` makes the scores of what was chosen anew. Runs from before searches were published have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pyarrow as pa

from bench.board.schema import Row
from bench.publish import bounded, untrusted
from bench.publish.place import Published
from bench.publish.search_tables import CHOICES, TRIALS, VALID
from bench.publish.store import PlaceError

Cell: TypeAlias = tuple[str, str, str]
"""Task id, data set, model."""
MOST_TRIALS = 100_000
MOST_TEXT = 1 << 26
"""Bytes of the texts of one table."""
NULLABLE = frozenset({"value", "latest_value"})


@dataclass(frozen=True)
class Searches:
    """The searches of one published run, by cell."""

    trials: Mapping[Cell, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    choices: Mapping[Cell, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    """Cell -> tuning -> what was chosen."""


def read(published: Published) -> Searches | None:
    """Read the searches of a published run; None where it was published without them."""
    there = published.manifest()["files"]
    if not {"trials.parquet", "choices.parquet"} & set(there):
        return None
    trials: dict[Cell, list[Mapping[str, Any]]] = {}
    for trial in _records(published, "trials.parquet", TRIALS, ("params", "scores")):
        trials.setdefault(_cell(trial), []).append(trial)
    choices: dict[Cell, dict[str, Mapping[str, Any]]] = {}
    for choice in _records(published, "choices.parquet", CHOICES, ("params", "scores", "replicates", "files")):
        if choice["tuning"] in choices.setdefault(_cell(choice), {}):
            raise PlaceError(f"{published.path('choices.parquet')}: {choice['model'][:80]!r} chose twice for {choice['tuning'][:40]!r}")
        choices[_cell(choice)][choice["tuning"]] = choice
    return Searches(trials, choices)


def cell_of(row: Row) -> Cell:
    """Return the cell that a row is of."""
    return row["task_id"], row["dataset"], row["model"]


def _cell(record: Mapping[str, Any]) -> Cell:
    return str(record["task_id"]), str(record["dataset"]), str(record["model"])


def _records(published: Published, name: str, schema: pa.Schema, documents: Sequence[str]) -> list[dict[str, Any]]:
    """Read a table of exactly these columns as dicts, those of JSON spelt out."""
    what = published.path(name)
    file = bounded.opened(published.file(name), what)
    found = bounded.schema(file)
    if [(f.name, f.type) for f in found] != [(f.name, f.type) for f in schema]:
        raise PlaceError(f"{what}: its columns are {', '.join(found.names)[:200]}; expected {', '.join(schema.names)}")
    table = bounded.decode_dictionaries(bounded.read(file, what, most_rows=MOST_TRIALS), what, most=MOST_TEXT)
    if empty := [column for column in table.column_names if table[column].null_count and column not in NULLABLE]:
        raise PlaceError(f"{what}: column {empty[0]!r} has empty values, expected none")
    rows: list[dict[str, Any]] = table.to_pylist()
    return [{**row, **{each: _document(row[each], each, what) for each in documents}} for row in rows]


def _document(text: str, column: str, what: str) -> dict[str, Any]:
    """Read one JSON object; lists in it hold finite numbers where scores are meant."""
    found = untrusted.document(text.encode(), f"{what}: {column}")
    if column in {"scores", "replicates"} and not all(_numbers(values) for values in found.values()):
        raise PlaceError(f"{what}: {column} holds {text[:60]!r}, expected lists of numbers")
    if column == "files" and not all(isinstance(name, str) and VALID.fullmatch(name) for name in found.values()):
        raise PlaceError(f"{what}: file {text[:80]!r} is refused: it is no prediction of the run's own folder")
    return found


def _numbers(values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(v, int | float) and abs(v) < float("inf") for v in values)
