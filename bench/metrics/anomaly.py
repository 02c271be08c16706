"""Score anomaly scores: one labelled series, alerts under a budget, and ranks that make entities comparable.

Letters for shapes: N entities, T steps, n prefix (training) steps, S labelled segments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bench.data.ragged import Array
from bench.metrics.areas import areas_of, checked, collect, segments
from bench.metrics.kinds import Metric
from bench.metrics.volume import pooled, vus_of

BUDGETS: Mapping[str, float] = {"event_f1": 0.0, "f1_at_01": 0.001, "f1_at_1": 0.01}
"""Share of the training steps that may raise an alert under the threshold of each of the alert metrics."""

FAR, SAME = 100.0, 1e-9
"""Standard deviations beyond which a standardised score grows by its logarithm; share of the largest that is rounding."""
LARGEST = float(np.finfo(np.float64).max)
"""Stands for what overflows."""


def _table() -> dict[str, Metric]:
    alerts = "F1 of segments met and steps rightly alerted; threshold: "
    rows = (
        Metric("vus_pr", True, "VUS-PR", 3, "area under precision and recall with soft borders, mean over buffers of 0 to W steps"),
        Metric("vus_roc", True, "VUS-ROC", 3, "area under the ROC curve with soft borders, mean over buffers of 0 to W steps"),
        Metric("auc_pr", True, "AUC-PR", 3, "average precision, point by point"),
        Metric("auc_roc", True, "AUC-ROC", 3, "chance that a labelled step scores above another, point by point; ties count half"),
        Metric("event_f1", True, "event F1", 3, f"{alerts}the highest training score"),
        Metric("f1_at_01", True, "F1 at 0.1 %", 3, f"{alerts}exceeded by 0.1 % of the training scores"),
        Metric("f1_at_1", True, "F1 at 1 %", 3, f"{alerts}exceeded by 1 % of the training scores"),
        Metric("oracle_f1", True, "oracle F1", 3, "best point by point F1 over all thresholds: knows the labels, never ranks"),
        Metric("user_auc", True, "user AUC", 3, "chance that an entity with an anomaly scores above one without; ties count half"),
    )
    return {metric.name: metric for metric in rows}


METRICS: Mapping[str, Metric] = _table()
"""The anomaly metrics by name, in the order in which they are shown; `vus_pr` ranks."""


class Interval(NamedTuple):
    """A run of alerted steps, `start` to before `end`, and how far its highest score lies above the threshold."""

    start: int
    end: int
    severity: float


def undefined(y: Array) -> str:
    """Explain why the labels `y`, 0 or 1 [T], leave the metrics undefined; empty where they do not."""
    if len(y) < 2:
        return "fewer than 2 steps"
    return {0: "no labelled step", len(y): "every step is labelled"}.get(int(np.count_nonzero(y)), "")


def series_scores(y: Array, score: Array, prefix_scores: Array, buffer: int) -> dict[str, float]:
    """Score one labelled series: every metric of `METRICS` but `user_auc`; nan for all where `undefined` gives a reason.

    `y`: 0 or 1 [T], the steps after the training prefix. `score`: finite [T]. `prefix_scores`: finite [n], of the
    training steps; without any, the alert metrics are nan. `buffer`: W of VUS, in steps. Raises ValueError as `vus` does.
    """
    y, score = checked(y, score)
    names = [name for name in METRICS if name != "user_auc"]
    if undefined(y):
        return dict.fromkeys(names, float("nan"))
    found = {name: float(value[0]) for name, value in vus_of(pooled([(y, score)], buffer), np.ones((1, 1))).items()}
    for name, budget in BUDGETS.items():
        found[name] = float(event_f1(alert_counts(y, score, threshold(prefix_scores, budget))))
    return {name: found[name] for name in names}


def threshold(prefix_scores: Array, budget: float = 0.0) -> float:
    """Return the lowest training score that at most a share `budget` of the n training scores exceeds; nan for n = 0.

    A step raises an alert where its score is strictly above. Budget 0 gives the highest training score, and so does any
    budget below 1 / n: on a short prefix the alert metrics agree.
    """
    falling = -np.sort(-np.asarray(prefix_scores, np.float64))
    if not len(falling):
        return float("nan")
    return float(falling[min(int(budget * len(falling) + 1e-9), len(falling) - 1)])  # 0.01 * 2900 is just below 29


def alert_counts(y: Array, score: Array, threshold: float) -> Array:
    """Count [segments, segments met by an alert, steps alerted, labelled steps alerted], float64 [4]; nan without a threshold.

    `y`: 0 or 1 [T]; `score`: [T]; an alert is a step strictly above `threshold`. The counts add up over entities.
    """
    y, score = checked(y, score)
    if np.isnan(threshold):
        return np.full(4, np.nan)
    alert = score > threshold
    first, last = segments(y)
    so_far = np.append(0, np.cumsum(alert))
    met = so_far[last + 1] > so_far[first]
    return np.array([len(first), met.sum(), alert.sum(), (alert & y).sum()], np.float64)


def event_f1(counts: Array) -> Array:
    """Return the composite F1 from `alert_counts`, [..., 4]: float64 [...]; 0 without an alert, nan without a segment.

    The harmonic mean of the share of segments met and the share of alerted steps that are labelled (Garg et al., 2021).
    Precision over steps, and not over runs of alerts that touch a segment (Hundman et al., 2018): by those, one alert
    that lasts for ever is perfect.
    """
    counts = np.asarray(counts, np.float64)
    there, met, alerted, right = np.moveaxis(counts, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = met / there
        precision = right / np.maximum(alerted, 1e-300)
        f1 = 2 * precision * recall / (precision + recall)
    return np.asarray(np.where(met > 0, f1, np.where(there > 0, 0.0, np.nan)))


def ranks(score: Array, prefix_scores: Array) -> Array:
    """Place scores among the entity's own training scores, so that entities can be pooled; float64 [T].

    `score`: finite [T]; `prefix_scores`: finite [n], n >= 1. A rank is the share of training scores below, those equal
    counted half: in [0, 1]. A score above all of them gets 1 + x / (n + 1) with x in (0, 1) the excess over the
    highest, in units of `spread`, squashed: x = u / (1 + u), u = log(1 + excess). Its order is kept exactly: where
    doubles of that formula would coincide, the higher score gets the next double.
    """
    prefix = np.sort(checked(np.zeros(len(prefix_scores), bool), prefix_scores)[1])
    score = checked(np.zeros(len(score), bool), score)[1]
    if not len(prefix):
        raise ValueError("an entity has no training scores; ranks need at least one, so leave such entities out")
    rank = (np.searchsorted(prefix, score) + np.searchsorted(prefix, score, side="right")) / (2 * len(prefix))
    beyond = score > prefix[-1]
    rank[beyond] = _beyond(score[beyond], prefix)
    return rank


def row_standards(score: Array, real: Array, learnt: Array) -> Array:
    """Write each row's scores in standard deviations of its training scores from their mean, so that detectors can be averaged.

    `score`: [N, T], finite where `real`; `real`, `learnt`: bool [N, T], the steps that exist and those that were learnt from.
    Beyond `FAR` deviations only the logarithm counts: one detector whose training scores hardly vary does not outvote all.
    Where they do not vary at all the unit is that of `spread`. Steps that do not exist, and rows without a training step, are 0.
    Averages of standardised scores: Aggarwal and Sathe 2015, "Theoretical foundations and algorithms for outlier ensembles".
    """
    found = np.zeros(score.shape)
    for n in np.flatnonzero(learnt.any(axis=1)):
        own, training = score[n, real[n]] / 4, score[n, learnt[n]] / 4  # a difference of two large numbers is then a number too
        # two passes, and in units of the largest: squares of large numbers are then numbers
        size = float(np.abs(training).max()) or 1.0
        level = float(np.mean(training / size)) * size
        deviation = float(np.sqrt(np.mean(((training - level) / size) ** 2))) * size
        unit = deviation if deviation > SAME * size else spread(training)
        with np.errstate(over="ignore"):
            z = np.clip((own - level) / unit, -LARGEST, LARGEST)
        beyond = np.abs(z) > FAR
        z[beyond] = np.sign(z[beyond]) * FAR * (1 + np.log(np.abs(z[beyond]) / FAR))
        found[n, real[n]] = z
    return found


def _beyond(score: Array, prefix: Array) -> Array:
    values, which = np.unique(score, return_inverse=True)
    with np.errstate(over="ignore"):  # an infinite excess is squashed as well
        u = np.log1p((values - prefix[-1]) / spread(prefix))
    rank = np.append(1.0, 1 + (1 - 1 / (1 + u)) / (len(prefix) + 1))
    # doubles above 0 are ordered as their bits are: at least one step of the last bit apart
    number = np.arange(len(rank))
    bits = np.maximum.accumulate(rank.view(np.int64) - number) + number
    return np.asarray(bits.view(np.float64)[1:][which.ravel()])


def spread(prefix_scores: Array) -> float:
    """Return the scale of training scores, finite [n], n >= 1: interquartile range, or range, or size, or 1; the first above 0."""
    with np.errstate(over="ignore"):
        quartiles = np.percentile(prefix_scores, [25, 75])
        units = (quartiles[1] - quartiles[0], np.ptp(prefix_scores), np.abs(prefix_scores).max(), 1.0)
    return float(next(unit for unit in units if unit > 0))


def intervals(score: Array, threshold: float, scale: float = 1.0) -> list[Interval]:
    """List the runs of steps whose score [T] is strictly above `threshold`, in order of time.

    The severity is the highest score's excess over the threshold, divided by `scale`: give the training scores' `spread`
    to compare entities.
    """
    score = checked(np.zeros(len(score), bool), score)[1]
    first, last = segments(score > threshold)
    peaks = [score[a : b + 1].max() for a, b in zip(first, last, strict=True)]
    return [Interval(int(a), int(b) + 1, float((p - threshold) / scale)) for a, b, p in zip(first, last, peaks, strict=True)]


def user_auc(y_user: Array, user_score: Array) -> float:
    """Return the chance that an entity with an anomaly scores above one without, from `y_user` 0 or 1 [N] and `user_score` [N].

    Ties count half (Hanley and McNeil, 1982); nan where all entities are of one kind.
    """
    return float(areas_of(collect([(y_user, user_score)]), np.ones((1, 1)))["auc_roc"][0])
