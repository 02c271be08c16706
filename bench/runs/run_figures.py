"""Figures that every task has: what happened in the data over time, and how the final fits learnt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench.metrics.rounding import rounded
from bench.runs.problem import Problem
from bench.tune.plan import Outcome

WHAT = {"fit": "training", "valid": "validation", "test": "test"}
"""How facts of a split begin that name cut-offs -> what is cut there."""


def run_figures(problem: Problem, outcomes: Mapping[str, Outcome]) -> list[dict[str, Any]]:
    """Return the figures of one board that no task draws, ready for JSON; none where there is nothing to draw."""
    at = {"task_id": problem.split.task_id, "dataset": problem.dataset}
    found: list[dict[str, Any]] = []
    if problem.overview:
        days = problem.split.facts.get("horizon_days")
        found.append({**at, "kind": "overview", **problem.overview, "cutoffs": cutoffs(problem.split.facts), "days": days, "models": {}})
    if learnt := _learnt(problem.outcomes(outcomes)):
        found.append({**at, "kind": "training", "models": learnt})
    return found


def cutoffs(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """List a split's cut-offs, oldest first, with what each is for: training, validation or test."""
    found: dict[str, str] = {}
    for begin, what in WHAT.items():
        for name in (f"{begin}_cutoff", f"{begin}_cutoffs"):
            found |= dict.fromkeys(_texts(facts.get(name)), what)
    return [{"time": time, "what": what} for time, what in sorted(found.items())]


def _texts(given: Any) -> Iterable[str]:
    if given is None:
        return []
    return map(str, [given] if isinstance(given, str) else given.values() if isinstance(given, Mapping) else given)


def _learnt(outcomes: Mapping[str, Outcome]) -> dict[str, list[dict[str, Any]]]:
    """Return what each final fit reported: model -> tuning, seed and points (epoch, holdout loss)."""
    found: dict[str, list[dict[str, Any]]] = {}
    for model, outcome in outcomes.items():
        for (tuning, seed), entry in sorted(outcome.finals.items()):
            if len(curve := entry.get("curve", ())) > 1:
                points = [[int(step), rounded(value)] for step, value in curve]
                found.setdefault(model, []).append({"tuning": tuning, "seed": seed, "points": points})
    return found
