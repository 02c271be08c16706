"""Score predicted probabilities of churn, on the data as they are or on many weighted copies of them at once.

Letters for shapes: N rows (a user at a cut-off), B weightings (bootstrap draws), G groups of rows with one score.
One code path serves the point value (all weights 1) and the bootstrap (weights are counts).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.metrics.kinds import Metric
from bench.ragged import Array

CLIP = 1e-7
"""Probabilities are held in [CLIP, 1 - CLIP] before a logarithm, so one sure mistake costs at most 16.1."""

BINS = 10
"""Bins of the calibration error, of equal mass."""

TOP = (0.05, 0.10, 0.20)
"""Shares of the rows that `lift_K` and `captured_K` look at."""

AT_ONCE = 1 << 15
"""Weights looked at together: 256 KB an array (or one draw, if longer). Larger ones leave the cache, and their memory
is given back and asked for again at each step, which takes half of the time."""

TINY = 1e-300
"""Stands for an empty denominator: the numerator beside it is 0 as well."""


def _table() -> dict[str, Metric]:
    rows = (
        Metric("roc_auc", True, "ROC AUC", 3, "chance that a churner scores above a stayer; ties count half"),
        Metric("ap_churn", True, "average precision of churners", 3, "mean precision over the churners, highest score first"),
        Metric("ap_stay", True, "average precision of stayers", 3, "mean precision over the stayers, lowest score first"),
        Metric("log_loss", False, "log-loss", 3, "mean negative log-likelihood, natural logarithm"),
        Metric("log_loss_skill", True, "log-loss skill", 3, "1 - log-loss / log-loss of the training base rate; above 0 is better than it"),
        Metric("brier", False, "Brier score", 3, "mean squared error of the probability"),
        Metric("ece", False, "calibration error", 3, "mean distance of predicted and actual rate over 10 bins of equal mass"),
        *(Metric(f"lift_{k}", True, f"lift at {k} %", 2, f"churn rate among the top {k} % by score / churn rate") for k in (5, 10, 20)),
        *(Metric(f"captured_{k}", True, f"captured at {k} %", 3, f"share of all churners in the top {k} % by score") for k in (5, 10, 20)),
    )
    return {metric.name: metric for metric in rows}


METRICS: dict[str, Metric] = _table()
"""The churn metrics by name, in the order in which they are shown; `roc_auc` ranks."""


@dataclass(frozen=True, eq=False)
class Ranked:
    """Hold one model's scores sorted once, highest first, ready for any number of weightings."""

    order: Array
    """int64 [N]: rows by falling score; rows of one score by label, so the sums do not depend on row order."""
    ends: Array
    """int64 [G + 1]: where each group of equal scores ends, led by 0."""
    terms: Array
    """float64 [3, N], sorted: label, log-loss, squared error of each row."""
    residual: Array
    """float64 [N], sorted: probability - label."""
    bins: Array
    """int64 [<= BINS + 1]: where the calibration bins begin in sorted order, closed by N."""
    base: float
    """The training base rate, clipped."""

    def score(self, weights: Array) -> dict[str, Array]:
        """Score under `weights` [B, N]: see the function `score`."""
        return score(self, weights)


def churn_metrics(y: Array, p: Array, base_rate: float, weights: Array | None = None) -> dict[str, Array]:
    """Score probabilities: every metric of `METRICS`, each float64 [B] (B = 1 without weights).

    `y`: 0 or 1 [N], 1 = churned. `p`: P(churn) [N], in [0, 1]. `base_rate`: the training data's share of churners.
    `weights`: >= 0 [B, N], bootstrap counts say. Raises ValueError on other shapes or values.

    What is undefined is nan, which a leaderboard stores as null: `roc_auc` unless both classes have weight;
    `ap_churn`, `lift_K` and `captured_K` without a churner; `ap_stay` without a stayer.
    """
    return score(ranked(y, p, base_rate), np.ones((1, len(y))) if weights is None else weights)


def ranked(y: Array, p: Array, base_rate: float) -> Ranked:
    """Sort the rows by score and lay out what each adds to the sums; arguments as in `churn_metrics`."""
    y, p = _checked(y, p, base_rate)
    order = np.lexsort((y, -p))
    y, p = y[order], p[order]
    new = np.append(p[1:] != p[:-1], True)
    ends = np.concatenate([[0], np.flatnonzero(new) + 1])
    q = np.clip(p, CLIP, 1 - CLIP)
    loss = -np.where(y > 0, np.log(q), np.log1p(-q))
    terms = np.stack([y, loss, (p - y) ** 2])
    base = float(np.clip(base_rate, CLIP, 1 - CLIP))
    return Ranked(order, ends, terms, p - y, _bin_starts(ends), base)


