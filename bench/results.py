"""From outcomes to leaderboard rows: every final prediction is scored here, once, and every failure becomes a row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import Array
from bench.board.ranking import candidates
from bench.board.statistics import Compared, compare
from bench.tasks.base import Split, Task
from bench.tune.jobs import Plugin, stable_seed
from bench.tune.plan import Entry, Outcome, seconds


@dataclass(frozen=True)
class Problem:
    """One data set as it was run: the split, and who took part."""

    dataset: str
    simulated: bool
    fingerprint: str
    split: Split
    plugins: Sequence[Plugin]


def rows_of(problem: Problem, outcomes: Mapping[str, Outcome], task: Task, folder: Path, common: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Make the rows of one data set: scored and compared; `outcomes` by model name, `common` columns for all."""
    split = problem.split
    base = {
        **common,
        "task": task.name,
        "task_id": split.task_id,
        "dataset": problem.dataset,
        "simulated": problem.simulated,
        "fingerprint": problem.fingerprint,
        "objective": task.metric,
        "reference": task.reference,
        "horizon_days": split.facts["horizon_days"],
        "n_test": split.facts["n_test"],
        "base_rate": split.facts["base_rate"],
    }
    rows: list[dict[str, Any]] = []
    predictions: dict[int, Array] = {}
    for plugin in problem.plugins:
        for row, entry in _of_model(plugin, outcomes.get(plugin.name), split):
            if row["status"] == "ok" and entry is not None:
                predictions[len(rows)] = np.load(folder / entry["prediction"], allow_pickle=False)
            rows.append({**base, **_about(plugin), **row})
    if predictions:
        for at, compared in _scored(rows, predictions, problem, task).items():
            rows[at] |= compared.columns()
    return rows


def _scored(rows: list[dict[str, Any]], predictions: Mapping[int, Array], problem: Problem, task: Task) -> dict[int, Compared]:
    """Compare all predictions of one data set by the same draws; the leader is the best of those that stand for a model."""
    truth = problem.split.truths["final"]
    for at, prediction in predictions.items():
        rows[at][task.metric] = task.objective(truth, prediction)
    standing = [at for at in candidates(rows) if at in predictions]
    reference = next((at for at in standing if rows[at]["model"] == task.reference), None)
    names = {at: task.reference if at == reference else f"{at:06d} {rows[at]['model']}" for at in predictions}
    compared = compare(
        truth.y,
        truth.group,
        {names[at]: p for at, p in predictions.items()},
        base_rate=problem.split.facts["train_rate"],
        reference=task.reference,
        leader_among={names[at] for at in standing},
        seed=stable_seed(problem.fingerprint, problem.split.task_id),
    )
    return {at: compared[names[at]] for at in predictions}


def _of_model(plugin: Plugin, outcome: Outcome | None, split: Split) -> Iterator[tuple[dict[str, Any], Entry | None]]:
    """Yield a model's rows with the entries behind them; at least one, whatever happened."""
    if split.reason or outcome is None:
        reason = split.reason or plugin.reason or "not run"
        yield {"tuning": "default", "status": "skipped" if split.reason or plugin.status == "ok" else plugin.status, "reason": reason}, None
        return
    searched = {
        "trials": len(outcome.trials),
        "failed_trials": sum(t["status"] != "ok" for t in outcome.trials),
        "stopped_by": outcome.stopped_by,
        "search_seconds": seconds(outcome.trials),
    }
    for (tuning, seed), entry in outcome.finals.items():
        trial = outcome.best if tuning == "tuned" else outcome.valid
        yield {**searched, "tuning": tuning, "seed": seed, "valid_score": trial and trial["value"], **_of_entry(entry, split)}, entry
    if not any(tuning == "default" for tuning, _ in outcome.finals):
        yield {**searched, "tuning": "default", **_of_entry(outcome.valid, split)}, None
    if outcome.trials and outcome.best is None:
        first = outcome.valid
        reason = f"no trial succeeded; trial 0: {first['reason']}"
        yield {**searched, "tuning": "tuned", **_of_entry(first, split), "reason": reason}, None


def _of_entry(entry: Entry, split: Split) -> dict[str, Any]:
    return {
        "status": entry["status"],
        "reason": entry["reason"],
        "flags": [*split.flags, *(["cut-short"] if entry["cut_short"] else [])],
        "seed": entry["seed"],
        "fit_seconds": entry["fit_seconds"],
        "predict_seconds": entry["predict_seconds"],
        "peak_memory_mb": entry["peak_memory_mb"],
        "device": entry["device"],
        "params": json.dumps(entry["params"], sort_keys=True),
    }


def _about(plugin: Plugin) -> dict[str, Any]:
    return {
        "model": plugin.name,
        "plugin": plugin.source.origin() if not plugin.source.is_file else Path(plugin.source.target).name,
        "plugin_version": plugin.source.version or plugin.version,
        "source_hash": plugin.source_hash,
        "mode": "causal" if plugin.causal else "offline",
    }


def details(problem: Problem, outcomes: Mapping[str, Outcome]) -> list[dict[str, Any]]:
    """List predicted against actual churn at the validation and the test cut-off, for each model's best configuration.

    The validation prediction is that of the configuration chosen there; the test prediction that of its final fit.
    """
    facts = problem.split.facts
    found = []
    for name, outcome in outcomes.items():
        tuning = "tuned" if outcome.best is not None else "default"
        final = next((e for (t, _), e in outcome.finals.items() if t == tuning and e["status"] == "ok"), None)
        for cutoff, entry in ((facts["valid_cutoff"], outcome.best or outcome.valid), (facts["test_cutoff"], final)):
            if entry is not None and entry["status"] == "ok":
                actual = facts["churn_by_cutoff"][cutoff]
                row = {"task_id": problem.split.task_id, "dataset": problem.dataset, "model": name, "tuning": tuning, "cutoff": cutoff}
                found.append({**row, "predicted": entry["mean_prediction"], "actual": actual})
    return found


def trial_rows(problem: Problem, outcomes: Mapping[str, Outcome]) -> list[dict[str, Any]]:
    """List every trial of one data set, for `trials.parquet`."""
    kept = ("number", "seed", "status", "reason", "value", "fit_seconds", "predict_seconds", "peak_memory_mb", "device")
    return [
        {
            "task_id": problem.split.task_id,
            "dataset": problem.dataset,
            "model": name,
            **{key: trial[key] for key in kept},
            "params": json.dumps(trial["params"], sort_keys=True),
        }
        for name, outcome in outcomes.items()
        for trial in outcome.trials
    ]


def now() -> datetime:
    """Give the present time in UTC."""
    return datetime.now(UTC)
