"""Score predicted probabilities of churn, on the data as they are or on many weighted copies of them at once.

Letters for shapes: N rows (a user at a cut-off), B weightings (bootstrap draws), G groups of rows with one score.
One code path serves the point value (all weights 1) and the bootstrap (weights are counts).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from bench.data.ragged import Array
from bench.metrics.kinds import Metric

CLIP = 1e-7
"""Probabilities are held in [CLIP, 1 - CLIP] before a logarithm, so one sure mistake costs at most 16.1."""

BINS = 10
"""Bins of the calibration error, of equal mass."""

TOP = (0.05, 0.10, 0.20)
"""Shares of the rows that `lift_K` and `captured_K` look at."""

AT_ONCE = 1 << 18
"""Weights looked at together: 2 MB an array (or one draw, if longer). With fewer, calls of Python hold the lock that the
threads of a bootstrap share, with more, arrays leave the cache; `bench_bootstrap.py` tells the two apart."""

TINY = 1e-300
"""Stands for an empty denominator: the numerator beside it is 0 as well."""


def _table() -> dict[str, Metric]:
    rows = (
        Metric("roc_auc", True, "AUC", 3, "chance that a churner scores above a stayer; ties count half"),
        Metric("ap_churn", True, "average precision of churners", 3, "mean precision over the churners, highest score first"),
        Metric("ap_stay", True, "average precision of stayers", 3, "mean precision over the stayers, lowest score first"),
        Metric("log_loss", False, "log-loss", 3, "mean negative log-likelihood, natural logarithm"),
        Metric("log_loss_skill", True, "log-loss skill", 3, "1 - log-loss / log-loss of the training base rate; above 0 is better than it"),
        Metric("log_loss_skill_last", True, "log-loss skill, last rate", 3, "1 - log-loss / log-loss of the last known cut-off's rate"),
        Metric("brier", False, "Brier score", 3, "mean squared error of the probability"),
        Metric("ece", False, "calibration error", 3, "mean distance of predicted and actual rate over 10 bins of equal mass"),
        *(Metric(f"lift_{k}", True, f"lift at {k} %", 2, f"churn rate among the top {k} % by score / churn rate") for k in (5, 10, 20)),
        *(Metric(f"captured_{k}", True, f"captured at {k} %", 3, f"share of all churners in the top {k} % by score") for k in (5, 10, 20)),
    )
    return {metric.name: metric for metric in rows}


METRICS: dict[str, Metric] = _table()
"""The churn metrics by name, in the order in which they are shown; `roc_auc` ranks."""


@dataclass(frozen=True, eq=False)
class Side:
    """Borders, in both classes, of each of the g groups of equal scores that have rows of one class."""

    first: Array
    """int64 [g]: rows of the class before the group."""
    last: Array
    """int64 [g]: rows of the class down to its end."""
    alone: bool
    """No two rows of the class share a group: a group is a row."""
    before: Array
    """int64 [g]: rows of the other class before the group."""
    after: Array
    """int64 [g]: rows of the other class down to its end."""
    mixed: bool
    """Some group holds rows of both classes."""


@dataclass(frozen=True, eq=False)
class Ranked:
    """One model's scores sorted once, highest first, ready for any number of weightings.

    The P churners stand before the Q stayers, each by falling score: what depends on the order needs the sums of one class
    at the rows of the other alone, which halves the work of sums over all rows. G: groups of equal scores.
    """

    order: Array
    """int64 [N]: churners by falling score, then stayers by falling score."""
    churners: int
    """P."""
    ends: tuple[Array, Array]
    """Two int64 [G + 1]: how many churners, and how many stayers, stand down to the end of each group; led by 0."""
    up: Side
    """The groups that hold churners."""
    down: Side
    """The groups that hold stayers."""
    terms: Array
    """float64 [2, N], in `order`: log-loss, squared error of each row."""
    residual: Array
    """float64 [N], in `order`: probability - label."""
    bins: Array
    """int64 [S]: where in `order` a calibration bin of one class begins."""
    bin_of: Array
    """int64 [S]: the bin that begins there."""
    of_churners: Array
    """bool [S]: it is one of churners."""
    base: float
    """The training base rate, clipped."""
    last: float
    """The churn rate at the last cut-off whose labels are known, clipped."""

    def score(self, weights: Array) -> dict[str, Array]:
        """Score under `weights` [B, N]: see the function `score`."""
        return score(self, weights)


def churn_metrics(
    y: Array, p: Array, base_rate: float, weights: Array | None = None, *, last_rate: float | None = None
) -> dict[str, Array]:
    """Score probabilities: every metric of `METRICS`, each float64 [B] (B = 1 without weights).

    `y`: 0 or 1 [N], 1 = churned. `p`: P(churn) [N], in [0, 1]. `base_rate`: the training data's share of churners;
    `last_rate`: their share at the last known cut-off (default: the base rate).
    `weights`: >= 0 [B, N], bootstrap counts say. Raises ValueError on other shapes or values.

    What is undefined is nan, which a leaderboard stores as null: `roc_auc` unless both classes have weight;
    `ap_churn`, `lift_K` and `captured_K` without a churner; `ap_stay` without a stayer.
    """
    return score(ranked(y, p, base_rate, last_rate), np.ones((1, len(y))) if weights is None else weights)


def ranked(y: Array, p: Array, base_rate: float, last_rate: float | None = None) -> Ranked:
    """Sort the rows by score and lay out what each adds to the sums; arguments as in `churn_metrics`."""
    y, p = _checked(y, p, base_rate)
    last_rate = base_rate if last_rate is None else last_rate
    if not 0 <= last_rate <= 1:
        raise ValueError(f"last_rate is {last_rate}; expected a share in [0, 1]")
    bins = calibration_bins(p)
    _, group = np.unique(-p, return_inverse=True)  # [N], 0 = highest score
    counts = [np.bincount(group[y == label], minlength=group.max() + 1) for label in (1, 0)]
    ends = tuple(np.concatenate([[0], np.cumsum(count)]) for count in counts)
    order = np.lexsort((-p, 1 - y))
    y, p, label = y[order], p[order], bins[order] + BINS * (y[order] == 0)
    q = np.clip(p, CLIP, 1 - CLIP)
    loss = -np.where(y > 0, np.log(q), np.log1p(-q))
    starts = np.flatnonzero(np.append(True, label[1:] != label[:-1]))
    base, last = (float(np.clip(rate, CLIP, 1 - CLIP)) for rate in (base_rate, last_rate))
    up, down = _side(ends[0], ends[1]), _side(ends[1], ends[0])
    terms = np.stack([loss, (p - y) ** 2])
    return Ranked(order, int(y.sum()), (ends[0], ends[1]), up, down, terms, p - y, starts, label[starts] % BINS, y[starts] > 0, base, last)


def _side(own: Array, other: Array) -> Side:
    """Lay out the groups that hold rows of one class; arguments: rows of it and of the other down to each group's end, [G + 1]."""
    has = np.flatnonzero(np.diff(own))
    first, last, before, after = own[has], own[has + 1], other[has], other[has + 1]
    return Side(first, last, bool((last - first == 1).all()), before, after, bool((after > before).any()))


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


