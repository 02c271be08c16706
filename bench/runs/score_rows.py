"""From outcomes to leaderboard rows: every final prediction is scored here, once, and every failure becomes a row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench.board.ranking import candidates, league
from bench.board.statistics import compare
from bench.execute.jobs import Plugin, stable_seed
from bench.execute.mean_of import KEY
from bench.execute.prediction_files import read_prediction
from bench.runs.ensemble import Blend
from bench.runs.problem import Problem
from bench.tasks.base import ModelResult, RankingRule, Scorer, Split, Task, protocol_of
from bench.tune.plan import FEW_TRIALS, Outcome, fits, seconds, seconds_unseen
from bench.tune.trials import Entry, prediction_file

CEILING = "ceiling"
"""The column of what one who knows the truth's making scores; no name of a scorer: those carry numbers, or are floors'."""


def rows_of(
    problem: Problem, outcomes: Mapping[str, Outcome], task: Task, folder: Path, common: Mapping[str, Any], blends: Sequence[Blend] = ()
) -> list[dict[str, Any]]:
    """Make the rows of one board: scored and compared; `outcomes` by model name, `common` columns for all."""
    split = problem.split
    base = {
        **common,
        "task": task.name,
        "task_id": split.task_id,
        "protocol": protocol_of(split.task_id),
        "dataset": problem.dataset,
        "simulated": problem.simulated,
        "fingerprint": problem.fingerprint,
        "objective": split.ranking.metric,
        "reference": split.ranking.reference,
        **split.columns,
    }
    rows: list[dict[str, Any]] = []
    scorers: dict[int, Scorer] = {}
    known: dict[str, Scorer] = {}
    for plugin in problem.plugins:
        for row, entry in _of_model(plugin, outcomes.get(plugin.name), split):
            if row["status"] == "ok" and entry is not None:
                file = prediction_file(entry)
                known[file] = known.get(file) or task.scorer(split, read_prediction(folder / file))
                scorers[len(rows)] = known[file]
            before = _before_calibration(entry, task, split, folder)
            rows.append({**base, **_about(plugin), **row, **before})
    for blend in blends:
        scorers[len(rows)] = task.scorer(split, blend.prediction)
        rows.append({**base, **blend.row})
    if scorers:
        for at, columns in scored(rows, scorers, problem, task).items():
            rows[at] |= columns
    return rows


def _before_calibration(entry: Entry | None, task: Task, split: Split, folder: Path) -> dict[str, Any]:
    """Score what a calibrated prediction was before: its log-loss stands beside, and the line that corrected it."""
    if entry is None or not entry.get("calibration"):
        return {}
    raw = task.scorer(split, read_prediction(folder / entry["raw"]))
    value = raw.score(np.ones((1, len(split.truths["final"].group))))["log_loss"][0]
    return {"log_loss_raw": float(value), "calibration": json.dumps(entry["calibration"], sort_keys=True)}


def scored(rows: list[dict[str, Any]], scorers: Mapping[int, Scorer], problem: Problem, task: Task) -> dict[int, dict[str, float]]:
    """Compare all predictions of one board by the same draws: columns by row; the leader is the best that stands for a model.

    `scorers` by the place of their row in `rows`, which take the ranking metric on the way. The board's ceiling, where it
    has one, is scored by the same draws: it is no row, so it can neither rank nor lead. Verifying calls this too, so that
    a published number is checked by the code that made it.
    """
    board, group = problem.split.ranking, problem.split.truths["final"].group
    for at, scorer in scorers.items():
        rows[at][board.metric] = float(scorer.score(np.ones((1, len(group))))[board.metric][0])
    standing = [at for at in candidates(rows) if at in scorers]
    named = {rows[at]["model"]: at for at in reversed(standing) if rows[at]["model"] in {board.reference, board.beside}}
    names = {at: rows[at]["model"] if at in named.values() else f"{at:06d} {rows[at]['model']}" for at in scorers}
    ceiling = {CEILING: task.scorer(problem.split, problem.split.ceiling)} if problem.split.ceiling else {}
    compared = compare(
        {names[at]: scorer for at, scorer in scorers.items()} | ceiling,
        group,
        board,
        reference=board.reference,
        leagues={names[at]: league(rows[at]) for at in scorers} | dict.fromkeys(ceiling, ""),
        leader_among={names[at] for at in standing},
        floors=_floors(rows, standing, names, board),
        seed=stable_seed(problem.fingerprint, problem.split.task_id),
    )
    highest = compared[CEILING].metrics[board.metric].columns(CEILING) if ceiling else {}
    return {at: {**compared[names[at]].columns(), **highest} for at in scorers}


def _floors(rows: Sequence[dict[str, Any]], standing: Sequence[int], names: Mapping[int, str], board: RankingRule) -> dict[str, str]:
    """Return the best floor of each league, by name; a causal one is a floor of the offline league too."""
    found: dict[str, str] = {}
    for at in _rising(rows, standing, board):
        if rows[at]["model"] in board.floors:
            found |= dict.fromkeys(("causal", "offline") if league(rows[at]) == "causal" else (league(rows[at]),), names[at])
    return found


def _rising(rows: Sequence[Mapping[str, Any]], places: Sequence[int], board: RankingRule) -> list[int]:
    """Sort places from the worst row to the best; of equals the last by name counts as better."""
    sign = 1 if board.higher else -1
    return sorted(places, key=lambda at: (sign * float(rows[at][board.metric]), str(rows[at]["model"])))


def _of_model(plugin: Plugin, outcome: Outcome | None, split: Split) -> Iterator[tuple[dict[str, Any], Entry | None]]:
    """Yield a model's rows with the entries behind them; at least one, whatever happened."""
    if split.reason or outcome is None:
        reason = split.reason or plugin.reason or "not run"
        yield {"tuning": "default", "status": "skipped" if split.reason or plugin.status == "ok" else plugin.status, "reason": reason}, None
        return
    searched = {
        "trials": len(outcome.trials),
        "fits": fits(outcome.trials),
        "failed_trials": sum(t["status"] not in {"ok", "pruned"} for t in outcome.trials),
        "stopped_by": outcome.stopped_by,
        "search_seconds": seconds(outcome.trials) + seconds_unseen(outcome.best),
    }
    for (tuning, seed), entry in outcome.finals.items():
        trial = outcome.best.get(tuning, outcome.valid)
        score = trial["values"].get(tuning, trial["value"])
        row = {**searched, "tuning": tuning, "seed": seed, "valid_score": score, **_of_entry(entry, split)}
        unkept = ["seed-matters"] * (outcome.seed_matters and entry["status"] == "ok")
        yield {**row, "flags": [*row["flags"], *_of_search(outcome, tuning), *unkept]}, entry
    if not any(tuning == "default" for tuning, _ in outcome.finals):
        yield {**searched, "tuning": "default", **_of_entry(outcome.valid, split)}, None
    if outcome.trials and not outcome.best:
        first = outcome.valid
        reason = f"no trial succeeded; trial 0: {first['reason']}"
        yield {**searched, "tuning": "tuned", **_of_entry(first, split), "reason": reason}, None
    elif plugin.space:
        for tuning, reason in split.missing.items():
            yield {**searched, "tuning": tuning, "status": "skipped", "reason": reason}, None


