"""Vectors of items, learnt from who had them and from nothing else: items that the same users had lie near each other.

A truncated singular value decomposition of users by items (Deerwester et al. 1990); no label is used. What few users had in
training, and what nobody had, is unseen: it has no vector and is counted.

Letters for shapes: E steps, N rows, I items of all steps, P pairs of a user and an item, V items of the vocabulary, D numbers of a vector.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from bench.api import Array, ChurnInputs, ChurnTrain

MOST = 2_000
"""Items of the vocabulary, at most: those of most users."""
FEWEST = 5
"""Users that had an item of the vocabulary, at least."""
WIDE = 8
"""Numbers of a vector, at most."""
DIGITS = 6
"""Of a vector's numbers, as they are kept."""


@dataclass(frozen=True)
class ItemVectors:
    """Describe some items by the mean of their vectors, by how many are unseen, and by how many are not."""

    ids: list[int] = field(default_factory=list)
    """The vocabulary, rising: hashes as `ChurnInputs.item` has them. Empty: nothing is described."""
    vectors: list[list[float]] = field(default_factory=list)
    """[V, D]."""

    @classmethod
    def fit(cls, train: ChurnTrain) -> ItemVectors:
        """Learn from the latest row of each user; from a log without items, or with very few, nothing."""
        latest = latest_rows(train)
        owner = np.repeat(np.repeat(np.arange(len(latest)), latest.lengths), np.diff(latest.item_offsets))
        pairs = np.unique(np.column_stack([latest.item.astype(np.int64), owner]), axis=0)  # [P, 2]
        found, users = np.unique(pairs[:, 0], return_counts=True)
        kept = np.sort(np.argsort(-users, kind="stable")[:MOST])
        kept = kept[users[kept] >= FEWEST]
        wide = min(WIDE, len(kept) - 1, len(latest) - 1)
        if wide < 1:
            return cls()
        at, known = places(found[kept], pairs[:, 0])
        rare = np.log(len(latest) / users[kept]) + 1.0  # what few had tells more (Sparck Jones 1972)
        return cls(found[kept].tolist(), directions(pairs[known, 1], at[known], rare, len(latest), wide).round(DIGITS).tolist())

    def of_steps(self, inputs: ChurnInputs) -> list[Array]:
        """Describe the items of each step, float64 [E] each."""
        return self.described(inputs.item, inputs.item_offsets)

    def of_rows(self, inputs: ChurnInputs) -> list[Array]:
        """Describe the items of each row's steps together, float64 [N] each."""
        return self.described(inputs.item, inputs.item_offsets[inputs.offsets])

    def described(self, item: Array, offsets: Array) -> list[Array]:
        """Describe stretches of items [I], which begin at `offsets` [K + 1]: D + 2 arrays, float64 [K] each."""
        if not self.ids:
            return []
        count, vectors = np.diff(offsets), np.array(self.vectors)
        own = np.repeat(np.arange(len(count)), count)  # [I]
        at, known = places(np.array(self.ids), item)
        seen = np.bincount(own[known], minlength=len(count))
        sums = (np.bincount(own[known], vector[at[known]], len(count)) for vector in vectors.T)
        return [*(total / np.maximum(seen, 1) for total in sums), (count - seen) / np.maximum(count, 1), np.log1p(seen)]


def directions(user: Array, item: Array, weight: Array, users: int, wide: int) -> Array:
    """Decompose users of length 1 into `wide` directions: the items' parts in them, float64 [V, wide], of mean square 1.

    `user`, `item`: int [P]; `weight`: float64 [V]. The largest part of each direction is positive.
    """
    length = np.sqrt(np.bincount(user, weight[item] ** 2, users))
    table = csr_matrix((weight[item] / length[user], (user, item)), (users, len(weight)))
    _, _, found = svds(table, wide, v0=np.ones(min(table.shape)))  # [wide, V]
    found = found * np.sign(found[np.arange(wide), np.abs(found).argmax(1)])[:, None]
    return np.asarray(found.T * np.sqrt(len(weight)))


def places(ids: Array, item: Array) -> tuple[Array, Array]:
    """Find items [I] among rising `ids` [V]: where, int64 [I], and whether they are there, bool [I]."""
    at = np.minimum(np.searchsorted(ids, item), len(ids) - 1)
    return at, ids[at] == item


def latest_rows(train: ChurnTrain) -> ChurnTrain:
    """Keep the row of each user with the latest cut-off: what the others saw is a part of it."""
    order = np.lexsort((train.cutoff, train.group))
    group = train.group[order]
    kept: ChurnTrain = train.take(np.sort(order[np.r_[group[1:] != group[:-1], True]] if len(order) else order))
    return kept
