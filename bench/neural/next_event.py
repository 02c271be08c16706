"""What a network sees of next events: windows of item numbers and gaps, each step with the item that came after it.

Letters for shapes: E events, N rows, n rows of a batch, T steps, I items.
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
from bench.neural.sizes import Sizes

SEEN, ANSWERED = 2, 3
"""Features of a step: item and gap; and in rows that are learnt from, the item that came after it."""


@dataclass(frozen=True)
class NextEncoder:
    """Cut histories into windows; the catalogue's numbers are the vocabulary, so that nothing else is learnt."""

    items: int
    longest: int
    """Most steps of a window."""

    @classmethod
    def fit(cls, train: NextTrain, ctx: Context) -> NextEncoder:
        """Take the catalogue's size from the data and the window from the profile."""
        return cls(train.items, max(1, ctx.history))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> NextEncoder:
        """Make it again from `state`."""
        return cls(state["items"], state["longest"])

    def state(self) -> dict[str, Any]:
        """Return what was learnt, ready for JSON."""
        return {"task": "next-event", "items": self.items, "longest": self.longest}

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
        end, gap = inputs.offsets[1:], gaps(inputs)

        def features(rows: Array) -> Array:
            x = self._padded_windows(inputs.item, gap, end[rows] - length[rows], length[rows], np.maximum(length[rows], 1), SEEN)
            x[length[rows] == 0, 0, 0] = self.items
            return x

        return Lazy(np.maximum(length, 1), np.zeros((0, 1), np.float32), features)

    def answered(self, inputs: NextInputs, outputs: Any) -> Ranking:
        """Rank by the network's scores, a chunk of users at a time; `outputs`: rows -> float32 [n, I]."""
        return rank_rows(inputs, lambda part: outputs(self.prediction_rows(part)))

    def decode(self, raw: Array, inputs: NextInputs) -> Ranking:
        """Rank scores [N, I] that are all at hand."""
        return rank_rows(inputs, lambda _: raw)

    def _windows(self, train: NextTrain, most: int | None) -> Lazy:
        """Cut each user's steps, all events but the last, into windows from the end."""
        steps = np.maximum(train.lengths - 1, 0)
        count = -(-steps // self.longest)
        user = np.repeat(np.arange(len(train)), count)
        back = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
        end = train.offsets[user] + steps[user] - back * self.longest
        begin = np.maximum(train.offsets[user], end - self.longest)
        if most is not None and len(begin) > most:
            chosen = np.sort(np.argsort(hashed(begin, 0), kind="stable")[:most])
            begin, end = begin[chosen], end[chosen]
        gap, length = gaps(train), end - begin

        def features(rows: Array) -> Array:
            x = self._padded_windows(train.item, gap, begin[rows], length[rows], length[rows], ANSWERED)
            inside = np.arange(x.shape[1]) < length[rows, None]
            x[..., 2] = self.items
            x[inside, 2] = train.item[spans(begin[rows] + 1, length[rows])[0]]
            return x

        return Lazy(length, np.zeros((len(begin), 1), np.float32), features)

    def _padded_windows(self, item: Array, gap: Array, begin: Array, length: Array, wide: Array, features: int) -> Array:
        """Lay windows side by side, float32 [n, T, features], right-padded; numbers of items are exact in float32."""
        inside = np.arange(int(wide.max(initial=1))) < length[:, None]  # [n, T]
        at = spans(begin, length)[0]
        x = np.zeros((*inside.shape, features), np.float32)
        x[inside, 0], x[inside, 1] = item[at], gap[at]
        return x


def gaps(inputs: NextInputs) -> Array:
    """Compute log(1 + days since the same user's event before), float32 [E]; 0 for the first one."""
    gap = np.zeros(len(inputs.time), np.float32)
    gap[1:] = np.log1p(np.maximum(np.diff(inputs.time), 0.0))
    gap[inputs.offsets[:-1][inputs.lengths > 0]] = 0.0
    return gap
