"""The past of every user at any cut-off, read off the sorted log by bisection: nothing after the cut-off is touched.

A log is prepared once, in one pass over its E events. After that, each cut-off costs a binary search per user instead
of a pass over the log, and every number is a sum over a prefix in a fixed order: deleting or changing later events
leaves all features of a cut-off bit-identical. Letters: E events or steps, U users, N rows, S static aggregates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from bench.api import STATIC, Array, ChurnInputs
from bench.data.events import Events
from bench.data.ragged import spans

DAY = 86_400_000_000
"""Microseconds in a day."""


@dataclass(frozen=True)
class Ragged:
    """Time-sorted steps of U users, one user after another."""

    start: Array
    """int64 [U + 1]: where each user's steps begin."""
    time: Array
    """int64 [E]: microseconds since 1970."""
    value: Array
    """float64 [E]."""
    count: Array
    """int [E]: events merged into the step."""
    total: Array
    """int64 [E + 1]: running sum of `count`; differences of it count events exactly."""

    def until(self, time: int) -> Array:
        """Find, for each user, the end of the steps with time <= `time`: int64 [U], absolute positions.

        One bisection for all users at once: O(U log longest) reads.
        """
        low, high = self.start[:-1].copy(), self.start[1:].copy()
        while (open_ := low < high).any():
            middle = (low + high) // 2
            right = open_ & (self.time[np.minimum(middle, len(self.time) - 1)] <= time)
            low = np.where(right, middle + 1, low)
            high = np.where(open_ & ~right, middle, high)
        return low

    def events_until(self, time: int) -> Array:
        """Count each user's events with time <= `time`, int64 [U]."""
        return self.total[self.until(time)] - self.total[self.start[:-1]]


@dataclass(frozen=True)
class History:
    """A prepared log: all steps, and those that count as activity with their distinct days."""

    steps: Ragged
    kind: Array
    """int64 [E]: index into `kinds`."""
    gap: Array
    """float32 [E]: days since the user's previous step, 0 for the first."""
    kinds: tuple[str, ...]
    active: Ragged
    days: Array
    """int32 [A + 1]: running number of distinct (user, active day) pairs."""
    squares: Array
    """int64 [A + 1]: running sum of squared gaps in days between a user's distinct active days."""
    gaps: Array
    """int64: all gaps in days between a user's distinct active days."""
    group: Array
    """int64 [U]: rank of the user by first appearance; later arrivals never renumber earlier ones."""
    first: int
    last: int
    """Times of the log's first and last event, microseconds."""


def prepare(events: Events) -> History:
    """Merge events of one user, time and kind into steps, and sum up what every cut-off will need.

    Columns keep the narrowest types and are not copied where they need not be: a log of 100 million events must fit.
    """
    user, time, kind, value, count = _merged(events.frame)
    users = len(events.frame["user"].dtype.categories)  # type: ignore[attr-defined]
    kinds = tuple(events.frame["kind"].dtype.categories)  # type: ignore[attr-defined]
    steps = _ragged(user, time, value, count, users)
    is_active = np.isin(np.array(kinds), np.array(events.activity))
    if is_active.all():
        active, active_user = steps, user
    else:
        at = np.flatnonzero(is_active[kind])
        active_user = user[at]
        active = _ragged(active_user, time[at], value[at], count[at], users)
    days, squares, gaps = _distinct_days(active_user, active.time)
    group = _by_first_appearance(steps)
    gap = np.zeros(len(time), np.float32)
    np.divide(np.diff(time), DAY, out=gap[1:], casting="same_kind")
    gap[1:][user[1:] != user[:-1]] = 0.0
    return History(steps, kind, gap, kinds, active, days, squares, gaps, group, int(time.min()), int(time.max()))


def _merged(frame: pl.DataFrame) -> tuple[Array, Array, Array, Array, Array]:
    """Merge rows of one user, time and kind: user int32, time int64, kind, value float64, count int64, each [E]."""
    user = frame["user"].to_physical().cast(pl.Int32).to_numpy()
    time = frame["time"].to_physical().to_numpy()
    kind = frame["kind"].to_physical().to_numpy()
    value = frame["value"].fill_null(0.0).to_numpy()
    rows = frame["count"].cast(pl.Int64).to_numpy() if "count" in frame.columns else None
    new = np.ones(len(user), bool)
    new[1:] = user[1:] != user[:-1]
    new[1:] |= time[1:] != time[:-1]
    new[1:] |= kind[1:] != kind[:-1]
    at = np.flatnonzero(new)
    if rows is None:
        rows = np.ones(len(user), np.int32)
    if len(at) == len(user):
        return user, time, kind, value, rows
    count = np.add.reduceat(rows, at)
    return user[at], time[at], kind[at], np.add.reduceat(value, at), count


def _by_first_appearance(steps: Ragged) -> Array:
    """Rank the users by their first step, those without any last: int64 [U]."""
    users = len(steps.start) - 1
    first = np.full(users, np.iinfo(np.int64).max)
    seen = np.flatnonzero(np.diff(steps.start))
    first[seen] = steps.time[steps.start[seen]]
    group = np.empty(users, np.int64)
    group[np.lexsort((np.arange(users), first))] = np.arange(users)
    return group


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
        static=_static(history, users, cutoff, horizon),
        cutoff=np.full(len(users), cutoff / DAY),
        group=history.group[users],
        kinds=kinds,
    )


def _static(history: History, users: Array, cutoff: int, horizon: int) -> Array:
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


def _ragged(user: Array, time: Array, value: Array, count: Array, users: int) -> Ragged:
    start = np.searchsorted(user, np.arange(users + 1, dtype=user.dtype))
    total = np.zeros(len(count) + 1, np.int64)
    np.cumsum(count, out=total[1:])
    return Ragged(start, time, value, count, total)


def _distinct_days(user: Array, time: Array) -> tuple[Array, Array, Array]:
    """Find running counts of distinct active days [A + 1], running sums of squared gaps [A + 1], and all gaps."""
    day = (time // DAY).astype(np.int32)
    step = np.zeros(len(user), np.int32)  # days since the same user's step before
    np.subtract(day[1:], day[:-1], out=step[1:])
    other = user[1:] != user[:-1]
    step[1:][other] = 0
    fresh = step > 0
    gaps = step[fresh]
    fresh[:1] = True
    fresh[1:] |= other
    days = np.zeros(len(user) + 1, np.int32)
    squares = np.zeros(len(user) + 1, np.int64)
    np.cumsum(fresh, out=days[1:])
    np.multiply(step, step, out=squares[1:], dtype=np.int64)
    np.cumsum(squares, out=squares)
    return days, squares, gaps


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
