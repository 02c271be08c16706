"""Fix what a leaderboard file holds: one typed row per (cell, tuning, seed), versioned, in Parquet."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import RunFolderError, suggest
from bench.metrics.churn import METRICS

Row: TypeAlias = dict[str, Any]

SCHEMA_VERSION = 2
"""Raised whenever a column is dropped, changes its meaning, or is added and not among `LATER`."""

AGGREGATOR = "paired-cluster-percentile/1"
"""What turned scores into intervals, skill and ranks; raised whenever the same scores would give other numbers."""

CHURN = tuple(METRICS)
FORECASTING = (
    "mase", "rmsse", "smape", "wape", "sql", "wql", "bias", "poisson_deviance", "coverage_60", "coverage_80", "total_wape",
)  # fmt: skip
ANOMALY = ("vus_pr", "vus_roc", "auc_pr", "auc_roc", "event_f1", "f1_at_01", "f1_at_1", "oracle_f1", "user_auc")

TUNINGS = ("default", "tuned", "label-free")
STATUSES = ("ok", "failed", "timeout", "oom", "crash", "invalid", "skipped")
FLAGS = (
    "underpowered", "few-labels", "trivial", "contaminated", "fallback", "mean-from-quantiles", "quantiles-crossed", "clipped",
    "charged", "cut-short", "kept-default", "few-trials", "calibrated", "carried-forward", "unconfined",
)  # fmt: skip
"""`cut-short`: the fit asked whether to stop and was told that its time was up;
`unconfined`: the code is not the project's own, and could see more than its inputs."""

LATER = ("ceiling", "ceiling_low", "ceiling_high", "fits", "log_loss_raw", "calibration")
"""Columns that files of this version may lack: they are read as null, which is what they say of a board without them."""

REQUIRED = ("task", "task_id", "dataset", "model", "tuning", "status")
"""Columns that no row may lack."""


def _fields() -> list[pa.Field[Any]]:
    text, real, whole = pa.string(), pa.float64(), pa.int64()
    metrics = [name for metric in (*CHURN, *FORECASTING, *ANOMALY) for name in (metric, f"{metric}_low", f"{metric}_high")]
    types: dict[str, pa.DataType] = {
        "task": text, "task_id": text, "dataset": text, "simulated": pa.bool_(), "fingerprint": text,
        "family": text, "mode": text, "level": text,
        "model": text, "plugin": text, "plugin_version": text, "source_hash": text,
        "tuning": text, "seed": whole, "status": text, "reason": text, "flags": pa.list_(text),
        "horizon_days": real,
        "n_test": whole,     # rows that are scored: test users, for churn
        "base_rate": real,   # share of churners among these rows (not the training rate that log_loss_skill uses)
        "rank": pa.int32(),  # null: unranked; rows that are not separable from the leader share rank 1
        **dict.fromkeys(metrics, real),
        "reference": text,   # the model that skill is measured against
        "skill": real, "skill_low": real, "skill_high": real,      # ranking metric against the reference's, same rows; + is better
        "behind": real, "behind_low": real, "behind_high": real,   # the leader's ranking metric minus this row's
        "above_floor": real, "above_floor_low": real, "above_floor_high": real,  # better than the floor (anomaly: the best of the league)
        "ceiling": real, "ceiling_low": real, "ceiling_high": real,  # ranking metric of one who knows what was injected: no model
        "objective": text,   # what the search optimised; its value on validation is valid_score
        "valid_score": real, "trials": pa.int32(), "fits": pa.int32(), "failed_trials": pa.int32(), "stopped_by": text,
        "search_seconds": real, "fit_seconds": real, "predict_seconds": real,
        "device": text, "workers": pa.int32(), "peak_memory_mb": real,
        "params": text,      # JSON
        "log_loss_raw": real,  # log-loss of the model's own probabilities, before calibration; null: not calibrated
        "calibration": text,   # JSON: slope and intercept over the log-odds
        "protocol": text, "bench_version": text, "git_commit": text, "created": pa.timestamp("us", "UTC"),
        "schema_version": pa.int32(), "aggregator": text,
    }  # fmt: skip
    return [pa.field(name, kind, nullable=name not in REQUIRED) for name, kind in types.items()]


SCHEMA: pa.Schema = pa.schema(_fields(), metadata={"bench_schema_version": str(SCHEMA_VERSION)})
"""The columns of `leaderboard.parquet`, in order; what a task does not measure is null."""
NAMES = frozenset(SCHEMA.names)
"""Asked for each key of each row: Arrow makes its own list of names anew each time."""


def rows_to_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Type rows as an Arrow table of `SCHEMA`: a missing key or nan becomes null, the versions are stamped.

    Raises ValueError that names the row, the key and the cure for unknown keys, tunings, statuses and flags, and
    where a required key is missing.
    """
    for at, row in enumerate(rows):
        _check(row, f"row {at} ({row.get('dataset')}, {row.get('model')})")
    stamped = [{"schema_version": SCHEMA_VERSION, "aggregator": AGGREGATOR, "flags": [], **row} for row in rows]
    columns = [pa.array([_null_if_nan(row.get(f.name)) for row in stamped], f.type) for f in SCHEMA]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def table_to_rows(table: pa.Table) -> list[Row]:
    """Return the rows as plain dicts, every key of `SCHEMA` present, null as None."""
    rows: list[Row] = table.to_pylist()
    return rows


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
        table = pq.read_table(path)
    except FileNotFoundError:
        raise RunFolderError(f"{path}: no such leaderboard; finish the run first, or give its folder") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise RunFolderError(f"{path}: not a readable Parquet file ({error}); derive the board again from its run") from None
    found = (table.schema.metadata or {}).get(b"bench_schema_version", b"none").decode(errors="replace")
    if found != str(SCHEMA_VERSION):
        cure = "upgrade bench" if found.isdigit() and int(found) > SCHEMA_VERSION else "derive the board again from its run"
        raise RunFolderError(f"{path}: the leaderboard's version is {found}, this bench reads {SCHEMA_VERSION}; {cure}")
    table = completed(table)
    if not table.schema.equals(SCHEMA):
        differing = ", ".join(sorted(set(table.column_names) ^ set(SCHEMA.names))) or "their types or order"
        raise RunFolderError(f"{path}: its columns are not those of version {found} ({differing}); derive the board again from its run")
    return table


def completed(table: pa.Table) -> pa.Table:
    """Add the columns of `LATER` that a table lacks, null, in their places; any other table as it is."""
    missing = [name for name in LATER if name not in table.column_names]
    if not missing or table.schema.names != [name for name in SCHEMA.names if name not in missing]:
        return table
    for name in missing:
        table = table.add_column(SCHEMA.names.index(name), SCHEMA.field(name), pa.nulls(table.num_rows, SCHEMA.field(name).type))
    return table


def _check(row: Mapping[str, Any], where: str) -> None:
    for key in row:
        if key not in NAMES:
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
