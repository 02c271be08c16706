"""Two more rows: `mean-of-3`, the plain mean of the three best models on validation, and `ensemble`, of members that are chosen.

Means of a few good models are hard to beat where validation is small (Claeskens et al. 2016, "The forecast combination
puzzle"). How members are chosen is the task's (`Task.ensembles`). Every model with a validation prediction may be one, tuned
or not, with the mean of its final fits of all seeds.

- `level` (churn): all that validation cannot tell from the best, each with the same weight. Boards of few models are `grown`.
- `few` (forecasts, which have few series and three windows: what leads there by less than its standard error leads by luck): the
  median of the three best, of fewer only where that is better beyond that error. Models that learn over all series miss a turn
  of the level together: one of the three may be such a model, the others forecast each series from its own past.
- `grown` (anomalies): the best of the means of one, two and three models, and another one, as greedy selection takes it (Caruana
  et al. 2004), only where that helps beyond the gain's own standard error, over all validations together.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.ragged import Array
from bench.execute.jobs import stable_seed
from bench.execute.prediction_files import read_prediction, write_prediction
from bench.runs.check_prediction import RESAMPLED
from bench.runs.problem import Problem
from bench.tasks.base import ModelResult, Prediction, Split, StageName, Task, weighted
from bench.tune.plan import Outcome
from bench.tune.trials import Entry, prediction_file

NAME, FLOOR = "ensemble", "mean-of-3"
BLENDS = frozenset({NAME, FLOOR})
FEW = 3
"""Models whose plain mean is the floor, and at most the start of the ensemble."""
STEPS = 9
"""Most additions; a weight is then a multiple of a twelfth or more."""
LATEST: StageName = "search"
"""The stage of the latest validation."""
CAP = 12
"""Models that are looked at, the best on validation first."""
GAIN = 1.0
"""Standard errors beyond which one is better than another."""
LEAST = 4
"""Models that a board must have for all that are level to be combined: of fewer that says nothing beside the floor."""
MOST = 8
"""Most models that are combined because they are level."""

Valid = Mapping[StageName, Prediction]
Combine = Callable[[Sequence[tuple[Prediction, float]]], Prediction]
"""Of predictions with their weights one."""


@dataclass(frozen=True)
class Member:
    """One model that may be taken: its predictions on the validations, and the entries of its final fits, one a seed."""

    model: str
    tuning: str
    valid: Valid = field(repr=False)
    value: float
    finals: tuple[Entry, ...]
    local: bool = False
    """It forecasts each series from its own past alone."""


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
    """A combined row, its prediction on test and the file that has it."""

    row: Mapping[str, Any]
    prediction: Prediction
    file: str
    valid: Prediction
    """The same mean of the members' predictions on the latest validation."""

    def result(self) -> ModelResult:
        """Return it as a model's standing predictions, for details and plots."""
        own = {"status": "ok", "value": self.row["valid_score"], "values": {self.row["tuning"]: self.row["valid_score"]}}
        return ModelResult(self.row["model"], self.row["tuning"], own, {"status": "ok"}, self.prediction, self.valid, combined=True)


@dataclass(frozen=True)
class _Scored:
    value: float
    replicates: Array


