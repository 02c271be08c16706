"""Sub-PCA and Isolation Forest on sliding windows: each entity by itself, fitted on the windows of its own prefix.

The `whole` ones are fitted on all windows that they score, as is usual elsewhere: unlabelled, but they look ahead.

Letters for shapes: N entities, T steps, n windows, k of them in the prefix, W steps of a window.
"""

from __future__ import annotations

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from sklearn.ensemble import IsolationForest

from bench.api import Array, Context, Model, Params, hookimpl
from bench_plugins import _windows

TREES = 100
"""Trees of a forest, the authors' number."""
AT_ONCE = 1 << 22
"""Numbers of windows that are turned at once: 32 MB."""


class SubPca(_windows.OnWindows):
    """Score the squared distance from the mean window along all principal axes, each by its eigenvalue (Shyu et al. 2003).

    With a ridge: as it grows, the score nears the plain distance, to which PyOD's PCA and so TSB-AD's Sub-PCA are close.
    """

    name = "sub-pca"
    tasks = frozenset({"anomaly"})
    deterministic = True

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the window's length and the ridge."""
        return {"seasons": _windows.SEASONS, "ridge": FloatDistribution(1e-3, 10.0, log=True)}

    @staticmethod
    def default() -> Params:
        """Return a third of a season, and a ridge of a tenth of the mean eigenvalue."""
        return {"seasons": _windows.THIRD, "ridge": 0.1}

    def usual(self, windows: Array, ctx: Context) -> _windows.Judge:
        """Return the weighted squared distance from these windows."""
        mean = windows.mean(axis=0)
        centred = windows - mean
        eigenvalues, axes = np.linalg.eigh(centred.T @ centred / len(windows))  # [W], [W, W]
        eigenvalues = np.maximum(eigenvalues, 0.0)
        scaled = axes / np.sqrt(eigenvalues + self.setting["ridge"] * (eigenvalues.mean() or 1.0))
        step = max(AT_ONCE // len(mean), 1)

        def score(windows: Array) -> Array:
            blocks = (windows[at : at + step] for at in range(0, len(windows), step))
            return np.concatenate([(((block - mean) @ scaled) ** 2).sum(axis=1) for block in blocks])

        return score


class IForest(_windows.OnWindows):
    """Score how few random cuts set a window apart (Liu et al. 2008)."""

    name = "iforest"
    tasks = frozenset({"anomaly"})

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the window's length, and how many windows and steps each tree sees."""
        return {"seasons": _windows.SEASONS, "samples": IntDistribution(32, 1024, log=True), "features": FloatDistribution(0.1, 1.0)}

    @staticmethod
    def default() -> Params:
        """Return a third of a season, and the authors' 256 windows a tree."""
        return {"seasons": _windows.THIRD, "samples": 256, "features": 1.0}

    def usual(self, windows: Array, ctx: Context) -> _windows.Judge:
        """Return the anomaly score in [0, 1] of a forest of these windows."""
        cut = {"max_samples": min(self.setting["samples"], len(windows)), "max_features": self.setting["features"]}
        forest = IsolationForest(n_estimators=TREES, random_state=ctx.seed, n_jobs=1, **cut).fit(windows)
        # scikit-learn's own score is lower where a window is more anomalous
        return lambda windows: np.asarray(-forest.score_samples(windows), np.float64)


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
