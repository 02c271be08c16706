"""A log as moments: each user's events in order of time, those of one moment in an order that the log's rows do not fix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from bench.data.events import BLOCK, Events
from bench.data.ragged import Array, id_hashes
from bench.errors import ProtocolError

TARGETS = ("item", "kind")


@dataclass(frozen=True)
class Log:
    """Events sorted by (user, time); an item stands once in a moment of a user."""

    user: Array
    """int32 [E]: number of the user, in sorted order of their ids."""
    time: Array
    """int64 [E]: microseconds since 1970 UTC."""
    code: Array
    """int32 [E]: what is ranked, its item or its kind, in sorted order of their names."""
    kind: Array
    """int16 [E]."""
    names: tuple[str, ...]
    """Name of each code."""
    kinds: tuple[str, ...]
    """Name of each kind."""
    merged: int
    """Events left out because their user had the same item at the same moment."""
    users: int
    """Number of users, U, those without events included."""

    @cached_property
    def group(self) -> Array:
        """Number the users by their first event, those without any last, int64 [U]: no later event changes a number."""
        first = np.full(self.users, np.iinfo(np.int64).max)
        seen = np.flatnonzero(np.diff(self.start))
        first[seen] = self.time[self.start[seen]]
        number = np.empty(self.users, np.int64)
        number[np.lexsort((np.arange(self.users), first))] = np.arange(self.users)
        return number

    @cached_property
    def start(self) -> Array:
        """Return where each user's events begin, int64 [U + 1]."""
        return np.asarray(np.searchsorted(self.user, np.arange(self.users + 1, dtype=self.user.dtype)))

    @cached_property
    def first(self) -> Array:
        """Find the events with which a user takes an item for the first time, bool [E]; times of one item are in order."""
        first = np.zeros(len(self.user), bool)
        for at in user_blocks(self.user):
            _, earliest = np.unique(self.user[at].astype(np.int64) * len(self.names) + self.code[at], return_index=True)
            first[at.start + earliest] = True
        return first

    @cached_property
    def moment(self) -> Array:
        """Return where each moment of a user begins, int64 [moments]: indices of events."""
        new = np.ones(len(self.user), bool)
        new[1:] = (self.user[1:] != self.user[:-1]) | (self.time[1:] != self.time[:-1])
        return np.flatnonzero(new)

    @property
    def tied(self) -> int:
        """Count the events that share their moment with another."""
        tied = np.zeros(len(self.user) + 1, bool)
        same = (self.user[1:] == self.user[:-1]) & (self.time[1:] == self.time[:-1])
        tied[1:-1] = same
        tied[:-2] |= same
        return int(tied.sum())


def prepare(events: Events, target: str) -> Log:
    """Sort a log by (user, time) and number what is ranked; raise `ProtocolError` where there is nothing to rank.

    Items: of activities alone (a cancellation is no choice), events without an item left out. Kinds: of all events.
    """
    frame = events.frame.select("user", "time", "kind", "item")
    if target == "item":
        frame = _choices(frame, events.activity)
    if frame[target].n_unique() < 2:
        cure = "give --set target=kind" if target == "item" else "there is nothing to choose from"
        raise ProtocolError(f"{events.name}: fewer than two {target}s in the log; {cure}")
    names = tuple(frame[target].dtype.categories.to_list())  # type: ignore[attr-defined]
    kinds = tuple(frame["kind"].dtype.categories.to_list())  # type: ignore[attr-defined]
    users = len(events.frame["user"].dtype.categories)  # type: ignore[attr-defined]
    user, time, kind, code = (frame[name].to_physical().to_numpy() for name in ("user", "time", "kind", target))
    hashes, rows = id_hashes(np.array(names)), len(user)
    # the log is sorted by user and time: what is left to sort lies within a user, and a block of users needs little room
    made: list[Array] = [np.empty(rows, number) for number in (np.int32, np.int64, np.int32, np.int16)]
    kept = 0
    for at in user_blocks(user):
        order = np.lexsort((hashes[code[at]], time[at], user[at]))
        u, t, c, k = (column[at][order] for column in (user, time, code, kind))
        new = np.ones(len(order), bool)
        new[1:] = (np.diff(u) != 0) | (np.diff(t) != 0) | (np.diff(c) != 0)
        until = kept + int(new.sum())
        for into, column in zip(made, (u, t, c, k), strict=True):
            into[kept:until] = column[new]
        kept = until
    user, time, code, kind = (column[:kept] for column in made)
    return Log(user, time, code, kind, names, kinds, rows - kept, users)


def _choices(frame: pl.DataFrame, activity: Sequence[str]) -> pl.DataFrame:
    """Leave out what is no choice of an item."""
    categories = frame["kind"].dtype.categories.to_list()  # type: ignore[attr-defined]
    active = np.isin(categories, list(activity))
    if active[frame["kind"].unique().to_physical().to_numpy()].all() and not frame["item"].null_count():
        return frame
    chosen = pl.Series(active).gather(frame["kind"].to_physical())
    return frame.filter(chosen & frame["item"].is_not_null())


def user_blocks(user: Array) -> Iterator[slice]:
    """Cut events sorted by user into blocks of whole users, of about `BLOCK` events: what sorts a block needs little memory."""
    begin = 0
    while begin < len(user):
        end = min(begin + BLOCK, len(user))
        if end < len(user):
            end = int(np.searchsorted(user, user[end - 1], side="right"))
        yield slice(begin, end)
        begin = end
