"""How far detectors agree: a choice among them without labels and without injections.

Detectors that find something resemble each other, what is noise resembles nothing (Goswami et al. 2023, "Unsupervised model
selection for time-series anomaly detection", there as centrality). Letters for shapes: N entities, T steps, K detectors, n steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.data.ragged import Array
from bench.tasks.anomaly.steering import ScoredPart

LEAST = 3
"""Detectors of which agreement says something."""


def open_steps(view: ScoredPart) -> Array:
    """Mark the steps of a search stage that were not learnt from, bool [N, T]."""
    return np.asarray(view.mask & ~np.stack([view.learnt(n) for n in range(len(view.mask))]))


def agreements(ranks: Sequence[Array]) -> Array:
    """Return how each of K rankings of the same steps, [K][n], agrees with the mean of the others: Spearman's correlation [K].

    NaN for a detector that scores all steps alike, for all where fewer than `LEAST` are compared.
    """
    if len(ranks) < LEAST:
        return np.full(len(ranks), np.nan)
    from scipy.stats import rankdata  # slow to import

    total = np.sum(ranks, axis=0)
    found = []
    for one in ranks:
        own, others = rankdata(one), rankdata(total - one)
        constant = np.ptp(own) == 0 or np.ptp(others) == 0
        found.append(np.nan if constant else np.corrcoef(own, others)[0, 1])
    return np.array(found)