def _score_part(model: Ranked, weights: Array) -> dict[str, Array]:
    w = np.take(np.asarray(weights, np.float64), model.order, axis=1)  # [b, N]
    hits, passed = _cumulative(w[:, : model.churners]), _cumulative(w[:, model.churners :])  # [b, P + 1], [b, Q + 1]
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 is nan: the answer for what is undefined
        return {**_areas(model, w, hits, passed), **_by_row(model, w, hits[:, -1], passed[:, -1]), **_lift_and_capture(model, hits, passed)}


def _cumulative(w: Array) -> Array:
    total = np.zeros((w.shape[0], w.shape[1] + 1))
    whole = w.astype(np.int64)
    # counts, as a bootstrap has, give the same sums as integers, six times faster: no sum waits for the one before to be rounded
    total[:, 1:] = np.cumsum(whole if (whole == w).all() else w, axis=1)
    return total


def _by_row(model: Ranked, w: Array, positive: Array, negative: Array) -> dict[str, Array]:
    """Average what each row adds; `positive`, `negative` [b]: weight of churners and stayers.

    Log-loss: Good (1952). Brier (1950). Calibration error: Naeini et al. (2015), sum over bins of
    |sum of (p - y)| / total weight, with the equal-mass bins of Nixon et al. (2019), fixed on the unweighted data.
    """
    total = positive + negative
    loss, squared = (_weighted_sum(w, term) for term in model.terms)
    base, last = (-(positive * np.log(rate) + negative * np.log1p(-rate)) for rate in (model.base, model.last))
    gap = np.zeros((len(w), BINS))
    parts = np.add.reduceat(w * model.residual, model.bins, axis=1)  # [b, S]
    for own in (model.of_churners, ~model.of_churners):  # within a class each bin begins once
        gap[:, model.bin_of[own]] += parts[:, own]
    return {
        "log_loss": loss / total,
        "log_loss_skill": 1 - loss / base,
        "log_loss_skill_last": 1 - loss / last,
        "brier": squared / total,
        "ece": np.abs(gap).sum(axis=1) / total,
    }


