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

Where labels tune a detector, those of either half of the entities for the other, they also choose a `mean-of-3` of its own row,
together with the injections: labels of few series alone choose badly, and worst where they choose one detector
(`tests/benchmarks/bench_labels.py`, 60 simulated boards: the best alone .317, the mean of three .347, of three by both .355).
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
from bench.tasks.base import SECOND, TUNED, ModelResult, Prediction, Split, StageName, Task, weighted
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
    """Of the row whose fits it takes."""
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
    """By what its members were chosen: the first tuning that any of them has, or that of the labels."""


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


def members_of(
    outcomes: Mapping[str, Outcome], folder: Path, task: Task, split: Split, local: Collection[str] = (), half: str = ""
) -> list[Member]:
    """List the models that may be taken, best on validation first: those whose validations and final fit worked.

    `half`: the tuning of the half whose labels have a say in what is best; empty: no labels have. A model that gave a simpler
    method's answers for some series is in; one whose validation prediction is gone is not.
    """
    found = []
    for name, outcome in outcomes.items() if task.blends else ():
        tuning, valid = _standing(outcome, half)
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
    scored = [replace(m, value=_scored(task, split, m.valid, half).value) for m in shared]
    return sorted((m for m in scored if math.isfinite(m.value)), key=lambda m: (-sign * m.value, m.model))[:CAP]


def _standing(outcome: Outcome, half: str) -> tuple[str, Entry]:
    """Return what stands for a model: the tuning of its row, and the entry of what it chose."""
    if not half:
        return next(iter(outcome.best.items()), ("default", outcome.valid))
    chosen = outcome.second if half == SECOND else outcome.best.get(half)
    # one row is of both halves
    return ("default", outcome.valid) if chosen is None else (TUNED, chosen)


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
    local = {p.name for p in problem.plugins if p.local}
    members = [] if split.reason else members_of(outcomes, folder, task, split, local)
    if len(members) < 2:
        return []
    chosen, wanted, blender = choose(members, task, split), {}, _Blender(problem, task, folder)
    if len(members) >= FEW:
        wanted[FLOOR] = _mean_of_few(members, task, split, _tuning(members[:FEW]))
    averaged = type(task).combined is Task.combined
    if len(chosen.weights) > 1 and not (averaged and FLOOR in wanted and chosen.weights == wanted[FLOOR].weights):
        wanted = {NAME: chosen, **wanted}
    return [*(blender.row(name, [one], [members]) for name, one in wanted.items()), *_by_labels(blender, outcomes, local)]


def _by_labels(blender: _Blender, outcomes: Mapping[str, Outcome], local: Collection[str]) -> list[Blend]:
    """Make the mean of the three that the labels of either half choose for the other, as they choose what a detector's row is."""
    if not any(outcome.second for outcome in outcomes.values()):
        return []
    task, split, halves = blender.task, blender.problem.split, (TUNED, SECOND)
    members = [members_of(outcomes, blender.folder, task, split, local, half) for half in halves]
    if min(map(len, members)) < FEW:
        return []
    return [blender.row(FLOOR, [_mean_of_few(own, task, split, TUNED) for own in members], members)]


def _mean_of_few(members: Sequence[Member], task: Task, split: Split, tuning: str) -> Chosen:
    """Take the three best alike; their score is by what steers that tuning alone."""
    few = members[:FEW]
    told = [task.objectives(split, stage, prediction) for stage, prediction in _mean_of(few).items()]
    own = [one.value for found in told for one in (found.get(tuning) or next(iter(found.values())))]
    return Chosen({m.model: 1 / FEW for m in few}, float(np.mean(own)), tuning)


def combination(name: str, task: Task) -> Combine:
    """Return how the row `name` combines its members: as its name says, or as the task wants it."""
    return weighted if name == FLOOR else task.combined


