"""Next events from a mixture of Markov chains, each user in one of them: learnt from all users by EM (Cadez et al. 2003).

A chain's chances are its counts of neighbouring events, smoothed with the popularity of what comes. Letters for shapes:
N rows, P pairs (a user's event and the next one), J different pairs, I items, K chains.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from bench.api import Array, Context
from bench.data.ranking import NextInputs, NextTrain

ROUNDS = 30
"""Rounds of EM, at most; a mixture whose users hardly move stops earlier."""
STILL = 1e-3
"""Largest change of a user's mean responsibility that counts as none."""


def learn(train: NextTrain, chains: int, smoothing: float, ctx: Context) -> dict[str, Array]:
    """Fit by EM from a fixed start, so that nothing is drawn; the state holds arrays alone."""
    row, before, after = neighbours(train)
    key, at, many = np.unique(before * train.items + after, return_inverse=True, return_counts=True)
    popular = train.popularity.astype(np.float64) + 1e-9
    state = {"key": key, "share": popular / popular.sum(), "smoothing": np.asarray(smoothing), "prior": np.full(chains, 1 / chains)}
    who = np.random.default_rng(0).dirichlet(np.ones(chains), len(train))  # [N, K]
    if chains == 1 or not len(many):
        who = np.full((len(train), chains), 1 / chains)
    for _ in range(ROUNDS):
        state |= {"count": np.stack([np.bincount(at, who[row, k], minlength=len(key)) for k in range(chains)]), "prior": who.mean(0)}
        moved = responsibilities(state, train.items, row, before, at, len(train))
        change, who = float(np.abs(moved - who).mean()), moved
        if change < STILL or ctx.should_stop():
            break
    return state


def neighbours(inputs: NextInputs) -> tuple[Array, Array, Array]:
    """List each event with the one behind it, both in the catalogue: row, item and next item, int64 [P] each."""
    row, item = inputs.row, inputs.item.astype(np.int64)
    kept = np.flatnonzero((row[1:] == row[:-1]) & (item[1:] < inputs.items) & (item[:-1] < inputs.items))
    return row[kept], item[kept], item[kept + 1]


def responsibilities(state: dict[str, Array], items: int, row: Array, before: Array, at: Array, rows: int) -> Array:
    """Compute P(chain | history), float64 [N, K]; `at` int64 [P]: each pair's place among the known ones, -1 where it is new."""
    log = np.tile(np.log(state["prior"] + 1e-12), (rows, 1))
    each = log_chances(state, items, before, at)
    for k in range(log.shape[1]):
        log[:, k] += np.bincount(row, each[:, k], minlength=rows)
    log -= log.max(1, keepdims=True)
    return np.asarray(np.exp(log) / np.exp(log).sum(1, keepdims=True))


def log_chances(state: dict[str, Array], items: int, before: Array, at: Array) -> Array:
    """Compute log P(next item | item, chain) of each pair, float64 [P, K]."""
    count, s = state["count"], float(state["smoothing"])
    found = np.zeros((len(before), len(count)))
    left = state["key"] // items
    after = np.where(at >= 0, state["key"][np.maximum(at, 0)] % items, 0) if len(state["key"]) else at
    for k, own in enumerate(count):
        total = np.bincount(left, own, minlength=items)[before]
        seen = np.where(at >= 0, own[np.maximum(at, 0)], 0.0) if len(own) else np.zeros(len(at))
        # of a pair that nobody was seen to make, all chains say the same: its popularity cancels
        chance = (seen + s * np.where(at >= 0, state["share"][after], 1.0 / items)) / (total + s)
        found[:, k] = np.log(chance)
    return found


def places(state: dict[str, Array], pair: Array) -> Array:
    """Find pairs, numbered before * items + after, among the known ones; -1 where nobody made one, int64 [P]."""
    key = state["key"]
    place = np.minimum(np.searchsorted(key, pair), max(len(key) - 1, 0))
    return np.where(key[place] == pair, place, -1) if len(key) else np.full(len(pair), -1)


def foretold(state: dict[str, Array], train: NextTrain) -> Array:
    """Compute the chance that each pair had, given what its user did before it, float64 [P]; as `scores` for each of them."""
    row, before, after = neighbours(train)
    at = places(state, before * train.items + after)
    log = log_chances(state, train.items, before, at)
    earlier = np.cumsum(log, 0) - log  # [P, K]: of all pairs before, those of other users too
    first = np.searchsorted(row, np.arange(len(train)))
    who = np.log(state["prior"] + 1e-12) + earlier - earlier[first[row]]
    who = np.exp(who - who.max(1, keepdims=True))
    chance = ((who / who.sum(1, keepdims=True)) * np.exp(log)).sum(1)
    return np.asarray(np.where(at < 0, chance * train.items * state["share"][after], chance))


def scores(inputs: NextInputs, state: dict[str, Array]) -> Array:
    """Compute P(next) for each row, float32 [n, I]; popularity where the last item is unknown."""
    row, before, after = neighbours(inputs)
    key, s = state["key"], float(state["smoothing"])
    at = places(state, before * inputs.items + after)
    who = responsibilities(state, inputs.items, row, before, at, len(inputs))  # [n, K]
    last = np.full(len(inputs), inputs.items)
    some = inputs.lengths > 0
    last[some] = inputs.item[inputs.offsets[1:][some] - 1]
    known = np.flatnonzero(last < inputs.items)
    found = np.tile(state["share"].astype(np.float32), (len(inputs), 1))
    found[known] = 0.0
    for k, own in enumerate(state["count"]):
        chain = sparse.csr_array((own, (key // inputs.items, key % inputs.items)), shape=(inputs.items, inputs.items))[last[known]]
        total = np.asarray(chain.sum(1))
        chance = (chain.toarray() + s * state["share"]) / (total[:, None] + s)
        found[known] += (who[known, k, None] * chance).astype(np.float32)
    return found
