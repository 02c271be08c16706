"""How far a detector's scores agree with the consensus of simple floors: a choice without labels and without injections.

A configuration that finds something resembles others that do; one that has gone wrong resembles nothing (Goswami et al. 2023,
"Unsupervised model selection for time-series anomaly detection", there as centrality among all models). Letters for shapes:
N entities, C channels, T steps.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import spearmanr

from bench.data.panel import Panel
from bench.data.ragged import Array
from bench.metrics.anomaly import LARGEST, row_standards
from bench.tasks.anomaly.agreement import open_steps
from bench.tasks.anomaly.channels import over, together
from bench.tasks.anomaly.smoothing import abs_median, mean_shift, rolling_mean, rolling_variance
from bench.tasks.anomaly.steering import ScoredPart

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


def agreement(score: Array, reference: Array, part: ScoredPart) -> float:
    """Return Spearman's correlation of scores with a consensus, float64 [N, T], over the steps of `part` that were not learnt from."""
    seen = open_steps(part)
    if min(np.ptp(score[seen]), np.ptp(reference[seen])) == 0:
        return 0.0
    return float(spearmanr(score[seen], reference[seen]).statistic)
