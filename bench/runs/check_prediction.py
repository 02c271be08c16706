"""Read what a job left, check it, and score it where it steers the search; a final's score waits for the end of the run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.data.ragged import Array
from bench.execute.messages import Result
from bench.tasks.base import Arrays, Finished, Objective, Split, StageName, Task
from bench.tune.trials import Entry

RESAMPLED = 0
"""Seed of the draws: one for all, so that scores of any two configurations are paired."""
LARGE = 2**26
"""Bytes of an array that is not read at once."""


@dataclass(frozen=True)
class CheckedPrediction:
    """What the core thinks of a job's prediction."""

    status: str
    reason: str = ""
    scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Tuning -> score on each validation of the stage; empty for finals."""
    replicates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Tuning -> the mean score under each resample of users or series."""
    finished: Finished | None = None

    def columns(self) -> Entry:
        """Return the ledger's columns."""
        done = self.finished or Finished(())
        values = {tuning: sum(scores) / len(scores) for tuning, scores in self.scores.items()}
        return {
            "status": self.status,
            "reason": self.reason,
            "value": next(iter(values.values()), None),
            "values": values,
            "scores": {tuning: list(scores) for tuning, scores in self.scores.items()},
            "replicates": {tuning: list(drawn) for tuning, drawn in self.replicates.items()},
            "flags": list(done.flags),
            "note": done.note,
            "about": dict(done.about),
        }


def validate_prediction(task: Task, split: Split, stage: StageName, results: Sequence[Result], *, causal: bool) -> CheckedPrediction:
    """Check all parts of a prediction, chunk by chunk; bring it into its final form and score it on validation."""
    prediction: list[Arrays] = []
    for part in range(len(split.stages[stage].parts)):
        arrays, reason = part_of(results, part)
        reason = reason or task.invalid(split, stage, part, arrays)
        if reason:
            return CheckedPrediction("invalid", reason)
        prediction.append(arrays)
    finished = task.finished(split, stage, prediction, causal=causal)
    if stage == "final":
        # scored once, at the end: nothing may be chosen by its value
        return CheckedPrediction("ok", finished=finished)
    return score_validation(task, split, stage, finished)


def score_validation(task: Task, split: Split, stage: StageName, finished: Finished) -> CheckedPrediction:
    """Score a prediction on validation, and under resamples of its users or series."""
    objectives = task.objectives(split, stage, finished.prediction)
    scores = {tuning: [one.value for one in each] for tuning, each in objectives.items()}
    if not all(each and all(map(math.isfinite, each)) for each in scores.values()):
        return CheckedPrediction("invalid", f"the validation score ({split.ranking.metric}) is undefined")
    return CheckedPrediction("ok", scores=scores, replicates={t: _replicates(each) for t, each in objectives.items()}, finished=finished)


def _replicates(objectives: Sequence[Objective]) -> list[float]:
    """Resample all validations of a stage by the same draws; a resample in which a score is undefined has the score itself."""
    drawn = np.stack([one.replicates(RESAMPLED) for one in objectives])  # [V, B]
    point = np.array([[one.value] for one in objectives])
    return [float(f"{v:.7g}") for v in np.where(np.isfinite(drawn), drawn, point).mean(axis=0)]


def part_of(results: Sequence[Result], part: int) -> tuple[dict[str, Array], str]:
    """Read one part's arrays and put the chunks under each other; the second item says what is wrong."""
    read: dict[str, list[Array]] = {}
    for result in results:
        if part >= len(result.parts) or not result.parts[part]:
            return {}, "the prediction cannot be read: its file is missing"
        for name, file in result.parts[part].items():
            array, reason = _read(file)
            if reason:
                return {}, reason
            read.setdefault(name, []).append(array)
    if len(results) == 1:
        return {name: arrays[0] for name, arrays in read.items()}, ""
    try:
        return {name: np.concatenate(arrays) for name, arrays in read.items()}, ""
    except ValueError as error:
        return {}, f"chunks of the prediction do not fit together: {error}"


def _read(path: Path) -> tuple[Array, str]:
    try:
        # mapped where it is large: a prediction of the wrong shape must not fill the supervisor's memory
        large = path.stat().st_size > LARGE
        return np.load(path, mmap_mode="r" if large else None, allow_pickle=False), ""
    except (OSError, ValueError, EOFError) as error:
        return np.zeros(0), f"the prediction cannot be read: {error}"
