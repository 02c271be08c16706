"""What a user had before, as chances of what comes next: shares of the own past, old moments counting less, and what is taken lately.

A network of next events mixes them with its own answer, as RepeatNet does (Ren et al. 2019) and as the own frequency is
mixed in TIFU-kNN (Hu et al. 2020): popularity, `personal-top` and `last-item` are corners of the mixture that it starts from.
An item's share is its weight among all events of earlier moments, an event n moments ago weighing keep^n.

Letters for shapes: E events, N rows, I items, K ways to forget, C components: the network itself, the K shares, and what is
taken lately.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bench.api import Array
from bench.data.ragged import hashed
from bench.data.ranking import NextInputs, NextTrain

KEEP = np.array([1.0, 0.9, 0.5, 0.1])
"""Share of its weight that an event keeps a moment later: all counts alike, down to almost nothing but the last moment."""
COMPONENTS = 1 + len(KEEP)
LEAST = 1e-3
"""Least weight of a component at the start: a component of no weight would never be tried."""
NEGATIVES = 512
"""Items that stand for the catalogue in a training step, where it has more than twice as many."""
AT_ONCE = 1 << 24
"""Scores that a network makes at once where it does not learn."""
TINY = 1e-12
"""Least chance of which a logarithm is taken."""
ROUNDS = 50
"""Rounds of EM for the weights at the start."""
SAMPLE = 200_000
"""Events that they are fitted on, at most."""
WINDOWS = (4.0, 1.0, 0.25)
"""Horizons that tell what is taken lately."""
SNAPSHOTS = 32
"""Moments before the cut-off of which it is known what was popular, at most."""


@dataclass(frozen=True)
class Everybody:
    """What is taken by all, as it was known at the cut-off and at moments whole horizons before it.

    An event is judged by the latest of them before it: as old as the cut-off is for the events of a test.
    """

    share: Array
    """float32 [S, I]: chance of each item, rows summing to 1; the first is the cut-off's own."""
    until: float
    days: float
    """Distance of the moments."""

    def snapshot(self, time: Array) -> Array:
        """Return the latest moment before each time, int64, the earliest for all that lies before."""
        back = np.ceil((self.until - time) / self.days).astype(np.int64)
        return np.clip(back, 0, len(self.share) - 1)


def counted(train: NextTrain, days: float) -> Array:
    """Compute shares of the items at each snapshot, ever and in each of `WINDOWS` before it, float32 [W + 1, S, I]."""
    known = train.item < train.items
    order = np.argsort(train.time[known], kind="stable")
    time, item = train.time[known][order], train.item[known][order]
    oldest = (train.until - time[0]) / days if len(time) else 0.0
    ends = train.until - days * np.arange(1 + min(int(oldest) + 1, SNAPSHOTS))
    found = np.zeros((1 + len(WINDOWS), len(ends), train.items), np.float32)
    for at, end in enumerate(ends):
        here = np.searchsorted(time, end)
        ever = np.bincount(item[:here], minlength=train.items) + 1.0
        found[0, at] = ever / ever.sum()
        for w, window in enumerate(WINDOWS):
            lately = np.bincount(item[np.searchsorted(time, end - window * days) : here], minlength=train.items)
            found[1 + w, at] = (lately + found[0, at]) / (lately.sum() + 1.0)
    return found


def moments(inputs: NextInputs) -> Array:
    """Count the moments of each row from 0, int64 [E]: events at one time share theirs."""
    new = np.ones(len(inputs.item), bool)
    row = inputs.row
    new[1:] = (row[1:] != row[:-1]) | (inputs.time[1:] != inputs.time[:-1])
    count = np.cumsum(new) - 1
    first = inputs.offsets[:-1][inputs.lengths > 0]
    begin = np.zeros(len(inputs), np.int64)
    begin[inputs.lengths > 0] = count[first]
    return np.asarray(count - begin[row])


def own_shares(train: NextTrain) -> tuple[Array, Array]:
    """Compute each event's share of its own past, float32 [E, K], and where there is such a past, bool [E, K]."""
    moment, row, known = moments(train), train.row, train.item < train.items
    own = _faded(row * (train.items + 1) + train.item, moment, known.astype(float))
    whole = _faded_moments(row, moment, known)
    return np.asarray(own / np.where(whole > 0, whole, 1.0), np.float32), whole > 0


