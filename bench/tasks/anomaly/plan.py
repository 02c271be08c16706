"""Make the data of each family: which values a model is given to score, and which steps of them are anomalous.

Other kinds, seeds and entities serve the search than serve the board. Letters: N entities, T steps.
"""

from __future__ import annotations

import math
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
    STEERING,
    TAKEOVER,
    Incident,
    InjectionRecipe,
    labels,
    plan,
    with_strength,
)
from bench.tasks.anomaly.takeover import splice, with_donors

TUNING = replace(STEERING, stream=5)
"""Injected into the entities set aside: kinds that are never scored, and other draws than steer the search."""
TUNING_TAKEOVER = replace(TAKEOVER, stream=6)
SET_ASIDE, AT_LEAST, FEW = 0.2, 2, 7
"""Share and least number of the entities that are set aside; under `FEW` entities none are, that a board may rank."""
STEERED = 0.6
"""Share of each prefix that the search learns from; the rest of it takes the steering injections."""


@dataclass(frozen=True)
class Marked:
    """One family's data: values to score, labels, and who is set aside for choosing by labels."""

    family: str
    entities: Entities
    values: Array
    """float64 [N, T]: NaN where nothing is known; with what was injected after the prefixes."""
    labels: Array
    """bool [N, T]."""
    aside: Array
    """bool [N]."""
    unaided: str = ""
    """Why there is no choice by labels; empty: there is."""
    incidents: Sequence[Incident] = ()
    strength: float | None = None
    notes: tuple[str, ...] = field(default=())
    reason: str = ""
    """Why nothing could be marked; empty: it could."""

    @property
    def anomalous(self) -> int:
        """Return the number of entities that are not set aside and have an anomaly after their prefix."""
        after = np.arange(self.values.shape[1]) >= self.entities.until[:, None]
        return int(((self.labels & after).any(axis=1) & ~self.aside).sum())

    @property
    def pooled(self) -> bool:
        """Return whether entities are pooled; labelled series are averaged."""
        return self.family != LABELLED


def labelled(found: Entities, seed: int) -> Marked:
    """Take the source's own labels."""
    if found.labels is None:
        raise ProtocolError("the source labels nothing")
    aside, why = set_aside(found.names, seed)
    marks = found.labels & np.isfinite(found.values)
    notes = []
    if found.contaminated.any():
        names = [n for n, bad in zip(found.names, found.contaminated, strict=True) if bad]
        notes.append(
            f"contaminated: a labelled window lies in the training prefix of {', '.join(names[:5])}{' and more' * (len(names) > 5)}"
        )
    return _checked(Marked(LABELLED, found, found.values, marks, aside, why, notes=tuple(notes)))


def injected(found: Entities, seed: int, strength: float | None) -> Marked:
    """Inject parametric anomalies and decoys after the prefixes."""
    return _made(INJECTED, found, seed, strength, (SCORING, TUNING))


def spliced(found: Entities, seed: int, strength: float | None) -> Marked:
    """Splice blocks of other users in after the prefixes."""
    return _made(SPLICED, found, seed, strength, (TAKEOVER, TUNING_TAKEOVER))


def set_aside(names: Sequence[str], seed: int) -> tuple[Array, str]:
    """Choose the entities for tuning by labels, bool [N], by the sha256 of (seed, name); also why there are none."""
    n = len(names)
    chosen = np.zeros(n, bool)
    if n < FEW:
        return chosen, f"{n} entities are too few to set any aside for tuning by labels; at least {FEW}"
    order = sorted(range(n), key=lambda i: sha256(f"{seed}\x1f{names[i]}".encode()).hexdigest())
    chosen[order[: max(math.ceil(SET_ASIDE * n), AT_LEAST)]] = True
    return chosen, ""


def _made(family: str, found: Entities, seed: int, strength: float | None, recipes: tuple[InjectionRecipe, InjectionRecipe]) -> Marked:
    panel = found.panel()
    aside, why = set_aside(found.names, seed)
    try:
        incidents = _planned(found, panel, np.flatnonzero(~aside), recipes[0], seed, strength)
    except ProtocolError as error:
        nothing = np.zeros(panel.mask.shape, bool)
        return Marked(family, found, found.values, nothing, aside, why or "nothing is injected", (), strength, reason=str(error))
    if not why:
        try:
            incidents += _planned(found, panel, np.flatnonzero(aside), recipes[1], seed, strength)
        except ProtocolError as error:
            why = f"the entities set aside for tuning by labels have no room: {error}"
    values = finite(panel, panel.until, incidents, splice if family == SPLICED else apply)
    marks = labels(incidents, values.shape) & panel.mask
    known = np.where(panel.mask, values, np.nan)
    return _checked(Marked(family, found, known, marks, aside, why, incidents, strength))


def _planned(found: Entities, panel: Panel, rows: Array, recipe: InjectionRecipe, seed: int, strength: float | None) -> list[Incident]:
    """Plan the incidents of some of the entities, and find donors among them for takeovers."""
    keys, until = id_hashes(np.array(found.names)[rows]), panel.until[rows]
    end = np.full(len(rows), panel.steps)
    planned = plan(keys, until, end, recipe, season=found.season, seed=seed)
    with np.errstate(over="ignore", invalid="ignore"):  # the level of an entity with values of 1e300
        planned = with_donors(panel.values[rows], panel.mask[rows], until, keys, planned, season=found.season)
    planned = planned if strength is None else with_strength(planned, strength)
    return [replace(i, entity=int(rows[i.entity]), donor=int(rows[i.donor]) if i.donor >= 0 else -1) for i in planned]


def _checked(marked: Marked) -> Marked:
    """Return up tuning by labels where it would be undefined on those set aside: by series, or pooled, one kind of steps only."""
    if marked.unaided or not marked.aside.any():
        return marked
    panel = marked.entities.panel(marked.values)
    step, begin = np.arange(panel.steps), search_begin(panel)
    rows = np.flatnonzero(marked.aside & (panel.mask & (step < begin[:, None])).any(axis=1))
    each = [marked.labels[n, panel.mask[n] & (step >= panel.until[n])] for n in rows]
    if any(y.any() and not y.all() for y in ([np.concatenate(each)] if marked.pooled and each else each)):
        return marked
    return replace(marked, unaided="the entities set aside for tuning by labels have no anomaly after their prefixes, or nothing else")


def search_begin(panel: Panel) -> Array:
    """Return where the search stops to learn and begins to score, int64 [N]: at `STEERED` of each prefix."""
    return np.asarray(panel.start + (STEERED * (panel.until - panel.start)).astype(np.int64))
