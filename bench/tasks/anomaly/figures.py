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
    spans = np.array([float(len(own)) or np.nan for own in windows])
    clock: list[Any] = list(time)
    each = bool(clock) and isinstance(clock[0], Sequence) and not isinstance(clock[0], str)
    models = {}
    for model, score in scores.items():
        worth = spans if judged is None else np.asarray(judged[model], float)
        limit = np.broadcast_to(np.asarray(thresholds[model], float), (len(names),))
        models[model] = [
            {
                **_series(clock[n] if each else clock, np.asarray(values, float)[n], np.asarray(score, float)[n], windows[n], until[n]),
                "role": role if judged is not None else "shown",
                "name": names[n],
                "judged": None if judged is None else rounded(float(worth[n])),
                "threshold": rounded(float(limit[n])),
            }
            for role, n in picks(-worth)
        ]
    return {"kind": "anomaly", "metric": metric, "leader": leader, "series_total": len(names), "models": models}


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
