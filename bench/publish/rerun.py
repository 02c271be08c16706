"""Fit published cells again, with their stored parameters and seed, and compare the predictions."""

from __future__ import annotations

import contextlib
import itertools
import json
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.board.merge import row_key
from bench.board.metrics import ranking_metric
from bench.board.schema import Row
from bench.execute.describe_plugins import Describer
from bench.execute.executor import Executor, wait_for
from bench.execute.job_sources import job_digest
from bench.execute.jobs import Limits, Plugin
from bench.execute.local import LocalExecutor
from bench.execute.machine import memory_mb
from bench.execute.messages import Result
from bench.execute.sandbox import Sandbox
from bench.publish import untrusted
from bench.publish.rescore import RescoredBoard
from bench.publish.store import PlaceError, reason_of
from bench.publish.truth import PublishedRun
from bench.registry import Registry, Source
from bench.runs.cell import Cell
from bench.runs.check_prediction import validate_prediction
from bench.runs.ensemble import BLENDS
from bench.runs.offline_rows import base_of
from bench.tasks.base import Prediction

SECONDS = 3600.0
"""Longest that one fit may take."""
EXACT = 1e-6
"""Relative to the largest number of a prediction: what counts as the same."""


@dataclass(frozen=True)
class Again:
    """Describe how a repeat went."""

    level: str
    """re-run: the model was fitted again and agrees; re-scored: it could not be fitted again here."""
    words: str
    wrong: bool = False


def repeatable(row: Row) -> bool:
    """Return whether a row is of a fit; ensembles, offline rows of causal models and cross-fitted rows are made of others'."""
    made = row["model"] in BLENDS or base_of(row) != row["model"] or "cross-fitted" in (row["flags"] or [])
    return bool(row["status"] == "ok" and not made)


class Repeater:
    """The workers that fit again."""

    def __init__(self, executor: Executor, registry: Registry, memory_mb: float) -> None:
        self._executor, self._registry = executor, registry
        self._limits = Limits(SECONDS, memory_mb)
        self._plugins: dict[str, Plugin] = {}
        self._tickets = itertools.count()

    def repeat(self, run: PublishedRun, board: RescoredBoard, row: Row, index: Sequence[Mapping[str, Any]]) -> Again:
        """Fit one row's model again and compare its predictions with those published."""
        plugin = self._plugin(row["model"])
        if plugin is None or plugin.status != "ok":
            return Again("re-scored", f"not run again: {'no such model is installed' if plugin is None else plugin.reason}")
        results = self._fitted(run, board, row, plugin)
        if results[-1].status != "ok":
            return Again("re-scored", f"run again, the model failed ({results[-1].status}: {results[-1].reason})", wrong=True)
        verdict = validate_prediction(board.task, board.split, "final", results, causal=plugin.causal)
        if verdict.finished is None:
            return Again("re-scored", f"run again, the model failed ({verdict.reason})", wrong=True)
        name = next(e["file"] for e in index if row_key(e) == row_key(row))
        stored = untrusted.prediction(board.published.file(name), board.published.path(name), untrusted.max_bytes(board.split))
        again = _corrected(verdict.finished.prediction, row, board)
        return _compared(row, board, stored, again, _elsewhere(run, board, row, plugin))

    def _fitted(self, run: PublishedRun, board: RescoredBoard, row: Row, plugin: Plugin) -> list[Result]:
        caps = {"epochs": run.profile.epochs, "history": run.profile.history, "rows": run.profile.rows}
        title = " ".join(filter(None, [row["dataset"], board.split.columns.get("family")]))
        cell = Cell(title, board.split, plugin, "cpu", {}, {**caps, **board.split.context})
        job = cell.job("final", json.loads(row["params"] or "{}"), row["seed"], 0)
        found = []
        for stage in cell.stages(job):
            request, ticket = replace(cell.request(job), save=False), next(self._tickets)
            # a ticket of its own for each: the files of the chunk before are still needed
            self._executor.submit(ticket, request, cell.bounds(job, self._limits), runtime=plugin.runtime, stage=stage, final=True)
            found.append(wait_for(self._executor, ticket))
            if found[-1].status != "ok":
                break
        return found

    def _plugin(self, model: str) -> Plugin | None:
        if model not in self._plugins:
            for plugin in self._described(model):
                self._plugins.setdefault(plugin.name, plugin)
        return self._plugins.get(model)

    def _described(self, model: str) -> list[Plugin]:
        points = self._registry.sources["bench.models"]
        sources: list[Source] = [points[model]] if model in points else list(self._registry.files)
        return Describer(self._executor, sources, self._limits.memory_mb).finish()[0] if sources else []


