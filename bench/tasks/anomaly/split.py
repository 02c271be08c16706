"""Cut one family's data into stages and truths, and score what comes back.

Search: learn from the first part of each prefix, score the rest of it with steering injections and, where labels tune, the
steps after it too. Final: learn from the prefixes, score all that follows. Letters: N entities, T steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bench.api import Array
from bench.data.panel import Panel
from bench.errors import ConfigError, ProtocolError
from bench.metrics.anomaly import threshold
from bench.metrics.volume import pooled, vus_of
from bench.tasks.anomaly.alarms import Rule, raised
from bench.tasks.anomaly.channels import COMBINE, SEARCHED, apart, over, together
from bench.tasks.anomaly.entities import Entities, integer_option
from bench.tasks.anomaly.inject import oracle
from bench.tasks.anomaly.injection_plan import Incident, manifest
from bench.tasks.anomaly.plan import Marked, search_begin
from bench.tasks.anomaly.scores import Averaged, Summed, averaged, summed
from bench.tasks.anomaly.smoothing import abs_median, rolling_mean
from bench.tasks.anomaly.steering import KINDS, MeanVolume, ScoredPart, SteeringRecipe, inject_for_search, mean_volume, part_to_score
from bench.tasks.base import LABEL_FREE, SECOND, TUNED, Prediction, RankingRule, Split, Stage
from bench.tasks.clock import NO_TIME, Clock, format_time
from bench.tasks.profiles import Profile

FLOORS = (
    "abs-median", "rolling-deviation", "rolling-variance", "rolling-mean", "seasonal-residual", "abs-median-centred",
    "rolling-deviation-centred", "rolling-variance-centred", "rolling-mean-centred", "seasonal-residual-centred",
)  # fmt: skip
"""One line of arithmetic each: the best that a league allows, offline the causal ones too, is what a model there has to beat."""
RANKING = RankingRule("vus_pr", higher=True, reference="random", penalty=0.0, second="event_f1", floors=FLOORS)
FEW_ANOMALOUS = 5
"""Fewest scored entities with an anomaly for a board to rank."""
BUFFER = 100
"""Of labelled series, the width used on NAB; users get one season."""


@dataclass(frozen=True)
class SearchTruth:
    """The truth of the search stage: several draws of injections, a part each, and where labels tune one more part with them."""

    draws: tuple[ScoredPart, ...]
    half: Array
    """bool [N]: the first half of the entities."""
    buffer: int
    pooled: bool
    labelled: ScoredPart | None = None
    """The last part: the series as they are, to their end. Each half chooses by its labels, for the other."""
    searchable: bool = True

    def view(self, part: int) -> ScoredPart:
        """Return what is known of one part."""
        return self.draws[part] if self.labelled is None or part < len(self.draws) else self.labelled

    def objectives(self, prediction: Prediction, metric: str = "vus_pr") -> dict[str, MeanVolume]:
        """Prepare the score by the injections (`label-free`), and by the labels of either half (`tuned`, `tuned-2`)."""
        if not self.searchable:
            return {}
        found = {LABEL_FREE: self.search_score(prediction, metric)}
        if self.labelled is not None:
            draw, score = self.labelled, prediction[-1]["prediction"]
            for tuning, rows in ((TUNED, self.half), (SECOND, ~self.half)):
                group = np.flatnonzero(rows)
                parts = [draw.placed(score, n, draw.end[n], score.shape[1]) for n in group.tolist()]
                found[tuning] = mean_volume([parts], group, self.buffer, together=self.pooled, metric=metric)
        return found

    def search_score(self, prediction: Prediction, metric: str = "vus_pr") -> MeanVolume:
        """Prepare the score by the injections alone; what was learnt from is as unlabelled as the rest of a prefix."""
        group = np.arange(len(self.half))
        both = [(draw, part["prediction"]) for draw, part in zip(self.draws, prediction[: len(self.draws)], strict=True)]
        parts = [[draw.placed(score, n, draw.start[n], draw.end[n]) for n in group.tolist()] for draw, score in both]
        return mean_volume(parts, group, self.buffer, together=self.pooled, metric=metric)


@dataclass(frozen=True)
class Final:
    """The truth of the final stage."""

    names: tuple[str, ...]
    mask: Array
    start: Array
    until: Array
    labels: Array
    half: Array
    """bool [N]: the first half of the entities, whose labels tune what the others are scored by."""
    values: Array
    """float64 [N, T], NaN where nothing is known: for what is drawn when the run is over."""
    time: Array
    clock: Clock
    buffer: int
    pooled: bool
    incidents: Sequence[Incident] = field(repr=False, default=())

    @property
    def usable(self) -> Array:
        """Return which entities are scored: those with steps to learn from and to score, bool [N]."""
        step = np.arange(self.mask.shape[1])
        learnt = (self.mask & (step < self.until[:, None])).any(axis=1)
        return np.asarray(learnt & (self.mask & (step >= self.until[:, None])).any(axis=1))

    @property
    def group(self) -> Array:
        """Return the unit of resampling: each scored entity."""
        return np.flatnonzero(self.usable)

    def view(self, part: int) -> Final:
        """Return what is known of a part."""
        return self

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
                found[self.names[n]] = float(vus_of(pooled([(y, s)], self.buffer), np.ones((1, 1)), ("vus_pr",))["vus_pr"][0])
        return found

    def raised(self, score: Array, n: int) -> Array:
        """Mark the scored steps of an entity that a person would be alarmed about, bool [T']; see `alarms`."""
        prefix, steps = self.prefix(n), self.steps(n)
        own = score[n, np.concatenate([prefix, steps])]
        return raised(own, len(prefix), Rule.of(self.buffer))[len(prefix) :]

    def alarm(self, score: Array, budget: float) -> Array:
        """Mark the scored steps above their entity's threshold, float64 [N, T] of 0 and 1."""
        found = np.zeros(score.shape)
        for n in self.group.tolist():
            steps = self.steps(n)
            found[n, steps] = score[n, steps] > threshold(score[n, self.prefix(n)], budget)
        return found


@dataclass(frozen=True)
class _Widths:
    """The task's widths, in steps, and how the scores of several channels become one."""

    buffer: int
    smooth: int
    causal: int
    combine: str

    @classmethod
    def of(cls, options: Mapping[str, str], found: Entities) -> _Widths:
        """Read them from the options; raise `ConfigError`."""
        combine = options.get("combine", SEARCHED)
        if combine not in {*COMBINE, SEARCHED}:
            raise ConfigError(f"combine={combine!r} is unknown; use {', '.join(COMBINE)} or {SEARCHED}")
        buffer = integer_option(options, "buffer", max(found.season, 2) if found.of_log else BUFFER)
        smooth = _width(options, "smooth", max(buffer // 2, 1))
        return cls(buffer, smooth, _width(options, "smooth_causal", 1), combine)


def split_of(marked: Marked, options: Mapping[str, str], profile: Profile, seed: int) -> Split:
    """Cut one family into its stages."""
    found, widths = marked.entities, _Widths.of(options, marked.entities)
    panel = found.panel(marked.values)
    several = apart(panel, found.channels)
    search, steered, why = _search(marked, panel, several, widths.buffer, seed)
    widths = replace(widths, combine=_combination(search.parts, steered, widths))
    kept = marked.incidents
    final = Final(
        found.names, panel.mask, panel.start, panel.until, marked.labels, marked.half, marked.values, panel.time, found.finest,
        widths.buffer, marked.pooled, kept,
    )  # fmt: skip
    facts = _facts(marked, final, widths, several.channels)
    missing = {LABEL_FREE: why, "tuned": why} if why else {"tuned": marked.why_not_tuned} if marked.why_not_tuned else {}
    flags, reason, notes = _ranking_terms(marked, final, facts, missing)
    return Split(
        _task_id(marked, widths, several.channels, profile),
        stages={"search": search, "final": Stage(several.ending(several.until), (several,))},
        truths={"search": steered, "final": final},
        facts=facts,
        notes=notes,
        flags=flags,
        reason=reason,
        ranking=RANKING,
        columns={"family": marked.family, "n_test": int(final.usable.sum()), "objective": "vus_pr"},
        context={"horizon": 0.0, "loss": "reconstruction"},
        members={"entity": list(found.names), "until": final.until.tolist()},
        missing=missing,
        ceiling=() if reason or not kept else ({"prediction": _oracle(marked, panel, kept, widths.buffer)},),
        no_search_reason=why,
    )


def _combination(parts: Sequence[Panel], steered: SearchTruth, widths: _Widths) -> str:
    """Return how channels are combined: as asked, or as finds the injections best when |x - median|, smoothed, scores each channel."""
    if widths.combine != SEARCHED or parts[0].channels == 1 or not steered.searchable:
        return COMBINE[0] if widths.combine == SEARCHED else widths.combine
    found: dict[str, list[Mapping[str, Array]]] = {how: [] for how in COMBINE}
    for part, draw in zip(parts, steered.draws, strict=False):
        learn = part.mask & (np.arange(part.steps) < part.until[:, None])
        score = rolling_mean(abs_median(part.values, learn), widths.smooth, centred=True, real=part.mask)
        learnt = np.stack([draw.learnt(n) for n in range(len(draw.mask))])
        for how, scores in found.items():
            scores.append({"prediction": together(score, learnt, part.channels, how)})
    return max(COMBINE, key=lambda how: steered.search_score(found[how]).value)


def _task_id(marked: Marked, widths: _Widths, channels: int, profile: Profile) -> str:
    found = marked.entities
    smooth = f"{widths.smooth}" if widths.causal == widths.smooth else f"{widths.smooth}/smooth_causal={widths.causal}"
    several = f"/channels={channels}/combine={widths.combine}" if channels > 1 else ""
    strength = "" if marked.strength is None else f"/strength={marked.strength:g}"
    return (
        f"anomaly/v3/family={marked.family}/freq={found.freq or 'none'}/season={found.cycle}/buffer={widths.buffer}/smooth={smooth}"
        f"{several}/{found.choices}{strength}/{profile.caps()}"
    )


def _width(options: Mapping[str, str], key: str, default: int) -> int:
    """Read a width of smoothing; `off` is one step, which changes nothing."""
    return 1 if options.get(key) == "off" else integer_option(options, key, default)


def _oracle(marked: Marked, panel: Panel, incidents: Sequence[Incident], buffer: int) -> Array:
    """Score as one who knows what was injected, float64 [N, T]; 0 in the prefixes, into which a buffer may reach."""
    score = oracle(marked.entities.panel().values, panel.values, incidents, buffer)
    return np.where(np.arange(panel.steps) < panel.until[:, None], 0.0, score)


def _search(marked: Marked, panel: Panel, several: Panel, buffer: int, seed: int) -> tuple[Stage, SearchTruth, str]:
    """Make the search stage, one part a draw and one for the labels; the third item says why nothing can steer it."""
    begin, why, c = search_begin(panel), "", several.channels
    try:
        draws = inject_for_search(
            panel, begin, marked.entities.names, SteeringRecipe(KINDS[marked.family], buffer, marked.pooled, seed), several
        )
    except ProtocolError as error:
        draws, why = [(several.values, np.zeros(panel.values.shape, bool))], f"nothing can steer a search: {error}"
    parts = [part_to_score(several, values, over(begin, c), over(panel.until, c)) for values, _ in draws]
    truths = [_scored_part(panel, begin, panel.until, marks) for _, marks in draws]
    labelled = None
    if not marked.why_not_tuned and not why:
        # the labels come last: what injections say of a configuration must not know what follows a prefix
        end = np.full(len(panel), panel.steps)
        parts.append(part_to_score(several, several.values, over(begin, c), over(end, c)))
        labelled = _scored_part(panel, begin, end, marked.labels)
    truth = SearchTruth(tuple(truths), marked.half, buffer, marked.pooled, labelled, not why)
    return Stage(several.ending(over(begin, c)), tuple(parts)), truth, why


def _scored_part(panel: Panel, begin: Array, at: Array, marks: Array) -> ScoredPart:
    """Describe a part that is asked up to `at` [N], with its labels, bool [N, T]."""
    asked = part_to_score(panel, panel.values, begin, at)
    return ScoredPart(asked.mask, asked.start, asked.until, panel.until + (int(at.max()) - at), aligned(marks, at))


def aligned(x: Array, at: Array) -> Array:
    """Cut rows [N, T] before their own step `at` [N] and align the ends, as `Panel.ending` does; False before."""
    last = int(at.max())
    source = np.arange(last) - (last - at)[:, None]
    return np.where(source >= 0, x[np.arange(len(x))[:, None], np.maximum(source, 0)], False)


def _facts(marked: Marked, final: Final, widths: _Widths, channels: int) -> dict[str, Any]:
    found = marked.entities
    y = [marked.labels[n, final.steps(n)] for n in final.group]
    return {
        "family": marked.family,
        "entities": len(found.names),
        "scored": len(y),
        "anomalous": sum(bool(one.any() and (marked.pooled or not one.all())) for one in y),
        "labelled_share": float(np.concatenate(y).mean()) if y else float("nan"),
        "buffer": widths.buffer,
        "smooth": widths.smooth,
        "season": found.season,
        "freq": found.freq if found.clock != NO_TIME else "",
        "incidents": manifest(marked.incidents, found.names),
        "smooth_causal": widths.causal,
        "channels": channels,
        "combine": widths.combine,
    }


def _ranking_terms(
    marked: Marked, final: Final, facts: Mapping[str, Any], missing: Mapping[str, str]
) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Decide what the split allows: flags, the reason why nothing can be scored, and sentences for the user."""
    share = facts["labelled_share"]
    labelled = f", {share:.1%} of their steps" if facts["scored"] else ""
    opening = (
        f"{marked.family}: {facts['scored']:,} entities scored, {facts['anomalous']:,} with an anomaly{labelled}; "
        f"buffer {facts['buffer']}, offline scores smoothed over {facts['smooth']} steps, causal ones over {facts['smooth_causal']}"
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
