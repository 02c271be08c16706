"""Ask the saved fits of churn models what they show of themselves (`bench.Insight`), when a run's jobs are done.

The worker sees inputs alone; what it answers is checked as anything that comes from a plugin, and counted by users here.
Whatever goes wrong is a sentence on the model's page: its rows are there already, and stay.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import ChurnInputs
from bench.data.ragged import Array
from bench.execute.executor import wait_for
from bench.execute.jobs import Limits, Plugin, stable_seed
from bench.execute.mean_of import configurations
from bench.execute.messages import Apply, Result
from bench.runs.check_prediction import part_of
from bench.runs.feature_importance import FIRST_TICKET, SECONDS, SLOW, Occlusion
from bench.runs.problem import Problem
from bench.tasks.base import ModelResult, Stage
from bench.tasks.churn import insight, occlusion


def measure_insights(
    asker: Occlusion, problem: Problem, shown: Sequence[ModelResult], folder: Path, known: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Ask each model that shows something; `known`: model -> what the same run has found before, kept where the fit is the same."""
    able = {plugin.name: plugin for plugin in problem.plugins if plugin.insight}
    asked = [one for one in shown if one.model in able and not one.combined]
    before = {one.model: known.get(one.model, {}) for one in asked}
    return {
        one.model: before[one.model]
        if before[one.model].get("key") == one.final["key"]
        else _insight(asker, problem, able[one.model], one, folder)
        for one in asked
    }


def _insight(asker: Occlusion, problem: Problem, plugin: Plugin, one: ModelResult, folder: Path) -> dict[str, Any]:
    """Ask one model: `key` of its fit, `reason` where nothing can be drawn, `of` configurations, else `map` and `ages`."""
    found = {"key": one.final["key"], "reason": "", "of": len(configurations(one.final["params"]))}
    if not one.final.get("saved") or not (folder / one.final["saved"]).is_dir():
        return {**found, "reason": f"its fit could not be saved ({one.final.get('unsaved') or 'nothing was stored'})"}
    seed = stable_seed(problem.fingerprint, problem.split.task_id, "shows")
    rows, inputs = _sampled(problem, seed)
    arrays, reason = _answer(asker, problem, plugin, one, folder, inputs)
    if reason or not arrays:
        return {**found, "reason": reason or "it has nothing to show of this task"}
    made = insight.counted(arrays, inputs, problem.split.truths["final"].y[rows], one.prediction[0]["prediction"][rows], seed)
    return {**found, **made, "users": len(rows), "reason": "" if made else "all users are alike to it"}


def _sampled(problem: Problem, seed: int) -> tuple[Array, ChurnInputs]:
    whole: ChurnInputs = problem.split.stages["final"].parts[0]
    rows = occlusion.sample(whole, seed)
    return rows, whole.take(rows)


def _answer(
    asker: Occlusion, problem: Problem, plugin: Plugin, one: ModelResult, folder: Path, inputs: ChurnInputs
) -> tuple[dict[str, Array], str]:
    """Ask in a worker, read what it left and check it: arrays by name, or the reason why there are none."""
    context = {**asker.context, **problem.split.context}
    saved = str((folder / one.final["saved"]).resolve())
    request = Apply(plugin.source, plugin.name, dict(one.final["params"]), one.final["seed"], context, saved, insight=True)
    limits = Limits(SECONDS, asker.memory_mb)
    asker.executor.submit(FIRST_TICKET, request, limits, runtime=plugin.runtime, stage=Stage(None, (inputs,)), final=True)
    result = wait_for(asker.executor, FIRST_TICKET)
    try:
        return _read(result, inputs)
    finally:
        for files in result.parts:
            for file in files.values():
                shutil.rmtree(file.parent, ignore_errors=True)


def _read(result: Result, inputs: ChurnInputs) -> tuple[dict[str, Array], str]:
    if result.status != "ok":
        return {}, SLOW if result.status == "timeout" else result.reason
    if not result.parts or not result.parts[0]:
        return {}, ""
    if strange := [name for name in result.parts[0] if name not in insight.NAMES]:
        # before any file is read: how many there are is the plugin's choice
        return {}, f"insight names {strange[0][:40]!r}; known: {', '.join(insight.NAMES)}"
    arrays, reason = part_of([result], 0)
    reason = reason or insight.refusal(arrays, inputs)
    # a copy: large files are mapped, and are removed
    return ({}, reason) if reason else ({name: np.array(array, np.float64) for name, array in arrays.items()}, "")
