"""ECOD on rolling statistics: how unlikely level, spread and jump of a window are among those of the same series.

    score = mean over statistics and widths of -log P,   P from the empirical distribution of each statistic alone

Li et al., "ECOD: unsupervised outlier detection using empirical cumulative distribution functions" (TKDE 2022), with what a
window says in place of their features. The causal form compares a step with the prefix and all steps between: what has
happened before is no surprise again. The other one looks at centred windows and compares with the whole series.

Letters for shapes: N entities, T steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from bench.api import Array, ArrayModel, Context, Model, Panel, Params, hookimpl
from bench.tasks.anomaly.smoothing import rolling_mean, rolling_variance
from bench_plugins._tails import rising
from bench_plugins._windows import standardised

SHARES = (1 / 12, 1 / 6, 1 / 3, 1.0)
"""Widths of the windows, of the longest."""
NO_SEASON, LONGEST = 100, 1024
"""Steps that stand for a season where none is known; most steps of a window."""
STATISTICS = ("level spread jump", "level jump", "spread jump")

Tails: TypeAlias = Callable[[Array], Array]
"""A statistic, float64 [N, T], to -log P of a value as large or larger."""


class RollingEcod(ArrayModel):
    """Score each step by windows that end at it, among the prefix and the steps since."""

    name = "rolling-ecod"
    tasks = frozenset({"anomaly"})
    deterministic = True
    local = True

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the longest window, and what of it is looked at."""
        return {"seasons": FloatDistribution(0.25, 2.0, log=True), "statistics": CategoricalDistribution(STATISTICS)}

    @staticmethod
    def default() -> Params:
        """Return a season, and all of it."""
        return {"seasons": 1.0, "statistics": STATISTICS[0]}

    def fit(self, train: Panel, ctx: Context) -> None:
        """Learn nothing that entities share."""

    def predict(self, inputs: Panel, ctx: Context) -> Array:
        """Score each step, float64 [N, T]; 0 where nothing was observed."""
        setting = {**self.default(), **self.params}
        if not inputs.values.size:
            return np.zeros(inputs.values.shape)
        real = inputs.mask & (np.arange(inputs.steps) >= inputs.start[:, None])
        found, widths = np.zeros(inputs.values.shape), longest(inputs, setting["seasons"])
        for width in np.unique(widths):
            rows = np.flatnonzero(widths == width)
            found[rows] = self.score(inputs.take(rows), real[rows], int(width), setting["statistics"].split())
        return np.where(real, found, 0.0)

    def score(self, panel: Panel, real: Array, width: int, wanted: list[str]) -> Array:
        """Average -log P over the statistics, [N, T]; `real`: bool [N, T]."""
        return _averaged(panel, real, width, wanted, lambda x: rising(x, real, panel.until), ahead=False)


class RollingEcodWhole(RollingEcod):
    """Score each step by windows around it, among the whole series; smoothed over half of the longest one."""

    name = "rolling-ecod-whole"
    causal = False

    def score(self, panel: Panel, real: Array, width: int, wanted: list[str]) -> Array:
        """Average -log P over the statistics, [N, T]; `real`: bool [N, T]."""
        everywhere = np.full(len(panel), panel.steps)
        raw = _averaged(panel, real, width, wanted, lambda x: rising(x, real, everywhere), ahead=True)
        return rolling_mean(raw, max(width // 2, 1), centred=True, real=real)


def longest(panel: Panel, seasons: float) -> Array:
    """Return the steps of each entity's longest window, int64 [N]: of so many seasons, at most `LONGEST` and two prefixes.

    A season that is longer than two prefixes, such as a day of seconds, is none. Nothing after a prefix counts: it may not
    move a causal score.
    """
    most = 2 * np.maximum(panel.until - panel.start, 1)
    season = np.where((panel.season > 1) & (panel.season <= most), panel.season, NO_SEASON)
    return np.asarray(np.clip(np.round(seasons * season), 2, np.minimum(LONGEST, most)), np.int64)


def _averaged(panel: Panel, real: Array, width: int, wanted: list[str], tails: Tails, *, ahead: bool) -> Array:
    x = _standardised(panel, real)
    total = [
        tails(values) if one_sided else np.maximum(tails(values), tails(-values))
        for share in SHARES
        for values, one_sided in statistics(x, real, panel.start, max(int(share * width), 2), wanted, ahead=ahead)
    ]
    return np.asarray(np.mean(total, axis=0))


def _standardised(panel: Panel, real: Array) -> Array:
    """Return values in interquartile ranges of the prefix from its median, [N, T]; 0 where nothing was observed."""
    learnt = real & (np.arange(panel.steps) < panel.until[:, None])
    rows = zip(panel.values, learnt, strict=True)
    return np.where(real, np.stack([standardised(x, x[own]) for x, own in rows]), 0.0)


def statistics(x: Array, real: Array, start: Array, width: int, wanted: list[str], *, ahead: bool) -> Iterator[tuple[Array, bool]]:
    """Yield what windows of `width` steps say, float64 [N, T] each, and whether only its large values are anomalous."""
    if "level" in wanted:
        yield rolling_mean(x, width, centred=ahead, real=real), False
    if "spread" in wanted:
        yield rolling_variance(x, width, centred=ahead, real=real), False
    if "jump" in wanted:
        yield jump(x, real, start, width, ahead=ahead), True


def jump(x: Array, real: Array, start: Array, width: int, *, ahead: bool) -> Array:
    """Return how far the level of a window is from that of the one before, tails compressed, [N, T]; 0 where there is none before.

    `ahead`: of the windows after and before the step; else of the last two.
    """
    level = rolling_mean(np.arcsinh(x), width, real=real)
    before = np.roll(level, width, axis=1)
    found = np.where(np.arange(x.shape[1]) < start[:, None] + width, 0.0, np.abs(level - before))
    return np.concatenate([found[:, width:], np.repeat(found[:, -1:], min(width, x.shape[1]), axis=1)], axis=1) if ahead else found


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return both."""
    return [RollingEcod, RollingEcodWhole]