def score(model: Ranked, weights: Array) -> dict[str, Array]:
    """Score one model under `weights` [B, N]; every metric of `METRICS`, float64 [B]. Undefined is nan."""
    n = len(model.order)
    if weights.ndim != 2 or weights.shape[1] != n:
        raise ValueError(f"weights have shape {weights.shape}; expected (B, {n}), one column for each row of y")
    step = max(1, AT_ONCE // n)
    parts = [_score_part(model, weights[b : b + step]) for b in range(0, len(weights), step)]
    return {name: np.concatenate([part[name] for part in parts]) if parts else np.zeros(0) for name in METRICS}


def calibration_bins(p: Array) -> Array:
    """Assign each score to one of at most 10 bins of equal mass, 0 = lowest; int64 [N] for `p` [N].

    Equal scores stay together, in the bin that holds the middle of their ranks, so row order changes nothing.
    """
    _, inverse, count = np.unique(p, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - count / 2  # [G]
    return np.asarray(np.minimum(middle * BINS / len(p), BINS - 1).astype(np.int64)[inverse])


def _checked(y: Array, p: Array, base_rate: float) -> tuple[Array, Array]:
    y, p = np.asarray(y, np.float64), np.asarray(p, np.float64)
    if y.ndim != 1 or y.shape != p.shape or not len(y):
        raise ValueError(f"y has shape {y.shape}, p has shape {p.shape}; expected two vectors of one length, not empty")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("y holds values other than 0 and 1; expected 1 where the user churned")
    if not (np.isfinite(p) & (p >= 0) & (p <= 1)).all():
        raise ValueError("p holds values outside [0, 1] or not finite; expected P(churn)")
    if not 0 <= base_rate <= 1:
        raise ValueError(f"base_rate is {base_rate}; expected a share in [0, 1]")
    return y, p


def _bin_starts(ends: Array) -> Array:
    # the rule of `calibration_bins`, counted from the lowest score, where the sorted order counts from the highest
    n = ends[-1]
    middle = n - (ends[1:] + ends[:-1]) / 2  # [G]
    label = np.minimum(middle * BINS / n, BINS - 1).astype(np.int64)
    return np.append(ends[:-1][np.append(True, label[1:] != label[:-1])], n)


def _score_part(model: Ranked, weights: Array) -> dict[str, Array]:
    w = np.take(np.asarray(weights, np.float64), model.order, axis=1)  # [b, N]
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 is nan: the answer for what is undefined
        return {**_by_rank(model, w), **_by_row(model, w)}


def _by_row(model: Ranked, w: Array) -> dict[str, Array]:
    """Average what each row adds.

    Log-loss: Good (1952). Brier (1950). Calibration error: Naeini et al. (2015), sum over bins of
    |sum of (p - y)| / total weight, with the equal-mass bins of Nixon et al. (2019), fixed on the unweighted data.
    """
    total = w.sum(axis=1)
    positive, loss, squared = (_weighed(w, term) for term in model.terms)
    base = -(positive * np.log(model.base) + (total - positive) * np.log1p(-model.base))
    gap = [np.abs(_weighed(w[:, a:b], model.residual[a:b])) for a, b in zip(model.bins[:-1], model.bins[1:], strict=True)]
    return {
        "log_loss": loss / total,
        "log_loss_skill": 1 - loss / base,
        "brier": squared / total,
        "ece": np.sum(gap, axis=0) / total,
    }


def _by_rank(model: Ranked, w: Array) -> dict[str, Array]:
    """Compute what depends on the order of the scores alone, from cumulative weights at the ends of tie groups."""
    seen, hits = _cumulated(w), _cumulated(w * model.terms[0])  # [b, N + 1]
    if len(model.ends) <= w.shape[1]:  # ties: only the ends of groups mean anything
        seen, hits = np.take(seen, model.ends, axis=1), np.take(hits, model.ends, axis=1)  # [b, G + 1]
    up = np.diff(hits)  # [b, G]: weight of churners in each group
    down = np.diff(seen)
    down -= up
    return {**_areas(seen, hits, up, down), **_tops(seen, hits)}


def _cumulated(w: Array) -> Array:
    total = np.empty((w.shape[0], w.shape[1] + 1))
    total[:, 0] = 0
    np.cumsum(w, axis=1, out=total[:, 1:])
    return total


def _areas(seen: Array, hits: Array, up: Array, down: Array) -> dict[str, Array]:
    """Compute the ROC AUC and both average precisions; `seen`, `hits` [b, G + 1], `up`, `down` [b, G].

    AUC: Mann-Whitney's U / (churners x stayers), ties count half (Hanley and McNeil, 1982).
    Average precision: sum over groups of (share of the class in the group) x (precision down to its end), no
    interpolation (Davis and Goadrich, 2006). For stayers the order is turned round: lowest score first.
    """
    positive, total = hits[:, -1], seen[:, -1]
    negative = total - positive
    above = _dot(down, hits[:, :-1]) + _dot(down, up) / 2
    precision = hits[:, 1:] / np.maximum(seen[:, 1:], TINY)
    # among the rows not yet seen: the share of churners, 1 - precision of "stays"
    left = np.maximum(total[:, None] - seen[:, :-1], TINY)
    miss = np.divide(positive[:, None] - hits[:, :-1], left, out=left)
    return {
        "roc_auc": above / (positive * negative),
        "ap_churn": _dot(up, precision) / positive,
        "ap_stay": 1 - _dot(down, miss) / negative,
    }


def _tops(seen: Array, hits: Array) -> dict[str, Array]:
    """Compute lift and captured share in the top K % (Ling and Li, 1998); `seen`, `hits` [b, G + 1].

    Rows that tie across the border count in part: the expected value over random orders of the tied rows.
    K % of the rows need not be a whole number; the row on the border then counts in part too.
    """
    share = np.array(TOP)
    caught = np.stack([np.interp(share * s[-1], s, h) for s, h in zip(seen, hits, strict=True)], axis=1)  # [K, b]
    captured = caught / hits[:, -1]
    percent = [round(100 * k) for k in TOP]
    lifts = {f"lift_{k}": row / s for k, s, row in zip(percent, TOP, captured, strict=True)}
    return {**lifts, **{f"captured_{k}": row for k, row in zip(percent, captured, strict=True)}}


def _dot(a: Array, b: Array) -> Array:
    return np.asarray(np.einsum("bg,bg->b", a, b))


def _weighed(w: Array, term: Array) -> Array:
    # not `@`: BLAS would start threads beside busy workers (3 times slower there), and sum in another order with each count
    return np.asarray(np.einsum("bn,n->b", w, term))
