"""What may be known, without labels, of a configuration that a search found: injections of every kind, other draws, other times, agreement.

Letters for shapes: N entities, C channels, T steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from consensus import consensus
from scipy.stats import spearmanr

from bench.data.panel import Panel
from bench.data.ragged import Array, id_hashes
from bench.tasks.anomaly import steering
from bench.tasks.anomaly.agreement import open_steps
from bench.tasks.anomaly.channels import incidents_apart, over
from bench.tasks.anomaly.inject import CHANGES, apply, usual
from bench.tasks.anomaly.injection_plan import Incident, labels
from bench.tasks.anomaly.plan import search_begin
from bench.tasks.anomaly.split import aligned
from bench.tasks.anomaly.steering import ScoredPart, SteeringRecipe, mean_volume, part_to_score
from bench.tasks.base import Split

STEERS = ("shift", "ramp", "drop", "brushing")
OTHERS = ("noise", "flat", "bot")
SPLICES = ("other-entity", "other-time", "shuffled", "reversed", "stopped", "wider", "smooth", "faster")
KINDS = (*STEERS, *OTHERS, *SPLICES)


@dataclass(frozen=True)
class Asked:
    """One part that is asked: values, and the truth about it."""

    name: str
    inputs: Panel
    view: ScoredPart


@dataclass(frozen=True)
class Occasion:
    """What is learnt from, and what is asked then."""

    train: Panel
    asked: Sequence[Asked]


def occasions(split: Split, seed: int) -> dict[str, Occasion]:
    """Make `late`, which learns as the search does, and `early`, which learns from the first 30 % of a prefix."""
    final = split.truths["final"]
    several = split.stages["final"].parts[0]
    c = several.channels
    first = several.take(np.arange(0, len(several), c)) if c > 1 else several
    found = {}
    for name, low, high in (("late", 0.6, 1.0), ("early", 0.3, 0.6)):
        length = first.until - first.start
        begin = search_begin(first) if name == "late" else first.start + (low * length).astype(np.int64)
        end = first.until if name == "late" else first.start + (high * length).astype(np.int64)
        asked = list(_asked(split, first, several, begin, end, final.names, seed))
        found[name] = Occasion(several.ending(over(begin, c)), asked)
    return found


def _asked(split: Split, first: Panel, several: Panel, begin: Array, end: Array, names: Sequence[str], seed: int) -> Iterator[Asked]:
    c = several.channels
    for kind in ("", "steers", *KINDS):
        for number, (values, marks) in enumerate(_draws(split, first, several, begin, end, names, kind, seed)):
            part = part_to_score(several, values, over(begin, c), over(end, c))
            plain = part_to_score(first, first.values, begin, end)
            view = ScoredPart(plain.mask, plain.start, plain.until, end + (int(end.max()) - end), aligned(marks, end))
            yield Asked(f"{kind}/{number}", part, view)


def _draws(
    split: Split, first: Panel, several: Panel, begin: Array, end: Array, names: Sequence[str], kind: str, seed: int
) -> Iterator[tuple[Array, Array]]:
    nothing = np.zeros(first.mask.shape, bool)
    if not kind:
        yield several.values, nothing
        return
    kinds = STEERS if kind == "steers" else (kind,)
    recipe = SteeringRecipe(kinds, split.facts["buffer"], False, seed)
    room = np.where(
        (first.mask & (np.arange(first.steps) >= begin[:, None]) & (np.arange(first.steps) < end[:, None])).any(1), end - begin, 0
    )
    # every kind has draws of its own
    keys = id_hashes(np.array([f"{name}/{kind}" for name in names]))
    for incidents in islice(steering._draws(begin, room, keys, recipe), 2 if kind == "steers" else 1):
        marks = np.asarray(labels(incidents, first.mask.shape) & first.mask)
        apart = incidents_apart(incidents, several.channels)
        change = apply if kind == "steers" or kind in CHANGES else _spliced
        until = np.maximum(over(begin, several.channels), several.start)
        with np.errstate(over="ignore", invalid="ignore"):
            values = change(several.values, several.mask, until, apart, counts=several.counts)
        yield np.where(np.isfinite(values), values, several.values), marks


def _spliced(values: Array, mask: Array, until: Array, incidents: Sequence[Incident], *, counts: bool) -> Array:
    """Mix a share of another behaviour in, that grows with the strength."""
    level, spread = usual(values, mask, until, counts=counts)
    found = values.copy()
    for i in incidents:
        own = values[i.entity, i.begin : i.end]
        other = _behaviour(values, until, i, level, spread, counts)
        share = i.strength / (0.5 + i.strength)
        if counts:  # whole counts stay whole: by each step, one or the other
            rng = np.random.default_rng(i.seed)
            found[i.entity, i.begin : i.end] = np.maximum(np.where(rng.random(len(own)) < share, np.round(other), own), 0)
        else:
            found[i.entity, i.begin : i.end] = own + share * (other - own)
    return found


def _behaviour(values: Array, until: Array, i: Incident, level: Array, spread: Array, counts: bool) -> Array:
    own, length, rng = values[i.entity, i.begin : i.end], i.end - i.begin, np.random.default_rng(i.seed + 1)
    if i.kind == "other-entity":
        donor = (i.entity + 1 + i.seed % max(len(values) - 1, 1)) % len(values)
        theirs = values[donor, i.begin : i.end]
        scaled = level[i.entity] + (theirs - level[donor]) / spread[donor] * spread[i.entity]
        return np.asarray(theirs * (level[i.entity] + 0.1) / (level[donor] + 0.1) if counts else scaled)
    low = max(int(until[i.entity]) - 4 * length, 0)
    earlier = int(rng.integers(low, max(i.begin - length, low + 1)))
    width = max(min(length // 4, 9), 1)
    fast = i.begin + 2 * np.arange(length)
    made: Mapping[str, Callable[[], Array]] = {
        "other-time": lambda: np.resize(values[i.entity, earlier : earlier + length], length),
        "shuffled": lambda: rng.permutation(own),
        "reversed": lambda: own[::-1],
        "stopped": lambda: np.zeros(length) if counts else np.full(length, own[0]),
        "wider": lambda: own.mean() + (1 + i.strength) * (own - own.mean()),
        "smooth": lambda: np.convolve(np.pad(own, width, mode="edge"), np.ones(width) / width, mode="same")[width : width + length],
        "faster": lambda: values[i.entity, np.where(fast < i.end, fast, i.begin + (fast - i.begin) % length)],
    }
    return made[i.kind]()


def told(split: Split, asked: Asked, score: Array) -> Array:
    """Score one part by its injections, entity by entity, or by agreement with floors where there is none, float64 [N]."""
    view, n = asked.view, len(score)
    if asked.name == "/0":
        reference = consensus(asked.inputs, view, split.facts["smooth"], split.facts["combine"])
        return agreed(view, score, reference)
    parts = [view.placed(score, k, view.start[k], view.end[k]) for k in range(n)]
    return mean_volume([parts], np.arange(n), split.facts["buffer"], together=False).each


def agreed(view: ScoredPart, score: Array, reference: Array) -> Array:
    """Return Spearman's correlation of two scores over each entity's open steps, float64 [N]."""
    seen, found = open_steps(view), []
    for n in range(len(score)):
        a, b = score[n, seen[n]], reference[n, seen[n]]
        found.append(np.nan if len(a) < 4 or min(np.ptp(a), np.ptp(b)) == 0 else float(spearmanr(a, b).statistic))
    return np.array(found)
