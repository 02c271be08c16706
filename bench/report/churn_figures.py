"""Collect what the pages draw of churn probabilities: ROC, precision and recall, calibration, churners caught by share asked.

Letters for shapes: N users, K points of a curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.ragged import Array
from bench.report.rounding import listed, short

MOST_POINTS = 101
"""Points of a curve: longer ones are thinned evenly along their length."""
BINS = 10
"""Of equal mass; users with one probability share a bin."""
Z = 1.959964
"""Normal quantile of a two-sided 95 % interval."""


def collect(y: Array, predictions: Mapping[str, Array], leader: str, reference: str, cutoff: str) -> dict[str, Any]:
    """Make the curves of each model on the test users.

    `y` [N]: 1 for who churned; `predictions`: model -> P(churn), float [N]; `reference`: the model that the others are
    drawn against; `cutoff`: the day of the prediction, in words. Both classes must be there.
    """
    models = {model: _curves(np.asarray(y, np.int64), np.asarray(p, np.float64)) for model, p in predictions.items()}
    return {
        "kind": "churn", "leader": leader, "reference": reference, "cutoff": cutoff, "users": len(y),
        "base_rate": short(float(np.mean(y))), "models": models,
    }  # fmt: skip


def _curves(y: Array, p: Array) -> dict[str, Any]:
    order = np.argsort(-p, kind="stable")
    ends = np.flatnonzero(np.diff(p[order], append=-np.inf))  # users with one probability are taken together
    caught, asked = np.cumsum(y[order])[ends], ends + 1  # [K]
    churned, stayed = int(y.sum()), int(len(y) - y.sum())
    recall = np.r_[0.0, caught / churned]
    precision = caught / asked
    return {
        "roc": _thinned(np.r_[0.0, (asked - caught) / stayed], recall),
        # before the first user there is no precision: the curve starts at that of the first
        "pr": _thinned(recall, np.r_[precision[0], precision]),
        "gain": _thinned(np.r_[0.0, asked / len(y)], recall),
        "bins": bins(y, p),
    }


def _thinned(x: Array, y: Array) -> list[list[Any]]:
    """Choose points evenly along a curve, both ends among them; float [K] each, as pairs."""
    if len(x) > MOST_POINTS:
        along = np.r_[0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))]
        at = np.unique(np.searchsorted(along, np.linspace(0.0, along[-1], MOST_POINTS)).clip(0, len(x) - 1))
        x, y = x[at], y[at]
    return [list(pair) for pair in zip(listed(x), listed(y), strict=True)]


def bins(y: Array, p: Array) -> list[dict[str, Any]]:
    """Compare predicted and actual churn in bins of equal mass, with Wilson's interval (1927) of the actual rate."""
    edges = np.unique(np.quantile(p, np.arange(1, BINS) / BINS, method="lower"))
    own = np.searchsorted(edges, p, side="left")
    found = []
    for b in np.unique(own):
        inside = own == b
        n, rate = int(inside.sum()), float(y[inside].mean())
        centre = (rate + Z**2 / (2 * n)) / (1 + Z**2 / n)
        half = Z / (1 + Z**2 / n) * np.sqrt(rate * (1 - rate) / n + Z**2 / (4 * n**2))
        row = {"mean": float(p[inside].mean()), "rate": rate, "low": max(centre - half, 0.0), "high": min(centre + half, 1.0)}
        found.append({**{key: short(value) for key, value in row.items()}, "n": n})
    return found
