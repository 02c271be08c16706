"""Make the data of each family: which values a model is given to score, and which steps of them are anomalous.

Other kinds, seeds and entities serve the search than serve the board. Letters: N entities, T steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

import numpy as np

from bench.api import Array
from bench.data.panel import Panel
from bench.data.ragged import id_hashes
from bench.errors import ProtocolError
from bench.tasks.anomaly.entities import Entities
from bench.tasks.anomaly.inject import apply, finite
from bench.tasks.anomaly.injection_plan import (
    INJECTED,
    LABELLED,
    SCORING,
    SPLICED,
    TAKEOVER,
    Incident,
    InjectionRecipe,
    labels,
    plan,
    with_strength,
)
from bench.tasks.anomaly.takeover import inject_takeovers, with_donors

FEW = 6
"""Fewest entities whose labels tune: each half of them tunes what the other is scored by."""
OWN_LABELS = "nothing is tuned by the labels of what the board itself has injected"
STEERED = 0.6
"""Share of each prefix that the search learns from; the rest of it takes the steering injections."""


@dataclass(frozen=True)
class Marked:
    """One family's data: values to score, labels, and whose labels choose for whom."""

    family: str
    entities: Entities
    values: Array
    """float64 [N, T]: NaN where nothing is known; with what was injected after the prefixes."""
    labels: Array
    """bool [N, T]."""
    half: Array
    """bool [N]: the first of two halves, each tuned by the labels of the other."""
    why_not_tuned: str = ""
    """Why there is no choice by labels; empty: there is."""
    incidents: Sequence[Incident] = ()
    strength: float | None = None
    notes: tuple[str, ...] = field(default=())
    reason: str = ""
    """Why nothing could be marked; empty: it could."""

    @property
    def anomalous(self) -> int:
        """Return the number of entities that have an anomaly after their prefix."""
        after = np.arange(self.values.shape[1]) >= self.entities.until[:, None]
        return int(((self.labels & after).any(axis=1)).sum())

    @property
    def pooled(self) -> bool:
        """Return whether entities are pooled; labelled series are averaged."""
        return self.family != LABELLED


def labelled(found: Entities, seed: int) -> Marked:
    """Take the source's own labels."""
    if found.labels is None:
        raise ProtocolError("the source labels nothing")
    half, why = halved(found.names, seed)
    marks = found.labels & np.isfinite(found.values)
    notes = []
    if found.contaminated.any():
        names = [n for n, bad in zip(found.names, found.contaminated, strict=True) if bad]
        notes.append(
            f"contaminated: a labelled window lies in the training prefix of {', '.join(names[:5])}{' and more' * (len(names) > 5)}"
        )
    return _checked(Marked(LABELLED, found, found.values, marks, half, why, notes=tuple(notes)))


def injected(found: Entities, seed: int, strength: float | None) -> Marked:
    """Inject parametric anomalies and decoys after the prefixes."""
    return _with_injections(INJECTED, found, seed, strength, SCORING)


def spliced(found: Entities, seed: int, strength: float | None) -> Marked:
    """Splice blocks of other users in after the prefixes."""
    return _with_injections(SPLICED, found, seed, strength, TAKEOVER)


def halved(names: Sequence[str], seed: int) -> tuple[Array, str]:
    """Choose a half of the entities, bool [N], by the sha256 of (seed, name); also why no labels tune."""
    n = len(names)
    chosen = np.zeros(n, bool)
    if n < FEW:
        return chosen, f"{n} entities are too few for tuning by the labels of others; at least {FEW}"
    order = sorted(range(n), key=lambda i: sha256(f"{seed}\x1f{names[i]}".encode()).hexdigest())
    chosen[order[: n // 2]] = True
    return chosen, ""


def _with_injections(family: str, found: Entities, seed: int, strength: float | None, recipe: InjectionRecipe) -> Marked:
    panel, half = found.panel(), np.zeros(len(found.names), bool)
    try:
        incidents = _planned(found, panel, recipe, seed, strength)
    except ProtocolError as error:
        nothing = np.zeros(panel.mask.shape, bool)
        return Marked(family, found, found.values, nothing, half, "nothing is injected", (), strength, reason=str(error))
    values = finite(panel, panel.until, incidents, inject_takeovers if family == SPLICED else apply)
    marks = labels(incidents, values.shape) & panel.mask
    known = np.where(panel.mask, values, np.nan)
    return Marked(family, found, known, marks, half, OWN_LABELS, incidents, strength)


def _planned(found: Entities, panel: Panel, recipe: InjectionRecipe, seed: int, strength: float | None) -> list[Incident]:
    """Plan the incidents of the entities, and find donors among them for takeovers."""
    keys, end = id_hashes(np.array(found.names)), np.full(len(panel), panel.steps)
    planned = plan(keys, panel.until, end, recipe, season=found.season, seed=seed)
    with np.errstate(over="ignore", invalid="ignore"):  # the level of an entity with values of 1e300
        planned = with_donors(panel.values, panel.mask, panel.until, keys, planned, season=found.season)
    return list(planned if strength is None else with_strength(planned, strength))


def _checked(marked: Marked) -> Marked:
    """Drop tuning by labels where it would be undefined on one of the halves: all of its series have one kind of steps only."""
    if marked.why_not_tuned:
        return marked
    panel = marked.entities.panel(marked.values)
    step, begin = np.arange(panel.steps), search_begin(panel)
    able = (panel.mask & (step < begin[:, None])).any(axis=1)
    after = marked.labels & panel.mask & (step >= panel.until[:, None])
    usual = ~marked.labels & panel.mask & (step >= panel.until[:, None])
    mixed = np.asarray(after.any(axis=1) & usual.any(axis=1) & able)
    if all(mixed[rows].any() for rows in (marked.half, ~marked.half)):
        return marked
    return replace(
        marked, why_not_tuned="a half of the entities has no anomaly after its prefixes, or nothing else: no labels tune the other"
    )


def search_begin(panel: Panel) -> Array:
    """Return where the search stops to learn and begins to score, int64 [N]: at `STEERED` of each prefix."""
    return np.asarray(panel.start + (STEERED * (panel.until - panel.start)).astype(np.int64))