def members_of(outcomes: Mapping[str, Outcome], folder: Path, task: Task, split: Split, local: Collection[str] = ()) -> list[Member]:
    """List the models that may be taken, best on validation first: those whose validations and final fit worked.

    A model that gave a simpler method's answers for some series is in; one whose validation prediction is gone is not.
    """
    found = []
    for name, outcome in outcomes.items() if task.blends else ():
        tuning, valid = next(iter(outcome.best.items()), ("default", outcome.valid))
        finals = tuple(e for (t, _), e in sorted(outcome.finals.items()) if t == tuning and e["status"] == "ok")
        if not finals or valid["status"] != "ok" or valid["value"] is None:
            continue
        files = {stage: folder / "valid" / f"{key}.npz" for stage, key in valid["validations"].items()}
        if all(file.is_file() for file in files.values()):
            line = finals[0].get("calibration", {})
            own = {stage: task.calibrated(read_prediction(file), line) if line else read_prediction(file) for stage, file in files.items()}
            predictions = {stage: task.blendable(split, stage, prediction) for stage, prediction in own.items()}
            found.append(Member(name, tuning, predictions, math.nan, finals, name in local))
    sign = 1 if split.ranking.higher else -1
    stages = set.intersection(*(set(m.valid) for m in found)) if found else set()
    shared = [replace(m, valid={s: p for s, p in m.valid.items() if s in stages}) for m in found]
    scored = [replace(m, value=_scored(task, split, m.valid).value) for m in shared]
    return sorted((m for m in scored if math.isfinite(m.value)), key=lambda m: (-sign * m.value, m.model))[:CAP]


def choose(members: Sequence[Member], task: Task, split: Split) -> Chosen:
    """Choose members and weights by the score that steers the search, over all validations; `members`: the best first."""
    if task.ensembles == "few":
        return _few(members, task, split)
    if task.ensembles == "level" and len(members) >= LEAST:
        return _level(members, task, split)
    return _grown(members, task, split)


def _level(members: Sequence[Member], task: Task, split: Split) -> Chosen:
    """Take all alike that are level with the best: not worse by more than `GAIN` standard errors of the difference, `MOST` at most.

    Which of them is the best cannot be told, so none weighs more (Samuels and Sekkel 2017 trim by a model confidence set so).
    Chosen on 72 simulated boards (`tests/benchmarks/bench_ensembles.py`): at or above the best single model on 58, below beyond
    the interval on none.
    """
    scored = [_scored(task, split, m.valid) for m in members]
    taken = [m for m, one in zip(members, scored, strict=True) if one is scored[0] or not _beyond(scored[0], one, split)][:MOST]
    return _made(taken, _scored(task, split, _mean_of(taken)).value)


def _grown(members: Sequence[Member], task: Task, split: Split) -> Chosen:
    """Begin with the best of the means of one, two and three, of equals the fewest; add greedily what helps beyond its standard error."""
    sign = _sign(split)
    starts = [list(members[:k]) for k in range(1, min(FEW, len(members)) + 1)]
    scored = [(_scored(task, split, _mean_of(taken)), taken) for taken in starts]
    best, taken = max((pair for pair in scored if math.isfinite(pair[0].value)), key=lambda pair: (sign * pair[0].value, -len(pair[1])))
    for _ in range(STEPS):
        tried = [(_scored(task, split, _mean_of([*taken, m])), m) for m in members]
        known = [(one, m) for one, m in tried if math.isfinite(one.value)]
        if not known:
            break
        better, added = max(known, key=lambda pair: sign * pair[0].value)
        if not _beyond(better, best, split):
            break
        best, taken = better, [*taken, added]
    return _made(taken, best.value)


def _few(members: Sequence[Member], task: Task, split: Split) -> Chosen:
    """Take the three best together; two, or the best alone, only where that is better beyond the gain's standard error.

    Of the models that learn over all series the best may be among them.
    """
    first = next((m for m in members if not m.local), None)
    members = [m for m in members if m.local or m is first]
    taken = members[:FEW]
    best = _scored(task, split, _mean_of(taken, task.combined))
    for k in range(len(taken) - 1, 0, -1):
        fewer = _scored(task, split, _mean_of(members[:k], task.combined))
        if _beyond(fewer, best, split):
            best, taken = fewer, members[:k]
    return _made(taken, best.value)


def _sign(split: Split) -> float:
    return 1.0 if split.ranking.higher else -1.0


def _beyond(one: _Scored, other: _Scored, split: Split) -> bool:
    """Return whether `one` is better than `other` by more than `GAIN` standard errors of the difference; never where it has no score."""
    error = float(np.nanstd(one.replicates - other.replicates))
    return _sign(split) * (one.value - other.value) > GAIN * error + 1e-12


