"""Inject anomalies and benign decoys into regular series; say what an injection did, and what a detector found of it.

Strength s is in spreads of the entity's own prefix; at 0 nothing changes. With x the value, m the prefix mean, c the spread:

    bot             (1 - w) x + a count at every k-th step, w (m + s c) a step on average, w = s / (1 + s)
    brushing        x + s c (1 - cos): fake orders that swell and fade, s c a step on average
    review-bombing  x + 3 s c, halved from step to step
    spike           x + s c for one step; so are the decoys `rise` and, for all entities at once, `promotion`
    drop            x / (1 + s) for counts, else x - s c; so is the decoy `holiday`, for all entities at once
    shift           x + s c (for counts; else up or down)
    noise           x + s c z, z standard normal
    flat            (x + s m) / (1 + s)
    ramp            x + 2 s c (i + 1) / length

Letters for shapes: N entities, T steps, M incidents, C cells (the steps of all incidents, one after another).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.api import Array
from bench.data.panel import Panel
from bench.data.ragged import hashed
from bench.tasks.anomaly.injection_plan import Incident, cells

Floats: TypeAlias = npt.NDArray[np.float64]

TRIVIAL = 0.8
"""VUS-PR above which a floor makes a cell trivial: flagged, and left out of the headline."""
ROBUST = 1.4826
"""Makes the median absolute deviation of normal values their standard deviation (Rousseeuw and Croux 1993)."""
NEAR = 1e-6
"""Of the oracle, beside an anomaly: below all that is one, also as ranks, which count more where a prefix is short."""


@dataclass(frozen=True, eq=False, slots=True)
class _Cells:
    """The steps to change, [C] each; `pick` is one uniform draw an incident, `noise` and `second` are one a step."""

    counts: bool
    whole: Array
    value: Floats
    level: Floats
    spread: Floats
    strength: Floats
    position: Floats
    length: Floats
    pick: Floats
    noise: Floats
    second: Floats

    @property
    def size(self) -> Floats:
        """Return strength times spread."""
        return self.strength * self.spread

    def take(self, rows: Array) -> _Cells:
        return _Cells(self.counts, *(getattr(self, name)[rows] for name in self.__slots__[1:]))


def apply(values: Array, mask: Array, until: Array, incidents: Sequence[Incident], *, counts: bool) -> Array:
    """Return a copy of `values` with all incidents but takeovers in it (`bench.tasks.anomaly.takeover` has those).

    `values`: float [N, T], gaps filled by the last value; `mask`: bool [N, T], observed; `until`: int [N], end of each
    prefix, which alone sets level and spread. Steps outside the incidents stay exactly as they are, but that a gap
    right behind a changed step repeats its new value. Counts stay >= 0, and rows of whole numbers whole (a fraction is
    rounded up with its own probability). Raises ValueError where an incident touches a prefix or another incident.
    """
    which, row, col = checked_cells(incidents, values.shape, until)
    live = np.array([i.strength != 0 and i.kind in CHANGES for i in incidents], bool)[which]
    which, row, col = which[live], row[live], col[live]
    if not len(which):
        return values.copy()
    found = _cells(values, mask, until, incidents, (which, row, col), counts)
    kind = np.array([i.kind for i in incidents])[which]
    new = found.value.copy()
    for name in np.unique(kind):
        new[kind == name] = CHANGES[name](found.take(kind == name))
    new = np.where(found.whole, _rounded_at_random(new, found.noise), new)
    changed = values.copy()
    changed[row, col] = np.maximum(new, 0) if counts else new
    return refilled(changed, values, mask)


def finite(panel: Panel, until: Array, incidents: Sequence[Incident], change: Callable[..., Array] = apply) -> Array:
    """Change a panel's values; what gets too large for a number (an entity with values of 1e300) stays as it was."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = change(panel.values, panel.mask, until, incidents, counts=panel.counts)
    return np.where(np.isfinite(values), values, panel.values)


