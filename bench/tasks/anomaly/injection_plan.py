"""Plan incidents: which entities get which anomaly or benign decoy, when and how strong; values are not looked at.

What an entity gets hangs on its key, the seed and the steps open to it, never on its values: with the values left as
they are (strength 0) no detector can then do better than chance. Letters for shapes: N entities, T steps, M incidents,
C cells (the steps of all incidents, one after another).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bench.api import Array
from bench.data.ragged import hashed, spans
from bench.errors import ProtocolError

FAMILIES = LABELLED, SPLICED, INJECTED = "labelled", "spliced", "injected"
"""Families of anomaly data: their scores are never averaged together."""
RATE = 0.02
"""Largest share of the open steps that is labelled."""
STRENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""In spreads of the entity's own prefix."""
DECOY = 1.0
"""Strength of the decoys."""
SHORTEST, FEWEST, NO_SEASON = 3, 8, 7
"""Steps of the shortest lasting anomaly; number of incidents for which the budget should do; season where there is none."""
BRIEF: Mapping[str, tuple[int, int]] = {
    "spike": (1, 1), "review-bombing": (2, 3), "rise": (1, 1), "promotion": (1, 1), "holiday": (1, 1),
}  # fmt: skip
"""Least and most steps of the brief kinds; all others last half a season to two, `SHORTEST` steps at the least."""
OWN, SHARED = "rise", ("promotion", "holiday")
"""Decoys: one that a single entity has, and those that all have at the same steps."""
STREAMS = 8


@dataclass(frozen=True, slots=True)
class Incident:
    """One anomaly or decoy: steps [begin, end) of an entity."""

    entity: int
    begin: int
    end: int
    kind: str
    strength: float
    donor: int = -1
    """Entity from which a spliced block is taken; -1: none."""
    lag: int = 0
    """How many steps earlier that block stands with its donor: whole seasons."""
    seed: int = 0
    decoy: bool = False
    """Benign: not labelled, and an alarm on it is a false one."""


@dataclass(frozen=True, slots=True)
class InjectionRecipe:
    """What a plan draws from; another `stream` gives other draws under the same seed."""

    kinds: tuple[str, ...]
    stream: int
    strengths: tuple[float, ...] = STRENGTHS
    decoys: bool = True


STEERING = InjectionRecipe(("shift", "noise", "flat", "ramp"), stream=1)
"""Steers a search: none of its kinds is ever scored."""
SCORING = InjectionRecipe(("bot", "brushing", "review-bombing", "spike", "drop"), stream=2)
TAKEOVER = InjectionRecipe(("takeover",), stream=3, strengths=(0.25, 0.5, 1.0))
"""Strength is here the share of steps that are the donor's."""


@dataclass(frozen=True, eq=False, slots=True)
class _Items:
    """Incidents as columns, [M] each."""

    entity: Array
    kind: Array
    strength: Array
    length: Array
    key: Array
    decoy: Array
    begin: Array

    @classmethod
    def made(cls, entity: Array, kind: Array, strength: Array, length: Array, key: Array, decoy: bool) -> _Items:
        m = len(entity)
        return cls(entity, kind, np.broadcast_to(strength, m), length, key, np.full(m, decoy), np.zeros(m, np.int64))

    def take(self, rows: Array) -> _Items:
        return _Items(*(getattr(self, name)[rows] for name in self.__slots__))

    def joined(self, other: _Items) -> _Items:
        return _Items(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in self.__slots__))


@dataclass(frozen=True, eq=False, slots=True)
class _Ground:
    """Where incidents may go: entity keys, first open step and number of open steps, [N] each."""

    keys: Array
    lo: Array
    room: Array
    gap: int
    longest: int
    budget: int
    seed: int

    def fits(self) -> Array:
        """Return which entities have room for one anomaly and one decoy, bool [N]."""
        return self.room > self.longest + self.gap

    def order(self, tag: int) -> Array:
        """List the entities with room in the order of a hash of their keys."""
        order = np.lexsort((self.keys, hashed(self.keys, self.seed * STREAMS + tag)))
        return order[self.fits()[order]]

    def draw(self, key: Array, tag: int) -> Array:
        """Draw a number in [0, 1) for each incident key."""
        return hashed(key, self.seed * STREAMS + tag)


