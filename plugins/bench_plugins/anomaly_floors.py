"""Floors of anomaly detection: arithmetic on the values themselves. A model that does not beat them has shown nothing.

Widths are steps: a season for the rolling ones, or `WIDTH` where no season is known. Letters: N entities, T steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.api import Array, Context, Model, Panel, hookimpl
from bench.tasks.anomaly import smoothing as floors
from bench_plugins._anomaly_floor import Floor

WIDTH, NARROW = 100, 100
"""Steps of a rolling window where no season is known, and the most of a rolling variance."""


class Random(Floor):
    """Score by chance: the floor of floors. Each entity draws its own numbers, whoever stands beside it."""

    name = "random"
    deterministic = False

    def scores(self, panel: Panel, real: Array, learn: Array, ctx: Context) -> Array:
        """Draw uniform numbers, seeded by the context's seed and the entity's own prefix: no later step changes them."""
        found = np.zeros(panel.values.shape)
        for n, (start, until) in enumerate(zip(panel.start, panel.until, strict=True)):
            seed = _digest(panel.values[n, start:until])
            found[n, start:] = np.random.default_rng([ctx.seed, *seed]).random(panel.steps - int(start))
        return found


class AbsMedian(Floor):
    """Score the distance from the prefix's median."""

    name = "abs-median"

    def scores(self, panel: Panel, real: Array, learn: Array, ctx: Context) -> Array:
        """Return |x - median|."""
        return floors.abs_median(panel.values, learn)


class AbsMedianCentred(AbsMedian):
    """Score the same distance, which the core then smooths by a centred mean: it looks ahead."""

    name = "abs-median-centred"
    causal = False


class RollingDeviation(Floor):
    """Score the mean of that distance over a trailing window."""

    name = "rolling-deviation"

    def scores(self, panel: Panel, real: Array, learn: Array, ctx: Context) -> Array:
        """Return the mean of |x - median| over a season, `NARROW` steps at the most."""
        return floors.rolling_mean(floors.abs_median(panel.values, learn), min(width(panel), NARROW), real=real)


class RollingVariance(Floor):
    """Score the variance of a trailing window."""

    name = "rolling-variance"

    def scores(self, panel: Panel, real: Array, learn: Array, ctx: Context) -> Array:
        """Return the variance over a season, `NARROW` steps at the most."""
        return floors.rolling_variance(panel.values, min(width(panel), NARROW), centred=not self.causal, real=real)


class RollingVarianceCentred(RollingVariance):
    """Score the variance of a centred window; it looks ahead."""

    name = "rolling-variance-centred"
    causal = False


class RollingMean(Floor):
    """Score the distance of a trailing mean from the prefix's median: what every deep model has to beat."""

    name = "rolling-mean"

    def scores(self, panel: Panel, real: Array, learn: Array, ctx: Context) -> Array:
        """Return |mean over a season - median|."""
        return floors.mean_shift(panel.values, learn, width(panel), centred=not self.causal, real=real)


class RollingMeanCentred(RollingMean):
    """Score the distance of a centred mean from the prefix's median; it looks ahead."""

    name = "rolling-mean-centred"
    causal = False


class SeasonalResidual(Floor):
    """Score the distance from the prefix's median at the same phase of the season."""

    name = "seasonal-residual"

    def scores(self, panel: Panel, real: Array, learn: Array, ctx: Context) -> Array:
        """Return |x - median of its phase|."""
        return floors.seasonal_residual(panel.values, learn, panel.season)


def width(panel: Panel) -> int:
    """Return the steps of a season, `WIDTH` where none is known; no more than reach over the whole panel from any step."""
    return min(panel.season if panel.season > 1 else WIDTH, max(2 * panel.steps, 1))


def _digest(values: Array) -> list[int]:
    """Return numbers that stand for an entity's past, so that its draws are its own."""
    import hashlib

    digest = hashlib.sha256(np.ascontiguousarray(values).tobytes()).digest()
    return [int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big")]


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the floors of this file."""
    found: list[Any] = [
        Random, AbsMedian, AbsMedianCentred, RollingDeviation, RollingVariance, RollingVarianceCentred, RollingMean, RollingMeanCentred,
        SeasonalResidual,
    ]  # fmt: skip
    return found
