"""Compare models on the same rows: point values, intervals, skill against a reference, distance to the leader."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from bench.data.ragged import Array
from bench.execute.machine import cores
from bench.metrics.bootstrap import draws, interval
from bench.tasks.base import RankingRule, Scorer

NAN = float("nan")


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; nan where undefined."""

    value: float = NAN
    low: float = NAN
    high: float = NAN

    def columns(self, name: str) -> dict[str, float]:
        """Return the three columns of a leaderboard row: NAME, NAME_low, NAME_high."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


@dataclass(frozen=True)
class Compared:
    """What one prediction scored, alone and beside the others."""

    metrics: Mapping[str, Estimate]
    """Every metric that its scorer gives."""
    skill: Estimate
    """How much better than the reference by the ranking metric, on the same rows; above 0 is better."""
    behind: Estimate
    """How much worse than the leader by the ranking metric; above 0 is worse."""
    above_floor: Estimate
    """How much better than the floor that the board names beside its reference; nan where it names none."""
    reference: str
    leader: str
    """Empty where nothing could lead."""

    @property
    def separable(self) -> bool:
        """Return whether it is told apart from the leader: the interval of `behind` leaves out 0."""
        return self.behind.low > 0 or self.behind.high < 0

    def columns(self) -> dict[str, float]:
        """Return the columns of a leaderboard row; the row's `reference` is a model's name, which the caller knows."""
        flat = {key: value for name, estimate in self.metrics.items() for key, value in estimate.columns(name).items()}
        return {**flat, **self.skill.columns("skill"), **self.behind.columns("behind"), **self.above_floor.columns("above_floor")}


def compare(
    scorers: Mapping[str, Scorer],
    group: Array,
    board: RankingRule,
    *,
    reference: str,
    leader_among: Collection[str],
    leagues: Mapping[str, str] | None = None,
    floors: Mapping[str, str] | None = None,
    seed: int,
    n_draws: int = 1000,
) -> dict[str, Compared]:
    """Score all predictions on the same rows, with intervals from the same resamples of groups (users, series).

    `scorers`: name -> a prediction ready for scoring; `group`: int64 [N], the user or series of each row. The leader is
    the best by `board.metric` among those of `leader_among` in the same league (the first by name of equals); `leagues`:
    name -> league, one for all by default; `floors`: league -> the floor there, `board.beside` by default. Where
    `reference` has no prediction, skill is nan; where nothing can lead, behind is nan.
    """
    sign = 1 if board.higher else -1
    points = {name: {metric: float(v[0]) for metric, v in s.score(np.ones((1, len(group)))).items()} for name, s in scorers.items()}
    sampled = _sampled(scorers, group, n_draws, seed)
    leagues = leagues or dict.fromkeys(scorers, "")
    able = sorted(name for name in leader_among if name in points and not math.isnan(points[name][board.metric]))
    leaders = {
        league: max((n for n in able if leagues[n] == league), key=lambda n: sign * points[n][board.metric], default="")
        for league in set(leagues.values())
    }

    def minus(one: str, other: str) -> Estimate:
        if one not in points or other not in points:
            return Estimate()
        low, high = interval(sign * (sampled[one][board.metric] - sampled[other][board.metric]))
        return Estimate(sign * (points[one][board.metric] - points[other][board.metric]), low, high)

    def compared(name: str) -> Compared:
        metrics = {metric: Estimate(value, *interval(sampled[name][metric])) for metric, value in points[name].items()}
        leader, floor = leaders[leagues[name]], (floors or {}).get(leagues[name], board.beside)
        return Compared(metrics, minus(name, reference), minus(leader, name), minus(name, floor), reference, leader)

    return {name: compared(name) for name in scorers}


def _sampled(scorers: Mapping[str, Scorer], group: Array, n_draws: int, seed: int) -> dict[str, dict[str, Array]]:
    """Score every model under every draw: name -> metric -> float64 [B]; chunk by chunk, so memory stays bounded."""
    # where the default was the best, two rows share one scorer: it is asked once
    alone = {id(scorer): scorer for scorer in scorers.values()}
    parts: dict[int, list[Mapping[str, Array]]] = {key: [] for key in alone}
    # threads: numpy lets go of the interpreter while it computes, and each scorer's sums stay its own
    with ThreadPoolExecutor(cores()) as pool:
        for weights in draws(group, n_draws, seed):
            for key, scores in zip(alone, pool.map(lambda s, w=weights: s.score(w), alone.values()), strict=True):
                parts[key].append(scores)
    found = {key: {metric: np.concatenate([part[metric] for part in chunks]) for metric in chunks[0]} for key, chunks in parts.items()}
    return {name: found[id(scorer)] for name, scorer in scorers.items()}
