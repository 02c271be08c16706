"""Cut one family's data into stages and truths, and score what comes back.

Search: learn from the first part of each prefix, score the rest of it with steering injections, and, of the entities
set aside, the steps after it too. Final: learn from the prefixes, score all that follows. Letters: N entities, T steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bench.api import Array
from bench.data.panel import Panel
from bench.errors import ProtocolError
from bench.metrics.anomaly import ranks, threshold
from bench.metrics.areas import areas_of, collect
from bench.metrics.volume import pooled, vus_of
from bench.tasks.anomaly.entities import whole
from bench.tasks.anomaly.inject import oracle
from bench.tasks.anomaly.injection_plan import Incident, manifest
from bench.tasks.anomaly.plan import Marked, search_begin, steering
from bench.tasks.anomaly.scores import Averaged, Summed, averaged, summed
from bench.tasks.base import Board, Split, Stage, StageName
from bench.tasks.clock import NO_TIME, Clock, format_time
from bench.tasks.profiles import Profile

BOARD = Board("vus_pr", higher=True, reference="random", penalty=0.0, beside="rolling-mean")
FEW_ANOMALOUS = 5
"""Fewest scored entities with an anomaly for a board to rank."""
BUFFER = 100
"""Of labelled series, the width used on NAB; users get one season."""


@dataclass(frozen=True)
class Steered:
    """The truth of the search stage."""

    mask: Array
    """bool [N, T']: steps that exist."""
    start: Array
    begin: Array
    """int64 [N]: where the injections begin."""
    end: Array
    """int64 [N]: where the prefix ends."""
    labels: Array
    """bool [N, T']: steering injections before `end`, the family's labels after it."""
    aside: Array
    buffer: int
    pooled: bool
    aided: bool
    """The entities set aside choose by labels."""
    steered: bool = True

    def values(self, score: Array) -> dict[str, float]:
        """Score [N, T'] by the injections (AUC-PR, entities pooled), then by labels (VUS-PR of those set aside)."""
        if not self.steered:
            return {}
        found = {"label-free": self.search_score(score)}
        if self.aided:
            parts = [p for n in np.flatnonzero(self.aside).tolist() if (p := self._part(score, n, self.end[n], score.shape[1]))]
            if self.pooled:
                found["tuned"] = float(vus_of(pooled(parts, self.buffer), np.ones((1, len(parts))))["vus_pr"][0])
            else:
                each = [float(vus_of(pooled([p], self.buffer), np.ones((1, 1)))["vus_pr"][0]) for p in parts]
                found["tuned"] = float(np.nanmean(each))
        return found

    def search_score(self, score: Array) -> float:
        """Score [N, T'] by the injections alone."""
        parts = [p for n in range(len(score)) if (p := self._part(score, n, self.begin[n], self.end[n]))]
        return float(areas_of(collect(parts), np.ones((1, len(parts))))["auc_pr"][0])

    def learnt(self, n: int) -> Array:
        """Mark the steps that an entity was learnt from, bool [T']."""
        step = np.arange(self.mask.shape[1])
        return np.asarray(self.mask[n] & (step >= self.start[n]) & (step < self.begin[n]))

    def _part(self, score: Array, n: int, low: int, high: int) -> tuple[Array, Array] | None:
        """Return labels and ranks of one entity's steps; None where it has none, or nothing to rank against."""
        step, learnt = np.arange(score.shape[1]), self.learnt(n)
        scored = self.mask[n] & (step >= low) & (step < high)
        if not learnt.any() or not scored.any():
            return None
        return self.labels[n, scored], ranks(score[n, scored], score[n, learnt])


@dataclass(frozen=True)
class Final:
    """The truth of the final stage."""

    names: tuple[str, ...]
    mask: Array
    start: Array
    until: Array
    labels: Array
    aside: Array
    values: Array
    """float64 [N, T], NaN where nothing is known: for what is drawn when the run is over."""
    time: Array
    clock: Clock
    buffer: int
    pooled: bool
    incidents: Sequence[Incident] = field(repr=False, default=())

    @property
    def usable(self) -> Array:
        """Return which entities are scored: not set aside, with steps to learn from and to score, bool [N]."""
        step = np.arange(self.mask.shape[1])
        learnt = (self.mask & (step < self.until[:, None])).any(axis=1)
        return ~self.aside & learnt & (self.mask & (step >= self.until[:, None])).any(axis=1)

    @property
    def group(self) -> Array:
        """Return the unit of resampling: each scored entity."""
        return np.flatnonzero(self.usable)

    def learnt(self, n: int) -> Array:
        """Mark the training steps of an entity, bool [T]."""
        return np.asarray(self.mask[n] & (np.arange(self.mask.shape[1]) < self.until[n]))

    def prefix(self, n: int) -> Array:
        """List the training steps of an entity."""
        return np.flatnonzero(self.learnt(n))

    def steps(self, n: int) -> Array:
        """List the scored steps of an entity."""
        return np.asarray(self.until[n] + np.flatnonzero(self.mask[n, self.until[n] :]))

    def moment(self, n: int, step: int) -> str:
        """Write the time of a step."""
        return format_time(int(self.time[n if len(self.time) > 1 else 0, step]), self.clock)

    def parts(self, score: Array) -> list[tuple[Array, Array, Array]]:
        """Return (labels, scores, training scores) of each scored entity."""
        return [(self.labels[n, s], score[n, s], score[n, self.prefix(n)]) for n in self.group.tolist() for s in [self.steps(n)]]

    def scorer(self, score: Array) -> Averaged | Summed:
        """Prepare scores [N, T] for any weighting of the entities."""
        return summed(self.parts(score), self.buffer) if self.pooled else averaged(self.parts(score), self.buffer)

    def by_entity(self, score: Array) -> dict[str, float]:
        """Return the VUS-PR of each scored entity that has an anomaly."""
        found = {}
        for n, (y, s, _) in zip(self.group, self.parts(score), strict=True):
            if y.any() and not y.all():
                found[self.names[n]] = float(vus_of(pooled([(y, s)], self.buffer), np.ones((1, 1)))["vus_pr"][0])
        return found

    def alarm(self, score: Array, budget: float) -> Array:
        """Mark the scored steps above their entity's threshold, float64 [N, T] of 0 and 1."""
        found = np.zeros(score.shape)
        for n in self.group.tolist():
            steps = self.steps(n)
            found[n, steps] = score[n, steps] > threshold(score[n, self.prefix(n)], budget)
        return found


def split_of(marked: Marked, options: Mapping[str, str], profile: Profile, seed: int) -> Split:
    """Cut one family into its stages."""
    found = marked.entities
    panel = found.panel(marked.values)
    buffer = whole(options, "buffer", max(found.season, 2) if found.of_log else BUFFER)
    smooth = whole(options, "smooth", max(buffer // 2, 1))
    search, steered, why = _search(marked, panel, buffer, seed)
    aside = marked.aside & steered.aided
    kept = [i for i in marked.incidents if not aside[i.entity]]
    final = Final(
        found.names, panel.mask, panel.start, panel.until, marked.labels, aside, marked.values, panel.time, found.finest, buffer,
        marked.pooled, kept,
    )  # fmt: skip
    stages: dict[StageName, Stage] = {"search": search, "final": Stage(panel.ending(panel.until), (panel,))}
    facts = _facts(marked, final, buffer, smooth)
    missing = {"label-free": why, "tuned": why} if why else {"tuned": marked.unaided} if marked.unaided else {}
    flags, reason, notes = _judged(marked, final, facts, missing)
    strength = "" if marked.strength is None else f"/strength={marked.strength:g}"
    task_id = (
        f"anomaly/v1/family={marked.family}/freq={found.freq or 'none'}/season={found.cycle}/buffer={buffer}/smooth={smooth}"
        f"/{found.choices}{strength}/{profile.caps()}"
    )
    columns = {"family": marked.family, "n_test": int(final.usable.sum()), "objective": "auc_pr"}
    context = {"horizon": 0.0, "loss": "reconstruction"}
    truths: dict[StageName, Steered | Final] = {"search": steered, "final": final}
    members = {"entity": list(found.names), "until": final.until.tolist()}
    ceiling = () if reason or not kept else ({"prediction": _oracle(marked, panel, kept, buffer)},)
    return Split(
        task_id,
        stages,
        truths,
        facts,
        notes,
        flags,
        reason,
        BOARD,
        columns,
        context,
        members,
        missing,
        ceiling=ceiling,
        no_search_reason=why,
    )


def _oracle(marked: Marked, panel: Panel, incidents: Sequence[Incident], buffer: int) -> Array:
    """Score as one who knows what was injected, float64 [N, T]; 0 in the prefixes, into which a buffer may reach."""
    score = oracle(marked.entities.panel().values, panel.values, incidents, buffer)
    return np.where(np.arange(panel.steps) < panel.until[:, None], 0.0, score)


def _search(marked: Marked, panel: Panel, buffer: int, seed: int) -> tuple[Stage, Steered, str]:
    """Make the search stage; the third item says why nothing can steer it."""
    begin = search_begin(panel)
    try:
        values, marks = steering(panel, begin, panel.until, marked.entities.names, seed)
        why = ""
    except ProtocolError as error:
        values, marks, why = panel.values, np.zeros(panel.values.shape, bool), f"nothing can steer a search: {error}"
    aided = not marked.unaided and not why
    at = np.where(marked.aside & aided, panel.steps, panel.until)
    last, after = int(at.max()), np.arange(panel.steps) >= panel.until[:, None]
    shift = last - at
    asked = replace(panel, values=values).ending(at)
    asked = replace(asked, until=begin + shift)
    truth = Steered(
        asked.mask, asked.start, asked.until, panel.until + shift, aligned(np.where(after, marked.labels, marks), at),
        marked.aside, buffer, marked.pooled, aided, not why,
    )  # fmt: skip
    return Stage(panel.ending(begin), (asked,)), truth, why


def aligned(x: Array, at: Array) -> Array:
    """Cut rows [N, T] before their own step `at` [N] and align the ends, as `Panel.ending` does; False before."""
    last = int(at.max())
    source = np.arange(last) - (last - at)[:, None]
    return np.where(source >= 0, x[np.arange(len(x))[:, None], np.maximum(source, 0)], False)


def _facts(marked: Marked, final: Final, buffer: int, smooth: int) -> dict[str, Any]:
    found = marked.entities
    y = [marked.labels[n, final.steps(n)] for n in final.group]
    return {
        "family": marked.family,
        "entities": len(found.names),
        "scored": len(y),
        "set_aside": int(final.aside.sum()),
        "anomalous": sum(bool(one.any() and (marked.pooled or not one.all())) for one in y),
        "labelled_share": float(np.concatenate(y).mean()) if y else float("nan"),
        "buffer": buffer,
        "smooth": smooth,
        "season": found.season,
        "freq": found.freq if found.clock != NO_TIME else "",
        "incidents": manifest(marked.incidents, found.names),
    }


def _judged(
    marked: Marked, final: Final, facts: Mapping[str, Any], missing: Mapping[str, str]
) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Decide what the split allows: flags, the reason why nothing can be scored, and sentences for the user."""
    share = facts["labelled_share"]
    labelled = f", {share:.1%} of their steps" if facts["scored"] else ""
    opening = (
        f"{marked.family}: {facts['scored']:,} entities scored, {facts['anomalous']:,} with an anomaly{labelled}; "
        f"{facts['set_aside']:,} set aside; buffer {facts['buffer']}, scores smoothed over {facts['smooth']} steps"
    )
    notes = [
        opening,
        *filter(None, [marked.entities.mixture]),
        *marked.notes,
        *(f"no {', '.join(missing)} rows: {why}" for why in list(missing.values())[:1]),
    ]
    flags = ("contaminated",) if bool((marked.entities.contaminated & final.usable).any()) else ()
    if 0 < facts["anomalous"] < FEW_ANOMALOUS:
        flags = ("underpowered", *flags)
        notes.append(f"underpowered: {facts['anomalous']} scored entities with an anomaly, at least {FEW_ANOMALOUS} to rank")
    if share == 1.0 or (share > 0 and not facts["anomalous"]):
        return flags, "where a step after the training prefix is labelled, every one is", tuple(notes)
    if not facts["anomalous"]:
        return flags, marked.reason or "no scored entity has an anomaly after its training prefix", tuple(notes)
    return flags, "", tuple(notes)
