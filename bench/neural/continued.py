"""Pre-training on sequences of events: from a user's past up to some step, say what the next step looks like.

Inputs alone are used, of the same training rows; the labels are not (as Dai and Le 2015 do with language).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from bench.api import Array, ChurnTrain, Context
from bench.data.ragged import hashed, spans
from bench.neural.batches import Sequences
from bench.neural.churn import ChurnEncoder
from bench.neural.sizes import Sizes

RECENCY = 1
"""The first features of a step, its distance from the cut-off: it cannot be known of a step that has not come."""


@dataclass(frozen=True)
class Continued:
    """Encode rows cut behind one of their steps; the target is what the encoder says of the next one: gap, size and kind."""

    encoder: ChurnEncoder
    loss: ClassVar[str] = "huber"
    levels: ClassVar[tuple[float, ...]] = ()

    @property
    def sizes(self) -> Sizes:
        """Return the sizes of the classifier, but a number for each feature of the next step."""
        whole = self.encoder.sizes
        return replace(whole, each=whole.f - whole.beside - RECENCY)

    def training_rows(self, fit: ChurnTrain, ctx: Context) -> Sequences:
        """Cut each row at a step of its own; rows of fewer than two steps have no next one."""
        return self.cut(self.encoder.prediction_rows(fit), ctx.seed)

    def holdout_rows(self, holdout: ChurnTrain) -> Sequences:
        """Cut the rows that decide when to stop."""
        return self.cut(self.encoder.prediction_rows(holdout), 0)

    def cut(self, rows: Sequences, seed: int) -> Sequences:
        """Keep the steps of each row before one that a seeded hash chooses, which becomes the target."""
        many = np.flatnonzero(rows.lengths > 1)
        kept = 1 + np.floor(hashed(many, seed) * (rows.lengths[many] - 1)).astype(np.int64)  # 1 to all but one
        at, offsets = spans(rows.offsets[many], kept)
        target = rows.features[rows.offsets[many] + kept, RECENCY:]
        return Sequences(offsets, rows.features[at], rows.context[many], np.asarray(target, np.float32))

    def prediction_rows(self, inputs: Any) -> Sequences:
        """Return the rows as the classifier sees them."""
        return self.encoder.prediction_rows(inputs)

    def decode(self, raw: Array, inputs: Any) -> Array:
        """Return the features as they are: nobody is told what comes next."""
        return raw

    def state(self) -> dict[str, Any]:
        """Return the classifier's state."""
        return self.encoder.state()
