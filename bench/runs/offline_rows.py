"""One fit, two rows: what a causal anomaly model scores when it may look ahead, beside the offline models.

No model is fitted or asked again: the task brings the stored prediction into the form of the other league.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.execute.jobs import Plugin
from bench.execute.prediction_files import read_prediction, write_prediction
from bench.runs.ensemble import LATEST, Blend
from bench.runs.problem import Problem
from bench.tasks.base import Prediction, Task
from bench.tune.plan import Outcome
from bench.tune.trials import Entry, prediction_file

SUFFIX = "-centred"
"""Follows a model's name in the row that it has in the other league."""


def base_of(row: Mapping[str, Any]) -> str:
    """Return the model whose fit a row is of: another than its own where the core made it of a causal model's."""
    made = row["plugin"] == "bench" and row["mode"] == "offline"
    return str(row["model"]).removesuffix(SUFFIX) if made else str(row["model"])


def offline_rows(problem: Problem, outcomes: Mapping[str, Outcome], task: Task, folder: Path) -> list[Blend]:
    """Make the offline row of each causal model, and write its prediction; none where the task has one league."""
    names, reference = {plugin.name for plugin in problem.plugins}, problem.split.ranking.reference
    found = []
    for plugin in problem.plugins:
        named = plugin.name in outcomes and plugin.name != reference and f"{plugin.name}{SUFFIX}" not in names
        if plugin.causal and named:
            found += _of_model(plugin, outcomes[plugin.name], problem, task, folder)
    return found


def _of_model(plugin: Plugin, outcome: Outcome, problem: Problem, task: Task, folder: Path) -> list[Blend]:
    tuning = next((t for t in ("tuned", "label-free") if t in outcome.best), "default")
    seed, final = next(((s, e) for (t, s), e in outcome.finals.items() if t == tuning and e["status"] == "ok"), (0, None))
    ahead = None if final is None else task.ahead(problem.split, "final", read_prediction(folder / prediction_file(final)))
    if final is None or ahead is None:
        return []
    valid, score = _on_validation(outcome.best.get(tuning, outcome.valid), tuning, problem, task, folder)
    file = f"predictions/{final['key']}{SUFFIX}.npz"
    write_prediction(folder / file, ahead)
    row = {
        "model": f"{plugin.name}{SUFFIX}", "plugin": "bench", "mode": "offline", "tuning": tuning, "status": "ok", "reason": "",
        "flags": [*problem.split.flags, *final["flags"]], "valid_score": score, "seed": seed,
        # a model without a search stands for itself, as a default does
        "trials": 0 if tuning == "default" else len(outcome.trials), "params": json.dumps(final["params"], sort_keys=True),
        **{name: final[name] for name in ("fit_seconds", "predict_seconds")},
    }  # fmt: skip
    return [Blend(row, ahead, file, valid)]


def _on_validation(chosen: Entry, tuning: str, problem: Problem, task: Task, folder: Path) -> tuple[Prediction, float | None]:
    """Return the same form of a validation prediction and its score; nothing where the prediction is gone or nothing steers."""
    file = folder / "valid" / f"{chosen['validations'].get(LATEST, '')}.npz"
    if chosen["status"] != "ok" or not file.is_file():
        return (), None
    ahead = task.ahead(problem.split, LATEST, read_prediction(file)) or ()
    scores = task.objectives(problem.split, LATEST, ahead)
    own = scores.get(tuning) or next(iter(scores.values()), ())
    return ahead, sum(one.value for one in own) / len(own) if own else None
