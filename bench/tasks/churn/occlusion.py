"""Take something away from the inputs of churn models: kinds of events, stretches of time, the order of an aggregate.

What a model loses by it says what it looks at. Letters for shapes: N rows (a user at a cut-off), E steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from bench.api import STATIC, Array, ChurnInputs
from bench.data.ragged import hashed

USERS = 2_000
"""Test users that a model is asked about, at most."""
STEPS = 100_000
"""Steps of their histories, at most: long histories are asked of fewer users."""
DAYS = (7, 28, 91)
KINDS = 8
"""Kinds that are taken away one by one, at most: the most frequent."""


@dataclass(frozen=True)
class Probe:
    """Inputs from which something was taken."""

    group: str
    """kind, time or aggregate."""
    what: str
    inputs: ChurnInputs


def sample(inputs: ChurnInputs, seed: int) -> Array:
    """Choose the rows to ask about by a seeded hash of the user: int64, rising."""
    order = np.argsort(hashed(inputs.group, seed), kind="stable")[:USERS]
    fit = np.cumsum(inputs.lengths[order]) <= STEPS
    return np.sort(order[fit])


def probes(inputs: ChurnInputs, seed: int) -> Iterator[Probe]:
    """Make every probe that changes something; the aggregates are of the whole past, whatever is taken from the histories."""
    codes, counts = np.unique(inputs.kind, return_counts=True)
    for code in codes[np.argsort(-counts, kind="stable")][:KINDS]:
        yield Probe("kind", inputs.kinds[code] if code else "unknown kinds", without(inputs, inputs.kind == code))
    for days in DAYS:
        recent = inputs.days_before_cutoff <= days
        if recent.any():
            yield Probe("time", f"the last {days} days", without(inputs, recent))
        if not recent.all():
            yield Probe("time", f"all before the last {days} days", without(inputs, ~recent))
    for column, name in enumerate(STATIC):
        if len(np.unique(inputs.static[:, column])) > 1:
            yield Probe("aggregate", name, permuted(inputs, column, seed))


def without(inputs: ChurnInputs, gone: Array) -> ChurnInputs:
    """Remove steps, `gone` bool [E]; what follows a hole has its gap from the step before the hole, or none."""
    kept = np.flatnonzero(~gone)
    row = np.repeat(np.arange(len(inputs)), inputs.lengths)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=len(inputs)))]).astype(np.int64)
    days = inputs.days_before_cutoff[kept]
    gap = inputs.gap[kept].copy()
    same = np.diff(row[kept], prepend=-1) == 0  # the step before it that is left is of the same user
    after_hole = np.append(False, gone[:-1])[kept] & (kept != inputs.offsets[row[kept]])
    gap[after_hole] = np.where(same, np.append(0.0, days[:-1]) - days, 0.0)[after_hole]
    columns = {name: getattr(inputs, name)[kept] for name in ("kind", "value", "count")}
    return replace(inputs, offsets=offsets, days_before_cutoff=days, gap=gap.astype(np.float32), **columns, **inputs.items_at(kept))


def permuted(inputs: ChurnInputs, column: int, seed: int) -> ChurnInputs:
    """Shuffle one static aggregate among the users."""
    static = inputs.static.copy()
    static[:, column] = static[np.random.default_rng([seed, column]).permutation(len(inputs)), column]
    return replace(inputs, static=static)
