"""Write forecasts as fev takes them: predictions for each window as Parquet, and one flat summary row for each model."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.board import forecasts
from bench.board.metrics import metrics_of, ranking_metric
from bench.board.schema import Row
from bench.board.view import listed
from bench.data.names import as_name
from bench.errors import ConfigError
from bench.export.records import BoardRecords, Records

METRICS = {"mase": "MASE", "wql": "WQL", "sql": "SQL", "mae": "MAE", "rmse": "RMSE", "smape": "SMAPE", "wape": "WAPE"}
"""Columns of the leaderboard that fev has under another name."""
FORM = "0.6.0"
"""The version of fev whose form of summaries this is; fev refuses rows that name none."""
TASK = (
    "dataset_path", "dataset_config", "horizon", "num_windows", "initial_cutoff", "window_step_size", "min_context_length",
    "max_context_length", "seasonality", "eval_metric", "extra_metrics", "quantile_levels", "id_column", "timestamp_column", "target",
    "generate_univariate_targets_from", "known_dynamic_columns", "past_dynamic_columns", "static_columns", "task_name",
)  # fmt: skip


def to_fev(records: Records, folder: Path) -> str:
    """Write `summaries.csv` and DATASET/MODEL/window-N.parquet; raise `ConfigError` where the run holds no forecasts."""
    if records.document["config"]["task"] != "forecasting":
        raise ConfigError("--fev takes forecasts; give a finished run of --task forecasting")
    folder = folder.expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    summaries = [row for board in records.boards for row in _summaries(records, board)]
    with (folder / "summaries.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(summaries[0]))
        writer.writeheader()
        writer.writerows(summaries)
    count: dict[tuple[str, str], int] = {}
    for dataset, model, _, frame in forecasts.to_fev(forecasts.forecasts(records.folder)):
        count[dataset, model] = number = count.get((dataset, model), 0) + 1
        place = folder / as_name(dataset) / as_name(model)
        place.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(place / f"window-{number}.parquet")
    made = f"{len(summaries):,} summaries and {sum(count.values()):,} windows in {folder}"
    return f"{made}; read with: fev.leaderboard('{folder}/summaries.csv')"


def _summaries(records: Records, board: BoardRecords) -> list[dict[str, Any]]:
    about = next(d for d in records.document["datasets"] if (d["task_id"], d["name"]) == (board.task_id, board.rows[0]["dataset"]))
    # a model that failed has a row without an error: fev counts it among the failures
    return [_summary(row, about) for row in listed(board.rows)]


def _summary(row: Row, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return one row in fev's form; its error is that of the metric that ranks, lower is better."""
    facts, metric = about["facts"], ranking_metric(row)[0]
    given = {
        "dataset_path": row["dataset"], "dataset_config": row["level"] or "", "horizon": int(about["context"]["horizon"]),
        "num_windows": len(facts["test_cutoffs"]), "initial_cutoff": facts["test_cutoffs"][0], "min_context_length": 1,
        "seasonality": facts["season"], "eval_metric": METRICS.get(metric, metric), "extra_metrics": "[]",
        "quantile_levels": str(list(facts["levels"])), "id_column": "item_id", "timestamp_column": "timestamp", "target": "target",
        "known_dynamic_columns": "[]", "past_dynamic_columns": "[]", "static_columns": "[]", "task_name": row["task_id"],
    }  # fmt: skip
    series = row["n_test"] or 0
    scores = {METRICS.get(name, name): row[name] for name in metrics_of(row["task"])}
    return {
        "model_name": row["model"],
        **{key: given.get(key, "") for key in TASK},
        "test_error": row[metric],
        "training_time_s": (row["search_seconds"] or 0.0) + (row["fit_seconds"] or 0.0),
        "inference_time_s": row["predict_seconds"],
        "num_forecasts": series * len(facts["test_cutoffs"]),
        "dataset_fingerprint": row["fingerprint"],
        "trained_on_this_dataset": False,
        "fev_version": FORM,
        **scores,
    }
