"""Collect what the pages draw of forecasts: three series a model, chosen by a fixed rule, ready for JSON.

Letters for shapes: N series, T steps, W windows, H horizon, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from bench.data.ragged import Array
from bench.metrics.rounding import listed, picks, rounded

BAND = (0.1, 0.9)
MOST_NUMBERS, MOST_MODELS = 4000, 12
"""Numbers and models of the series on which two models are compared."""
TAIL = 4
"""Horizons of history that are shown before the first cut-off."""
MOST_POINTS = 500
"""Points of a curve; with more, history is shortened first, then the earliest windows are left out."""


def collect(
    names: Sequence[str],
    time: Sequence[str] | Sequence[float],
    values: Array,
    cutoffs: Sequence[int],
    horizon: int,
    levels: Sequence[float],
    predictions: Mapping[str, Sequence[Mapping[str, Array]]],
    scores: Mapping[str, Array],
    leader: str,
    *,
    metric: str = "MASE",
    by_step: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, Any]:
    """Choose and cut what the charts show: per model its best, median and worst series by `scores`.

    `names` [N]; `time` [T], ISO times or numbers of the steps; `values` float [N, T], history and truth, NaN where
    nothing is known; `cutoffs` [W], index in `time` of each window's first forecast step; `levels` [Q], which hold .1, .5
    and .9; `predictions`: model -> W parts with `quantiles` [N, H, Q]; `scores`: model -> [N], lower is better, NaN
    where undefined; `by_step`: model -> [H], the error at each step of the horizon.
    Raises ValueError where a level is missing or a model lacks its scores.
    """
    _refuse_missing(levels, predictions, scores)
    shown, first = _extent(list(cutoffs), horizon)
    last = min(cutoffs[-1] + horizon, len(time))
    at = [int(np.argmin(np.abs(np.asarray(levels) - level))) for level in (0.1, 0.5, 0.9)]
    chosen = {model: picks(np.asarray(scores[model], float)) for model in predictions}
    compared = _compared(chosen.get(leader, []), predictions, scores, len(shown), at)
    used = sorted({n for found in chosen.values() for _, n in found} | ({int(compared["series"])} if compared else set()))
    return {
        "kind": "forecast",
        "metric": metric,
        "leader": leader,
        "horizon": horizon,
        "windows": len(cutoffs),
        "series_total": len(names),
        "time": list(time[first:last]),
        "cutoffs": [int(cutoff) - first for cutoff in shown],
        "series": {str(n): {"name": names[n], "values": listed(np.asarray(values, float)[n, first:last])} for n in used},
        "models": {
            model: [_pick(role, n, parts[len(cutoffs) - len(shown) :], at, scores[model]) for role, n in chosen[model]]
            for model, parts in predictions.items()
        },
        "compared": compared,
        "by_series": {model: _spread(np.asarray(own, float)) for model, own in scores.items() if model in predictions},
        "by_step": {model: [rounded(float(v)) for v in own] for model, own in (by_step or {}).items()},
    }


def _refuse_missing(levels: Sequence[float], predictions: Collection[str], scores: Collection[str]) -> None:
    """Raise ValueError where a level that is drawn is missing, or the scores of a model."""
    if missing := [level for level in (*BAND, 0.5) if not np.isclose(levels, level).any()]:
        raise ValueError(f"levels {list(levels)} lack {missing}; the chart shows the median and an 80 % band")
    if unscored := sorted(set(predictions) - set(scores)):
        raise ValueError(f"scores of {', '.join(unscored)} are missing; give scores [N] for every model with predictions")


def _compared(
    picked: Sequence[tuple[str, int]],
    predictions: Mapping[str, Sequence[Mapping[str, Array]]],
    scores: Mapping[str, Array],
    windows: int,
    at: list[int],
) -> dict[str, Any]:
    """Cut the forecasts of the first models, by mean score, for the leader's median series; {} where the leader has none."""
    chosen = next((n for role, n in picked if role == "median"), next((n for _, n in picked), None))
    if chosen is None:
        return {}
    means = {model: float(np.mean(own[np.isfinite(own)])) if np.isfinite(own).any() else np.inf for model, own in scores.items()}
    order = sorted(predictions, key=lambda model: (means[model], model))
    each = 3 * windows * next(iter(predictions.values()))[0]["quantiles"].shape[1]
    kept = order[: max(2, min(MOST_MODELS, MOST_NUMBERS // each))]
    return {"series": str(chosen), "models": {m: _pick("compared", chosen, predictions[m][-windows:], at, scores[m]) for m in kept}}


def _spread(scores: Array) -> list[float | int | None]:
    """Return the deciles of the series' scores, least to greatest: what their spread is, and of no series what it is."""
    known = scores[np.isfinite(scores)]
    return listed(np.quantile(known, np.linspace(0, 1, 11))) if len(known) else []


def _extent(cutoffs: list[int], horizon: int) -> tuple[list[int], int]:
    """Choose the windows shown and the first step of the history before them."""
    while len(cutoffs) > 1 and cutoffs[-1] + horizon - cutoffs[0] > MOST_POINTS - horizon:
        cutoffs = cutoffs[1:]
    room = max(MOST_POINTS - (cutoffs[-1] + horizon - cutoffs[0]), horizon)
    return cutoffs, max(cutoffs[0] - min(TAIL * horizon, room), 0)


def _pick(role: str, n: int, parts: Sequence[Mapping[str, Array]], at: list[int], scores: Array) -> dict[str, Any]:
    curves = np.stack([np.asarray(part["quantiles"], float)[n][:, at].T for part in parts])  # [W, 3, H]
    low, median, high = curves.swapaxes(0, 1)
    return {
        "role": role,
        "series": str(n),
        "score": rounded(float(scores[n])),
        "low": listed(low),
        "median": listed(median),
        "high": listed(high),
    }
