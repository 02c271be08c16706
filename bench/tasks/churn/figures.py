"""Collect what the pages draw of churn predictions: gain, ROC and precision-recall curves, and reliability by cut-off.

Letters for shapes: N rows (a user at a cut-off), G groups of rows with one score, P points of a curve.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.data.ragged import Array
from bench.metrics.churn import calibration_bins
from bench.metrics.rounding import listed, rounded

MOST_POINTS = 100
"""Points of a curve; longer ones keep those that bend it most."""
TOP = (0.05, 0.10, 0.20)
"""Shares of the users, highest scores first, at which the share of churners caught is told."""
FALSE_ALARMS = (0.05, 0.10, 0.20, 0.50)
"""False positive rates at which the true positive rate is told."""
RECALLS = (0.25, 0.50, 0.75)
"""Recalls at which the precision is told."""
CLASS_BINS = 20
"""Bins of the distributions of predicted churn, of equal width between 0 and 1."""
CONFIDENCE = 1.959964
"""The normal quantile of a 95 % interval."""


def collect(
    rates: Mapping[str, float], truth: Mapping[str, Array], predictions: Mapping[str, Mapping[str, Array]], leader: str, *, reference: str
) -> dict[str, Any]:
    """Bin and thin what the charts show; the models come as leader, reference, then by ROC AUC.

    `rates`: cut-off -> share of users that churned, oldest first; `truth`: cut-off -> 0 or 1 [N], the last of them the
    test; `predictions`: model -> cut-off -> P(churn) [N], where the test cut-off is never missing.
    """
    test = list(truth)[-1]
    made = {name: _model(truth, own, test) for name, own in predictions.items()}
    order = sorted(made, key=lambda name: (name != leader, name != reference, -made[name]["auc"], name))
    return {
        "kind": "churn",
        "metric": "ROC AUC",
        "leader": leader,
        "reference": reference,
        "base_rate": rounded(float(np.mean(truth[test]))),
        "test_cutoff": test,
        "rates": [{"cutoff": cutoff, "rate": rounded(rate)} for cutoff, rate in rates.items()],
        "n": {cutoff: len(y) for cutoff, y in truth.items()},
        "models": {name: made[name] for name in order},
    }


def reliability(y: Array, p: Array) -> list[dict[str, Any]]:
    """Bin predictions by rank, at most 10 bins of equal mass: mean prediction, rate of churn with its interval, and count.

    `y`: 0 or 1 [N]; `p`: P(churn) [N]. Equal predictions share a bin, so there may be fewer.
    """
    bins = calibration_bins(p)
    found = []
    for own in (bins == at for at in np.unique(bins)):
        n, rate = int(own.sum()), float(np.mean(y[own]))
        low, high = wilson(rate, n)
        found.append({"mean": rounded(float(p[own].mean())), "rate": rounded(rate), "low": rounded(low), "high": rounded(high), "n": n})
    return found


def wilson(rate: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share seen in `n` cases (Wilson, 1927): never beyond 0 and 1, never empty."""
    z2 = CONFIDENCE**2 / n
    middle, spread = rate + z2 / 2, CONFIDENCE * np.sqrt(rate * (1 - rate) / n + z2 / (4 * n))
    return max(0.0, float((middle - spread) / (1 + z2))), min(1.0, float((middle + spread) / (1 + z2)))


def curves(y: Array, p: Array) -> dict[str, Array]:
    """Follow the users from the highest score down, at the ends of tie groups: three curves, float64 [P, 2] each.

    `gain`: share of users, share of churners caught; `roc`: false against true positive rate; `pr`: recall, precision.
    Both classes must be there.
    """
    order = np.argsort(-p, kind="stable")
    hits, ends = np.cumsum(y[order]).astype(np.float64), np.flatnonzero(np.append(np.diff(p[order]) != 0, True))
    seen, up = ends + 1.0, hits[ends]  # [G]
    recall, down = up / hits[-1], (seen - up) / (len(y) - hits[-1])
    led = np.zeros((1, 2))
    return {
        "gain": np.vstack([led, np.column_stack([seen / len(y), recall])]),
        "roc": np.vstack([led, np.column_stack([down, recall])]),
        "pr": np.column_stack([recall, up / seen]),
    }


def thinned(curve: Array, most: int = MOST_POINTS) -> Array:
    """Keep at most `most` points of a curve, [P, 2], those furthest off the line between their neighbours first.

    After Douglas and Peucker (1973), until the points are used up; both ends stay, and a curve with no more corners than
    `most` keeps its shape whole.
    """
    kept = {0, len(curve) - 1}
    heap = [_furthest(curve, 0, len(curve) - 1)]
    while heap and len(kept) < most:
        distance, at, first, last = heapq.heappop(heap)
        if distance >= 0:  # nothing lies off its line any more
            break
        kept.add(at)
        heapq.heappush(heap, _furthest(curve, first, at))
        heapq.heappush(heap, _furthest(curve, at, last))
    return curve[sorted(kept)]


def _furthest(curve: Array, first: int, last: int) -> tuple[float, int, int, int]:
    """Find the point furthest off a stretch's chord: its distance, negative for the heap, its place, and the stretch."""
    inside = curve[first + 1 : last] - curve[first]
    if not len(inside):
        return 0.0, first, first, last
    dx, dy = curve[last] - curve[first]
    off = np.abs(inside[:, 0] * dy - inside[:, 1] * dx) / (np.hypot(dx, dy) or 1.0)
    at = int(off.argmax())
    return (-float(off[at]) if off[at] > 1e-12 else 0.0), first + 1 + at, first, last


def _counted(p: Array) -> list[int]:
    counts: list[int] = np.histogram(p, CLASS_BINS, (0.0, 1.0))[0].tolist()
    return counts


def _model(truth: Mapping[str, Array], own: Mapping[str, Array], test: str) -> dict[str, Any]:
    y, p = np.asarray(truth[test], np.float64), np.asarray(own[test], np.float64)
    drawn = curves(y, p)
    roc = drawn["roc"]
    by_cutoff = [
        {
            "cutoff": cutoff,
            "predicted": rounded(float(own[cutoff].mean())),
            "actual": rounded(float(np.mean(truth[cutoff]))),
            "bins": reliability(truth[cutoff], own[cutoff]),
        }
        for cutoff in truth
        if cutoff in own
    ]
    return {
        "auc": rounded(float(np.trapezoid(roc[:, 1], roc[:, 0]))),
        "reliability": by_cutoff,
        "captured": listed(np.interp(TOP, *drawn["gain"].T)),
        "true_rate": listed(np.interp(FALSE_ALARMS, *roc.T)),
        "classes": {name: _counted(p[y == at]) for at, name in enumerate(("stayed", "churned"))},
        "precision": listed(drawn["pr"][np.searchsorted(drawn["pr"][:, 0], np.array(RECALLS) - 1e-12), 1]),
        **{name: listed(np.round(thinned(curve), 5)) for name, curve in drawn.items()},
    }
