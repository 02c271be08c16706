"""What the floors of the next-event task share: a score for each item of the catalogue, ranked a chunk of users at a time."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, cast

import numpy as np
from scipy import sparse

from bench.api import Array, ArrayModel, Context
from bench.data.ranking import NextInputs, NextTrain, Ranking, rank_rows


class NextFloor(ArrayModel):
    """A model that scores the whole catalogue for each row; the seed changes nothing."""

    tasks = frozenset({"next-event"})
    deterministic = True

    @abstractmethod
    def fit(self, train: NextTrain, ctx: Context) -> None:
        """Learn from all histories."""

    @abstractmethod
    def scores(self, inputs: NextInputs) -> Array:
        """Score the catalogue for each row, float32 [n, I]."""

    def predict(self, inputs: NextInputs, ctx: Context) -> Ranking:
        """Rank by the scores, of equals the more popular item first."""
        return rank_rows(inputs, self.scores)


def shares(train: NextTrain) -> Array:
    """Return each item's share of all events, float64 [I]."""
    count = train.popularity.astype(np.float64)
    return cast("Array", count / max(count.sum(), 1.0))


def summed(inputs: NextInputs, weight: Array | float = 1.0) -> Any:
    """Sum the weights of each row's events by item, float32 [E] -> sparse float32 [n, I]."""
    known = inputs.item < inputs.items
    weights = np.broadcast_to(np.asarray(weight, np.float32), inputs.item.shape)[known]
    # the rows are in order: what stands before each is counted, not sorted
    before = np.concatenate([[0], np.cumsum(known)])[inputs.offsets]
    found = sparse.csr_array((weights, inputs.item[known], before), shape=(len(inputs), inputs.items))
    found.sum_duplicates()
    return found


def items_of_history(inputs: NextInputs) -> Any:
    """Mark the items of each row's history, sparse float32 [n, I] of ones."""
    found = summed(inputs)
    found.data[:] = 1.0
    return found


def last_known(inputs: NextInputs) -> Array:
    """Return the number of each row's last item, int64 [n]; -1 where there is none or it is not in the catalogue."""
    some = inputs.lengths > 0
    found = np.full(len(inputs), -1)
    item = inputs.item[inputs.offsets[1:][some] - 1]
    found[some] = np.where(item < inputs.items, item, -1)
    return found
