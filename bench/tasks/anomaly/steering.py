"""Steer a search without labels: long changes of level, put into the ends of the training prefixes, drawn several times.

What they are like decides what a search is worth. On NAB's known causes the scores of trials by changes of level of two
buffers and more rank them as the labels do, those by noise, spikes and short changes the other way round. By these changes
the configurations of one detector are ranked with correlations of +.15 to +.71 on four sets, those of different detectors
hardly (`tests/benchmarks/bench_steering.py`); each labelled board says how far its own search agreed. All steps of a prefix
but the injected ones are taken as usual, those learnt from too.

Letters for shapes: N entities, R of them scored, T steps, D draws, B weightings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.data.panel import Panel
from bench.data.ragged import Array, hashed, id_hashes
from bench.errors import ProtocolError
from bench.metrics.anomaly import ranks
from bench.metrics.volume import Pooled, pooled, vus_of
from bench.tasks.anomaly.channels import incidents_apart, over
from bench.tasks.anomaly.inject import finite
from bench.tasks.anomaly.injection_plan import INJECTED, LABELLED, SPLICED, Incident, labels

KINDS: Mapping[str, tuple[str, ...]] = {
    LABELLED: ("shift", "ramp", "drop", "brushing"),
    SPLICED: ("shift", "ramp", "drop", "brushing"),
    INJECTED: ("shift", "ramp", "flat"),
}
"""Changes of level by family; of those that are injected to be scored none steers."""
STRENGTHS = (0.5, 1.0, 2.0, 4.0)
"""In spreads of the entity's own prefix."""
LENGTHS = (2.0, 8.0)
"""Least and most length in buffers; never more than `SHARE` of the room."""
SHARE = 0.6
SPARSE = 4
"""Room for this many lengths is there for each of them, where there are several."""
WANTED, LEAST_DRAWS, MOST_DRAWS = 16, 2, 4
"""Changes that a search should meet; least and most draws of them."""
UNIFORM = 16
"""Numbers that an entity draws once."""
LEAST_ROOM = 4
"""Fewest steps between the learnt part and the end of a prefix."""


@dataclass(frozen=True)
class ScoredPart:
    """What is asked in one part of the search stage, and the truth about it."""

    mask: Array
    """bool [N, T']: steps that exist."""
    start: Array
    begin: Array
    """int64 [N]: where the injections begin."""
    end: Array
    """int64 [N]: where the prefix ends."""
    labels: Array
    """bool [N, T']: the injections before `end`, the family's labels after it."""

    def learnt(self, n: int) -> Array:
        """Mark the steps that an entity was learnt from, bool [T']."""
        step = np.arange(self.mask.shape[1])
        return np.asarray(self.mask[n] & (step >= self.start[n]) & (step < self.begin[n]))

    def placed(self, score: Array, n: int, low: int, high: int) -> tuple[Array, Array] | None:
        """Return labels and ranks of one entity's steps; None where it has none, or nothing to rank against."""
        step, learnt = np.arange(score.shape[1]), self.learnt(n)
        scored = self.mask[n] & (step >= low) & (step < high)
        if not learnt.any() or not scored.any():
            return None
        return self.labels[n, scored], ranks(score[n, scored], score[n, learnt])


@dataclass(frozen=True)
class MeanVolume:
    """VUS-PR, or what else ranks, over draws: entities pooled within each, or each by itself and averaged."""

    group: Array
    """int64 [R]: the entities."""
    each: Array
    """float64 [R]: the mean of each entity's draws, NaN where it has none; empty where they are pooled."""
    pools: tuple[Pooled, ...] = ()
    metric: str = "vus_pr"
    """What ranks the board."""

    def score(self, weights: Array) -> Array:
        """Return the score with entity r counted `weights[b, r]` times, [B, R] to float64 [B]."""
        weights = np.asarray(weights, np.float64)
        if self.pools:
            return np.asarray(np.mean([vus_of(pool, weights, (self.metric,))[self.metric] for pool in self.pools], axis=0))
        known = np.isfinite(self.each)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(weights[:, known] @ self.each[known] / weights[:, known].sum(axis=1))

    @property
    def value(self) -> float:
        """Return the score with each entity counted once."""
        return float(self.score(np.ones((1, len(self.group))))[0])


def mean_volume(
    draws: Sequence[Sequence[tuple[Array, Array] | None]], group: Array, buffer: int, *, together: bool, metric: str = "vus_pr"
) -> MeanVolume:
    """Prepare the (labels, ranks) of each draw's entities, [D][R], None where an entity has none."""
    if together:
        empty = (np.zeros(0, bool), np.zeros(0))
        return MeanVolume(group, np.zeros(0), tuple(pooled([part or empty for part in parts], buffer) for parts in draws), metric)
    each = [[_volume(part, buffer, metric) for part in parts] for parts in draws]
    return MeanVolume(group, np.array([_mean([row[r] for row in each]) for r in range(len(group))]), metric=metric)


