"""The mean of unlike detectors, each in standard deviations of its own scores over the prefix.

    score = 1 + mean over detectors of (s - mean) / deviation,   mean and deviation of s over the entity's prefix

Averages of standardised scores are the plain outlier ensemble of Aggarwal and Sathe 2015, "Theoretical foundations and
algorithms for outlier ensembles". Members are one of each kind: distance from the level, level, spread, shape
(sub-PCA), tails of rolling statistics. None is weighted by what it found.

Letters for shapes: N entities, T steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from bench.api import Array, ArrayModel, Context, Model, Panel, Params, hookimpl
from bench.metrics.anomaly import LARGEST, row_standards
from bench.tasks.anomaly.smoothing import rolling_mean
from bench_plugins.anomaly_floors import (
    AbsMedian,
    RollingDeviation,
    RollingMean,
    RollingMeanCentred,
    RollingVariance,
    RollingVarianceCentred,
)
from bench_plugins.anomaly_windows import SubPca, SubPcaWhole
from bench_plugins.rolling_ecod import NO_SEASON, RollingEcod, RollingEcodWhole

FEWER: Mapping[str, tuple[str, ...]] = {
    "none": (), "level": ("rolling-mean", "rolling-mean-centred"), "spread": ("rolling-variance", "rolling-variance-centred"),
}  # fmt: skip
"""Members that may be left out."""


class DetectorMean(ArrayModel):
    """Average detectors that look at windows which end at the step."""

    deterministic = True
    name = "detector-mean"
    tasks = frozenset({"anomaly"})
    local = True
    members: ClassVar[tuple[type[Model], ...]] = (RollingVariance, RollingDeviation, RollingMean, SubPca, RollingEcod)

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search which member is left out."""
        return {"without": CategoricalDistribution(tuple(FEWER))}

    @staticmethod
    def default() -> Params:
        """Return all of them."""
        return {"without": "none"}

    def fit(self, train: Panel, ctx: Context) -> None:
        """Learn nothing that entities share."""

    def predict(self, inputs: Panel, ctx: Context) -> Array:
        """Score each step, float64 [N, T]; 0 where nothing was observed."""
        if not inputs.values.size:
            return np.zeros(inputs.values.shape)
        setting = {**self.default(), **self.params}
        real = inputs.mask & (np.arange(inputs.steps) >= inputs.start[:, None])
        learnt = real & (np.arange(inputs.steps) < inputs.until[:, None])
        out = FEWER[setting["without"]]
        each = [self.one(member, inputs, real, ctx) for member in self.members if member.name not in out]
        # a mean of 1 over the prefix: channels are combined in units of it
        score = 1 + np.mean([row_standards(one, real, learnt) for one in each], axis=0)
        return np.where(real, self.smoothed(score, inputs, real, setting), 0.0)

    def one(self, member: type[Model], panel: Panel, real: Array, ctx: Context) -> Array:
        """Return a member's scores at its default, [N, T]."""
        return np.asarray(member(member.default()).predict(panel, ctx))

    def smoothed(self, score: Array, panel: Panel, real: Array, setting: Params) -> Array:
        """Return the scores as they are: a trailing mean would only be late."""
        return score


class DetectorMeanWhole(DetectorMean):
    """Average detectors that look around the step, those that learn from the whole series beside those that learn from the prefix."""

    name = "detector-mean-whole"
    causal = False
    members = (RollingVarianceCentred, AbsMedian, RollingMeanCentred, SubPca, SubPcaWhole, RollingEcodWhole)

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the member that is left out, and the width of smoothing."""
        return {**DetectorMean.space(), "seasons": FloatDistribution(0.25, 2.0, log=True)}

    @staticmethod
    def default() -> Params:
        """Return all of them, smoothed over a season of at most `NO_SEASON` steps."""
        return {**DetectorMean.default(), "seasons": 1.0}

    def one(self, member: type[Model], panel: Panel, real: Array, ctx: Context) -> Array:
        """Return a member's scores at its default, smoothed as the core does it for offline detectors, [N, T]."""
        # half of the largest number: a mean of spikes is then a number too
        score = np.clip(super().one(member, panel, real, ctx), -LARGEST / 2, LARGEST / 2)
        return rolling_mean(score, max(season(panel) // 2, 1), centred=True, real=real)

    def smoothed(self, score: Array, panel: Panel, real: Array, setting: Params) -> Array:
        """Average the scores of the steps around each."""
        return rolling_mean(score, max(round(setting["seasons"] * season(panel)), 1), centred=True, real=real)


def season(panel: Panel) -> int:
    """Return the steps of a season, `NO_SEASON` at the most and where none is known."""
    return min(panel.season, NO_SEASON) if panel.season > 1 else NO_SEASON


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return both."""
    return [DetectorMean, DetectorMeanWhole]
