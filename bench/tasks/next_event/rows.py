"""Rows of the next-event task: histories to learn from, moments to ask about, and what came then.

A row is one moment of one user. Its history holds the user's events of earlier moments alone: events of the same moment
count as later. Its targets are the moment's items, so that events at one time are never put into an order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.data.ragged import Array, spans
from bench.data.ranking import NextInputs, NextTrain
from bench.errors import ProtocolError
from bench.metrics.next_event import Targets
from bench.tasks.next_event.log import Log
from bench.tasks.next_event.protocol import DAY, Catalogue, Protocol

MOST = 300_000_000
"""Events of all histories of a stage together, at most: 4 GB of them."""
MANY = 10
"""Events before the test that make a user one of many events."""


@dataclass(frozen=True)
class StageRows:
    """The rows of one stage: what models see, and what came."""

    inputs: NextInputs
    targets: Targets
    moment: Array
    """int64 [N]: the moment asked about, in microseconds: for the report, never for a model."""
    outside: int
    """Events of the stage whose item is not in the catalogue: nobody is asked for them."""
    had: int
    """Events left out because their user had the item before, where items are taken once."""


def training(log: Log, cutoff: int, found: Catalogue, protocol: Protocol) -> NextTrain:
    """Return all users' events before a cut-off, one row a user with any."""
    # a user's events are in order of time: those before the cut-off are the user's first ones
    length = _until(log, cutoff) - log.start[:-1]
    users = np.flatnonzero(length)
    offsets = np.r_[0, np.cumsum(length[users])]
    return NextTrain(**_fields(log, users, offsets, log.time < cutoff, found, protocol), until=cutoff / DAY)


def stage_rows(log: Log, window: tuple[int, int], found: Catalogue, protocol: Protocol) -> StageRows:
    """Ask about each moment of a window [from, to), or each user's last one there, with what came before it."""
    asked = np.flatnonzero((log.time[log.moment] >= window[0]) & (log.time[log.moment] < window[1]))
    at, end = log.moment[asked], np.r_[log.moment, len(log.user)][asked + 1]
    events, _ = spans(at, end - at)
    item, row = found.number[log.code[events]], np.repeat(np.arange(len(at)), end - at)
    repeat = ~log.first[events]
    known = item < len(found)
    wanted = known & ~repeat if protocol.once else known
    keep = np.flatnonzero(np.bincount(row[wanted], minlength=len(at)) > 0)
    user = log.user[at]
    if protocol.asked == "last":
        keep = keep[_last(user[keep])]
    wanted &= np.isin(row, keep)
    users, history = user[keep], (at - log.start[user])[keep]
    if history.sum() > MOST:
        raise ProtocolError(f"{history.sum():,} events of history for {len(keep):,} moments are too many; give --set asked=last")
    past, offsets = spans(log.start[users], history)
    inputs = NextInputs(**_fields(log, users, offsets, past, found, protocol))
    before = _until(log, window[0])[users] - log.start[users]
    size = np.bincount(row[wanted], minlength=len(at))[keep]
    targets = Targets(
        np.r_[0, np.cumsum(size)].astype(np.int64), item[wanted], repeat[wanted], _last(users), before >= MANY, inputs.group, len(found)
    )
    return StageRows(
        inputs, targets, log.time[at[keep]], int((~known).sum()), int((known & ~wanted & repeat).sum()) if protocol.once else 0
    )


def _fields(log: Log, users: Array, offsets: Array, events: Array, found: Catalogue, protocol: Protocol) -> dict[str, Any]:
    """Lay out chosen events (indices or a mask), those of each user between its offsets."""
    return {
        "offsets": offsets,
        "item": found.number[log.code[events]],
        "kind": found.kind[log.kind[events]],
        "time": log.time[events] / DAY,
        "group": log.group[users],
        "items": len(found),
        "once": protocol.once,
        "target": protocol.target,
    }


def _until(log: Log, cutoff: int) -> Array:
    """Return for each user the index behind the last event before a cut-off, int64 [U]."""
    until = log.start[:-1].copy()
    some = np.flatnonzero(np.diff(log.start))
    until[some] += np.add.reduceat(log.time < cutoff, log.start[some], dtype=np.int64)
    return until


def _last(users: Array) -> Array:
    """Find the last row of each user, bool [N], for rows sorted by user."""
    return np.asarray(np.r_[users[1:] != users[:-1], np.ones(min(1, len(users)), bool)])
