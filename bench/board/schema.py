"""Fix what a leaderboard file holds: one typed row per (cell, tuning, seed), versioned, in Parquet."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from bench.data import arrow
from bench.errors import RunFolderError, suggest
from bench.tasks.lookup import FIRST as TASKS
from bench.tasks.lookup import task_named

Row: TypeAlias = dict[str, Any]

SCHEMA_VERSION = 2
"""States which columns of `_core` a file has. Raised whenever one is dropped, changes its meaning or becomes required.

Metrics are no part of it: their columns come from the tasks, and one that a file lacks is read as null.
"""

AGGREGATOR = "paired-cluster-percentile/1"
"""What turned scores into intervals and skill; raised whenever the same scores would give other numbers. Ranks follow from
these columns alone, and are made anew wherever rows are read."""

TUNINGS = ("default", "tuned", "label-free")
STATUSES = ("ok", "failed", "timeout", "oom", "crash", "invalid", "skipped")
FLAGS = (
    "underpowered", "few-labels", "trivial", "contaminated", "fallback", "mean-from-quantiles", "quantiles-crossed", "clipped",
    "charged", "cut-short", "kept-default", "averaged", "few-trials", "calibrated", "unconfined", "cross-fitted", "seed-matters",
)  # fmt: skip
"""`cut-short`: the fit asked whether to stop and was told that its time was up;
`unconfined`: the code is not the project's own, and could see more than its inputs;
`seed-matters`: the model calls itself deterministic, and is not."""

REQUIRED = ("task", "task_id", "dataset", "model", "tuning", "status")
"""Columns that no row may lack."""


def metric_columns(metrics: Iterable[str]) -> Iterator[str]:
    """Yield the three columns of each metric: its value and the ends of its interval."""
    yield from (f"{metric}{end}" for metric in metrics for end in ("", "_low", "_high"))


def _fields() -> list[pa.Field[Any]]:
    text, real, whole = pa.string(), pa.float64(), pa.int64()
    metrics = list(metric_columns(dict.fromkeys(metric for task in TASKS for metric in task_named(task).metrics)))
    types: dict[str, pa.DataType] = {
        "task": text, "task_id": text, "dataset": text, "simulated": pa.bool_(), "fingerprint": text,
        "family": text, "mode": text, "level": text,
        "model": text, "plugin": text, "plugin_version": text, "source_hash": text,
        "tuning": text, "seed": whole, "status": text, "reason": text, "flags": pa.list_(text),
        "horizon_days": real,
        "n_test": whole,     # rows that are scored: test users, for churn
        "base_rate": real,   # share of churners among these rows (not the training rate that log_loss_skill uses)
        "rank": pa.int32(),  # by value: 1 leads; null: unranked
        "tied": pa.bool_(),  # ranked, and not to be told apart from the leader; null: unranked
        **dict.fromkeys(metrics, real),
        "reference": text,   # the model that skill is measured against
        "skill": real, "skill_low": real, "skill_high": real,      # ranking metric against the reference's, same rows; + is better
        "behind": real, "behind_low": real, "behind_high": real,   # the leader's ranking metric minus this row's
        "above_floor": real, "above_floor_low": real, "above_floor_high": real,  # better than the floor (anomaly: the best of the league)
        "ceiling": real, "ceiling_low": real, "ceiling_high": real,  # ranking metric of one who knows how the truth was made: no model
        "objective": text,   # what the search optimised; its value on validation is valid_score
        "valid_score": real, "trials": pa.int32(), "fits": pa.int32(), "failed_trials": pa.int32(), "stopped_by": text,
        "search_seconds": real, "fit_seconds": real, "predict_seconds": real,
        "device": text, "workers": pa.int32(), "peak_memory_mb": real,
        "gpu": text, "gpu_memory_mb": real,  # name and whole memory of the GPU that the final fit ran on; null: none
        "params": text,      # JSON
        "log_loss_raw": real,  # log-loss of the model's own probabilities, before calibration; null: not calibrated
        "calibration": text,   # JSON: slope and intercept over the log-odds
        "protocol": text, "bench_version": text, "git_commit": text, "created": pa.timestamp("us", "UTC"),
        "schema_version": pa.int32(), "aggregator": text,
    }  # fmt: skip
    return [pa.field(name, kind, nullable=name not in REQUIRED) for name, kind in types.items()]


SCHEMA: pa.Schema = pa.schema(_fields(), metadata={"bench_schema_version": str(SCHEMA_VERSION)})
"""The columns of `leaderboard.parquet`, in order; what a task does not measure is null. Metrics of further tasks follow them."""
NAMES = frozenset(SCHEMA.names)
"""Asked for each key of each row: Arrow makes its own list of names anew each time."""


def other_metrics(tasks: Collection[str]) -> list[str]:
    """List the columns of metrics that none of these tasks has: on their boards they are null."""
    known = {task: set(task_named(task).metrics) for task in TASKS}
    own = set[str]().union(*(known.get(task, ()) for task in tasks))
    return list(metric_columns(dict.fromkeys(metric for task in TASKS for metric in task_named(task).metrics if metric not in own)))


def rows_to_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Type rows as an Arrow table of `SCHEMA`: a missing key or nan becomes null, the versions are stamped.

    A metric that no known task has gets its columns too, where a row has all three of them. Raises ValueError that names
    the row, the key and the cure for unknown keys, tunings, statuses and flags, and where a required key is missing.
    """
    further = list(dict.fromkeys(name for row in rows for name in metric_columns(_further(row))))
    for at, row in enumerate(rows):
        _check(row, f"row {at} ({row.get('dataset')}, {row.get('model')})", further)
    schema = _with(further)
    stamped = [{"schema_version": SCHEMA_VERSION, "aggregator": AGGREGATOR, "flags": [], **row} for row in rows]
    return arrow.table([{name: _null_if_nan(value) for name, value in row.items()} for row in stamped], schema)


