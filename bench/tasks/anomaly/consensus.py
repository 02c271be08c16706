"""How far a detector's scores agree with the consensus of the floors: a choice without labels and without injections.

A configuration that finds something resembles others that do; one that has gone wrong resembles nothing (Goswami et al. 2023,
"Unsupervised model selection for time-series anomaly detection", there as centrality among all models). Here the others are
simple arithmetic on the values, so that a cell's search hangs on no other cell.

On NAB's three open categories, over eight configurations of each of six detectors, the mean of this and of the score by
injections ranks a detector's configurations as the labels do with correlations of .53, .52 and .30, injections alone with .45,
.63 and .21; what it takes is better than the default by .073, .040 and .025 VUS-PR on average, instead of .057, .039 and .012.

Letters for shapes: N entities, C channels, T steps, n of them open, B weightings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from bench.data.panel import Panel
from bench.data.ragged import Array
from bench.metrics.anomaly import row_standards
from bench.tasks.anomaly.agreement import open_steps
from bench.tasks.anomaly.channels import over, together
from bench.tasks.anomaly.smoothing import LARGEST, abs_median, mean_shift, rolling_mean, rolling_variance
from bench.tasks.anomaly.steering import MeanVolume, ScoredPart

WIDTH = 100
"""Steps of a window where no season is known, and the most."""


def consensus(panel: Panel, part: ScoredPart, smooth: int, combine: str) -> Array:
    """Average the floors' scores, each in deviations of its own over the steps learnt from, float64 [N, T].

    `panel`: what is asked in `part`, [N C, T]. `smooth`: width of the centred mean over scores that look ahead.
    """
    channels = panel.channels
    learnt = np.stack([part.learnt(n) for n in range(len(part.mask))])
    found = [together(one, learnt, channels, combine) for one in _floors(panel, over(part.mask, channels), over(learnt, channels), smooth)]
    return np.asarray(np.mean([row_standards(one, part.mask, learnt) for one in found], axis=0))


def _floors(panel: Panel, real: Array, learn: Array, smooth: int) -> Iterator[Array]:
    """Yield distance, its mean, spread and level, of trailing windows and of centred ones."""
    x, width = panel.values, min(panel.season if panel.season > 1 else WIDTH, WIDTH)
    # half of the largest number: a mean of spikes is then a number too
    away = np.minimum(abs_median(x, learn), LARGEST / 2)
    yield away
    yield rolling_mean(away, smooth, centred=True, real=real)
    yield rolling_mean(away, width, real=real)
    for ahead in (False, True):
        for score in (rolling_variance(x, width, centred=ahead, real=real), mean_shift(x, learn, width, centred=ahead, real=real)):
            bounded = np.minimum(score, LARGEST / 2)
            yield rolling_mean(bounded, smooth, centred=True, real=real) if ahead else bounded


@dataclass(frozen=True)
class Agreement:
    """Spearman's correlation of scores with the consensus over the open steps of all entities, under any weighting of them."""

    sums: Array
    """float64 [N, 6]: of each entity's ranks a and b: how many, a, b, aa, bb, ab."""

    @classmethod
    def of(cls, score: Array, reference: Array, part: ScoredPart) -> Agreement:
        """Rank scores and reference, float64 [N, T], over the steps of `part` that were not learnt from."""
        seen = open_steps(part)
        count, entity = int(seen.sum()), np.nonzero(seen)[0]
        # centred and at most 1/2 in size: sums of squares lose nothing
        a, b = ((rankdata(x[seen]) - (count + 1) / 2) / max(count, 1) for x in (score, reference))
        columns = (np.ones(count), a, b, a * a, b * b, a * b)
        return cls(np.stack([np.bincount(entity, column, len(seen)) for column in columns], axis=1))

    def score(self, weights: Array) -> Array:
        """Return the correlation with entity n counted `weights[b, n]` times, [B, N] to float64 [B]; 0 where either is constant."""
        count, a, b, aa, bb, ab = np.moveaxis(np.asarray(weights, np.float64) @ self.sums, -1, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = (ab - a * b / count) / np.sqrt((aa - a * a / count) * (bb - b * b / count))
        return np.where(np.isfinite(found), found, 0.0)


@dataclass(frozen=True)
class LabelFree:
    """What steers a search without labels: the mean of the score by injections and of the agreement with the floors' consensus."""

    volume: MeanVolume
    agreement: Agreement

    @property
    def group(self) -> Array:
        """Return the entities."""
        return self.volume.group

    def score(self, weights: Array) -> Array:
        """Return the score with entity n counted `weights[b, n]` times, [B, N] to float64 [B]."""
        return np.asarray((self.volume.score(weights) + self.agreement.score(weights)) / 2)

    @property
    def value(self) -> float:
        """Return the score with each entity counted once."""
        return float(self.score(np.ones((1, len(self.group))))[0])
