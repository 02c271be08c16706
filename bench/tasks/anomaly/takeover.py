"""Splice: for some steps an account is used by somebody else; those steps are another real user's, as they are.

The donor has about the victim's own level, so that volume alone gives nothing away. Letters for shapes: N entities,
T steps, M takeovers, L steps of the longest one, D donors that are asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.api import Array
from bench.data.ragged import hashed
from bench.tasks.anomaly.inject import apply, checked_cells, refilled, usual
from bench.tasks.anomaly.injection_plan import Incident

KIND = "takeover"
SHARE, LEAST, MOST, WIDER = 0.02, 3, 25, 4
"""Donors lie within this share of all ranks by level on either side, within 3 to 25 ranks; if none serves, within 4 times as many."""
SEASONS = 4
"""Most seasons that a donor's block may lie back."""


@dataclass(frozen=True, eq=False, slots=True)
class _Ranked:
    """The panel [N, T], its entities by rising level, [N], and the rank of each, [N]."""

    values: Array
    mask: Array
    by_level: Array
    rank: Array


@dataclass(frozen=True, eq=False, slots=True)
class _Sought:
    """The takeovers that seek a donor, [M] each."""

    entity: Array
    begin: Array
    end: Array
    seed: Array

    def take(self, rows: Array) -> _Sought:
        return _Sought(*(getattr(self, name)[rows] for name in self.__slots__))


def with_donors(values: Array, mask: Array, until: Array, keys: Array, incidents: Sequence[Incident], *, season: int) -> list[Incident]:
    """Return each takeover a donor of similar level, and a lag of whole seasons; other incidents pass as they are.

    `values`, `mask`: [N, T], nothing injected yet; `until`, `keys`: [N], as for `plan`. Level is the mean of the prefix.
    A donor's block is observed throughout and is not the victim's own over again; of the donors near in rank a hash
    chooses, and the same steps of the calendar come before earlier seasons. A takeover for which nobody serves is left out.
    """
    level, _ = usual(values, mask, until, counts=False)
    by_level = np.lexsort((keys, level))
    rank = np.argsort(by_level)
    ranked = _Ranked(values, mask, by_level, rank)
    at = [n for n, i in enumerate(incidents) if i.kind == KIND]
    sought = _Sought(*(np.array([getattr(incidents[n], name) for n in at], np.int64) for name in _Sought.__slots__))
    donor, lag = _donors(ranked, sought, season)
    found = list(incidents)
    for n, d, back in zip(at, donor.tolist(), lag.tolist(), strict=True):
        found[n] = replace(incidents[n], donor=d, lag=back)
    return [i for i in found if i.kind != KIND or i.donor >= 0]


def inject_takeovers(values: Array, mask: Array, until: Array, incidents: Sequence[Incident], *, counts: bool) -> Array:
    """Return a copy of `values` [N, T] with takeovers spliced in, and decoys injected; arguments as for `inject.apply`.

    Of each takeover's steps the share `strength` is the donor's: at 1 all are, at 0 none. Donors give what they did
    before anything was injected. Raises ValueError where a takeover has no donor.
    """
    takeovers = [i for i in incidents if i.kind == KIND]
    for i in takeovers:
        if i.donor < 0 or i.begin < i.lag:
            raise ValueError(f"{i} has no donor's steps to take; call with_donors on the plan first")
    changed = apply(values, mask, until, incidents, counts=counts)
    which, row, col = checked_cells(takeovers, values.shape, until)
    donor, lag, begin, seed = (
        np.array([getattr(i, name) for i in takeovers], np.int64)[which] for name in ("donor", "lag", "begin", "seed")
    )
    theirs = hashed(seed * 2**20 + col - begin, 3) < np.array([i.strength for i in takeovers])[which]
    row, col, donor, lag = row[theirs], col[theirs], donor[theirs], lag[theirs]
    changed[row, col] = values[donor, col - lag]
    return refilled(changed, values, mask)


def _donors(ranked: _Ranked, sought: _Sought, season: int) -> tuple[Array, Array]:
    """Find (donor, lag) of each takeover, int64 [M] each; donor -1 where nobody serves."""
    donor, lag = np.full(len(sought.entity), -1), np.zeros(len(sought.entity), np.int64)
    near = int(np.clip(round(SHARE * len(ranked.rank)), LEAST, MOST))
    for reach in (near, WIDER * near):
        for back in range(0, (SEASONS + 1) * max(season, 1), max(season, 1)):
            left = np.flatnonzero(donor < 0)
            donor[left] = _among(ranked, sought.take(left), reach, back)
            lag[left] = back
    return donor, np.where(donor < 0, 0, lag)


def _among(ranked: _Ranked, sought: _Sought, reach: int, lag: int) -> Array:
    """Ask the donors within `reach` ranks one after another, in an order of each takeover's own; int64 [M], -1: none serves."""
    donor = np.full(len(sought.entity), -1)
    offsets = np.delete(np.arange(-reach, reach + 1), reach)  # [D]
    order = np.argsort(hashed(sought.seed[:, None] * 1024 + offsets + reach, 4), axis=1)  # [M, D]
    for turn in range(len(offsets)):
        left = np.flatnonzero(donor < 0)
        if not len(left):
            break
        asked = ranked.rank[sought.entity[left]] + offsets[order[left, turn]]
        exists = (asked >= 0) & (asked < len(ranked.rank))
        left, asked = left[exists], ranked.by_level[asked[exists]]
        donor[left] = np.where(_serves(ranked, sought.take(left), asked, lag), asked, -1)
    return donor


def _serves(ranked: _Ranked, sought: _Sought, donor: Array, lag: int) -> Array:
    """Return whether each donor's block is observed and differs from the victim's, bool [M]."""
    step = sought.begin[:, None] + np.arange((sought.end - sought.begin).max(initial=0))  # [M, L]
    inside = step < sought.end[:, None]
    own = np.minimum(step, ranked.mask.shape[1] - 1)
    theirs = np.maximum(own - lag, 0)
    observed = (ranked.mask[donor[:, None], theirs] | ~inside).all(axis=1)
    other = ranked.values[donor[:, None], theirs] != ranked.values[sought.entity[:, None], own]
    serves: Array = observed & (sought.begin >= lag) & (other & inside).any(axis=1)
    return serves