def usual(values: Array, mask: Array, until: Array, *, counts: bool) -> tuple[Array, Array]:
    """Return level (mean) and spread of each prefix over its observed steps, float64 [N] each.

    The spread is 1.4826 times the median absolute deviation; where more than half of the values are one, the standard
    deviation; where all are, 1. The spread of counts is at least 1, one event: what a count can change by.
    """
    seen = mask & (np.arange(values.shape[1]) < np.asarray(until)[:, None])
    n = np.maximum(seen.sum(axis=1), 1)
    level = np.where(seen, values, 0).sum(axis=1) / n
    deviation = np.sqrt(np.where(seen, (values - level[:, None]) ** 2, 0).sum(axis=1) / n)
    spread = ROBUST * _median(np.abs(values - _median(values, seen)[:, None]), seen)
    spread = np.where(spread > 0, spread, deviation)
    return level, np.maximum(spread, 1) if counts else np.where(spread > 0, spread, 1)


def checked_cells(incidents: Sequence[Incident], shape: tuple[int, ...], until: Array) -> tuple[Array, Array, Array]:
    """List (incident, entity, step) of all incidents' steps, int64 [C] each; raise ValueError where they may not be."""
    which, row, col, _ = cells(incidents)
    for i in incidents:
        if not until[i.entity] <= i.begin < i.end <= shape[1]:
            raise ValueError(f"{i} leaves the steps {until[i.entity]} to {shape[1]} that are open behind its prefix")
    if len(np.unique(row * shape[1] + col)) < len(row):
        raise ValueError("two incidents of one entity overlap; plan them at least a season apart")
    return which, row, col


def refilled(changed: Array, values: Array, mask: Array) -> Array:
    """Let gaps repeat the last observed value again where that one changed; all arrays [N, T]. Returns `changed`."""
    rows = np.flatnonzero((changed != values).any(axis=1) & ~mask.all(axis=1))
    if len(rows):
        last = np.maximum.accumulate(np.where(mask[rows], np.arange(mask.shape[1]), -1), axis=1)
        source = np.maximum(last, 0)
        at = np.arange(len(rows))[:, None]
        new, old = changed[rows], values[rows]
        moved = (last >= 0) & (new[at, source] != old[at, source])
        changed[rows] = np.where(mask[rows], new, np.where(moved, new[at, source], old))
    return changed


def oracle(before: Array, after: Array, incidents: Sequence[Incident], buffer: int = 0) -> Array:
    """Score as one who knows the injector: float64 [N, T], 1 to 2 over each anomaly, rising with the mean change it made, else 0.

    The ceiling of what a detector can reach: an anomaly that left no trace, as all do at strength 0, is scored 0. VUS also
    counts steps near an anomaly: over `buffer` // 2 steps on either side the score is `NEAR` at most, and falls as their
    soft labels do.
    """
    score = np.zeros(before.shape)
    anomalies = [i for i in incidents if not i.decoy]
    which, row, col, offsets = cells(anomalies)
    if not len(which):
        return score
    made = np.bincount(which, np.abs(after[row, col] - before[row, col])) / np.diff(offsets)
    half = buffer // 2
    for away in range(half, 0, -1):  # the nearer anomaly is written last
        for i, change in zip(anomalies, made, strict=True):
            for at in (i.begin - away, i.end - 1 + away):
                if change > 0 and 0 <= at < before.shape[1]:
                    score[i.entity, at] = NEAR * (1 - away / (half + 1))
    score[row, col] = np.where(made > 0, 1 + made / (1 + made), 0.0)[which]
    return score


def detection(score: Array, incidents: Sequence[Incident], threshold: float) -> list[dict[str, Any]]:
    """Return how many incidents raise an alarm, a row for each kind and strength: the detection curve.

    `score`: float [N, T], comparable between entities; an incident is found where its highest score exceeds `threshold`.
    Rows have kind, strength, decoy, incidents, found; for decoys `found` counts false alarms.
    """
    if not incidents:
        return []
    _, row, col, offsets = cells(incidents)
    found = np.maximum.reduceat(score[row, col], offsets[:-1]) > threshold
    rows: dict[tuple[bool, str, float], list[int]] = {}
    for incident, alarm in zip(incidents, found, strict=True):
        tally = rows.setdefault((incident.decoy, incident.kind, incident.strength), [0, 0])
        tally[0] += 1
        tally[1] += int(alarm)
    return [{"kind": k, "strength": s, "decoy": d, "incidents": n, "found": f} for (d, k, s), (n, f) in sorted(rows.items())]