def _made(taken: Sequence[Member], value: float) -> Chosen:
    counts = Counter(m.model for m in taken)
    return Chosen({model: n / len(taken) for model, n in counts.items()}, value, _tuning(taken))


def blended(problem: Problem, outcomes: Mapping[str, Outcome], task: Task, folder: Path) -> list[Blend]:
    """Combine models, write the predictions on test and make the rows; none where fewer than two models can be taken.

    An ensemble of one model is that model, and one that is the mean of the three best is that floor: it has no row of its own.
    """
    split = problem.split
    members = [] if split.reason else members_of(outcomes, folder, task, split, {p.name for p in problem.plugins if p.local})
    if len(members) < 2:
        return []
    chosen, wanted = choose(members, task, split), {}
    if len(members) >= FEW:
        few = members[:FEW]
        wanted[FLOOR] = Chosen({m.model: 1 / FEW for m in few}, _scored(task, split, _mean_of(few)).value, _tuning(few))
    averaged = type(task).combined is Task.combined
    if len(chosen.weights) > 1 and not (averaged and FLOOR in wanted and chosen.weights == wanted[FLOOR].weights):
        wanted = {NAME: chosen, **wanted}
    return [_blend(name, one, members, problem, task, folder) for name, one in wanted.items()]


def combination(name: str, task: Task) -> Combine:
    """Return how the row `name` combines its members: as its name says, or as the task wants it."""
    return weighted if name == FLOOR else task.combined


def _blend(name: str, chosen: Chosen, members: Sequence[Member], problem: Problem, task: Task, folder: Path) -> Blend:
    split, weights = problem.split, chosen.weights
    finals = {m.model: m.finals for m in members if m.model in chosen.weights}
    parts = [
        (weighted([(task.blendable(split, "final", read_prediction(folder / prediction_file(e))), 1 / len(own)) for e in own]), weights[m])
        for m, own in sorted(finals.items())
    ]
    combine = combination(name, task)
    prediction = combine(parts)
    file = f"predictions/{name}-{stable_seed(problem.title, split.task_id):08x}.npz"
    write_prediction(folder / file, prediction)
    causal = {p.name: p.causal for p in problem.plugins}
    row = {
        "model": name, "plugin": "bench", "mode": "causal" if all(causal[m] for m in finals) else "offline", "tuning": chosen.tuning,
        "status": "ok", "reason": "", "flags": [*split.flags], "valid_score": chosen.value,
        # a mean of models without a search stands for itself, as a default does
        "trials": 0 if chosen.tuning == "default" else len(members), "seed": 0,
        "params": json.dumps(dict(chosen.weights), sort_keys=True),
        **{name: sum(e[name] for own in finals.values() for e in own) for name in ("fit_seconds", "predict_seconds")},
    }  # fmt: skip
    valid = combine([(m.valid[LATEST], chosen.weights[m.model]) for m in sorted(members, key=lambda m: m.model) if m.model in finals])
    return Blend(row, prediction, file, valid)


def _mean_of(members: Sequence[Member], combine: Combine = weighted) -> Valid:
    counts = Counter(m.model for m in members)
    by_name = {m.model: m for m in members}
    return {stage: combine([(by_name[m].valid[stage], n / len(members)) for m, n in sorted(counts.items())]) for stage in members[0].valid}


def _scored(task: Task, split: Split, valid: Valid) -> _Scored:
    """Score predictions on all validations by the first tuning's objectives, and under the resamples that pair any two."""
    objectives = [one for stage, prediction in valid.items() for one in next(iter(task.objectives(split, stage, prediction).values()))]
    value = float(np.mean([one.value for one in objectives]))
    return _Scored(value, np.mean([one.replicates(RESAMPLED) for one in objectives], axis=0))


def _tuning(members: Sequence[Member]) -> str:
    return next((m.tuning for m in members if m.tuning != "default"), "default")
