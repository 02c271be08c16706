"""The past of every user at any cut-off, read off the prepared log: nothing after the cut-off is touched.

Letters: E steps, N rows, S static aggregates, F features.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.api import STATIC, Array, ChurnInputs
from bench.data.ragged import spans
from bench.tasks.churn.features.table import features_at
from bench.tasks.churn.prepared import DAY, History, Ragged, prepare

__all__ = ["DAY", "History", "Ragged", "aggregates_at", "prepare", "rows_at"]


def rows_at(history: History, users: Array, cutoff: int, horizon: int, longest: int | None, kinds: tuple[str, ...]) -> ChurnInputs:
    """Build the inputs of `users` (indices) at one cut-off from events with time <= `cutoff` alone.

    `cutoff`, `horizon` in microseconds; `longest` caps the ragged part to the latest steps, never the aggregates.
    """
    steps = history.steps
    end = steps.until(cutoff)[users]
    begin = steps.start[:-1][users]
    if longest is not None:
        begin = np.maximum(begin, end - longest)
    at, offsets = spans(begin, end - begin)
    code = np.array([kinds.index(k) if k in kinds else 0 for k in history.kinds], np.int16)
    return ChurnInputs(
        offsets=offsets,
        days_before_cutoff=((cutoff - steps.time[at]) / DAY).astype(np.float32),
        gap=history.gap[at],
        kind=code[history.kind[at]],
        value=steps.value[at].astype(np.float32),
        count=steps.count[at].astype(np.float32),
        static=aggregates_at(history, users, cutoff, horizon),
        features=features_at(history, users, cutoff, horizon, kinds),
        cutoff=np.full(len(users), cutoff / DAY),
        group=history.group[users],
        kinds=kinds,
        **named_items(history, at),
    )


def named_items(history: History, at: Array) -> dict[str, Any]:
    """Return the items of steps `at`, int [E], as `ChurnInputs` holds them; nothing where the log names none."""
    log = history.items
    if log is None:
        return {}
    where, offsets = spans(log.begin[at], log.begin[at + 1] - log.begin[at])
    return {"item": log.ids[log.code[where]], "item_offsets": offsets}


def aggregates_at(history: History, users: Array, cutoff: int, horizon: int) -> Array:
    """Compute the aggregates of `STATIC` over each user's whole active past, float64 [N, S]."""
    active = history.active
    begin, end = active.start[:-1][users], active.until(cutoff)[users]
    some = end > begin
    last, first = np.maximum(end - 1, 0), np.minimum(begin, max(len(active.time) - 1, 0))
    n_days = np.where(some, history.days[end] - history.days[begin], 0)
    between = np.maximum(n_days - 1, 1)
    n_events = active.total[end] - active.total[begin]
    value_sum = _sums(active.value, begin, end)
    span = np.where(some, active.time[last] // DAY - active.time[first] // DAY, 0)
    gap_mean = span / between
    gap_var = (history.squares[end] - history.squares[begin]) / between - gap_mean**2
    before = {k: active.events_until(cutoff - horizon * k // 4)[users] for k in (1, 2, 4, 8)}
    columns = {
        "recency": np.where(some, (cutoff - active.time[last]) / DAY, 0.0),
        "tenure": np.where(some, (cutoff - active.time[first]) / DAY, 0.0),
        "n_days": n_days,
        "n_events": n_events,
        "value_sum": value_sum,
        "value_mean": value_sum / np.maximum(n_events, 1),
        "gap_mean": gap_mean,
        "gap_std": np.sqrt(np.maximum(np.where(n_days > 1, gap_var, 0.0), 0.0)),
        "count_h4": n_events - before[1],
        "count_h2": n_events - before[2],
        "count_h": n_events - before[4],
        "count_2h": n_events - before[8],
    }
    return np.column_stack([columns[name] for name in STATIC]).astype(np.float64)


def _sums(value: Array, begin: Array, end: Array) -> Array:
    """Sum ragged spans, each in its own fixed order: float64 [N]; an empty span gives 0."""
    some = end > begin
    out = np.zeros(len(begin))
    if some.any():
        edges = np.column_stack([begin[some], end[some]]).ravel()
        # a segment of reduceat ends where the next begins: the array's own end is no place to begin, nor needed as one
        if edges[-1] == len(value):
            edges = edges[:-1]
        if (edges == len(value)).any():
            value = np.append(value, 0.0)
        out[some] = np.add.reduceat(value, edges)[::2]
    return out