def learnt(train: NextTrain, days: float) -> tuple[Everybody, Array]:
    """Fit what everybody takes, and the weights that the components start with, float64 [C], by EM on the events of `train`."""
    table = counted(train, days)
    known = np.flatnonzero(train.item < train.items)
    known = known[hashed(known, 2) * len(known) < SAMPLE]
    crowd = Everybody(table[0], train.until, days)
    of_all = table[:, crowd.snapshot(train.time[known]), train.item[known]].T  # [M, W + 1]
    own, there = (part[known] for part in own_shares(train))
    weight = weights(np.column_stack([of_all, np.where(there, own, of_all[:, :1])]))
    many = len(table)
    share = np.einsum("w,wsi->si", weight[:many] / weight[:many].sum(), table)
    return Everybody(share.astype(np.float32), train.until, days), np.r_[weight[:many].sum(), weight[many:]]


def shares(train: NextTrain, everybody: Everybody) -> Array:
    """Compute the chance of each event by what was before its moment, float32 [E, C - 1]; without an own past, that of everybody."""
    own, there = own_shares(train)
    item = np.minimum(train.item, train.items - 1)
    return np.asarray(np.where(there, own, everybody.share[everybody.snapshot(train.time), item][:, None]))


def told(inputs: NextInputs) -> Array:
    """Describe each row's past up to each event, float32 [E, 2]: log of its events, and the share of them that the user had before."""
    key = inputs.row * (inputs.items + 1) + inputs.item
    again = np.ones(len(key))
    again[np.unique(key, return_index=True)[1]] = 0.0
    seen = np.r_[0.0, np.cumsum(again)]
    begin = inputs.offsets[inputs.row]
    count = np.arange(1, len(key) + 1) - begin
    return np.asarray(np.column_stack([np.log1p(count) / 4.0, (seen[1:] - seen[begin]) / count]), np.float32)


def mixed(inputs: NextInputs, chance: Array, gate: Array, everybody: Everybody) -> Array:
    """Mix the components for each row, float32 [N, I], by weights [N, C]; `chance` float32 [N, I]: what the first one says."""
    found = chance * gate[:, :1].astype(np.float32)
    row, known = inputs.row, inputs.item < inputs.items
    moment = moments(inputs)
    end = np.zeros(len(inputs), np.int64)
    some = inputs.lengths > 0
    end[some] = moment[inputs.offsets[1:][some] - 1] + 1
    weight = KEEP ** (end[row] - moment)[:, None] * known[:, None]  # [E, K]
    total = np.stack([np.bincount(row, one, minlength=len(inputs)) for one in weight.T], 1)  # [N, K]
    each = (weight * (gate[:, 1:] / np.where(total > 0, total, 1.0))[row]).sum(1)
    np.add.at(found, (row[known], inputs.item[known]), each[known].astype(np.float32))
    left = np.where(total > 0, 0.0, gate[:, 1:]).sum(1, keepdims=True)
    found += (left * everybody.share[0]).astype(np.float32)
    return np.asarray(found, np.float32)


def weights(chance: Array) -> Array:
    """Fit the weights of components by EM, float64 [C]; `chance` [M, C]: what each says of the answers that came."""
    weight = np.full(chance.shape[1], 1.0 / chance.shape[1])
    for _ in range(ROUNDS):
        part = weight * chance
        weight = (part / np.maximum(part.sum(1, keepdims=True), 1e-300)).mean(0)
    weight = np.maximum(weight, LEAST)
    return np.asarray(weight / weight.sum())


def softmax(x: Array) -> Array:
    """Turn logits [..., D] into chances."""
    high = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(high / high.sum(-1, keepdims=True))


def _faded(key: Array, moment: Array, weight: Array) -> Array:
    """Sum the faded weights of the earlier events of the same key, float64 [E, K]."""
    order = np.argsort(key, kind="stable")
    same = key[order]
    begin = np.flatnonzero(np.r_[True, same[1:] != same[:-1]]) if len(key) else np.zeros(0, np.int64)
    rank = np.arange(len(key)) - np.repeat(begin, np.diff(np.r_[begin, len(key)]))
    found = np.zeros((len(key), len(KEEP)))
    by_rank = np.argsort(rank, kind="stable")
    edge = np.r_[0, np.cumsum(np.bincount(rank))] if len(key) else [0]
    for low, high in pairwise(edge[1:]):
        here = by_rank[low:high]
        now, before = order[here], order[here - 1]
        found[now] = (found[before] + weight[before, None]) * KEEP ** (moment[now] - moment[before])[:, None]
    return found


def _faded_moments(row: Array, moment: Array, known: Array) -> Array:
    """Sum the faded weights of all earlier moments of the same row, float64 [E, K]."""
    new = np.r_[True, (row[1:] != row[:-1]) | (moment[1:] != moment[:-1])] if len(row) else np.zeros(0, bool)
    number = np.cumsum(new) - 1
    size = np.bincount(number, known) if len(row) else np.zeros(0)
    return np.asarray(_faded(row[new], moment[new], size)[number])