def _areas(model: Ranked, w: Array, hits: Array, passed: Array) -> dict[str, Array]:
    """Compute the ROC AUC and both average precisions; `hits` [b, P + 1], `passed` [b, Q + 1]: cumulative weights.

    AUC: Mann-Whitney's U / (churners x stayers), ties count half (Hanley and McNeil, 1982).
    Average precision: sum over groups of (share of the class in the group) x (precision down to its end), no
    interpolation (Davis and Goadrich, 2006). For stayers the order is turned round: lowest score first.
    """
    positive, negative = hits[:, -1], passed[:, -1]
    up, found = _grouped(model.up, w[:, : model.churners], hits)  # [b, g], weight of churners in each group and down to its end
    seen = np.take(passed, model.up.after, axis=1)
    seen += found
    precision = np.divide(found, np.maximum(seen, TINY, out=seen), out=seen)
    down, _ = _grouped(model.down, w[:, model.churners :], passed)
    above = np.take(hits, model.down.before, axis=1)
    area = _dot(down, above)
    if model.down.mixed:
        area = (area + _dot(down, np.take(hits, model.down.after, axis=1))) / 2
    # among the rows not yet seen: the share of churners, 1 - precision of "stays"
    missed = np.subtract(positive[:, None], above, out=above)
    left = np.take(passed, model.down.first, axis=1) if not model.down.alone else passed[:, :-1]
    left = np.subtract(negative[:, None], left)
    left += missed
    miss = np.divide(missed, np.maximum(left, TINY, out=left), out=left)
    return {
        "roc_auc": area / (positive * negative),
        "ap_churn": _dot(up, precision) / positive,
        "ap_stay": 1 - _dot(down, miss) / negative,
    }


def _grouped(side: Side, w: Array, total: Array) -> tuple[Array, Array]:
    """Return the weight of a class in each group, and down to its end, both [b, g]; where a group is a row, without a copy."""
    if side.alone:
        return w, total[:, 1:]
    last = np.take(total, side.last, axis=1)
    return last - np.take(total, side.first, axis=1), last


def _lift_and_capture(model: Ranked, hits: Array, passed: Array) -> dict[str, Array]:
    """Compute lift and captured share in the top K % (Ling and Li, 1998); cumulative weights as in `_areas`.

    Rows that tie across the border count in part: the expected value over random orders of the tied rows.
    K % of the rows need not be a whole number; the row on the border then counts in part too.
    """
    caught = np.array([[_captured(model.ends, h, s, share) for h, s in zip(hits, passed, strict=True)] for share in TOP])  # [K, b]
    captured = caught / hits[:, -1]
    percent = [round(100 * k) for k in TOP]
    lifts = {f"lift_{k}": row / s for k, s, row in zip(percent, TOP, captured, strict=True)}
    return {**lifts, **{f"captured_{k}": row for k, row in zip(percent, captured, strict=True)}}


def _captured(ends: tuple[Array, Array], hits: Array, passed: Array, share: float) -> float:
    """Return the weight of churners in the top `share`, linear within the group on its border."""
    up, down = ends
    border = share * (hits[-1] + passed[-1])
    # the first group whose end lies beyond the border: bisection looks at 15 of 25,000 groups, a sum at all
    at = bisect_right(range(len(up)), border, key=lambda g: hits[up[g]] + passed[down[g]])
    if at == len(up):
        return float(hits[-1])
    low, high = hits[up[at - 1]], hits[up[at]]
    before, after = low + passed[down[at - 1]], high + passed[down[at]]
    return float(low + (high - low) * (border - before) / (after - before))


def _dot(a: Array, b: Array) -> Array:
    return np.asarray(np.einsum("bg,bg->b", a, b))


def _weighted_sum(w: Array, term: Array) -> Array:
    # not `@`: BLAS would start threads beside busy workers (3 times slower there), and sum in another order with each count
    return np.asarray(np.einsum("bn,n->b", w, term))
