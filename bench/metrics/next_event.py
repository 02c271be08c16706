"""Scores of rankings against the items that came next: position-weighted gains, coverage, and those of kinds.

Letters for shapes: N rows (a user at a moment), M targets, I items, K places, B draws, C kinds. A row may have several
targets, where its moment had several events. Sources: Jarvelin and Kekalainen (2002) for nDCG; a row's ideal is that of
min(10, its targets).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.data.ragged import Array, spans
from bench.metrics.kinds import Metric

if TYPE_CHECKING:
    from scipy import sparse

TOP = 10
RANKED: tuple[Metric, ...] = (
    Metric("ndcg_10", True, "nDCG@10", 4, "gain of the targets among the first ten, by position, over the best possible"),
    Metric("recall_10", True, "recall@10", 4, "share of the targets among the first ten"),
    Metric("mrr_10", True, "MRR@10", 4, "one over the place of the first target, 0 behind the tenth"),
    Metric("hit_1", True, "hit@1", 4, "how often the first place is a target"),
    Metric("ndcg_10_last", True, "nDCG@10, last", 4, "nDCG@10 of each user's last moment alone: one row a user"),
    Metric("ndcg_10_repeat", True, "nDCG@10, repeats", 4, "nDCG@10 of the targets that the user had before"),
    Metric("ndcg_10_explore", True, "nDCG@10, new", 4, "nDCG@10 of the targets that are new to the user"),
    Metric("ndcg_10_few", True, "nDCG@10, few events", 4, "nDCG@10 of users with fewer than ten events before the test"),
    Metric("ndcg_10_many", True, "nDCG@10, many events", 4, "nDCG@10 of users with ten events or more before the test"),
    Metric("coverage_10", True, "coverage@10", 4, "share of the catalogue that stands among somebody's first ten"),
    Metric("popular_10", False, "popular@10", 4, "share of the first ten places that the most popular tenth of the catalogue takes"),
)
KINDS: tuple[Metric, ...] = (
    Metric("accuracy", True, "accuracy", 4, "how often the likeliest kind came"),
    Metric("macro_f1", True, "macro-F1", 4, "F1 of each kind, averaged over the kinds that came"),
    Metric("kind_log_loss", False, "log-loss of kinds", 4, "mean negative logarithm of the probability of the kind that came"),
)
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in (*RANKED, *KINDS)}
AT_ONCE = 1 << 16
"""Targets looked up at once: a [M, K] table of comparisons each."""
FLOOR = 1e-6
"""Least probability that log-loss counts: one kind given up by a model must not outweigh all others."""


@dataclass(frozen=True)
class Targets:
    """What came next, row by row."""

    offsets: Array
    """int64 [N + 1]: where each row's targets begin; none is empty."""
    item: Array
    """int32 [M]: number in the catalogue."""
    repeat: Array
    """bool [M]: the user had it before."""
    last: Array
    """bool [N]: the user's last moment."""
    many: Array
    """bool [N]: the user had ten events or more before the test."""
    group: Array
    """int64 [N]: the user."""
    items: int
    """Size of the catalogue, I."""

    @property
    def row(self) -> Array:
        """Return the row of each target, int64 [M]."""
        return np.repeat(np.arange(len(self.group)), np.diff(self.offsets))

    def take(self, rows: Array) -> Targets:
        """Select rows by index, in the order given."""
        at, offsets = spans(self.offsets[rows], np.diff(self.offsets)[rows])
        return Targets(offsets, self.item[at], self.repeat[at], self.last[rows], self.many[rows], self.group[rows], self.items)


@dataclass(frozen=True)
class RowScorer:
    """Means of row values under any weights, and how much of the catalogue the weighted rows cover."""

    values: Mapping[str, tuple[Array, Array]]
    """Metric -> (value float64 [N], how much of it there is in the row, float64 [N])."""
    recommended: sparse.csr_array | None = None
    """1 where an item stands among a row's first ten, [I, N]."""

    def score(self, weights: Array) -> Mapping[str, Array]:
        """Return each metric under each weighting, float64 [B]; nan where no row has it."""
        top = weights @ np.column_stack([value for value, _ in self.values.values()])  # [B, metrics]
        size = weights @ np.column_stack([size for _, size in self.values.values()])
        mean = np.where(size > 0, top / np.where(size > 0, size, 1.0), np.nan)
        found = dict(zip(self.values, mean.T, strict=True))
        if self.recommended is not None:
            covered = self.recommended @ (weights > 0).T.astype(np.float32)  # [I, B]
            found["coverage_10"] = (covered > 0).mean(0)
        return found