@dataclass(frozen=True)
class SteeringRecipe:
    """What steering draws from."""

    kinds: tuple[str, ...]
    buffer: int
    alternate: bool
    """In each draw every other entity stays clean, as pooled scores need it."""
    seed: int


def inject_for_search(
    panel: Panel, begin: Array, names: Sequence[str], recipe: SteeringRecipe, channels: Panel | None = None
) -> list[tuple[Array, Array]]:
    """Inject into the prefixes from `begin` [N] to `until`: a list of draws (values, labels), [N, T] each.

    `channels`: the panel of N C rows where entities have several channels; values are then of its shape. Raises
    `ProtocolError` where no prefix has room.
    """
    step = np.arange(panel.steps)
    known = np.asarray((panel.mask & (step < begin[:, None])).any(axis=1))  # others have nothing to rank against
    open_: Array = panel.mask & known[:, None] & (step >= begin[:, None]) & (step < panel.until[:, None])
    room = np.where(open_.any(axis=1), panel.until - begin, 0)
    found = []
    for incidents in _draws(begin, room, id_hashes(np.array(names)), recipe):
        marks = np.asarray(labels(incidents, panel.values.shape) & panel.mask)
        if marks[open_].any() and not marks[open_].all():
            into, c = (panel, 1) if channels is None else (channels, channels.channels)
            found.append((finite(into, np.maximum(over(begin, c), into.start), incidents_apart(incidents, c)), marks))
    if not found:
        raise ProtocolError(
            f"no room for injections: at most {int(room.max(initial=0))} steps of a training prefix are left beside what is learnt from, "
            f"{LEAST_ROOM} that were observed are needed: give longer series, or a larger share with --set prefix"
        )
    return found


def _draws(begin: Array, room: Array, keys: Array, recipe: SteeringRecipe) -> Iterator[list[Incident]]:
    """Yield draws until `WANTED` changes were made, `LEAST_DRAWS` at least and `MOST_DRAWS` at most."""
    place = np.argsort(np.argsort(hashed(keys, recipe.seed)))  # entities take turns by it, whatever their order
    alone, made = (room >= LEAST_ROOM).sum() == 1, 0
    for draw in range(MOST_DRAWS):
        if draw >= LEAST_DRAWS and made >= WANTED:
            return
        incidents: list[Incident] = []
        for n in np.flatnonzero(room >= LEAST_ROOM).tolist():
            turn = int(place[n]) + draw
            if alone or not recipe.alternate or turn % 2 == 0:
                uniform = hashed(keys[n] ^ np.arange(UNIFORM, dtype=np.uint64), recipe.seed * MOST_DRAWS + draw)
                incidents += _of_entity(n, int(begin[n]), int(room[n]), turn, uniform, recipe)
        made += len(incidents)
        yield incidents


def _of_entity(entity: int, begin: int, room: int, turn: int, uniform: Array, recipe: SteeringRecipe) -> list[Incident]:
    """Plan the changes of one entity; `uniform`: numbers in [0, 1), [UNIFORM], used over and over."""
    low, high = LENGTHS
    length = max(min(round(recipe.buffer * (low + (high - low) * float(uniform[0]))), int(SHARE * room)), 1)
    count = max(room // (SPARSE * length), 1)
    edges = (begin + np.linspace(0, room, count + 1)).astype(np.int64).tolist()
    found = []
    for k in range(count):
        at = edges[k] + int(uniform[(k + 1) % UNIFORM] * (edges[k + 1] - edges[k] - length + 1))
        i = turn // 2 + k
        kind, strength = recipe.kinds[i % len(recipe.kinds)], STRENGTHS[(i + i // len(STRENGTHS)) % len(STRENGTHS)]
        found.append(Incident(entity, at, at + length, kind, strength, seed=int(uniform[-1] * 2**20) + k))
    return found


def _volume(part: tuple[Array, Array] | None, buffer: int, metric: str) -> float:
    return math.nan if part is None else float(vus_of(pooled([part], buffer), np.ones((1, 1)), (metric,))[metric][0])


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if math.isfinite(v)]
    return sum(known) / len(known) if known else math.nan


def part_to_score(panel: Panel, values: Array, begin: Array, at: Array) -> Panel:
    """Return what is asked in a part: values up to `at` [N], of which the steps before `begin` [N] are learnt from."""
    found = replace(panel, values=values).ending(at)
    return replace(found, until=np.maximum(begin + (int(at.max()) - at), found.start))
