"""Choose users for the report: what they had, what came, and what the leader and a floor foretold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.data.ragged import Array, hashed
from bench.data.ranking import NextInputs
from bench.metrics.next_event import Targets
from bench.tasks.base import ModelResult, RankingRule, Split

USERS, BEFORE, FIRST, CAME = 10, 5, 5, 10
"""Users shown; of each the last items before, the first places of a model, and at most so many that came."""


def figures(split: Split, shown: Sequence[ModelResult], leader: str) -> dict[str, Any]:
    """Return the figure of kind `next-users`, which tells of single users; {} where the leader has no predictions."""
    told = _told([one.model for one in shown], leader, split.ranking)
    if not told:
        return {}
    inputs, targets = split.stages["final"].parts[0], split.truths["final"]
    rankings = {one.model: one.prediction[0]["items"] for one in shown if one.model in told}
    users = [_user(split, inputs, targets, int(row), [rankings[model] for model in told]) for row in _rows(targets)]
    return {"kind": "next-users", "leader": leader, "told": told, "users": users, "models": {}}


def _told(models: Sequence[str], leader: str, ranking: RankingRule) -> list[str]:
    """Name the leader and the floor beside it: the reference, or where that leads the other floor."""
    floor = next((name for name in (ranking.reference, ranking.beside) if name in models and name != leader), None)
    return [name for name in (leader, floor) if name is not None and name in models]


def _rows(targets: Targets) -> Array:
    """Choose users by a hash of their numbers, each at the last moment asked about: int64 [at most USERS]."""
    last = np.flatnonzero(targets.last)
    return last[np.argsort(hashed(targets.group[last], 0), kind="stable")[:USERS]]


def _user(split: Split, inputs: NextInputs, targets: Targets, row: int, rankings: Sequence[Array]) -> dict[str, Any]:
    begin, end = inputs.offsets[row], inputs.offsets[row + 1]
    came = targets.item[targets.offsets[row] : targets.offsets[row + 1]]
    return {
        "user": split.members["user"][row],
        "time": split.members["time"][row],
        "history": _names(split, inputs.item[max(begin, end - BEFORE) : end]),
        "came": _names(split, came[:CAME]),
        "told": [_names(split, items[row, :FIRST]) for items in rankings],
    }


def _names(split: Split, items: Array) -> list[str]:
    """Name items by their number in the catalogue; an empty place has no name, what is outside the catalogue a word."""
    names = split.facts["catalogue"]
    return [names[at] if at < len(names) else f"(another {split.facts['target']})" for at in items if at >= 0]
