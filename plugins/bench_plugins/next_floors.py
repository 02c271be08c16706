"""Floors of the next-event task that count: what everybody takes, lately takes, what this user takes, and took last."""

from __future__ import annotations

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution

from bench.api import Array, Context, Model, Params, hookimpl
from bench.data.ranking import NextInputs, NextTrain, Ranking

from ._next_floor import NextFloor, shares, summed

EARLIER = 1e-3
"""What makes the item that a user took first win among equals; a single event counts 1."""
FAINT = 1e-6
"""Weight of popularity where it only orders what a user has not had."""


class Popular(NextFloor):
    """Everybody gets what was taken most."""

    name = "popular"

    def fit(self, train: NextTrain, ctx: Context) -> None:
        """Count."""
        self.state = {"share": shares(train)}

    def scores(self, inputs: NextInputs) -> Array:
        """Return the same for all."""
        return np.broadcast_to(self.state["share"].astype(np.float32), (len(inputs), inputs.items))

    def predict(self, inputs: NextInputs, ctx: Context) -> Ranking:
        """Rank once for all, unless what a user has had is left out."""
        if inputs.once or not len(inputs):
            return super().predict(inputs, ctx)
        one = super().predict(inputs.take(np.arange(1)), ctx)
        return Ranking(np.repeat(one.items, len(inputs), axis=0), np.repeat(one.scores, len(inputs), axis=0))


class RecentPopular(Popular):
    """Everybody gets what was taken most in the last days before the cut-off; behind it, what was taken most ever."""

    name = "recent-popular"

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the window."""
        return {"days": FloatDistribution(1.0, 120.0, log=True)}

    @staticmethod
    def default() -> Params:
        """Look back four weeks."""
        return {"days": 28.0}

    def fit(self, train: NextTrain, ctx: Context) -> None:
        """Count the window, and faintly the whole past."""
        lately = train.item[train.time >= train.until - self.params["days"]]
        count = np.bincount(lately, minlength=train.items + 1)[: train.items]
        self.state = {"share": count / max(count.sum(), 1) + FAINT * shares(train)}


class PersonalTop(NextFloor):
    """A user gets what they took most, an event counting less the older it is; behind it, what everybody takes."""

    name = "personal-top"

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search how fast an event fades, and the weight of everybody."""
        return {"half_life": FloatDistribution(1.0, 3650.0, log=True), "everybody": FloatDistribution(1e-4, 10.0, log=True)}

    @staticmethod
    def default() -> Params:
        """Fade by half in a year."""
        return {"half_life": 365.0, "everybody": 0.1}

    def fit(self, train: NextTrain, ctx: Context) -> None:
        """Count."""
        self.state = {"share": shares(train)}

    def scores(self, inputs: NextInputs) -> Array:
        """Sum the faded events of each item, of equals the first taken, and add the weighted popularity."""
        ends = np.maximum(inputs.offsets[1:] - 1, 0)
        age = (inputs.time[ends] if len(inputs.time) else np.zeros(len(inputs)))[inputs.row] - inputs.time
        found = summed(inputs, np.exp2(-age / self.params["half_life"])).toarray()
        order = np.arange(len(inputs.item)) - inputs.offsets[inputs.row]
        known = (inputs.item < inputs.items).nonzero()[0][::-1]  # the first of each item is written last
        row, item = inputs.row[known], inputs.item[known]
        early = np.zeros_like(found)
        early[row, item] = EARLIER / (1.0 + order[known])
        found += early + np.float32(self.params["everybody"]) * self.state["share"].astype(np.float32)
        return np.asarray(found)


class LastItem(NextFloor):
    """A user gets what they took last, and before that; behind it, what everybody takes."""

    name = "last-item"

    def fit(self, train: NextTrain, ctx: Context) -> None:
        """Count."""
        self.state = {"share": shares(train)}

    def scores(self, inputs: NextInputs) -> Array:
        """Score an item by its latest moment, counted from the first; within a moment, the one that stands first wins."""
        found = np.broadcast_to((FAINT * self.state["share"]).astype(np.float32), (len(inputs), inputs.items)).copy()
        row, new = inputs.row, np.ones(len(inputs.item), bool)
        new[1:] = (np.diff(row) != 0) | (np.diff(inputs.time) != 0)
        count = np.cumsum(new)
        moment = count - count[inputs.offsets[row]] + 1
        place = np.arange(len(row)) - np.flatnonzero(new)[count - 1]
        known = inputs.item < inputs.items
        found[row[known], inputs.item[known]] = (moment + 0.5 / (1.0 + place))[known]  # the latest of each item is written last
        return np.asarray(found)


@hookimpl
def bench_models() -> list[type[Model]]:
    """Offer the counting floors."""
    return [Popular, RecentPopular, PersonalTop, LastItem]
