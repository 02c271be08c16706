"""Recommend a model: of those that cannot be told apart from the leader, the best that costs little more than the cheapest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from bench.board.numbers import clean, plain, seconds
from bench.board.ranking import placed, tie_group
from bench.board.schema import Row

ENSEMBLE = "ensemble"
LEAST = 1.0
"""Seconds up to which all models count as equally cheap."""
WORTH = 2.0
"""A worse model is taken where it saves more than this factor of time."""


@dataclass(frozen=True)
class Recommendation:
    """State which model to take on one board, and what the leader costs."""

    model: Row
    leader: Row
    seconds: float
    """Of the recommended model, as `cost` counts them."""
    leader_seconds: float
    tied: int
    """Models of the tie group, the leader among them."""
    ensemble: float | None = None
    """Seconds of an ensemble that is ranked although a model alone is recommended; None where there is none."""
    undercut: bool = False
    """Another of the group costs less, but not by so much that it is taken."""

    @property
    def words(self) -> str:
        """Spell it in one sentence, and what it says of the board's ensemble."""
        worth = "" if self.ensemble is None else f"; the ensemble ({seconds(self.ensemble)} s) is not worth it"
        return self._advice + worth

    @property
    def _advice(self) -> str:
        name = clean(self.model["model"])
        if self.model is not self.leader:
            return (
                f"take {name}: statistically tied with the leader {clean(self.leader['model'])}{self._gap}, "
                f"{seconds(self.seconds)} s instead of {seconds(self.leader_seconds)} s"
            )
        if self.tied == 1:
            return f"take {name}: it leads and no other model is tied with it ({seconds(self.seconds)} s)"
        if self.undercut and self.seconds > WORTH * LEAST:
            return f"take {name}: it leads, and nothing that is tied with it takes less than half of its time ({seconds(self.seconds)} s)"
        if self.undercut:
            few = "a second" if self.seconds <= LEAST else "two seconds"
            return f"take {name}: it leads, and takes no longer than {few} ({seconds(self.seconds)} s)"
        return f"take {name}: it leads, and nothing that is tied with it is cheaper ({seconds(self.seconds)} s)"

    @property
    def _gap(self) -> str:
        behind, most = self.model.get("behind"), self.model.get("behind_high")
        return "" if behind is None or most is None else f" (behind by {plain(behind)}, at most {plain(most)})"


def recommend(rows: Sequence[Row]) -> Recommendation | None:
    """Choose from the tie group of one board the best of those that cost at most `WORTH` times the cheapest; None: no ranks."""
    group = tie_group(rows)
    if not group:
        return None
    costs = [cost(row, rows) for row in group]
    most = WORTH * max(min(costs), LEAST)
    at = next(at for at, spent in enumerate(costs) if spent <= most)
    chosen = group[at]
    ensemble = next((cost(row, rows) for row in placed(rows) if row["model"] == ENSEMBLE and is_mixture(row)), None)
    beside = None if is_mixture(chosen) else ensemble
    return Recommendation(chosen, group[0], costs[at], costs[0], len(group), beside, min(costs) < costs[at])


def cost(row: Row, beside: Sequence[Row]) -> float:
    """Sum the seconds that a row took: its search where it has one, fit and predict.

    A default needs no search, so the model's search is not charged to it. An ensemble needs the searches of its members,
    whose rows are looked up in `beside`.
    """
    own = sum(row.get(name) or 0.0 for name in ("fit_seconds", "predict_seconds"))
    if is_mixture(row):
        return own + _members_search(row, beside)
    return own + (0.0 if row["tuning"] == "default" else row.get("search_seconds") or 0.0)


def is_mixture(row: Row) -> bool:
    """Return whether a row is a mean of other models, made by bench itself."""
    return row.get("plugin") == "bench"


def members_of(row: Row) -> set[str]:
    """Name the models that a mean is made of."""
    return set(json.loads(row.get("params") or "{}"))


def known_cost(row: Row, beside: Sequence[Row]) -> float | None:
    """Return the same, None where nothing was measured."""
    measured = any(row.get(name) is not None for name in ("search_seconds", "fit_seconds", "predict_seconds"))
    return cost(row, beside) if measured else None


def _members_search(row: Row, beside: Sequence[Row]) -> float:
    place = row["task_id"], row["dataset"]
    names = members_of(row)
    found = {
        other["model"]: other.get("search_seconds") or 0.0
        for other in beside
        if other["model"] in names and other["tuning"] == row["tuning"] and (other["task_id"], other["dataset"]) == place
    }
    return sum(found.values())
