"""What a run writes down of its searches: every trial, and what each search chose, so that others can derive the choice again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.runs.problem import Problem
from bench.tasks.base import SECOND
from bench.tune.plan import Outcome
from bench.tune.trials import Entry


def trial_rows(problem: Problem, outcomes: Mapping[str, Outcome]) -> list[dict[str, Any]]:
    """List every trial of one data set, for `trials.parquet`; `scores`: tuning -> scores, the one that steers first."""
    return [
        {
            "task_id": problem.split.task_id,
            "dataset": problem.dataset,
            "model": name,
            "number": trial["number"],
            "seed": trial["seed"],
            "status": trial["status"],
            "reason": trial["reason"],
            "value": trial["value"],
            "latest_value": trial["latest"],
            "validations": len(trial["validations"]),
            "scores": json.dumps(trial["scores"]),
            "fits": trial["fits"],
            "fit_seconds": trial["fit_seconds"],
            "predict_seconds": trial["predict_seconds"],
            "peak_memory_mb": trial["peak_memory_mb"],
            "device": trial["device"],
            "gpu": trial.get("gpu"),
            "gpu_peak_mb": trial.get("gpu_peak_mb"),
            "gpu_utilisation": trial.get("gpu_utilisation"),
            "params": json.dumps(trial["params"], sort_keys=True),
        }
        for name, outcome in outcomes.items()
        for trial in outcome.trials
    ]


def choice_rows(problem: Problem, outcomes: Mapping[str, Outcome], folder: Path) -> list[dict[str, Any]]:
    """List what stands for each tuning of a model, the author's default among them, for `choices.parquet`.

    `files`: stage -> the prediction on validation and its sha256, of those that are kept.
    """
    return [
        {
            "task_id": problem.split.task_id,
            "dataset": problem.dataset,
            "model": name,
            "tuning": tuning,
            "number": entry["number"],
            "status": entry["status"],
            "validations": len(entry["validations"]),
            "kept_default": tuning in outcome.kept_default,
            "stopped_by": outcome.stopped_by,
            "params": json.dumps(entry["params"], sort_keys=True),
            "scores": json.dumps(entry["scores"]),
            "replicates": json.dumps({t: list(drawn) for t, drawn in entry["replicates"].items()} if entry["status"] == "ok" else {}),
            "files": json.dumps(_files(entry, folder), sort_keys=True),
        }
        for name, outcome in outcomes.items()
        for tuning, entry in _stand(outcome)
    ]


def _stand(outcome: Outcome) -> Iterator[tuple[str, Entry]]:
    """Yield what stands: the author's default, and what each tuning chose, the labels of either half among them."""
    yield "default", outcome.valid
    yield from outcome.best.items()
    if outcome.second is not None:
        yield SECOND, outcome.second


def _files(entry: Entry, folder: Path) -> dict[str, list[str]]:
    names = {stage: f"valid/{key}.npz" for stage, key in entry["validations"].items()} if entry["status"] == "ok" else {}
    return {stage: [name, _sha256(folder / name)] for stage, name in names.items() if (folder / name).is_file()}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