def _of_search(outcome: Outcome, tuning: str) -> list[str]:
    """Flag what a reader must know of the search behind a tuned row."""
    if tuning not in outcome.best:
        return []
    return ["kept-default"] * (tuning in outcome.kept_default) + ["few-trials"] * (len(outcome.trials) < FEW_TRIALS)


def _of_entry(entry: Entry, split: Split) -> dict[str, Any]:
    return {
        "status": entry["status"],
        "reason": entry["reason"] or entry["note"],
        "flags": [*split.flags, *entry["flags"], *_flags(entry)],
        "seed": entry["seed"],
        "fit_seconds": entry["fit_seconds"],
        "predict_seconds": entry["predict_seconds"],
        "peak_memory_mb": entry["peak_memory_mb"],
        "device": entry["device"],
        "gpu": entry.get("gpu"),
        "gpu_memory_mb": entry.get("gpu_memory_mb"),
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


def model_results(outcomes: Mapping[str, Outcome], folder: Path, blends: Sequence[Blend] = ()) -> list[ModelResult]:
    """Choose for each model the final fit that stands for it: of its best tuning, the first seed that worked; then the blends.

    Of two blends of one name the second stands: its members were chosen by labels.
    """
    found = []
    for name, outcome in outcomes.items():
        tuning = next((t for t in ("tuned", "label-free") if t in outcome.best), "default")
        final = next((e for (t, _), e in outcome.finals.items() if t == tuning and e["status"] == "ok"), None)
        if final is not None:
            chosen = outcome.best.get(tuning, outcome.valid)
            kept = folder / "valid" / f"{chosen['key']}.npz"
            checked = read_prediction(kept) if chosen["status"] == "ok" and kept.is_file() else None
            found.append(ModelResult(name, tuning, chosen, final, read_prediction(folder / prediction_file(final)), checked))
    standing = {blend.row["model"]: blend for blend in blends}
    return [*found, *(blend.result() for blend in standing.values())]


def details(problem: Problem, task: Task, found: Sequence[ModelResult]) -> list[dict[str, Any]]:
    """List what the task tells beyond the leaderboard, each line with its board."""
    base = {"task_id": problem.split.task_id, "dataset": problem.dataset}
    return [{**base, **line} for line in task.details(problem.split, found)]


def prediction_rows(problem: Problem, outcomes: Mapping[str, Outcome], folder: Path, blends: Sequence[Blend] = ()) -> list[dict[str, Any]]:
    """Describe where each final prediction lies, for `predictions.parquet`: model, tuning, seed, file and its sha256."""
    base = {"task_id": problem.split.task_id, "dataset": problem.dataset, "fingerprint": problem.fingerprint}
    files = [(name, *final, prediction_file(e)) for name, o in outcomes.items() for final, e in o.finals.items() if e["status"] == "ok"]
    files += [(blend.row["model"], blend.row["tuning"], blend.row["seed"], blend.file) for blend in blends]
    rows = []
    for name, tuning, seed, file in files:
        digest = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        rows.append({**base, "model": name, "tuning": tuning, "seed": seed, "file": file, "sha256": digest})
    return rows


def now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


def _flags(entry: Entry) -> list[str]:
    """List the flags of how a fit ran."""
    marks = {"averaged": KEY in entry["params"], "cut-short": entry["cut_short"], "unconfined": not entry.get("confined", True)}
    return [name for name, is_so in marks.items() if is_so]