def _with(further: Sequence[str]) -> pa.Schema:
    return pa.schema([*SCHEMA, *(pa.field(name, pa.float64()) for name in further)], metadata=SCHEMA.metadata) if further else SCHEMA


def _further(names: Iterable[str]) -> list[str]:
    """List the metrics that no known task has: unknown names that come with both ends of their interval."""
    unknown = {name: None for name in names if name not in NAMES}
    return [name for name in unknown if f"{name}_low" in unknown and f"{name}_high" in unknown]


def table_to_rows(table: pa.Table) -> list[Row]:
    """Return the rows as plain dicts, every key of `SCHEMA` present, null as None."""
    return arrow.rows_of(table)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows to a Parquet file, whole or not at all; raises as `rows_to_table` does."""
    table = rows_to_table(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(table, partial, compression="zstd")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_rows(path: Path) -> pa.Table:
    """Read a leaderboard file as an Arrow table of `SCHEMA`; raise `RunFolderError` where it is none of this version."""
    try:
        table = arrow.read(path)
    except FileNotFoundError:
        raise RunFolderError(f"{path}: no such leaderboard; finish the run first, or give its folder") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise RunFolderError(f"{path}: not a readable Parquet file ({error}); derive the board again from its run") from None
    found = (table.schema.metadata or {}).get(b"bench_schema_version", b"none").decode(errors="replace")
    if found != str(SCHEMA_VERSION):
        cure = "upgrade bench" if found.isdigit() and int(found) > SCHEMA_VERSION else "derive the board again from its run"
        raise RunFolderError(f"{path}: the leaderboard's version is {found}, this bench reads {SCHEMA_VERSION}; {cure}")
    if wrong := differing(table.schema):
        raise RunFolderError(f"{path}: its columns are not those of version {found} ({wrong}); derive the board again from its run")
    return completed(table)


def differing(schema: pa.Schema) -> str:
    """Describe which columns a file of this version may not lack, have, or have so typed; empty: it can be read."""
    names = schema.names
    further = set(metric_columns(_further(names)))
    wrong = [f"no {name}" for name in REQUIRED if name not in names]
    wrong += [f"twice {name}" for name in sorted({name for name in names if names.count(name) > 1})]
    wrong += [f"unknown {name}" for name in names if name not in NAMES and name not in further]
    expected = _with(sorted(further))
    wrong += [
        f"{name} is {schema.field(at).type}, expected {expected.field(name).type}"
        for at, name in enumerate(names)
        if (name in NAMES or name in further) and schema.field(at).type != expected.field(name).type
    ]
    return ", ".join(wrong)


def completed(table: pa.Table) -> pa.Table:
    """Bring a table that `differing` finds nothing wrong with into the order of `SCHEMA`; what it lacks is null."""
    found = dict(zip(table.column_names, table.columns, strict=True))  # Arrow makes its list of names anew each time
    schema = _with([name for name in found if name not in NAMES])
    columns = [found[f.name] if f.name in found else pa.nulls(table.num_rows, f.type) for f in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _check(row: Mapping[str, Any], where: str, further: Sequence[str]) -> None:
    for key in row:
        if key not in NAMES and key not in further:
            raise ValueError(f"{where}: the leaderboard has no column {key!r}; {suggest(key, list(SCHEMA.names))}")
    missing = [key for key in REQUIRED if row.get(key) is None]
    if missing:
        raise ValueError(f"{where}: {', '.join(missing)} missing; every row says what it is a result of")
    _check_words(where, "tuning", [row["tuning"]], TUNINGS)
    _check_words(where, "status", [row["status"]], STATUSES)
    _check_words(where, "flag", row.get("flags") or [], FLAGS)


def _check_words(where: str, what: str, words: Iterable[str], known: tuple[str, ...]) -> None:
    for word in words:
        if word not in known:
            raise ValueError(f"{where}: {what} {word!r} is not one of {', '.join(known)}")


def _null_if_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
