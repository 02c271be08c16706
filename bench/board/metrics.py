"""What ranks a row and how its metrics are called: all of it as the row's task has it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from bench.metrics.kinds import Metric
from bench.tasks.base import RankingRule
from bench.tasks.lookup import FIRST, task_named
from bench.tasks.ranked_by import SPELT, by


def metrics_of(task: str) -> Mapping[str, Metric]:
    """Return the metrics of a task, by column of the leaderboard."""
    return task_named(task).metrics


def unit_of(task: str) -> str:
    """Return what a task scores and resamples: `users`, `series`, `entities`."""
    return task_named(task).unit


def ranking_of(row: Mapping[str, Any]) -> RankingRule:
    """Return what ranks on a row's board: as its task id says (`/rank=wql`), else as its level does."""
    return _ranking(row["task"], row["task_id"], row.get("level") or "")


@lru_cache(maxsize=4096)
def _ranking(task: str, task_id: str, level: str) -> RankingRule:
    known = task_named(task).rankings
    named = SPELT.search(task_id)
    own = known.get(level) or known[""]
    if named is None or named[1] not in metrics_of(task):
        return own
    return next((r for r in known.values() if r.metric == named[1]), None) or by(own, named[1], metrics_of(task))


def ranking_metric(row: Mapping[str, Any]) -> tuple[str, bool]:
    """Name the metric that ranks this row's board, and state whether higher is better."""
    found = ranking_of(row)
    return found.metric, found.higher


def ranking_label(row: Mapping[str, Any]) -> str:
    """Return the ranking metric's name for people: `AUC`, `MASE`."""
    return metrics_of(row["task"])[ranking_of(row).metric].label


def second_metric(row: Mapping[str, Any]) -> Metric:
    """Return the metric that tables show beside the ranking one."""
    found = ranking_of(row)
    return metrics_of(row["task"])[found.second or found.metric]


def shown_metrics(row: Mapping[str, Any]) -> tuple[Metric, ...]:
    """List the metrics that tables show beside the ranking one: the second, then the further ones."""
    own = metrics_of(row["task"])
    return (second_metric(row), *(own[name] for name in ranking_of(row).also))


def way(*, higher: bool) -> str:
    """Return the word for a metric's good direction: `higher` or `lower`."""
    return "higher" if higher else "lower"


@cache
def label_of(metric: str, otherwise: str = "score") -> str:
    """Return a metric's name for people, whichever task of ours has it."""
    return next((own[metric].label for own in map(metrics_of, FIRST) if metric in own), otherwise)