def _cells(values: Array, mask: Array, until: Array, incidents: Sequence[Incident], at: tuple[Array, Array, Array], counts: bool) -> _Cells:
    which, row, col = at
    touched, own = np.unique(row, return_inverse=True)
    level, spread = usual(values[touched], mask[touched], np.asarray(until)[touched], counts=counts)
    begin, end, seed = (np.array([getattr(i, name) for i in incidents], np.int64) for name in ("begin", "end", "seed"))
    position = col - begin[which]
    step = seed[which] * 2**20 + position  # one key a step of each incident
    return _Cells(
        counts=counts,
        whole=(values[touched] == np.floor(values[touched])).all(axis=1)[own],
        value=values[row, col].astype(np.float64),
        level=level[own],
        spread=spread[own],
        strength=np.array([i.strength for i in incidents], np.float64)[which],
        position=position.astype(np.float64),
        length=(end - begin)[which].astype(np.float64),
        pick=hashed(seed, 0)[which],
        noise=hashed(step, 1),
        second=hashed(step, 2),
    )


def _median(values: Array, seen: Array) -> Array:
    """Return the median of the seen values of each row, float64 [N]; 0 where none is."""
    ordered = np.sort(np.where(seen, values, np.inf), axis=1)
    n = seen.sum(axis=1)
    at = np.arange(len(values))
    middle = ordered[at, np.maximum(n - 1, 0) // 2] / 2 + ordered[at, np.minimum(n // 2, values.shape[1] - 1)] / 2
    return np.where(n > 0, middle, 0.0)


def _rounded_at_random(values: Floats, u: Floats) -> Floats:
    """Round fractions up with their own probability, so that the mean stays; `u` uniform, all [C]."""
    down = np.floor(values)
    return np.where(u < values - down, down + 1, down)


def _bot(c: _Cells) -> Floats:
    share = c.strength / (1 + c.strength)
    rate = share * (np.maximum(c.level, 0) + c.size)
    gap: Floats = 2 + np.floor(3 * c.pick)
    count = np.where(c.whole, np.maximum(np.round(rate * gap), 1), rate * gap)
    gap = np.maximum(np.round(count / rate), 1)
    return c.value * (1 - share) + np.where(c.position % gap == 0, count, 0.0)


def _brushing(c: _Cells) -> Floats:
    bell: Floats = 1 - np.cos(2 * np.pi * (c.position + 0.5) / c.length)
    return c.value + c.size * bell


def _bombing(c: _Cells) -> Floats:
    return c.value + 3 * c.size * np.exp2(-c.position)


def _rise(c: _Cells) -> Floats:
    return c.value + c.size


def _drop(c: _Cells) -> Floats:
    return c.value / (1 + c.strength) if c.counts else c.value - c.size


def _shift(c: _Cells) -> Floats:
    return c.value + (c.size if c.counts else np.where(c.pick < 0.5, c.size, -c.size))


def _noise(c: _Cells) -> Floats:
    normal: Floats = np.sqrt(-2 * np.log1p(-c.noise)) * np.cos(2 * np.pi * c.second)  # Box and Muller 1958
    return c.value + c.size * normal


def _flat(c: _Cells) -> Floats:
    return (c.value + c.strength * c.level) / (1 + c.strength)


def _ramp(c: _Cells) -> Floats:
    return c.value + 2 * c.size * (c.position + 1) / c.length


CHANGES: Mapping[str, Callable[[_Cells], Floats]] = {
    "bot": _bot, "brushing": _brushing, "review-bombing": _bombing, "spike": _rise, "drop": _drop,
    "shift": _shift, "noise": _noise, "flat": _flat, "ramp": _ramp,
    "rise": _rise, "promotion": _rise, "holiday": _drop,
}  # fmt: skip
"""What each kind makes of the values."""
