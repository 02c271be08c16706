"""What the floors of anomaly detection share: nothing is learnt but each entity's own prefix. Letters: N entities, T steps."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import numpy as np

from bench.api import Array, Context, Model, Panel


class Floor(Model):
    """A floor learns nothing beyond each entity's own prefix, which it is given again with the steps to score."""

    tasks = frozenset({"anomaly"})
    deterministic = True
    local = True

    def fit(self, train: Panel, ctx: Context) -> None:
        """Learn nothing."""

    @abstractmethod
    def scores(self, panel: Panel, real: Array, learn: Array, ctx: Context) -> Array:
        """Score each step, [N, T]; `real`: it was observed; `learn`: it lies in the prefix; both bool [N, T]."""

    def predict(self, inputs: Panel, ctx: Context) -> Array:
        """Score each step, float64 [N, T]; 0 where nothing was observed."""
        if not inputs.values.size:
            return np.zeros(inputs.values.shape)
        real = inputs.mask & (np.arange(inputs.steps) >= inputs.start[:, None])
        learn = real & (np.arange(inputs.steps) < inputs.until[:, None])
        return np.asarray(np.where(real, self.scores(inputs, real, learn, ctx), 0.0))

    def save(self, folder: Path) -> None:
        """Write nothing: nothing is learnt."""

    def load(self, folder: Path) -> None:
        """Read nothing."""
