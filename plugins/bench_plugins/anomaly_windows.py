"""Sub-PCA and Isolation Forest on sliding windows: each entity by itself, fitted on the windows of its own prefix.

The `whole` ones are fitted on all windows that they score, as is usual elsewhere: unlabelled, but they look ahead.

Letters for shapes: N entities, T steps, n windows, k of them in the prefix, W steps of a window.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from bench.api import Array, ArrayModel, Context, Model, Panel, Params, hookimpl
from bench_plugins import _isolation, _windows

MOST = 10_000
"""Most windows of a prefix that are learnt from, evenly spaced, where the profile sets no lower bound."""
TREES = 100
"""Trees of a forest, the authors' number."""
AT_ONCE = 1 << 22
"""Numbers of windows that are turned at once: 32 MB."""


class OnWindows(ArrayModel):
    """A local detector without state, fitted to each entity's prefix in `predict`."""

    tasks = frozenset({"anomaly"})
    local = True
    whole: ClassVar[bool] = False
    """Learn from all windows, and not from those of the prefix alone."""

    @property
    def setting(self) -> Params:
        """Return the parameters, the default's where they are not given."""
        return {**self.default(), **self.params}

    def fit(self, train: Panel, ctx: Context) -> None:
        """Learn nothing that entities share."""

    @abstractmethod
    def score(self, windows: Array, learnt: Array, ctx: Context) -> Array:
        """Score `windows` [n, W] by what is usual in `learnt` [at most k, W]; float64 [n], higher is more anomalous."""

    def predict(self, inputs: Panel, ctx: Context) -> Array:
        """Score each step by the window that ends at it, float64 [N, T]; see `bench_plugins._windows.scored`."""
        seasons, most = self.setting["seasons"], MOST if ctx.rows is None else min(ctx.rows, MOST)

        def one(z: Array, width: int, k: int) -> Array:
            windows = sliding_window_view(z, width)
            n = len(windows) if self.whole else k
            return self.score(windows, windows[: n : -(-n // most)], ctx)

        found = _windows.scored(inputs, seasons, one)
        return _windows.at_centres(found, inputs, seasons) if self.whole else found


class SubPca(OnWindows):
    """Score the squared distance from the mean window along all principal axes, each by its eigenvalue (Shyu et al. 2003).

    With a ridge: as it grows, the score nears the plain distance, to which PyOD's PCA and so TSB-AD's Sub-PCA are close.
    """

    name = "sub-pca"
    deterministic = True

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the window's length and the ridge."""
        return {"seasons": _windows.SEASONS, "ridge": FloatDistribution(1e-3, 10.0, log=True)}

    @staticmethod
    def default() -> Params:
        """Return a third of a season, and a ridge of a tenth of the mean eigenvalue."""
        return {"seasons": _windows.THIRD, "ridge": 0.1}

    def score(self, windows: Array, learnt: Array, ctx: Context) -> Array:
        """Return the weighted squared distance, float64 [n]."""
        mean = learnt.mean(axis=0)
        centred = learnt - mean
        eigenvalues, axes = np.linalg.eigh(centred.T @ centred / len(learnt))  # [W], [W, W]
        eigenvalues = np.maximum(eigenvalues, 0.0)
        scaled = axes / np.sqrt(eigenvalues + self.setting["ridge"] * (eigenvalues.mean() or 1.0))
        step = max(AT_ONCE // len(mean), 1)
        blocks = (windows[at : at + step] for at in range(0, len(windows), step))
        return np.concatenate([(((block - mean) @ scaled) ** 2).sum(axis=1) for block in blocks])


class IForest(OnWindows):
    """Score how few random cuts set a window apart (Liu et al. 2008)."""

    name = "iforest"

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the window's length, and how many windows and steps each tree sees."""
        return {"seasons": _windows.SEASONS, "samples": IntDistribution(32, 1024, log=True), "features": FloatDistribution(0.1, 1.0)}

    @staticmethod
    def default() -> Params:
        """Return a third of a season, and the authors' 256 windows a tree."""
        return {"seasons": _windows.THIRD, "samples": 256, "features": 1.0}

    def score(self, windows: Array, learnt: Array, ctx: Context) -> Array:
        """Return the forest's anomaly score in [0, 1], float64 [n]."""
        samples = min(self.setting["samples"], len(learnt))
        forest = _isolation.grown(learnt, TREES, samples, self.setting["features"], ctx.seed)
        return _isolation.anomaly(forest.lengths(windows), samples)


class SubPcaWhole(SubPca):
    """Fit the same to the whole series."""

    name = "sub-pca-whole"
    causal = False
    whole = True


class IForestWhole(IForest):
    """Fit the same to the whole series."""

    name = "iforest-whole"
    causal = False
    whole = True

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search nothing: forests of all windows are slow."""
        return {}

    @staticmethod
    def default() -> Params:
        """Return nothing to set: it is always the authors' forest."""
        return {}

    @property
    def setting(self) -> Params:
        """Return the default of the forest of the prefix."""
        return {**IForest.default(), **self.params}


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return both, by prefix and by the whole series."""
    return [SubPca, IForest, SubPcaWhole, IForestWhole]
