"""Compare models across data sets: mean ranks with a critical difference, wins of pairs, mean skill with intervals.

Each data set weighs once, whatever its task id: of several boards of one data set that with most models counts. What is
compared are boards of one ranking metric, anomaly family and league. Letters for shapes: M models, D data sets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.board.metrics import ranking_metric
from bench.board.overall import charge
from bench.board.ranking import boards, league, merit
from bench.board.schema import Row
from bench.data.ragged import Array

LEVEL, NORMAL = 0.05, 1.959964
"""Of the tests; the normal quantile of a 95 % interval."""


@dataclass(frozen=True)
class Group:
    """Boards that can be compared with each other, those of one data set together."""

    title: str
    """What they have in common beside the task: family and league; empty: all of them."""
    boards: Mapping[str, Sequence[Row]]
    """Data set -> its board: the rows that stand for their models, failed ones charged."""

    @property
    def rows(self) -> list[Row]:
        """List all rows."""
        return [row for board in self.boards.values() for row in board]


@dataclass(frozen=True)
class MeanRanks:
    """Mean ranks of the models that every data set has, best first."""

    models: tuple[str, ...]
    ranks: tuple[float, ...]
    datasets: int
    difference: float
    """Mean ranks further apart than this differ (Nemenyi, 5 %)."""
    p: float
    """Of the Friedman test that all models are alike; nan below three models."""
    left_out: tuple[str, ...]
    """Models that some data set lacks."""


@dataclass(frozen=True)
class MeanSkill:
    """One model's mean skill over the data sets that have it."""

    model: str
    datasets: int
    mean: float
    low: float
    high: float
    """On these data sets: users or series drawn anew in each."""
    other_low: float
    other_high: float
    """On other data sets like these: Student's t over data sets; nan below three."""


def groups(rows: Sequence[Row]) -> list[Group]:
    """Group the boards of one task whose data sets can be compared; only groups with at least two data sets with ranks."""
    found: dict[tuple[str, str, str, str], dict[str, list[list[Row]]]] = {}
    charged = charge(rows)
    for members in boards(charged).values():
        own = [charged[at] for at in members]
        if any("trivial" in (row.get("flags") or []) for row in own) or all(row.get("rank") is None for row in own):
            continue
        one = own[0]
        key = (one["task"], ranking_metric(one)[0], one.get("family") or "", league(one))
        found.setdefault(key, {}).setdefault(one["dataset"], []).append(own)
    metrics = {key[1] for key in found}
    return [
        Group(
            ", ".join(filter(None, [metric if len(metrics) > 1 else "", family, mode])),
            {name: max(each, key=_size) for name, each in own.items()},
        )
        for (_, metric, family, mode), own in found.items()
        if len(own) > 1
    ]


def _size(board: Sequence[Row]) -> tuple[int, str]:
    return len(board), board[0]["task_id"]


def mean_ranks(group: Group) -> MeanRanks | None:
    """Rank the models on each data set and compare the means; None where fewer than two models are on all data sets.

    After Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7 (2006): Friedman's test, then
    Nemenyi's critical difference q sqrt(k (k + 1) / (6 N)), q the Studentized range at infinite degrees over sqrt(2).
    """
    from scipy.stats import friedmanchisquare, studentized_range

    on = [{row["model"] for row in board if not math.isnan(merit(_scored(row)))} for board in group.boards.values()]
    models = sorted(set.intersection(*on))
    if len(models) < 2:
        return None
    ranks = np.array([_ranks(board, models) for board in group.boards.values()])  # [D, M]
    n, k = ranks.shape
    difference = float(studentized_range.ppf(1 - LEVEL, k, np.inf)) / math.sqrt(2) * math.sqrt(k * (k + 1) / (6 * n))
    p = float(friedmanchisquare(*ranks.T).pvalue) if k > 2 and np.ptp(ranks, axis=1).any() else math.nan
    means = ranks.mean(axis=0)
    order = sorted(range(k), key=lambda at: (means[at], models[at]))
    missing = sorted(set.union(*on) - set(models))
    return MeanRanks(tuple(models[at] for at in order), tuple(float(means[at]) for at in order), n, difference, p, tuple(missing))


def wins(group: Group, models: Sequence[str]) -> tuple[Array, Array]:
    """Count on how many data sets each model beats each other, and how many have both: float64 and int64 [M, M].

    Equal scores are half a win each.
    """
    won, met = np.zeros((len(models), len(models))), np.zeros((len(models), len(models)), np.int64)
    for board in group.boards.values():
        better = _better(board, models)
        known = np.isfinite(better)
        met += known
        won[known] += better[known]
    np.fill_diagonal(met, 0)
    np.fill_diagonal(won, 0)
    return won, met


def mean_skills(group: Group) -> list[MeanSkill]:
    """Average each model's skill over data sets, best first; a charged failure counts with its charge."""
    found = [_skill(group, model) for model in sorted({row["model"] for row in group.rows})]
    return sorted((one for one in found if one is not None), key=lambda one: (-one.mean, one.model))


def _scored(row: Row) -> Row:
    """Let a charged failure count with the score that it is charged."""
    return {**row, "status": "ok"} if "charged" in (row.get("flags") or []) else row


def _merits(board: Sequence[Row], models: Sequence[str]) -> Array:
    found = {row["model"]: merit(_scored(row)) for row in board}
    return np.array([found.get(model, math.nan) for model in models])


def _ranks(board: Sequence[Row], models: Sequence[str]) -> Array:
    from scipy.stats import rankdata

    ranks: Array = rankdata(-_merits(board, models))
    return ranks


def _better(board: Sequence[Row], models: Sequence[str]) -> Array:
    own = _merits(board, models)
    gap = own[:, None] - own[None, :]
    return np.where(np.isnan(gap), np.nan, (np.sign(gap) + 1) / 2)


def _skill(group: Group, model: str) -> MeanSkill | None:
    from scipy.stats import t

    means, errors = [], []
    for row in group.rows:
        if row["model"] == model and row.get("skill") is not None:
            means.append(float(row["skill"]))
            errors.append(_error(row))
    if not means:
        return None
    n, mean = len(means), float(np.mean(means))
    half = NORMAL * math.sqrt(float(np.square(errors).sum())) / n
    wide = float(t.ppf(1 - LEVEL / 2, n - 1)) * float(np.std(means, ddof=1)) / math.sqrt(n) if n > 2 else math.nan
    return MeanSkill(model, n, mean, mean - half, mean + half, mean - wide, mean + wide)


def _error(row: Row) -> float:
    low, high = row.get("skill_low"), row.get("skill_high")
    return 0.0 if low is None or high is None else (high - low) / (2 * NORMAL)