@contextlib.contextmanager
def repeater(registry: Registry, sandbox: Sandbox | None) -> Iterator[Repeater]:
    """Open one worker; it ends with the block."""
    executor = LocalExecutor(1, "cpu", Path(tempfile.mkdtemp(prefix="bench-")), sandbox)
    try:
        yield Repeater(executor, registry, memory_mb() / 2)
    finally:
        executor.close()


def _corrected(again: Prediction, row: Row, board: RescoredBoard) -> Prediction:
    """Correct a prediction by the line that the row was corrected by, where it was: what is stored is what was scored."""
    try:
        line = json.loads(row.get("calibration") or "{}")
        return board.task.calibrated(again, line) if line else again
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PlaceError(f"calibration is {str(row.get('calibration'))[:80]!r}, which corrects nothing ({reason_of(error)})") from None


def _elsewhere(run: PublishedRun, board: RescoredBoard, row: Row, plugin: Plugin) -> str:
    """Describe what is not as it was when the row was made, so that the last digits need not agree; empty: nothing."""
    import bench

    model = run.models.get(row["model"], {})
    versions = model.get("versions", {})
    changed = [name for name, version in plugin.versions.items() if versions.get(name) != version]
    differing = {
        "the plugin's source": row["source_hash"] != plugin.source_hash,
        f"the version of {', '.join(sorted(changed)) or 'what it needs'}": changed or not versions,
        "the version of bench": run.bench_version != bench.__version__,
        "the time that was left to the fit": "cut-short" in (row["flags"] or []),
    }
    if not plugin.deterministic:
        # a network's last digits grow with every step: they are only the same where everything is
        differing |= {
            "the source of bench": model.get("job_source") != job_digest(type(board.task).__module__, plugin.core_modules),
            "the device": row["device"] != "cpu",
            "the system": run.system != platform.platform(),
        }
    return ", ".join(name for name, differs in differing.items() if differs)


def _compared(row: Row, board: RescoredBoard, stored: Prediction, again: Prediction, elsewhere: str) -> Again:
    """Compare two predictions: the same where nothing changed, else with a score inside the published interval."""
    metric, _ = ranking_metric(row)
    gap = _gap(*(board.task.published(one, metric) for one in (stored, again)))
    if gap <= EXACT:
        return Again("re-run", f"fitted again: the same predictions{f' to {gap:.0e}' if gap else ''}")
    differ = f"fitted again, predictions differ by up to {gap:.3g} of their range"
    if not elsewhere:
        return Again("re-scored", f"{differ}, though source, versions and system are the same: not what these parameters give", wrong=True)
    weights = np.ones((1, len(board.split.truths["final"].group)))
    score = float(board.task.scorer(board.split, again).score(weights)[metric][0])
    low, high = row[f"{metric}_low"], row[f"{metric}_high"]
    words = f"{differ} ({elsewhere} differs): {metric} {score:.4g}, published interval {low} to {high}"
    inside = low is not None and high is not None and low <= score <= high
    return Again("re-run" if inside else "re-scored", words, wrong=not inside)


def _gap(one: Prediction, other: Prediction) -> float:
    """Return the largest difference of two predictions, as a share of the larger one's largest number; inf for other shapes."""
    if [sorted(part) for part in one] != [sorted(part) for part in other]:
        return float("inf")
    gap = 0.0
    for a, b in ((x[name], y[name]) for x, y in zip(one, other, strict=True) for name in x):
        if a.shape != b.shape or not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return float("inf")
        known = np.isfinite(a)
        if known.any():
            u, v = a[known].astype(np.float64), b[known].astype(np.float64)
            gap = max(gap, float(np.abs(u - v).max() / max(np.abs(u).max(), np.abs(v).max(), 1e-300)))
    return gap