@dataclass(frozen=True)
class _Blender:
    """Makes the rows of one board's combinations, and writes their predictions."""

    problem: Problem
    task: Task
    folder: Path

    def row(self, name: str, chosen: Sequence[Chosen], members: Sequence[Sequence[Member]]) -> Blend:
        """Combine members: as one choice of them says, or as two, by the labels of either half of the entities for the other."""
        first, halves = chosen[0], len(chosen) > 1
        finals = {m.model: m.finals for own, one in zip(members, chosen, strict=True) for m in own if m.model in one.weights}
        prediction = self._prediction(combination(name, self.task), chosen, finals)
        file = f"predictions/{name}-{stable_seed(self.problem.title, self.problem.split.task_id):08x}{'-halves' * halves}.npz"
        write_prediction(self.folder / file, prediction)
        causal = {p.name: p.causal for p in self.problem.plugins}
        parted = any(one.weights != first.weights for one in chosen) or any(
            "cross-fitted" in e["flags"] for own in finals.values() for e in own
        )
        row = {
            "model": name, "plugin": "bench", "mode": "causal" if all(causal[m] for m in finals) else "offline", "tuning": first.tuning,
            "status": "ok", "reason": "", "flags": [*self.problem.split.flags, *["cross-fitted"] * parted], "valid_score": first.value,
            # a mean of models without a search stands for itself, as a default does
            "trials": 0 if first.tuning == "default" else len(members[0]), "seed": 0,
            "params": json.dumps(_mean_weights([one.weights for one in chosen]), sort_keys=True),
            **{name: sum(e[name] for own in finals.values() for e in own) for name in ("fit_seconds", "predict_seconds")},
        }  # fmt: skip
        inside = sorted((m for m in members[0] if m.model in first.weights), key=lambda m: m.model)
        valid = combination(name, self.task)([(m.valid[LATEST], first.weights[m.model]) for m in inside])
        return Blend(row, prediction, file, valid)

    def _prediction(self, combine: Combine, chosen: Sequence[Chosen], finals: Mapping[str, Sequence[Entry]]) -> Prediction:
        parts = {model: self._final(entries) for model, entries in sorted(finals.items())}
        each = [combine([(part, one.weights[model]) for model, part in parts.items() if model in one.weights]) for one in chosen]
        return each[0] if len(each) == 1 else self.task.cross_fitted(self.problem.split, *each)

    def _final(self, entries: Sequence[Entry]) -> Prediction:
        """Return the mean of a model's final fits, in the form in which models are combined."""
        read = [read_prediction(self.folder / prediction_file(entry)) for entry in entries]
        return weighted([(self.task.blendable(self.problem.split, "final", one), 1 / len(read)) for one in read])


def _mean_weights(of: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of weights: whoever is asked about new data, of no half, asks the members of both."""
    return {model: sum(one.get(model, 0.0) for one in of) / len(of) for model in dict.fromkeys(m for one in of for m in one)}


def _mean_of(members: Sequence[Member], combine: Combine = weighted) -> Valid:
    counts = Counter(m.model for m in members)
    by_name = {m.model: m for m in members}
    return {stage: combine([(by_name[m].valid[stage], n / len(members)) for m, n in sorted(counts.items())]) for stage in members[0].valid}


def _scored(task: Task, split: Split, valid: Valid, half: str = "") -> _Scored:
    """Score predictions on all validations by the first tuning's objectives, and under the resamples that pair any two.

    `half`: the tuning whose objectives, by labels, count as much.
    """
    told = [task.objectives(split, stage, prediction) for stage, prediction in valid.items()]
    objectives = [one for found in told for one in (*next(iter(found.values())), *(found[half] if half else ()))]
    value = float(np.mean([one.value for one in objectives]))
    return _Scored(value, np.mean([one.replicates(RESAMPLED) for one in objectives], axis=0))


def _tuning(members: Sequence[Member]) -> str:
    return next((m.tuning for m in members if m.tuning != "default"), "default")
