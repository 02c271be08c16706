"""Markov chains beside what everybody takes and the user's own past: weights that users the chains have not seen decide."""

from __future__ import annotations

import numpy as np

from bench.api import Array, Context
from bench.data.ranking import NextInputs, NextTrain, Ranking, rank_rows
from bench.neural.own_past import COMPONENTS, Everybody, learnt, mixed, own_shares, weights
from bench_plugins import _markov_mixture as chains

HELD = 0
"""Seed of the users that decide: nothing is drawn."""


def learn(train: NextTrain, many: int, smoothing: float, ctx: Context) -> dict[str, Array]:
    """Fit the chains on all users, and the weights of the mixture on some, by chains that the others taught."""
    fit, held = train.holdout(HELD)
    everybody, start = learnt(train, ctx.horizon)
    gate = np.r_[0.0, start]
    if len(fit) and len(chains.neighbours(held)[0]):
        gate = settled(chains.learn(fit, many, smoothing, ctx), held, everybody)
    return chains.learn(train, many, smoothing, ctx) | {"gate": gate, "popular": everybody.share[0]}


def settled(state: dict[str, Array], held: NextTrain, everybody: Everybody) -> Array:
    """Fit the weights of chains, everybody and the own past, float64 [1 + C]; events of one moment do not tell of each other."""
    row, item = held.row, held.item
    after = 1 + np.flatnonzero((row[1:] == row[:-1]) & (item[1:] < held.items) & (item[:-1] < held.items))
    later = held.time[after] > held.time[after - 1]
    everyone = everybody.share[everybody.snapshot(held.time[after]), item[after]]
    own, there = (part[after] for part in own_shares(held))
    said = np.column_stack([chains.foretold(state, held), everyone, np.where(there, own, everyone[:, None])])
    return weights(said[later] if later.any() else said)


def answer(inputs: NextInputs, state: dict[str, Array]) -> Ranking:
    """Rank by the mixture."""
    everybody = Everybody(state["popular"][None], 0.0, 1.0)
    known = state["gate"][:2] / state["gate"][:2].sum()

    def scores(part: NextInputs) -> Array:
        chance = known[0] * chains.scores(part, state) + known[1] * everybody.share
        gate = np.broadcast_to(np.r_[state["gate"][:2].sum(), state["gate"][2:]], (len(part), COMPONENTS))
        return mixed(part, np.asarray(chance, np.float32), gate, everybody)

    return rank_rows(inputs, scores)
