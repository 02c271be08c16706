"""Reasons for a user's P(churn), in words: what taking a part of their past away really does, or exact shares of the log-odds.

A part is taken out of the log itself and everything a model sees is computed anew, so that a reason holds for any model.
Letters: N rows, K parts, C columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from bench.api import FEATURES, STATIC, Array, ChurnInputs
from bench.data.durations import show_duration
from bench.data.events import Events
from bench.data.feature_names import AGGREGATES
from bench.data.feature_names import FEATURES as MEANINGS
from bench.tasks.churn.history import DAY, prepare, rows_at
from bench.tasks.churn.rows import ids_of, joined

REASONS = 3
KINDS = 4
"""Kinds that are taken away one by one, at most: the most frequent."""
LEAST = 0.02
"""Log-odds below which a part is no reason."""


@dataclass(frozen=True)
class ExplainedUsers:
    """Rows that a model was asked about, and the log that they were made from."""

    events: Events
    users: Array
    """int64 [N]: codes of the users."""
    cutoff: Array
    """int64 [N]: microseconds since 1970."""
    horizon: int
    """Microseconds."""
    longest: int | None
    kinds: tuple[str, ...]

    @classmethod
    def of(cls, events: Events, ids: Sequence[str], inputs: ChurnInputs, horizon: float, longest: int | None) -> ExplainedUsers:
        """Find the rows' users by their `ids`; `horizon` in days."""
        code = {name: at for at, name in enumerate(ids_of(events).tolist())}
        users = np.array([code[name] for name in ids], np.int64)
        return cls(events, users, np.round(inputs.cutoff * DAY).astype(np.int64), round(horizon * DAY), longest, inputs.kinds)

    def without(self, gone: Array) -> ChurnInputs | None:
        """Compute the rows' inputs from a log without the events `gone`, bool [events]; None where nothing would be left."""
        left = self.events.frame.filter(~pl.Series(gone))
        if left.is_empty() or not left["kind"].cast(pl.String).is_in(list(self.events.activity)).any():
            return None
        return self.inputs(replace(self.events, frame=left))

    def inputs(self, events: Events) -> ChurnInputs:
        """Compute the rows' inputs from a log, in the order of the rows."""
        history, order = prepare(events), np.argsort(self.cutoff, kind="stable")
        users, cutoff = self.users[order], self.cutoff[order]
        parts = [rows_at(history, users[cutoff == t], int(t), self.horizon, self.longest, self.kinds) for t in np.unique(cutoff)]
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        taken: ChurnInputs = ChurnInputs(**joined(parts)).take(back)
        return taken


@dataclass(frozen=True)
class PartOfPast:
    """A part of everybody's past, and what the rows look like without it."""

    words: str
    inputs: ChurnInputs
    touched: Array
    """bool [N]: whose past it is part of."""


def parts(asked: ExplainedUsers) -> Iterator[PartOfPast]:
    """Take away, one after another: the last day, stretches of time, kinds, values and items."""
    owner, back, kind = _events(asked)
    for words, gone in _stretches(asked, owner, back, kind):
        touched = np.bincount(owner[gone], minlength=len(ids_of(asked.events)))[asked.users] > 0
        inputs = asked.without(gone) if touched.any() else None
        if inputs is not None:
            yield PartOfPast(words, inputs, touched & (inputs.column("n_events") > 0))
    for name, words in (("value", "the values of the events"), ("item", "which items they were")):
        column = asked.events.frame[name]
        if column.null_count() < len(column):
            empty = asked.events.frame.with_columns(pl.lit(None, column.dtype).alias(name))
            yield PartOfPast(words, asked.inputs(replace(asked.events, frame=empty)), np.ones(len(asked.users), bool))


def _events(asked: ExplainedUsers) -> tuple[Array, Array, Array]:
    """Return each event's user int64, microseconds before that user's cut-off int64 (below 0: after it) and kind str."""
    frame = asked.events.frame
    owner = frame["user"].to_physical().to_numpy().astype(np.int64)
    until = np.full(len(ids_of(asked.events)), np.iinfo(np.int64).min // 2)
    until[asked.users] = asked.cutoff
    return owner, until[owner] - frame["time"].to_physical().to_numpy(), frame["kind"].cast(pl.String).to_numpy()


def _stretches(asked: ExplainedUsers, owner: Array, back: Array, kind: Array) -> Iterator[tuple[str, Array]]:
    """List parts of the past by their events, bool [events] each."""
    past, horizon = back >= 0, asked.horizon
    active = past & np.isin(kind, asked.events.activity)
    day = asked.events.frame["time"].to_physical().to_numpy() // DAY
    last = np.full(len(ids_of(asked.events)), -1, np.int64)
    np.maximum.at(last, owner[active], day[active])
    yield "the last day with activity", past & (day == last[owner])
    quarter, whole = (show_duration(width) for width in (horizon // 4 // DAY * DAY or horizon // 4, horizon))
    yield f"the events of the last {quarter}", past & (back < horizon // 4)
    yield f"the events between {quarter} and {whole} ago", past & (back >= horizon // 4) & (back < horizon)
    yield f"the events more than {whole} ago", past & (back >= horizon)
    names, counts = np.unique(kind[past], return_counts=True)
    if len(names) > 1:
        for name in names[np.argsort(-counts, kind="stable")][:KINDS]:
            yield f"the events of kind {name!r}", past & (kind == name)


def by_parts(chance: Array, answers: Sequence[tuple[PartOfPast, Array]]) -> list[str]:
    """Write the strongest reasons of each row; `chance` [N], and for each part P(churn) [N] without it."""
    effect = np.stack([np.where(part.touched, _log_odds(chance) - _log_odds(p), 0.0) for part, p in answers], axis=1)  # [N, K]
    written = [[f"{_verb(e[k])} by {part.words}: {p[n]:.0%} without" for k, (part, p) in enumerate(answers)] for n, e in enumerate(effect)]
    return _strongest(effect, written)


def by_columns(shares: Array, inputs: ChurnInputs) -> list[str]:
    """Write the strongest reasons of each row from exact shares of its log-odds, [N, C] in the order of `STATIC` and `FEATURES`."""
    meanings = {**AGGREGATES, **MEANINGS}
    values = np.hstack([inputs.static, inputs.features])
    names = [*STATIC, *FEATURES]
    top = np.argsort(-np.abs(shares), axis=1, kind="stable")[:, :REASONS]
    lines = []
    for n, columns in enumerate(top):
        told = [c for c in columns if abs(shares[n, c]) >= LEAST]
        lines.append("; ".join(f"{_verb(shares[n, c])} by {meanings[names[c]]}: {values[n, c]:.3g} ({shares[n, c]:+.2f})" for c in told))
    return lines


def _strongest(effect: Array, words: Sequence[Sequence[str]]) -> list[str]:
    top = np.argsort(-np.abs(effect), axis=1, kind="stable")[:, :REASONS]
    return ["; ".join(words[n][k] for k in at if abs(effect[n, k]) >= LEAST) for n, at in enumerate(top)]


def _verb(effect: Any) -> str:
    return "raised" if effect > 0 else "lowered"


def _log_odds(p: Array) -> Array:
    p = np.clip(p, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(p / (1 - p)))
