"""Collect what the pages draw of anomaly scores: three series a model with values, score, threshold and true windows.

Letters for shapes: N series, T steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.data.ragged import Array
from bench.metrics.rounding import listed, picks, rounded

MOST_POINTS = 500
"""Points of a curve: longer ones are thinned to the least and the greatest value of each stretch, so spikes stay."""
CLASS_BINS, MOST_DAYS = 20, 366
"""Bins of the distributions of scores by class; days of an alarm calendar: of more, the last."""
TOP = 10
"""Highest scores that stand in the chart's table."""


def collect(
    names: Sequence[str],
    time: Sequence[Sequence[str]] | Sequence[Sequence[float]] | Sequence[str] | Sequence[float],
    values: Array,
    scores: Mapping[str, Array],
    thresholds: Mapping[str, float | Array],
    windows: Sequence[Sequence[tuple[int, int]]],
    until: Sequence[int],
    leader: str,
    *,
    judged: Mapping[str, Array] | None = None,
    metric: str = "VUS-PR",
) -> dict[str, Any]:
    """Choose and cut what the charts show: per model its best, median and worst series by `judged`.

    `names` [N]; `time` [T] shared, or [N][T]; `values` float [N, T]; `scores`: model -> float [N, T], higher is more
    anomalous, NaN where there is none; `thresholds`: model -> one number or [N]; `windows`: for each series the true
    spans (first, last) as indices of steps, both inside; `until` [N]: index of the first scored step; `judged`: model ->
    [N], higher is better, NaN where undefined. Without it, the series with most true windows stand.
    """
    values = np.asarray(values, float)
    spans = np.array([float(len(own)) or np.nan for own in windows])
    clocks = _clocks(list(time), len(names))
    models = {}
    for model, score in scores.items():
        worth = spans if judged is None else np.asarray(judged[model], float)
        limit = np.broadcast_to(np.asarray(thresholds[model], float), (len(names),))
        models[model] = [
            {
                **_series(clocks[n], values[n], np.asarray(score, float)[n], windows[n], until[n]),
                "role": role if judged is not None else "shown",
                "name": names[n],
                "judged": None if judged is None else rounded(float(worth[n])),
                "threshold": rounded(float(limit[n])),
            }
            for role, n in picks(-worth)
        ]
    inside = _inside(windows, values.shape)
    return {
        "kind": "anomaly",
        "metric": metric,
        "leader": leader,
        "series_total": len(names),
        "models": models,
        "classes": {model: _classes(np.asarray(score, float), inside) for model, score in scores.items()},
        "calendar": _calendar(clocks, scores, thresholds, inside),
    }


def _clocks(time: list[Any], series: int) -> list[Any]:
    """Return the times of each series, [N][T]: its own, or those that all share."""
    own = bool(time) and isinstance(time[0], Sequence) and not isinstance(time[0], str)
    return [time[n] if own else time for n in range(series)]


def _inside(windows: Sequence[Sequence[tuple[int, int]]], shape: tuple[int, ...]) -> Array:
    """Mark the steps of the true spans, bool [N, T]."""
    marks = np.zeros(shape[:2], bool)
    for n, own in enumerate(windows):
        for first, last in own:
            marks[n, first : last + 1] = True
    return marks


def _classes(score: Array, inside: Array) -> dict[str, list[int]]:
    """Count normal and anomalous steps by where their score stands among those of its series: twentieths, lowest first."""
    found = {name: np.zeros(CLASS_BINS, np.int64) for name in ("normal", "anomalous")}
    for own, marks in zip(score, inside, strict=True):
        known = np.flatnonzero(np.isfinite(own))
        place = np.searchsorted(np.sort(own[known]), own[known], side="left") / max(len(known), 1)
        at = np.minimum((place * CLASS_BINS).astype(np.int64), CLASS_BINS - 1)
        found["normal"] += np.bincount(at[~marks[known]], minlength=CLASS_BINS)
        found["anomalous"] += np.bincount(at[marks[known]], minlength=CLASS_BINS)
    return {name: counts.tolist() for name, counts in found.items()}


def _calendar(
    clocks: Sequence[Sequence[Any]], scores: Mapping[str, Array], thresholds: Mapping[str, float | Array], inside: Array
) -> dict[str, Any]:
    """Count for each day in how many series a model raises an alarm, and in how many one is due; {} where steps have no dates."""
    if not clocks or not clocks[0] or not isinstance(clocks[0][0], str) or "-" not in clocks[0][0]:
        return {}
    words, at = np.unique([[str(t)[:10] for t in clock] for clock in clocks], return_inverse=True)
    at = at.reshape(len(clocks), -1)  # [N, T]
    scored = np.isfinite(next(iter(scores.values())))
    limits = {model: np.broadcast_to(np.asarray(limit, float), (len(clocks),))[:, None] for model, limit in thresholds.items()}
    alarms = {model: _days(np.asarray(score, float) > limits[model], at, len(words)) for model, score in scores.items()}
    kept = np.flatnonzero(_days(scored, at, len(words)))[-MOST_DAYS:]
    due = _days(inside & scored, at, len(words))
    return {"days": words[kept].tolist(), "true": due[kept].tolist(), "models": {m: n[kept].tolist() for m, n in alarms.items()}}


def _days(marks: Array, at: Array, days: int) -> Array:
    """Count the series with a mark on each day, int64 [days]; `marks` bool [N, T], `at` the day of each step [N, T]."""
    series, step = np.nonzero(marks)
    pairs = np.unique(series * days + at[series, step])
    return np.bincount(pairs % days, minlength=days)


def thinned(curve: Array, most: int = MOST_POINTS) -> Array:
    """Choose at most `most` steps of a curve, float [T]: the least and the greatest of each stretch; int64 indices, sorted."""
    known = np.flatnonzero(np.isfinite(curve))
    if len(known) <= most:
        return known
    found: set[int] = set()
    for part in np.array_split(known, most // 2):
        found |= {int(part[np.argmin(curve[part])]), int(part[np.argmax(curve[part])])}
    return np.array(sorted(found))


def _series(time: Sequence[Any], value: Array, score: Array, spans: Sequence[tuple[int, int]], until: int) -> dict[str, Any]:
    at, scored = thinned(value), thinned(score)
    top = np.argsort(-np.where(np.isfinite(score), score, -np.inf), kind="stable")[: min(TOP, int(np.isfinite(score).sum()))]
    steps = len(value)
    return {
        "steps": steps,
        "scored": int(np.isfinite(score).sum()),
        "thinned": bool(len(at) < np.isfinite(value).sum() or len(scored) < np.isfinite(score).sum()),
        "time": [time[t] for t in at],
        "value": listed(value[at]),
        "score_time": [time[t] for t in scored],
        "score": listed(score[scored]),
        "until": time[until] if until < steps else None,
        "spans": [_span(time, score, first, last) for first, last in spans],
        "top": [{"time": time[t], "score": rounded(float(score[t])), "inside": any(a <= t <= b for a, b in spans)} for t in top],
    }


def _span(time: Sequence[Any], score: Array, first: int, last: int) -> dict[str, Any]:
    inside = score[first : last + 1]
    known = inside[np.isfinite(inside)]
    return {"first": time[first], "last": time[last], "peak": rounded(float(known.max())) if len(known) else None}
