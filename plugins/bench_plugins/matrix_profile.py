"""Matrix profile: how far a window is from the most similar one of the entity's own prefix (Yeh et al. 2016)."""

from __future__ import annotations

import math

from optuna.distributions import BaseDistribution, CategoricalDistribution

from bench.api import Array, ArrayModel, Context, Model, Panel, Params, hookimpl
from bench_plugins import _windows
from bench_plugins._self_join import nearest

LEAST = 3
"""Steps of the shortest window that has a shape: two steps rise or fall."""


class MatrixProfile(ArrayModel):
    """Join each entity's windows with those of its prefix; those of the prefix with the others there."""

    name = "matrix-profile"
    tasks = frozenset({"anomaly"})
    deterministic = True
    local = True

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the window's length, and whether windows are compared by shape alone."""
        return {"seasons": _windows.SEASONS, "normalise": CategoricalDistribution([True, False])}

    @staticmethod
    def default() -> Params:
        """Return a third of a season, compared by shape."""
        return {"seasons": _windows.THIRD, "normalise": True}

    def fit(self, train: Panel, ctx: Context) -> None:
        """Learn nothing that entities share."""

    def predict(self, inputs: Panel, ctx: Context) -> Array:
        """Return each step the distance of the window that ends at it, float64 [N, T]; see `bench_plugins._windows.scored`."""
        params = {**self.default(), **self.params}

        def one(z: Array, width: int, k: int) -> Array:
            return distances(z, width, k, normalise=params["normalise"])

        return _windows.scored(inputs, params["seasons"], one, least=LEAST)


def distances(z: Array, width: int, k: int, *, normalise: bool) -> Array:
    """Return each window's distance to the nearest of the first k that is more than a quarter of W away, float64 [T - W + 1].

    `z`: finite [T], its first k + W - 1 steps the prefix, at least 4 W. A window nearer than that is nearly the same one.
    """
    return nearest(z, width, k, math.ceil(width / 4), shape=normalise)


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the model."""
    return [MatrixProfile]
