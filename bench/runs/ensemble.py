"""One more row: a weighted mean of the tuned models' predictions, chosen greedily on validation.

Caruana et al. 2004, "Ensemble selection from libraries of models": begin with the best model, add again and again the one
(with replacement) that helps most on validation, keep the best of all steps. So it is never worse there than the best
single model; what it is worth on test is for the board to say.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.data.ragged import Array
from bench.execute.jobs import stable_seed
from bench.execute.prediction_files import read_prediction, write_prediction
from bench.runs.problem import Problem
from bench.tasks.base import Prediction, Split, Task
from bench.tune.plan import Entry, Outcome

NAME = "ensemble"
PATIENCE = 5
"""Additions without a gain before it ends."""
STEPS = 25
"""Most additions; weights are then multiples of a 25th or more."""


@dataclass(frozen=True)
class Member:
    """One model that may be taken: its prediction on validation, and the entry of its final fit."""

    model: str
    tuning: str
    valid: Prediction
    value: float
    final: Entry


@dataclass(frozen=True)
class Chosen:
    """An ensemble."""

    weights: Mapping[str, float]
    """Model -> weight; they sum to 1."""
    value: float
    """Its score on validation."""
    tuning: str
    """By what its members were chosen: the first tuning that any of them has."""


@dataclass(frozen=True)
class Blend:
    """An ensemble's row, its prediction on test and the file that has it."""

    row: Mapping[str, Any]
    prediction: Prediction
    file: str


def members_of(outcomes: Mapping[str, Outcome], folder: Path, task: Task, split: Split) -> list[Member]:
    """List the models that may be taken: the tuned ones whose final fit worked.

    A model that gave a simpler method's answers for some series is in; one whose validation prediction is gone is not.
    """
    found = []
    for name, outcome in outcomes.items() if task.blends else ():
        if not outcome.best:
            continue
        steer, valid = next(iter(outcome.best.items()))
        final = next((e for (t, _), e in outcome.finals.items() if t == steer and e["status"] == "ok"), None)
        file = folder / "valid" / f"{valid['key']}.npz"
        if final is not None and valid["status"] == "ok" and valid["value"] is not None and file.is_file():
            prediction = task.blendable(split, "search", read_prediction(file))
            found.append(Member(name, steer, prediction, task.search_score(split, prediction), final))
    sign = 1 if split.board.higher else -1
    return sorted(found, key=lambda m: (-sign * m.value, m.model))


def choose(members: Sequence[Member], task: Task, split: Split) -> Chosen:
    """Choose weights greedily by the score that steers the search; of equals the earliest and smallest."""
    sign = 1 if split.board.higher else -1
    tuning = next((m.tuning for m in members if m.tuning != "default"), "tuned")
    taken, best, since = [members[0]], Chosen({members[0].model: 1.0}, members[0].value, tuning), 0
    total = [dict(part) for part in members[0].valid]
    while len(taken) < STEPS and since < PATIENCE:
        n = len(taken) + 1
        tried = [(value, at) for at, m in enumerate(members) if math.isfinite(value := _score(task, split, total, m.valid, n))]
        if not tried:
            break
        value, at = max(tried, key=lambda t: (sign * t[0], -t[1]))
        taken.append(members[at])
        total, since = summed(total, members[at].valid), since + 1
        if sign * value > sign * best.value + 1e-12:
            counts = Counter(m.model for m in taken)
            best, since = Chosen({model: count / n for model, count in counts.items()}, value, tuning), 0
    return _mixed(best, members, task, split)


def _mixed(chosen: Chosen, members: Sequence[Member], task: Task, split: Split) -> Chosen:
    """Score the very mean that is stored: rounding may part what was tied in the sums above; the best model is the least."""
    parts = {m.model: m.valid for m in members if m.model in chosen.weights}
    value = task.search_score(split, weighted([(valid, chosen.weights[model]) for model, valid in sorted(parts.items())]))
    sign = 1 if split.board.higher else -1
    if sign * value >= sign * members[0].value:
        return replace(chosen, value=value)
    return replace(chosen, weights={members[0].model: 1.0}, value=members[0].value)


def blended(problem: Problem, outcomes: Mapping[str, Outcome], task: Task, folder: Path) -> Blend | None:
    """Choose an ensemble, write its prediction on test and make its row; None where fewer than two models can be taken."""
    split = problem.split
    members = [] if split.reason else members_of(outcomes, folder, task, split)
    if len(members) < 2:
        return None
    chosen = choose(members, task, split)
    finals = {m.model: m.final for m in members if m.model in chosen.weights}
    parts = [
        (task.blendable(split, "final", read_prediction(folder / e["prediction"])), chosen.weights[m]) for m, e in sorted(finals.items())
    ]
    prediction = weighted(parts)
    file = f"predictions/ensemble-{stable_seed(problem.title, split.task_id):08x}.npz"
    write_prediction(folder / file, prediction)
    causal = {p.name: p.causal for p in problem.plugins}
    row = {
        "model": NAME, "plugin": "bench", "mode": "causal" if all(causal[m] for m in finals) else "offline", "tuning": chosen.tuning,
        "status": "ok", "reason": "", "flags": [*split.flags], "valid_score": chosen.value, "trials": len(members), "seed": 0,
        "params": json.dumps(dict(chosen.weights), sort_keys=True),
        **{name: sum(e[name] for e in finals.values()) for name in ("fit_seconds", "predict_seconds")},
    }  # fmt: skip
    return Blend(row, prediction, file)


def summed(one: Prediction, other: Prediction) -> list[dict[str, Array]]:
    """Add two predictions array by array."""
    return [{name: a[name] + b[name] for name in a} for a, b in zip(one, other, strict=True)]


def weighted(parts: Sequence[tuple[Prediction, float]]) -> list[dict[str, Array]]:
    """Return the weighted mean of predictions."""
    scaled = [[{name: weight * array for name, array in part.items()} for part in prediction] for prediction, weight in parts]
    total = scaled[0]
    for more in scaled[1:]:
        total = summed(total, more)
    return total


def _score(task: Task, split: Split, total: Prediction, more: Prediction, n: int) -> float:
    mean = [{name: array / n for name, array in part.items()} for part in summed(total, more)]
    return task.search_score(split, mean)
