"""Score anomaly scores of many entities under any weighting: averaged over labelled series, or pooled over users.

Letters for shapes: N entities, M metrics, B weightings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.api import Array
from bench.metrics.anomaly import BUDGETS, METRICS, alert_counts, event_f1, ranks, series_scores, threshold
from bench.metrics.areas import Areas, areas_of, collect
from bench.metrics.volume import Pooled, pooled, vus_of

Part = tuple[Array, Array, Array]
"""Labels, scores and training scores of one entity."""


@dataclass(frozen=True)
class Averaged:
    """Each labelled series' own metrics; a series without an anomaly has none and does not count."""

    each: Array
    """float64 [N, M], nan where undefined."""

    def score(self, weights: Array) -> Mapping[str, Array]:
        """Return the weighted means over the series that have one; `weights` [B, N]."""
        known = np.isfinite(self.each)
        total = np.einsum("bn,nm->bm", weights, np.where(known, self.each, 0.0))
        count = np.einsum("bn,nm->bm", weights, known.astype(np.float64))
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(count > 0, total / count, np.nan)
        return dict(zip(METRICS, means.T, strict=True))


@dataclass(frozen=True)
class Summed:
    """What each entity adds to the pooled metrics."""

    pool: Pooled
    alerts: Mapping[str, Array]
    """Metric -> counts of `alert_counts`, float64 [N, 4]."""
    users: Areas
    """One step an entity: does it have an anomaly, and its highest rank."""

    def score(self, weights: Array) -> Mapping[str, Array]:
        """Return the metrics with entity n counted `weights[b, n]` times."""
        found = dict(vus_of(self.pool, weights))
        for name, counts in self.alerts.items():
            found[name] = event_f1(np.einsum("bn,nc->bc", weights, counts))
        found["user_auc"] = areas_of(self.users, weights)["auc_roc"]
        return {name: found[name] for name in METRICS}


def averaged(parts: Sequence[Part], buffer: int) -> Averaged:
    """Score each series by itself."""
    rows = [{"user_auc": float("nan"), **series_scores(y, score, prefix, buffer)} for y, score, prefix in parts]
    return Averaged(np.array([[row[name] for name in METRICS] for row in rows], np.float64).reshape(len(parts), len(METRICS)))


def summed(parts: Sequence[Part], buffer: int) -> Summed:
    """Lay out the entities' ranks against their own prefixes."""
    placed = [(y, ranks(score, prefix)) for y, score, prefix in parts]
    alerts = {
        name: np.array([alert_counts(y, score, threshold(prefix, budget)) for y, score, prefix in parts])
        for name, budget in BUDGETS.items()
    }
    users = collect([(np.array([y.any()]), np.array([rank.max()])) for y, rank in placed])
    return Summed(pooled(placed, buffer), alerts, users)
