"""Matrix profile: how far a window is from the most similar one of the entity's own prefix (Yeh et al. 2016), by stumpy."""

from __future__ import annotations

import math
import warnings

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from bench.api import Array, ArrayModel, Context, Model, Panel, Params, hookimpl
from bench_plugins import _windows

LEAST = 3
"""Steps of the shortest window that stumpy takes."""


class MatrixProfile(ArrayModel):
    """Join each entity's windows with those of its prefix; those of the prefix with the others there."""

    name = "matrix-profile"
    tasks = frozenset({"anomaly"})
    deterministic = True
    local = True
    requires = ("stumpy",)

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the window's length, and whether windows are compared by shape alone."""
        return {"seasons": _windows.SEASONS, "normalise": CategoricalDistribution([True, False])}

    @staticmethod
    def default() -> Params:
        """Give a third of a season, compared by shape."""
        return {"seasons": _windows.THIRD, "normalise": True}

    def fit(self, train: Panel, ctx: Context) -> None:
        """Learn nothing that entities share."""

    def predict(self, inputs: Panel, ctx: Context) -> Array:
        """Give each step the distance of the window that ends at it, float64 [N, T]; see `bench_plugins._windows.scored`."""
        import numba  # type: ignore[import-not-found, import-untyped, unused-ignore]

        numba.set_num_threads(ctx.threads)
        params = {**self.default(), **self.params}

        def one(z: Array, width: int, k: int) -> Array:
            return distances(z, width, k, normalise=params["normalise"])

        return _windows.scored(inputs, params["seasons"], one, least=LEAST)


def distances(z: Array, width: int, k: int, *, normalise: bool) -> Array:
    """Give each window's distance to the nearest of the first k that is more than a quarter of W away, float64 [T - W + 1].

    `z`: finite [T], its first k + W - 1 steps the prefix, at least 4 W. A window nearer than that is nearly the same one.
    """
    import stumpy  # type: ignore[import-not-found, import-untyped, unused-ignore]

    prefix = z[: k + width - 1]
    apart = math.ceil(width / 4)  # stumpy's own choice where a series is joined with itself
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stumpy takes equal windows, those of a constant stretch, for a mistake
        found = [stumpy.stump(prefix, width, normalize=normalise)[:, 0]]
        if len(z) > len(prefix):
            found.append(stumpy.stump(z[k:], width, prefix[:-apart], ignore_trivial=False, normalize=normalise)[:, 0])
    return np.concatenate(found).astype(np.float64)


@hookimpl
def bench_models() -> list[type[Model]]:
    """Give the model."""
    return [MatrixProfile]