def places_of(targets: Targets, items: Array) -> Array:
    """Find each target's place in its row of int32 [N, K], from 0; K where it is not ranked: int64 [M]."""
    row, found = targets.row, np.full(len(targets.item), items.shape[1])
    for at in range(0, len(row), AT_ONCE):
        same = items[row[at : at + AT_ONCE]] == targets.item[at : at + AT_ONCE, None]  # [m, K]
        found[at : at + AT_ONCE] = np.where(same.any(1), same.argmax(1), items.shape[1])
    return found


def ndcg(row: Array, place: Array, rows: int, top: int = TOP) -> tuple[Array, Array]:
    """Compute nDCG of each row over the targets given, int64 [M] each: values and whether a row has any, float64 [N]."""
    gain = np.where(place < top, 1.0 / np.log2(place + 2.0), 0.0)
    size = np.bincount(row, minlength=rows)
    ideal = np.r_[0.0, np.cumsum(1.0 / np.log2(np.arange(top) + 2.0))][np.minimum(size, top)]
    value = np.bincount(row, weights=gain, minlength=rows) / np.where(size > 0, ideal, 1.0)
    return value, (size > 0).astype(np.float64)


def recall(row: Array, place: Array, rows: int, top: int) -> Array:
    """Compute the share of each row's targets among the first `top`, float64 [N]."""
    return np.bincount(row, weights=place < top, minlength=rows) / np.maximum(np.bincount(row, minlength=rows), 1)


def ranking_scorer(targets: Targets, items: Array) -> RowScorer:
    """Prepare rankings int32 [N, K] for scoring by `RANKED`."""
    rows, row, place = len(targets.group), targets.row, places_of(targets, items)
    every = np.ones(rows)
    first = np.full(rows, items.shape[1])
    np.minimum.at(first, row, place)
    whole, _ = ndcg(row, place, rows)
    split = {name: ndcg(row[mask], place[mask], rows) for name, mask in (("repeat", targets.repeat), ("explore", ~targets.repeat))}
    among = {"last": targets.last, "few": ~targets.many, "many": targets.many}
    shown = items[:, :TOP]
    taken = shown >= 0
    values = {
        "ndcg_10": (whole, every),
        "recall_10": (recall(row, place, rows, TOP), every),
        "mrr_10": (np.where(first < TOP, 1.0 / (first + 1.0), 0.0), every),
        "hit_1": ((first == 0).astype(np.float64), every),
        **{f"ndcg_10_{name}": pair for name, pair in split.items()},
        **{f"ndcg_10_{name}": (whole * mask, mask.astype(np.float64)) for name, mask in among.items()},
        "popular_10": ((taken & (shown < max(1, targets.items // 10))).sum(1).astype(np.float64), taken.sum(1).astype(np.float64)),
    }
    from scipy import sparse

    who, _ = np.nonzero(taken)
    return RowScorer(values, sparse.csr_array((np.ones(len(who), np.float32), (shown[taken], who)), shape=(targets.items, rows)))


@dataclass(frozen=True)
class KindScorer:
    """Scores of probabilities of kinds under any weights."""

    hit: Array
    """float64 [N, C]: 1 where the kind was predicted and came."""
    predicted: Array
    actual: Array
    loss: Array
    """float64 [N]."""

    def score(self, weights: Array) -> Mapping[str, Array]:
        """Return each metric of `KINDS` under each weighting, float64 [B]."""
        total = weights.sum(1)
        hit, predicted, actual = weights @ self.hit, weights @ self.predicted, weights @ self.actual  # [B, C]
        f1 = 2 * hit / np.maximum(predicted + actual, 1e-12)
        return {
            "accuracy": hit.sum(1) / total,
            "macro_f1": np.where(actual > 0, f1, 0.0).sum(1) / np.maximum((actual > 0).sum(1), 1),
            "kind_log_loss": weights @ self.loss / total,
        }


def kind_scorer(targets: Targets, items: Array, scores: Array) -> KindScorer:
    """Prepare the probabilities of all kinds, ranked, int32 and float32 [N, C], for scoring by `KINDS`."""
    rows, row, kinds = len(targets.group), targets.row, targets.items
    chance = np.zeros((rows, kinds))
    np.put_along_axis(chance, items.astype(np.int64), scores.astype(np.float64), axis=1)
    actual, predicted = np.zeros((rows, kinds)), np.zeros((rows, kinds))
    actual[row, targets.item] = 1.0
    predicted[np.arange(rows), items[:, 0]] = 1.0
    each = -np.log(np.clip(chance[row, targets.item], FLOOR, 1.0))
    loss = np.bincount(row, weights=each, minlength=rows) / np.bincount(row, minlength=rows)
    return KindScorer(actual * predicted, predicted, actual, loss)
