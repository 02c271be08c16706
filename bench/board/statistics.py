"""Compare models on the same rows: point values, intervals, skill against a reference, distance to the leader."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from bench.api import Array
from bench.metrics.bootstrap import draws, interval
from bench.metrics.churn import METRICS, Ranked, ranked, score

RANKING = "roc_auc"
"""The metric that ranks churn models, and whose differences are skill and behind."""

NAN = float("nan")


@dataclass(frozen=True)
class Estimate:
    """Hold a value with its 95 % interval; nan where undefined."""

    value: float = NAN
    low: float = NAN
    high: float = NAN

    def columns(self, name: str) -> dict[str, float]:
        """Give the three columns of a leaderboard row: NAME, NAME_low, NAME_high."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


@dataclass(frozen=True)
class Compared:
    """Hold what one prediction scored, alone and beside the others."""

    metrics: Mapping[str, Estimate]
    """Every metric of `bench.metrics.churn.METRICS`."""
    skill: Estimate
    """ROC AUC minus the reference's on the same rows."""
    behind: Estimate
    """The leader's ROC AUC minus this one's."""
    reference: str
    leader: str
    """Empty where nothing could lead."""

    @property
    def separable(self) -> bool:
        """Say whether it is told apart from the leader: the interval of `behind` leaves out 0."""
        return self.behind.low > 0 or self.behind.high < 0

    def columns(self) -> dict[str, float]:
        """Give the columns of a leaderboard row; the row's `reference` is a model's name, which the caller knows."""
        flat = {key: value for name, estimate in self.metrics.items() for key, value in estimate.columns(name).items()}
        return {**flat, **self.skill.columns("skill"), **self.behind.columns("behind")}


def compare(
    y: Array,
    group: Array,
    predictions: Mapping[str, Array],
    *,
    base_rate: float,
    reference: str,
    leader_among: Collection[str],
    seed: int,
    n_draws: int = 1000,
) -> dict[str, Compared]:
    """Score all predictions on the same rows, with intervals from the same resamples of users.

    `y`: 0 or 1 [N]; `group`: int64 [N], the user of each row; `predictions`: name -> P(churn) [N]; `base_rate`: the
    training share of churners. The leader is the best ROC AUC among `leader_among` (the first by name of equals).
    Where `reference` has no prediction, skill is nan; where nothing can lead, behind is nan.
    """
    models = {name: ranked(y, p, base_rate) for name, p in predictions.items()}
    points = {name: {metric: float(v[0]) for metric, v in score(model, np.ones((1, len(y)))).items()} for name, model in models.items()}
    sampled = _sampled(models, group, n_draws, seed)
    leader = _leader(points, leader_among)

    def minus(one: str, other: str) -> Estimate:
        if one not in points or other not in points:
            return Estimate()
        low, high = interval(sampled[one][RANKING] - sampled[other][RANKING])
        return Estimate(points[one][RANKING] - points[other][RANKING], low, high)

    def compared(name: str) -> Compared:
        metrics = {metric: Estimate(points[name][metric], *interval(sampled[name][metric])) for metric in METRICS}
        return Compared(metrics, minus(name, reference), minus(leader, name), reference, leader)

    return {name: compared(name) for name in predictions}


def _sampled(models: Mapping[str, Ranked], group: Array, n_draws: int, seed: int) -> dict[str, dict[str, Array]]:
    """Score every model under every draw: name -> metric -> float64 [B]; chunk by chunk, so memory stays bounded."""
    parts: dict[str, list[dict[str, Array]]] = {name: [] for name in models}
    for weights in draws(group, n_draws, seed):
        for name, model in models.items():
            parts[name].append(score(model, weights))
    return {name: {metric: np.concatenate([part[metric] for part in chunks]) for metric in METRICS} for name, chunks in parts.items()}


def _leader(points: Mapping[str, Mapping[str, float]], among: Collection[str]) -> str:
    able = [name for name in among if name in points and not math.isnan(points[name][RANKING])]
    return min(able, key=lambda name: (-points[name][RANKING], name), default="")
