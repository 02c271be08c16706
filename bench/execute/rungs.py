"""Rungs: epochs at which a training that is far behind is stopped, inside the job that runs it.

What a training may cost at each rung stands in the job's own spec, so that the job stays a pure function of it: nobody is
asked while it runs, no epoch is trained twice, and any number of workers ends the same.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Rung:
    """A look at a training."""

    epoch: int
    """Epochs after which is looked."""
    most: float
    """Highest holdout loss, the best so far, with which the training goes on."""


class TrainingPrunedError(BaseException):
    """End a training at a rung; no `Exception`, lest a plugin that catches its own errors goes on."""


@dataclass
class RungWatch:
    """Follow one training and stop it where it is behind."""

    rungs: Sequence[Rung] = ()
    losses: list[float] = field(default_factory=list)
    """The lowest holdout loss up to each epoch."""
    epochs: int = 0
    """Epochs that the training may take at most; 0: it does not tell."""
    pruned: str = ""
    """Why it was stopped."""

    def observe(self, epoch: int, epochs: int, loss: float) -> None:
        """Take the loss of an epoch, counted from 0, of `epochs`; raise `TrainingPrunedError` at a rung that it does not reach."""
        if epoch == 0:  # a second training of the same fit: the last one is what predicts
            self.losses.clear()
        loss = min(loss, sys.float_info.max) if math.isfinite(loss) else sys.float_info.max
        self.losses.append(min([loss, *self.losses[-1:]]))
        self.epochs = epochs
        for rung in self.rungs:
            if rung.epoch == len(self.losses) and self.losses[-1] > rung.most:
                self.pruned = f"holdout loss {self.losses[-1]:.4g} after {rung.epoch} of {epochs} epochs, {rung.most:.4g} would do"
                raise TrainingPrunedError(self.pruned)

    @property
    def record(self) -> dict[str, Any]:
        """Return what a worker answers of it."""
        return {"losses": self.losses, "epochs": self.epochs}
