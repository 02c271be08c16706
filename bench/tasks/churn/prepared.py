"""A log prepared once, so that the past of every user at any cut-off is found by bisection.

A log is prepared once, in one pass over its E events. After that, each cut-off costs a binary search per user instead
of a pass over the log, and every number is a sum over a prefix in a fixed order: deleting or changing later events
leaves all features of a cut-off bit-identical. Letters: E events or steps, U users, A active steps.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import polars as pl

from bench.data.events import Events
from bench.data.ragged import Array, id_hashes

DAY = 86_400_000_000
"""Microseconds in a day."""
BLOCK = 1 << 22
"""Rows whose items are looked at together, about; one user's are never parted."""


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
class Items:
    """What the steps say of items: how many of a step's events name one, how many are the user's first with theirs, and which they are."""

    named: Array
    """unsigned [E]."""
    new: Array
    """unsigned [E]; which events come first depends on no later one."""
    code: Array
    """unsigned [I]: the items that are named, step after step, as numbers into `ids`."""
    begin: Array
    """int [E + 1]: where each step's items begin."""
    ids: Array
    """uint32 [items]: a hash of each item's id, the same whatever else a log names."""


@dataclass(frozen=True)
class History:
    """A prepared log: all steps, and those that count as activity with their distinct days."""

    steps: Ragged
    kind: Array
    """int64 [E]: index into `kinds`."""
    gap: Array
    """float32 [E]: days since the user's previous step, 0 for the first."""
    kinds: tuple[str, ...]
    is_active: Array
    """bool [kinds]: which of them count as activity."""
    active: Ragged
    """The very `steps` where all kinds do."""
    days: Array
    """int32 [A + 1]: running number of distinct (user, active day) pairs."""
    squares: Array
    """int64 [A + 1]: running sum of squared gaps in days between a user's distinct active days."""
    gaps: Array
    """int64: all gaps in days between a user's distinct active days."""
    group: Array
    """int64 [U]: rank of the user by first appearance; later arrivals never renumber earlier ones."""
    items: Items | None
    """None where the log names no item."""
    first: int
    last: int
    """Times of the log's first and last event, microseconds."""


def prepare(events: Events) -> History:
    """Merge events of one user, time and kind into steps, and sum up what every cut-off will need.

    Columns keep the narrowest types and are not copied where they need not be: a log of 100 million events must fit.
    """
    user, time, kind, value, count, items = _merged(events.frame)
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
    first, last = int(time.min()), int(time.max())
    return History(steps, kind, gap, kinds, is_active, active, days, squares, gaps, group, items, first, last)


def _merged(frame: pl.DataFrame) -> tuple[Array, Array, Array, Array, Array, Items | None]:
    """Merge rows of one user, time and kind: user int32, time int64, kind, value float64, count int64, each [E]; and items."""
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
    items = _items(frame["item"], user, at)
    if len(at) == len(user):
        return user, time, kind, value, rows, items
    count = np.add.reduceat(rows, at)
    return user[at], time[at], kind[at], np.add.reduceat(value, at), count, items


def _items(item: pl.Series, user: Array, at: Array) -> Items | None:
    """Count, for each step, the rows that name an item, and those that are the user's first with theirs; `at`: where steps begin."""
    if item.null_count() == len(item):
        return None
    named, names = item.is_not_null().to_numpy(), item.dtype.categories  # type: ignore[attr-defined]
    code = item.to_physical().fill_null(0).to_numpy()
    new = np.zeros(len(user), bool)
    edges = np.flatnonzero(np.diff(user, prepend=-1))  # where a user's rows begin
    for begin, end in itertools.pairwise([*edges[np.flatnonzero(np.diff(edges // BLOCK, prepend=-1))].tolist(), len(user)]):
        own = np.flatnonzero(named[begin:end]) + begin
        key = user[own].astype(np.int64) * len(names) + code[own]
        new[own[np.unique(key, return_index=True)[1]]] = True
    each = _per_step(named, at)
    begin = np.zeros(len(at) + 1, np.min_scalar_type(-len(user) - 1))
    np.cumsum(each, out=begin[1:])
    which = code[named].astype(np.min_scalar_type(len(names)), copy=False)
    return Items(each, _per_step(new, at), which, begin, id_hashes(names.to_numpy()).astype(np.uint32))


def _per_step(flag: Array, at: Array) -> Array:
    """Sum flags bool [rows] over the steps that begin at `at` [E], in the narrowest type that holds them."""
    if len(at) == len(flag):
        return flag.view(np.uint8)
    total = np.add.reduceat(flag, at, dtype=np.int64)
    return total.astype(np.min_scalar_type(int(total.max())))


def _by_first_appearance(steps: Ragged) -> Array:
    """Rank the users by their first step, those without any last: int64 [U]."""
    users = len(steps.start) - 1
    first = np.full(users, np.iinfo(np.int64).max)
    seen = np.flatnonzero(np.diff(steps.start))
    first[seen] = steps.time[steps.start[seen]]
    group = np.empty(users, np.int64)
    group[np.lexsort((np.arange(users), first))] = np.arange(users)
    return group


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
