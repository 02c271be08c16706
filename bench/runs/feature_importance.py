"""Ask the saved fit of a churn model what it looks at: how much ROC AUC it loses where something is taken from its inputs.

The worker sees inputs alone; what it answers is scored here, where the truth stays. Letters: N users, B draws.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import ChurnInputs
from bench.data.ragged import Array
from bench.execute.executor import Executor, wait_for
from bench.execute.jobs import Limits, stable_seed
from bench.execute.messages import Apply
from bench.metrics.bootstrap import draws, interval
from bench.metrics.churn import ranked
from bench.metrics.rounding import rounded
from bench.runs.check_prediction import part_of
from bench.runs.problem import Problem
from bench.tasks.base import ModelResult, Split, Stage, Task, Truth
from bench.tasks.churn import occlusion

SECONDS = 60.0
"""Most that one question may take; after one that takes longer no more are asked."""
SLOW = f"it took longer than {SECONDS:g} s"
DRAWS = 200
FIRST_TICKET = 1_000_000_000
"""Beyond any ticket of the run itself."""


@dataclass(frozen=True)
class Occlusion:
    """What it takes to ask saved models when a run's jobs are done."""

    executor: Executor
    memory_mb: float
    context: Mapping[str, Any]
    """Fields of `bench.Context` that the profile sets."""

    def measure_importance(self, problem: Problem, one: ModelResult, task: Task, folder: Path) -> dict[str, Any]:
        """Ask one model; gives `key` of its fit, `reason` where it cannot be asked, else `users`, `auc` and `rows`.

        A row has `group` and `what`, and `drop` with its interval (paired bootstrap by user) or `reason`.
        """
        found = {"key": one.final["key"], "reason": ""}
        if not one.final.get("saved"):
            return {**found, "reason": f"its fit could not be saved ({one.final.get('unsaved') or 'nothing was stored'})"}
        if not (folder / one.final["saved"]).is_dir():
            return {**found, "reason": "the folder that its fit was saved in is gone"}
        split, whole = _sampled(problem)
        truth = split.truths["final"]
        if not 0 < truth.y.sum() < len(truth.y):
            return {**found, "reason": f"the {len(truth.y):,} users chosen are of one class"}
        base, reason = self._answer(problem, one, task, folder, split, whole)
        if base is None:
            return {**found, "reason": f"asked again, its saved fit failed: {reason}"}
        before = ranked(truth.y, base, 0.5)
        rows, stopped = [], ""
        for probe in occlusion.probes(whole, _seed(problem)):
            after, reason = (None, stopped) if stopped else self._answer(problem, one, task, folder, split, probe.inputs)
            stopped = stopped or (f"not asked: of the one before it, {SLOW}" if reason == SLOW else "")
            lost = {"reason": reason} if after is None else _auc_drop(before, ranked(truth.y, after, 0.5), truth.group, _seed(problem))
            rows.append({"group": probe.group, "what": probe.what, **lost})
        return {**found, "users": len(truth.y), "auc": rounded(_auc(before, np.ones((1, len(truth.y))))[0]), "rows": rows}

    def _answer(
        self, problem: Problem, one: ModelResult, task: Task, folder: Path, split: Split, inputs: ChurnInputs
    ) -> tuple[Array | None, str]:
        """Ask once, in a worker: P(churn) [N], or the reason why there is none."""
        plugin = next(p for p in problem.plugins if p.name == one.model)
        stage = Stage(None, (inputs,))
        saved, context = (folder / one.final["saved"]).resolve(), {**self.context, **split.context}
        request = Apply(plugin.source, plugin.name, dict(one.final["params"]), one.final["seed"], context, str(saved))
        # these users' labels are no one's training data, but the fit beside them is: no search job may share the worker
        limits = Limits(SECONDS, self.memory_mb)
        self.executor.submit(FIRST_TICKET, request, limits, runtime=plugin.runtime, stage=stage, final=True)
        result = wait_for(self.executor, FIRST_TICKET)
        try:
            failed = SLOW if result.status == "timeout" else result.reason
            arrays, reason = part_of([result], 0) if result.status == "ok" else ({}, failed)
            reason = reason or task.invalid(split, "final", 0, arrays)
            return (None, reason) if reason else (np.array(arrays["prediction"], np.float64), "")
        finally:
            for files in result.parts:
                for file in files.values():
                    shutil.rmtree(file.parent, ignore_errors=True)


def measure_importances(
    occluded: Occlusion, problem: Problem, chosen: Sequence[ModelResult], task: Task, folder: Path, known: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Ask each of the chosen models; `known`: model -> what the same run has found before, kept where the fit is the same."""
    kept = {one.model: known.get(one.model, {}) for one in chosen}
    return {
        one.model: kept[one.model]
        if kept[one.model].get("key") == one.final["key"]
        else occluded.measure_importance(problem, one, task, folder)
        for one in chosen
    }


def models_to_probe(models: Sequence[str], shown: Sequence[ModelResult], reference: str) -> list[ModelResult]:
    """Choose who is asked: of `models`, the best first, the first that has a fit of its own; and the reference."""
    by_name = {one.model: one for one in shown if not one.combined}
    leader = next((m for m in models if m in by_name), "")
    return [by_name[m] for m in dict.fromkeys((leader, reference)) if m in by_name]


def _sampled(problem: Problem) -> tuple[Split, ChurnInputs]:
    """Cut the test down to the users who are asked about: a split for the checks, and the inputs."""
    whole, truth = problem.split.stages["final"].parts[0], problem.split.truths["final"]
    rows = occlusion.sample(whole, _seed(problem))
    return replace(problem.split, truths={"final": Truth(truth.y[rows], truth.group[rows])}), whole.take(rows)


def _seed(problem: Problem) -> int:
    return stable_seed(problem.fingerprint, problem.split.task_id, "looks")


def _auc_drop(before: Any, after: Any, group: Array, seed: int) -> dict[str, Any]:
    """Return the ROC AUC that is lost, and its 95 % interval over the same draws of users for both."""
    point = np.ones((1, len(group)))
    drop = _auc(before, point) - _auc(after, point)
    spread = np.concatenate([_auc(before, w) - _auc(after, w) for w in draws(group, DRAWS, seed)])
    low, high = interval(spread)
    return {"drop": rounded(drop[0]), "low": rounded(low), "high": rounded(high)}


def _auc(model: Any, weights: Array) -> Array:
    return np.asarray(model.score(weights)["roc_auc"])