def plan(keys: Array, lo: Array, hi: Array, recipe: InjectionRecipe, *, season: int, seed: int, rate: float = RATE) -> list[Incident]:
    """Plan incidents in the open steps [lo, hi) of each entity, sorted by entity and step.

    `keys`: whole numbers [N], different and lasting (`bench.data.ragged.id_hashes` of the names): with them a plan follows
    the entities, whatever their order. `lo`, `hi`: int [N]. At most `rate` of all open steps are labelled, at least half
    of the entities have no anomaly, and incidents of an entity stand at least a season apart; all three are asserted.
    Kinds and strengths take turns, so that each pair comes once before one comes twice. There are at most as many single
    decoys as anomalies, and shared ones for at most `rate` of the steps. Raises `ProtocolError` where there are too few
    entities or steps.
    """
    ground = _ground(np.asarray(keys).astype(np.uint64), np.asarray(lo), np.asarray(hi), season, seed * STREAMS + recipe.stream, rate)
    found = _anomalies(ground, recipe, season, rate)
    if recipe.decoys:
        found = found.joined(_own_decoys(ground, len(found.entity)))
    found = _placed(ground, found)
    shared = SHARED[: int(rate * np.median(ground.room))] if recipe.decoys else ()
    for tag, kind in enumerate(shared):
        found = found.joined(_shared_decoy(ground, found, kind, tag))
    _assert_reserved(ground, found)
    return _incidents(ground, found)


def with_strength(incidents: Sequence[Incident], strength: float) -> list[Incident]:
    """Return all anomalies one strength: the same plan again for a point of the detection curve.

    Decoys keep theirs, but at 0 nothing at all is changed: a decoy would put detectors below chance.
    """
    return [i if i.decoy and strength else replace(i, strength=strength) for i in incidents]


def labels(incidents: Sequence[Incident], shape: tuple[int, int]) -> Array:
    """Mark the steps of all anomalies, bool [N, T]; decoys are not marked."""
    found = np.zeros(shape, bool)
    _, row, col, _ = cells([i for i in incidents if not i.decoy])
    found[row, col] = True
    return found


def user_labels(incidents: Sequence[Incident], n: int) -> Array:
    """Mark the entities with an anomaly, bool [N]; decoys do not count."""
    found = np.zeros(n, bool)
    found[[i.entity for i in incidents if not i.decoy]] = True
    return found


def manifest(incidents: Sequence[Incident], names: Sequence[str]) -> list[dict[str, Any]]:
    """List the incidents ready for JSON, entities and donors by name (`names` [N]); no donor is None."""
    return [asdict(i) | {"entity": names[i.entity], "donor": names[i.donor] if i.donor >= 0 else None} for i in incidents]


def cells(incidents: Sequence[Incident]) -> tuple[Array, Array, Array, Array]:
    """List the steps of all incidents one after another: (incident, entity, step), int64 [C] each, and offsets [M + 1]."""
    entity, begin, end = (np.array([getattr(i, name) for i in incidents], np.int64) for name in ("entity", "begin", "end"))
    col, offsets = spans(begin, end - begin)
    which = np.repeat(np.arange(len(incidents)), end - begin)
    return which, entity[which], col, offsets


