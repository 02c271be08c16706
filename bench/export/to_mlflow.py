"""Write a run to MLflow: an experiment for each board, a run for each row, and the trials below their row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.export.records import BoardRecords, Records, Search, flat, missing, numbers

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from bench.board.schema import Row

TAGS = (
    "task", "task_id", "dataset", "family", "fingerprint", "model", "plugin", "plugin_version", "tuning", "status", "reason", "rank",
    "tied", "reference", "device", "protocol", "bench_version", "git_commit",
)  # fmt: skip
KEY = "bench.key"
"""The tag by which a row or trial that is there already is known."""
LONGEST = 5000
"""Characters of a tag's or parameter's value; MLflow takes a little more."""
MANY = 1000
"""Runs asked for at once."""


def to_mlflow(records: Records, place: str) -> str:
    """Log rows and trials to a folder or a tracking URI; those that are there already stay. Say what was done."""
    try:
        from mlflow import MlflowClient
    except ImportError:
        raise missing("MLflow", "mlflow-skinny") from None
    uri, artifacts = _store(place)
    client = MlflowClient(tracking_uri=uri)
    new = sum(_log_board(client, records, board, artifacts) for board in records.boards)
    return f"{new:,} new runs of MLflow at {uri}; look with: mlflow ui --backend-store-uri {uri}"


def _store(place: str) -> tuple[str, str | None]:
    """Return the tracking URI, and where artifacts would go; a folder holds a database."""
    if "://" in place:
        return place, None
    folder = Path(place).expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()


def _log_board(client: MlflowClient, records: Records, board: BoardRecords, artifacts: str | None) -> int:
    name = f"{board.name} {board.task_id}"
    there = client.get_experiment_by_name(name)
    experiment = client.create_experiment(name, artifact_location=artifacts) if there is None else there.experiment_id
    logger = _Logger(client, experiment, records.document["written"])
    searches = {search.model: search for search in board.searches}
    for row in sorted(board.rows, key=lambda row: row["tuning"] == "default"):
        run = logger.row(row)
        if search := searches.pop(row["model"], None):  # the first row of a model, the tuned one where there is one
            logger.search(search, run)
    return logger.new


class _Logger:
    """Log to one experiment what is not there yet."""

    def __init__(self, client: MlflowClient, experiment: str, written: str) -> None:
        self.client, self.experiment, self.written, self.new = client, experiment, written, 0
        self.known = dict(self._there())

    def row(self, row: Row) -> str:
        """Log a row and return the id of its run."""
        seed = "" if row["seed"] is None else f" seed {row['seed']}"
        name = f"{row['model']} {row['tuning']}{seed}"
        tags = {f"bench.{key}": str(row[key]) for key in TAGS if row.get(key) not in {None, ""}}
        tags["bench.flags"] = " ".join(row["flags"] or [])
        params = json.loads(row["params"] or "{}")
        return self._log(name, {**tags, KEY: self._key("row", name)}, params, numbers(row), ok=row["status"] == "ok")

    def search(self, search: Search, parent: str) -> None:
        """Log a model's trials below a row, whose history of `validation_best` shows how the search went."""
        from mlflow.entities import Metric

        before = self.new
        for trial in search.trials:
            name = f"{search.model} trial {trial['number']}"
            tags = {"mlflow.parentRunId": parent, "bench.status": trial["status"], "bench.reason": trial["reason"]}
            found = {key: trial[key] for key in ("value", "latest_value", "fit_seconds", "predict_seconds", "peak_memory_mb")}
            measured = {("validation" if key == "value" else key): float(x) for key, x in found.items() if x is not None}
            self._log(name, {**tags, KEY: self._key("trial", name)}, trial["params"], measured, ok=trial["status"] == "ok")
        if self.new > before:
            for number, best in search.best():
                metric = Metric("validation_best", best, 0, number)
                self.client.log_metric(parent, metric.key, metric.value, timestamp=0, step=metric.step)

    def _log(self, name: str, tags: Mapping[str, str], params: Mapping[str, Any], measured: Mapping[str, float], *, ok: bool) -> str:
        from mlflow.entities import Metric, Param, RunTag

        if tags[KEY] in self.known:
            return self.known[tags[KEY]]
        run: str = self.client.create_run(self.experiment, run_name=name).info.run_id
        self.client.log_batch(
            run,
            metrics=[Metric(key, value, 0, 0) for key, value in measured.items()],
            params=[Param(key, str(value)[:LONGEST]) for key, value in flat(params).items()],
            tags=[RunTag(key, value[:LONGEST]) for key, value in tags.items()],
        )
        self.client.set_terminated(run, status="FINISHED" if ok else "FAILED")
        self.known[tags[KEY]] = run
        self.new += 1
        return run

    def _key(self, kind: str, name: str) -> str:
        return hashlib.sha256(f"{self.written} {kind} {name}".encode()).hexdigest()[:32]

    def _there(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        token: str | None = None
        while True:
            page = self.client.search_runs([self.experiment], max_results=MANY, page_token=token)
            found += [(run.data.tags[KEY], run.info.run_id) for run in page if KEY in run.data.tags]
            token = page.token
            if not token:
                return found
