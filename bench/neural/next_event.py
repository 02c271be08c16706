"""What a network sees of next events: windows of items, gaps and what is told of the past, and what came at the next moment.

A step is answered where it is the last event of its moment, by the items of the moment after it: events of one moment have
no order, so that none answers another.

Letters for shapes: E events, N rows, n rows of a batch, T steps, I items, J answers of a step, C components (see `own_past`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.api import Array, Context
from bench.data.ragged import hashed, spans
from bench.data.ranking import NextInputs, NextTrain, Ranking, rank_rows
from bench.neural.batches import Lazy
from bench.neural.own_past import COMPONENTS, Everybody, learnt, mixed, shares, softmax, told
from bench.neural.sizes import Sizes

SEEN = 5
"""Features of a step: item, gap, events so far, share of them that the user had before, and the snapshot that tells what is popular."""
ANSWER = COMPONENTS
"""Numbers of an answer, which follow in rows that are learnt from: its item, and what each component but the network says of it."""
MOST = 8
"""Answers of a step, at most: of a larger moment, some."""


@dataclass(frozen=True)
class NextEncoder:
    """Cut histories into windows; the catalogue's numbers are the vocabulary."""

    items: int
    longest: int
    """Most steps of a window."""
    everybody: Everybody
    gate: Array
    """float64 [C]: weights of the components at the start."""

    @classmethod
    def fit(cls, train: NextTrain, ctx: Context) -> NextEncoder:
        """Take the catalogue's size and what everybody takes from the data, the window from the profile."""
        return cls(train.items, max(1, ctx.history), *learnt(train, ctx.horizon))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> NextEncoder:
        """Make it again from `state`; of what everybody takes, only the latest is needed."""
        everybody = Everybody(np.array([state["share"]], np.float32), state["until"], state["days"])
        return cls(state["items"], state["longest"], everybody, np.array(state["gate"]))

    def state(self) -> dict[str, Any]:
        """Return what was learnt, ready for JSON."""
        own = {"task": "next-event", "items": self.items, "longest": self.longest, "gate": self.gate.tolist()}
        crowd = self.everybody
        return {**own, "share": crowd.share[0].tolist(), "until": crowd.until, "days": crowd.days}

    @property
    def loss(self) -> str:
        """The network computes its own loss: the scores of the whole catalogue at each step never leave it."""
        return "own"

    @property
    def levels(self) -> tuple[float, ...]:
        """Learn no quantiles."""
        return ()

    @property
    def sizes(self) -> Sizes:
        """Return the sizes: one number an item."""
        return Sizes("next-event", SEEN, each=self.items, longest=self.longest)

    def training_rows(self, fit: NextTrain, ctx: Context) -> Lazy:
        """Return all windows, at most `ctx.rows`, chosen by a seeded hash of their place in the log."""
        return self._windows(fit, ctx.rows)

    def holdout_rows(self, holdout: NextTrain) -> Lazy:
        """Return all windows of the users that decide when to stop."""
        return self._windows(holdout, None)

    def prediction_rows(self, inputs: NextInputs) -> Lazy:
        """Return the latest events of each row; a row without any has one step of nothing known."""
        length = np.minimum(inputs.lengths, self.longest)
        end, step = inputs.offsets[1:], steps_of(inputs)

        def features(rows: Array) -> Array:
            x = self._padded_windows(step, end[rows] - length[rows], length[rows], np.maximum(length[rows], 1))
            x[length[rows] == 0, 0, 0] = self.items
            return x

        return Lazy(np.maximum(length, 1), np.zeros((0, 1), np.float32), features)

    def answered(self, inputs: NextInputs, outputs: Any) -> Ranking:
        """Rank by the mixture, a chunk of users at a time; `outputs`: rows -> float32 [n, I + C]."""
        return rank_rows(inputs, lambda part: self._mixture(part, outputs(self.prediction_rows(part))))

    def decode(self, raw: Array, inputs: NextInputs) -> Ranking:
        """Rank by raw outputs [N, I + C] that are all at hand."""
        return rank_rows(inputs, lambda _: self._mixture(inputs, raw))

    def _mixture(self, inputs: NextInputs, raw: Array) -> Array:
        """Mix by the logits of the components that stand behind those of the items, float32 [n, I]."""
        return mixed(inputs, softmax(raw[:, : self.items]), softmax(raw[:, self.items :]), self.everybody)

    def _windows(self, train: NextTrain, most: int | None) -> Lazy:
        """Cut each user's steps, all events before the last moment, into windows from the end."""
        first, size = following(train)
        steps = np.bincount(train.row, first >= 0, minlength=len(train)).astype(np.int64)
        count = -(-steps // self.longest)
        user = np.repeat(np.arange(len(train)), count)
        back = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
        end = train.offsets[user] + steps[user] - back * self.longest
        begin = np.maximum(train.offsets[user], end - self.longest)
        if most is not None and len(begin) > most:
            chosen = np.sort(np.argsort(hashed(begin, 0), kind="stable")[:most])
            begin, end = begin[chosen], end[chosen]
        length, seen = end - begin, steps_of(train)
        seen[:, -1] = self.everybody.snapshot(train.time)[first]
        step = np.concatenate([seen, self._answers(train, first, size)], 1)

        def features(rows: Array) -> Array:
            return self._padded_windows(step, begin[rows], length[rows], length[rows])

        return Lazy(length, np.zeros((len(begin), 1), np.float32), features)

    def _answers(self, train: NextTrain, first: Array, size: Array) -> Array:
        """List the answers of each step with what the components say of them, float32 [E, J (1 + C - 1)]; I: no answer."""
        wide = int(min(MOST, size.max(initial=1)))
        chance = np.column_stack([train.item, shares(train, self.everybody)])  # [E, ANSWER]
        found = np.zeros((len(first), wide, ANSWER), np.float32)
        found[..., 0] = self.items
        turn = hashed(np.arange(len(first)), 1)
        for j in range(wide):
            some = np.flatnonzero(size > j)
            # of a larger moment a stretch, wherever it begins
            at = first[some] + ((turn[some] * size[some]).astype(np.int64) + j) % size[some]
            found[some, j] = chance[at]
        return found.reshape(len(first), wide * ANSWER)

    def _padded_windows(self, step: Array, begin: Array, length: Array, wide: Array) -> Array:
        """Lay windows side by side, float32 [n, T, features], right-padded; numbers of items are exact in float32."""
        inside = np.arange(int(wide.max(initial=1))) < length[:, None]  # [n, T]
        x = np.zeros((*inside.shape, step.shape[1]), np.float32)
        x[inside] = step[spans(begin, length)[0]]
        return x


def following(train: NextTrain) -> tuple[Array, Array]:
    """Find the moment after each event's own: its first event, int64 [E], -1 behind the last; and its size where the event ends a moment.

    The size is 0 elsewhere.
    """
    row, events = train.row, len(train.item)
    new = np.ones(events, bool)
    new[1:] = (row[1:] != row[:-1]) | (train.time[1:] != train.time[:-1])
    begin = np.flatnonzero(new)
    length = np.diff(np.r_[begin, events])
    number = np.cumsum(new) - 1
    after = np.minimum(number + 1, len(begin) - 1)
    there = (number + 1 < len(begin)) & (row[begin[after]] == row) if events else np.zeros(0, bool)
    ends = np.r_[new[1:], True] if events else np.zeros(0, bool)
    return np.where(there, begin[after], -1), np.where(there & ends, length[after], 0)


def steps_of(inputs: NextInputs) -> Array:
    """Return what is seen of each event, float32 [E, SEEN], as at the cut-off."""
    return np.column_stack([inputs.item, gaps(inputs), told(inputs), np.zeros(len(inputs.item))]).astype(np.float32)


def gaps(inputs: NextInputs) -> Array:
    """Compute log(1 + days since the same user's event before), float32 [E]; 0 for the first one."""
    gap = np.zeros(len(inputs.time), np.float32)
    gap[1:] = np.log1p(np.maximum(np.diff(inputs.time), 0.0))
    gap[inputs.offsets[:-1][inputs.lengths > 0]] = 0.0
    return gap
