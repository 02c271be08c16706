"""Rows of the churn task: who is asked about at a cut-off, what is known of them, and who churned.

Shared by the derived protocol (`protocol`), given labels (`given_labels`) and new data (`new_data`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from bench.api import STATIC, Array, ChurnInputs, ChurnTrain
from bench.data.events import Events
from bench.data.ragged import hashed
from bench.tasks.base import RankingRule, Split, Stage, StageName, Truth
from bench.tasks.churn.history import History
from bench.tasks.profiles import Profile

RANKING = RankingRule("roc_auc", higher=True, reference="rfm-logit", penalty=0.0, second="log_loss")
FEW_USERS, FEW_OF_A_CLASS = 200, 30
FEW_LABELS = 1_000
"""Labelled users, training and tested together, below which the row says that they are few."""
MOST = 50_000
"""Most users that stand for everyone."""


@dataclass(frozen=True)
class Labelled:
    """One cut-off's rows: inputs, labels, and the users as indices into the history."""

    inputs: ChurnInputs
    y: Array
    users: Array
    seen: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    """int64 [M]: everyone first seen before the cut-off, eligible or not; a sample of them where they are many."""
    everyone: Array = field(default_factory=lambda: np.zeros((0, len(STATIC))))
    """float64 [M, S]: their aggregates."""


def eligible(history: History, cutoff: int, horizon: int, *, ever: bool) -> Array:
    """Find the users with activity in the horizon before a cut-off, or ever before it: indices, int64."""
    until = history.active.events_until(cutoff)
    before = np.zeros_like(until) if ever else history.active.events_until(cutoff - horizon)
    return np.flatnonzero(until > before)


def seen_by(history: History, cutoff: int) -> Array:
    """Find the users with activity before a cut-off, int64, rising; of more than `MOST` those that a hash chooses."""
    users = np.flatnonzero(history.active.events_until(cutoff))
    return users if len(users) <= MOST else np.sort(users[np.argsort(hashed(history.group[users], 0), kind="stable")[:MOST]])


def among_rows(part: Labelled, rows: Array) -> Labelled:
    """Keep rows by index or mask, with their labels and users."""
    return replace(part, inputs=part.inputs.take(rows), y=part.y[rows], users=part.users[rows])


def among_users(part: Labelled, chosen: Array) -> Labelled:
    """Keep the rows whose user is chosen, bool [U]."""
    kept = chosen[part.seen]
    return replace(among_rows(part, chosen[part.users]), seen=part.seen[kept], everyone=part.everyone[kept])


def joined(parts: Sequence[ChurnInputs]) -> dict[str, Any]:
    """Put inputs of the same kinds under each other; gives the fields of `ChurnInputs`."""
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(p, name) for p in parts])
        for name in ("days_before_cutoff", "gap", "kind", "value", "count", "static", "features", "cutoff", "group", "item")
    }
    offsets, items = (
        np.r_[0, np.cumsum(np.concatenate([np.diff(x) for x in each]))].astype(np.int64)
        for each in ([p.offsets for p in parts], [p.item_offsets for p in parts])
    )
    return {"offsets": offsets, **columns, "kinds": parts[0].kinds, "item_offsets": items}


def training(parts: list[Labelled], rows: int | None, seed: int) -> ChurnTrain:
    """Join parts into one training set, capped to `rows` by a seeded hash of (user, cut-off)."""
    if rows is not None and sum(len(p.y) for p in parts) > rows:
        mixed = [hashed(p.inputs.group * 1_000_003 + (p.inputs.cutoff * 1_440).astype(np.int64), seed) for p in parts]
        limit = np.partition(np.concatenate(mixed), rows)[rows]
        parts = [among_rows(p, m < limit) for p, m in zip(parts, mixed, strict=True)]
    latest = max(parts, key=lambda p: p.inputs.cutoff.max(initial=-np.inf))
    return ChurnTrain(**joined([p.inputs for p in parts]), y=np.concatenate([p.y for p in parts]), everyone=latest.everyone)


def ids_of(events: Events) -> Array:
    """List the ids of all users, str [U], in the order of their codes."""
    return np.array(events.frame["user"].dtype.categories.to_list(), dtype=np.str_)  # type: ignore[attr-defined]


def day(microseconds: int) -> str:
    """Write a time as its UTC day."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).date().isoformat()


def make_split(
    task_id: str,
    stages: Mapping[StageName, Stage],
    truths: Mapping[StageName, Truth],
    facts: Mapping[str, Any],
    judged: tuple[tuple[str, ...], str, tuple[str, ...]],
    members: Mapping[str, Any],
) -> Split:
    """Put a churn split together; `judged`: flags, reason and notes, of `judge`."""
    flags, reason, notes = judged
    columns = {name: facts[name] for name in ("horizon_days", "n_test", "base_rate")}
    context = {"horizon": facts["horizon_days"], "loss": "bce"}
    return Split(task_id, stages, truths, facts, notes, flags, reason, RANKING, columns, context, members)


def sizes(stages: Mapping[StageName, Stage], test: Array) -> dict[str, Any]:
    """Return how many rows each stage has, and the churn rates; `test`: labels [N] of the final stage.

    Where users are split at random the last known rate is that of the training data.
    """
    train = stages["final"].train
    rate = float(train.y.mean()) if len(train) else float("nan")
    return {
        "n_fit": len(stages["search"].train),
        "n_valid": len(stages["search"].parts[0]),
        "n_train": len(train),
        "n_test": len(test),
        "n_test_churned": int(test.sum()),
        "base_rate": float(test.mean()) if len(test) else float("nan"),
        "train_rate": rate,
        "last_rate": rate,
    }


def ranking_terms(
    facts: Mapping[str, Any], truths: Mapping[StageName, Truth], profile: Profile, available: int, opening: str
) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Decide what the split allows: flags, the reason why nothing can be scored, and sentences for the user.

    `available`: training rows before the profile's cap; `opening`: the first sentence.
    """
    flags: tuple[str, ...] = ()
    notes = [opening]
    n, churned = facts["n_test"], facts["n_test_churned"]
    if facts["n_train"] < available:
        notes.append(f"profile {profile.name} trains on {facts['n_train']:,} of {available:,} rows; scored rows are never capped")
    for words, y in (("validation", truths["search"].y), ("test", truths["final"].y)):
        if len(y) == 0:
            return flags, f"no eligible user at the {words} cut-off; widen eligibility with --set eligible=ever", tuple(notes)
        if y.min() == y.max():
            return flags, f"all {len(y):,} {words} users {'churned' if y[0] else 'stayed'}: one class only, nothing to rank", tuple(notes)
    if facts["eligible"] == "given" and facts["n_train"] + n < FEW_LABELS:
        flags = ("few-labels",)
        notes.append(f"few labels: {facts['n_train']:,} users train, {n:,} test; read the intervals, not the order")
    if n < FEW_USERS or min(churned, n - churned) < FEW_OF_A_CLASS:
        flags = ("underpowered", *flags)
        notes.append(f"underpowered: {n:,} test users, {churned:,} churned, {n - churned:,} stayed (at least 200, and 30 of each, to rank)")
    return flags, "", tuple(notes)