def _ground(keys: Array, lo: Array, hi: Array, season: int, seed: int, rate: float) -> _Ground:
    if len(np.unique(keys)) < len(keys):
        raise ValueError(f"{len(keys)} entities have {len(np.unique(keys))} different keys; give each its own")
    room = np.maximum(hi - lo, 0)
    budget = math.floor(rate * int(room.sum()))
    longest = max(SHORTEST, min(2 * _unit(season), budget // FEWEST, int(np.median(room)) // 4 if len(room) else 0))
    ground = _Ground(keys, lo, room, max(season, 1), longest, budget, seed)
    if len(keys) < 2 or budget < SHORTEST or not ground.fits().any():
        raise ProtocolError(
            f"no room for anomalies: {len(keys)} entities with at most {int(room.max(initial=0))} steps behind their prefixes, "
            f"{int(room.sum())} in all; at least 2 entities, {math.ceil(SHORTEST / rate)} steps in all, and {SHORTEST + ground.gap + 1} "
            f"in one of them are needed: give a longer log, a finer grid or more entities"
        )
    return ground


def _unit(season: int) -> int:
    return season if season > 1 else NO_SEASON


def _anomalies(ground: _Ground, recipe: InjectionRecipe, season: int, rate: float) -> _Items:
    """Deal anomalies to half of the entities at most, in hash order, until the budget of steps is spent."""
    dirty = ground.order(0)[: len(ground.keys) // 2]
    wanted = 2 * rate * ground.room[dirty] / ((1 + ground.longest) / 2)
    each = np.clip(wanted.astype(np.int64), 1, (ground.room[dirty] - 1) // (ground.longest + ground.gap))
    slot, _ = spans(np.zeros(len(dirty), np.int64), each)
    entity = np.repeat(dirty, each)
    key = ground.keys[entity] * np.uint64(1_000_003) + slot.astype(np.uint64)
    kind, strength = _turns(recipe, len(entity), ground.seed)
    lasting = (max(SHORTEST, _unit(season) // 2), 2 * _unit(season))
    least, most = np.minimum([BRIEF.get(k, lasting) for k in kind], ground.longest).T
    length = least + (ground.draw(key, 1) * (most - least + 1)).astype(np.int64)
    items = _Items.made(entity, kind, strength, length, key, decoy=False)
    return items.take(np.cumsum(length) <= ground.budget)


def _turns(recipe: InjectionRecipe, m: int, seed: int) -> tuple[Array, Array]:
    """Let kinds and strengths take turns, [M] each: every pair once before one comes twice; the seed says which is first."""
    a, b = len(recipe.kinds), len(recipe.strengths)
    i = np.arange(m)
    kinds = np.array(recipe.kinds)[np.argsort(hashed(np.arange(a), seed))]
    strengths = np.array(recipe.strengths)[np.argsort(hashed(np.arange(b), seed + 1))]
    return kinds[i % a], strengths[(i + i // math.lcm(a, b)) % b]


def _own_decoys(ground: _Ground, m: int) -> _Items:
    """Return one small rise each to as many entities as there are anomalies, clean and other ones alike."""
    entity = ground.order(2)[:m]
    key = ground.keys[entity] * np.uint64(1_000_003) + np.uint64(999_983)
    return _Items.made(entity, np.full(len(entity), OWN), np.array(DECOY), np.ones(len(entity), np.int64), key, decoy=True)


def _placed(ground: _Ground, items: _Items) -> _Items:
    """Place the incidents of each entity at random, all placements that keep the gap being open to it."""
    items = items.take(np.lexsort((ground.draw(items.key, 3), items.entity)))
    place = ground.draw(items.key, 4)
    place = place[np.lexsort((place, items.entity))]  # ascending within each entity
    taken = items.length + ground.gap
    before = np.cumsum(taken) - taken
    before -= before[np.searchsorted(items.entity, items.entity)]
    total = np.bincount(items.entity, taken, len(ground.keys)).astype(np.int64) - ground.gap
    slack = (ground.room - total)[items.entity]
    return replace(items, begin=ground.lo[items.entity] + before + (place * (slack + 1)).astype(np.int64))


def _shared_decoy(ground: _Ground, items: _Items, kind: str, tag: int) -> _Items:
    """Let one event happen to all entities at the same steps, but for those that have an incident nearby."""
    length = BRIEF[kind][1]
    first, last = int(np.median(ground.lo)), int(np.median(ground.lo + ground.room)) - length
    begin = first + int(hashed(np.array([tag]), ground.seed * STREAMS + 5)[0] * max(last - first + 1, 0))
    near = (items.begin - ground.gap < begin + length) & (items.begin + items.length + ground.gap > begin)
    open_ = (ground.lo <= begin) & (begin + length <= ground.lo + ground.room)
    open_[items.entity[near]] = False
    entity = np.flatnonzero(open_)
    m = len(entity)
    key = ground.keys[entity] * np.uint64(1_000_003) + np.uint64(999_984 + tag)
    made = _Items.made(entity, np.full(m, kind), np.array(DECOY), np.full(m, length), key, decoy=True)
    return replace(made, begin=np.full(m, begin))


def _assert_reserved(ground: _Ground, items: _Items) -> None:
    """Assert what a plan promises: the share of labelled steps, clean entities, open steps only, distance."""
    assert items.length[~items.decoy].sum() <= ground.budget, "more steps are labelled than the rate allows"
    assert len(np.unique(items.entity[~items.decoy])) <= len(ground.keys) // 2, "fewer than half of the entities are clean"
    items = items.take(np.lexsort((items.begin, items.entity)))
    lo, end = ground.lo[items.entity], items.begin + items.length
    assert ((items.begin >= lo) & (end <= lo + ground.room[items.entity])).all(), "an incident leaves the open steps"
    same = items.entity[1:] == items.entity[:-1]
    assert (items.begin[1:] - end[:-1])[same].min(initial=ground.gap) >= ground.gap, "two incidents are nearer than a season"


def _incidents(ground: _Ground, items: _Items) -> list[Incident]:
    items = items.take(np.lexsort((items.begin, items.entity)))
    seeds = (ground.draw(items.key, 7) * 2**31).astype(np.int64)
    end = items.begin + items.length
    rows = zip(
        items.entity.tolist(), items.begin.tolist(), end.tolist(), items.kind.tolist(),
        items.strength.tolist(), seeds.tolist(), items.decoy.tolist(), strict=True,
    )  # fmt: skip
    return [Incident(e, b, t, k, s, seed=seed, decoy=d) for e, b, t, k, s, seed, d in rows]
