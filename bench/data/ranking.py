"""What a model of next events sees, and what it returns: histories without their continuation, and the best items for each.

Letters for shapes: N rows (a user at a moment), E events, I items of the catalogue, K places of a ranking.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from bench.data.ragged import Array, hashed, spans

PLACES = 100
"""Places of a ranking, K: fewer where the catalogue holds fewer items."""
HOLDOUT = 0.15
"""Share of the users that `NextTrain.holdout` keeps for early stopping."""
CHUNK = 1 << 24
"""Scores made at once by `rank_rows`: 64 MB in float32, whatever the number of users."""
NOTHING = -1
"""An empty place: behind the last item of a ranking, where nothing is left to rank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextInputs:
    """What a model may see: for each row one user's events before one moment, oldest first.

    The events of row n are `[offsets[n], offsets[n + 1])`. Items are numbered by popularity before the first cut-off, the
    most frequent first, so that of equal scores the lower number wins. Events of one moment stand in an order fixed by a
    hash of their items: the log knows none.
    """

    offsets: Array
    """int64 [N + 1]: where each row's events begin; a user without a past has none."""
    item: Array
    """int32 [E]: number in the catalogue; `items` stands for all that is not in it. Kinds, where the target is the kind."""
    kind: Array
    """int16 [E]: number of the kind of event."""
    time: Array
    """float64 [E]: days since 1970-01-01 UTC."""
    group: Array
    """int64 [N]: the user, a number that means nothing else."""
    items: int
    """Size of the catalogue, I."""
    once: bool = False
    """A user takes an item once (a film is rated once): what a row's history holds is not asked for again."""
    target: str = "item"
    """What is ranked: `item` or `kind`; of kinds, scores are probabilities."""

    def __len__(self) -> int:
        """Return the number of rows, N."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Array:
        """Return the number of events of each row, int64 [N]."""
        return np.diff(self.offsets)

    @property
    def row(self) -> Array:
        """Return the row of each event, int64 [E]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @property
    def places(self) -> int:
        """Return the places of a ranking, K."""
        return min(PLACES, self.items)

    def take(self, rows: Array) -> Any:
        """Select rows by index or mask, in the order given; a `NextTrain` stays one."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else np.asarray(rows)
        at, offsets = spans(self.offsets[rows], self.lengths[rows])
        per_event = {name: getattr(self, name)[at] for name in ("item", "kind", "time")}
        return replace(self, offsets=offsets, group=self.group[rows], **per_event)

    def latest(self, longest: int) -> Any:
        """Keep the last `longest` events of each row."""
        length = np.minimum(self.lengths, longest)
        at, offsets = spans(self.offsets[1:] - length, length)
        return replace(self, offsets=offsets, **{name: getattr(self, name)[at] for name in ("item", "kind", "time")})


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTrain(NextInputs):
    """The histories that `fit` learns from: all events before a cut-off, one row a user."""

    until: float = field(default=0.0)
    """The cut-off, in days since 1970-01-01 UTC."""

    def holdout(self, seed: int) -> tuple[NextTrain, NextTrain]:
        """Split by user into (fit, holdout): 15 % of the *users*, chosen by a seeded hash, for early stopping."""
        held = hashed(self.group, seed) < HOLDOUT
        return self.take(~held), self.take(held)

    @property
    def popularity(self) -> Array:
        """Count the events of each item of the catalogue, int64 [I]."""
        return np.bincount(self.item, minlength=self.items + 1)[: self.items]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best items of each row, best first."""

    items: Array
    """int32 [N, K]: numbers in the catalogue, none twice in a row; `-1` behind the last one where nothing is left."""
    scores: Array
    """float32 [N, K]: finite; where kinds are ranked, the probability of each."""

    def arrays(self) -> dict[str, Array]:
        """Return the fields by name, as a prediction is stored."""
        return {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}


def rank_rows(inputs: NextInputs, scores: Callable[[NextInputs], Array]) -> Ranking:
    """Rank all rows, a chunk of users at a time: `scores` returns float32 [n, I] for the rows that it is handed.

    What a user has had is left out where items are taken once. Of kinds, scores become probabilities: divided by their
    sum where none is negative, else by a softmax.
    """
    step = max(1, CHUNK // max(1, inputs.items))
    parts = [_ranked(inputs.take(np.arange(at, min(at + step, len(inputs)))), scores) for at in range(0, len(inputs), step)]
    if not parts:
        return Ranking(np.zeros((0, inputs.places), np.int32), np.zeros((0, inputs.places), np.float32))
    return Ranking(np.concatenate([p.items for p in parts]), np.concatenate([p.scores for p in parts]))


def _ranked(inputs: NextInputs, scores: Callable[[NextInputs], Array]) -> Ranking:
    found = np.array(scores(inputs), np.float32)  # [n, I]
    if inputs.target == "kind":
        found = probabilities(found)
    elif inputs.once:
        known = inputs.item < inputs.items
        found[inputs.row[known], inputs.item[known]] = -np.inf
    return best(found, inputs.places)


def best(scores: Array, places: int) -> Ranking:
    """Return the `places` highest of each row of float32 [n, I], of equals the lowest numbers; -inf is never ranked."""
    rows, items = scores.shape
    if places < items:
        edge = np.partition(scores, items - places, axis=1)[:, items - places, None]  # [n, 1]
        above, level = scores > edge, scores == edge
        free = places - above.sum(1, keepdims=True)
        above |= level & (np.cumsum(level, axis=1, dtype=np.int32) <= free)
        at = np.nonzero(above)[1].reshape(rows, places)
    else:
        at = np.broadcast_to(np.arange(items), scores.shape)
    found = np.take_along_axis(scores, at, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    at, found = np.take_along_axis(at, order, axis=1), np.take_along_axis(found, order, axis=1)
    left = np.isfinite(found)
    return Ranking(np.where(left, at, NOTHING).astype(np.int32), np.where(left, found, 0.0).astype(np.float32))


def probabilities(scores: Array) -> Array:
    """Turn scores [n, I] into probabilities: shares where none is negative, else a softmax; nothing known is uniform."""
    if (scores < 0).any():
        scores = np.exp(scores - scores.max(1, keepdims=True))
    total = scores.sum(1, keepdims=True)
    return np.asarray(np.where(total > 0, scores / np.where(total > 0, total, 1.0), 1.0 / scores.shape[1]), np.float32)
