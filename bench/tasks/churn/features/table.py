"""All FEATURES of some users at a cut-off, a block of users at a time: a log of 100 million events fits into memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from bench.data.feature_names import FEATURES
from bench.data.ragged import Array
from bench.tasks.churn.features.activity import activity
from bench.tasks.churn.features.everyone import Everyone
from bench.tasks.churn.features.past import Past
from bench.tasks.churn.features.profile import calendar, items, kinds, values
from bench.tasks.churn.features.rhythm import rhythm
from bench.tasks.churn.prepared import History

BLOCK = 1 << 20
"""Steps gathered together, about; a longer past is gathered alone."""


def features_at(history: History, users: Array, cutoff: int, horizon: int, known: tuple[str, ...]) -> Array:
    """Compute `FEATURES` of `users` (indices) from events with time <= `cutoff` alone: float32 [N, F].

    `cutoff`, `horizon` in microseconds; `known`: the vocabulary of kinds, the unknown first.
    """
    end, active_end = (part.until(cutoff)[users] for part in (history.steps, history.active))
    code = np.array([known.index(k) if k in known else 0 for k in history.kinds], np.int64)
    table = np.zeros((len(users), len(FEATURES)), np.float32)
    everyone = Everyone.at(history, cutoff, horizon)
    for rows in _blocks(end - history.steps.start[users]):
        own = _own(history, users[rows], (end[rows], active_end[rows]), cutoff, horizon, code, len(known))
        columns = own | everyone.beside(own)
        for at, name in enumerate(FEATURES):
            table[rows, at] = columns[name]
    return table


def _own(history: History, users: Array, ends: tuple[Array, Array], cutoff: int, horizon: int, code: Array, known: int) -> dict[str, Array]:
    """Compute what depends on the users' own events; `ends`: where their steps and active steps end, [N] each."""
    every = Past.of(history.steps, history.steps.start[users], ends[0], cutoff, horizon)
    kind = history.kind[every.at]
    active = every
    if history.active is not history.steps:
        active = Past.of(history.active, history.active.start[users], ends[1], cutoff, horizon)
    return {
        **activity(active, cutoff, horizon),
        **rhythm(active, cutoff, horizon),
        **values(active),
        **calendar(active),
        **kinds(every, code[kind], known, is_active=history.is_active[kind]),
        **items(every, history.items),
    }


def _blocks(lengths: Array) -> Iterator[slice]:
    """Cut rows with `lengths` steps [N] into runs of about `BLOCK` steps."""
    number = np.cumsum(lengths) // BLOCK
    borders = np.r_[0, np.flatnonzero(np.diff(number)) + 1, len(lengths)]
    for begin, end in itertools.pairwise(borders):
        if end > begin:
            yield slice(int(begin), int(end))
