"""A log as moments: each user's events in order of time, those of one moment in an order that the log's rows do not fix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from bench.data.events import Events
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
    def moment(self) -> Array:
        """Return where each moment of a user begins, int64 [moments]: indices of events."""
        new = np.ones(len(self.user), bool)
        new[1:] = (np.diff(self.user) != 0) | (np.diff(self.time) != 0)
        return np.flatnonzero(new)

    @property
    def tied(self) -> int:
        """Count the events that share their moment with another."""
        size = np.diff(np.r_[self.moment, len(self.user)])
        return int(size[size > 1].sum())


def prepare(events: Events, target: str) -> Log:
    """Sort a log by (user, time) and number what is ranked; raise `ProtocolError` where there is nothing to rank.

    Items: of activities alone (a cancellation is no choice), events without an item left out. Kinds: of all events.
    """
    frame = events.frame.select("user", "time", "kind", "item")
    if target == "item":
        frame = frame.filter(pl.col("kind").cast(pl.String).is_in(list(events.activity)) & pl.col("item").is_not_null())
    if frame[target].n_unique() < 2:
        cure = "give --set target=kind" if target == "item" else "there is nothing to choose from"
        raise ProtocolError(f"{events.name}: fewer than two {target}s in the log; {cure}")
    names = frame[target].dtype.categories.to_list()  # type: ignore[attr-defined]
    user, kind, code = (frame[name].to_physical().to_numpy() for name in ("user", "kind", target))
    time = frame["time"].to_physical().to_numpy()
    order = np.lexsort((id_hashes(np.array(names))[code], time, user))
    user, time, code, kind = user[order].astype(np.int32), time[order], code[order].astype(np.int32), kind[order].astype(np.int16)
    same = np.zeros(len(user), bool)
    same[1:] = (np.diff(user) == 0) & (np.diff(time) == 0) & (np.diff(code) == 0)
    kinds = tuple(frame["kind"].dtype.categories.to_list())  # type: ignore[attr-defined]
    users = len(events.frame["user"].dtype.categories)  # type: ignore[attr-defined]
    return Log(user[~same], time[~same], code[~same], kind[~same], tuple(names), kinds, int(same.sum()), users)
