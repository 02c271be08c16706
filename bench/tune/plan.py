"""What one cell does: explore, race, confirm, decide, then final fits. A generator that yields jobs and is sent their entries.

What is found is confirmed on users, or in windows, that it has not seen, where the task has stages for that.
It knows nothing of processes, files or time; fed from a finished ledger it replays the same path and ends the same.
Every configuration meets the first validation; only those that may still win meet the others, beside the default.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bench.api import Sampler
from bench.execute.jobs import Job, Plugin, stable_seed, trial_seed
from bench.execute.mean_of import params_of
from bench.execute.rungs import Rung
from bench.tasks.base import OLDER, RESEEDED, RankingRule, StageName
from bench.tune import search
from bench.tune.decide import FEW, Choice, Unseen, contenders, decide, few_best, scored, shares, standing
from bench.tune.rungs import rungs_after
from bench.tune.trials import Difference, Entry, Trial, difference


class MakeJob(Protocol):
    """Make a job's spec and key."""

    def __call__(
        self, stage: StageName, params: Mapping[str, Any], seed: int, number: int, of: tuple[str, ...] = (), rungs: tuple[Rung, ...] = ()
    ) -> Job:
        """Return the job; `of`: keys of fits whose predictions are averaged in its place; `rungs`: where its training may be stopped."""


UNSEEN = "-unseen"
"""Ends the name, among a choice's scores under resamples, of what unseen users said of what was found: its advantage over the default,
that one's standard error, and the seconds of the fits."""
TOGETHER = "-together"
"""The same of windows: the advantage at the validations and at what the search has not seen, together."""
NOTHING = Difference(0.0, 0.0)
"""An advantage that confirms nothing."""
FEW_TRIALS = 8
"""Below so many configurations a search has hardly begun: its rows say so."""


@dataclass(frozen=True)
class Budget:
    """The budget, equal for every cell."""

    trials: int
    """Fits of the search, all validations together."""
    seeds: int
    base: int = 0
    minutes: float | None = None
    sampler: Sampler | None = None
    """Who proposes trials after the first batch; None: TPE."""


@dataclass(frozen=True)
class Scope:
    """What a cell searches on: seeds follow from the data, the task and the model, never from a file's name."""

    seed: int
    ranking: RankingRule
    validations: tuple[StageName, ...] = ("search",)
    searched: bool = True
    """Where it is not, only the default is fitted."""
    averages: bool = True
    """Predictions may be averaged: a tuned row is then the mean of a few configurations."""
    portfolio: tuple[Mapping[str, Any], ...] = ()
    """Configurations that did well on other data: tried right after the default."""
    pruned: bool = False
    """A training that is far behind others at a rung is stopped there."""
    unseen: tuple[StageName, ...] = ()
    """Stages on which what a search found is confirmed, see `bench.tasks.base.unseen_name` and `OLDER`."""


@dataclass(frozen=True)
class Outcome:
    """What became of a cell."""

    trials: tuple[Entry, ...]
    """By number, each the merged entry of its validations; empty for a model with an empty space."""
    valid: Entry
    """The default configuration on its validations: trial 0."""
    finals: Mapping[tuple[str, int], Entry]
    """(tuning, seed) -> entry of the final fit."""
    best: Mapping[str, Entry]
    """Tuning -> what it chose: a trial, which may be the default, or the mean of a few; empty where no trial worked."""
    stopped_by: str
    kept_default: frozenset[str] = field(default=frozenset())
    """Tunings for which no trial was better than the default beyond its own uncertainty."""
    seed_matters: bool = False
    """The model calls itself deterministic, and predicts otherwise with another seed."""
    second: Entry | None = None
    """What the labels of the other half chose, once the final predictions of both are one."""


Plan = Generator[list[Job], list[Entry], Outcome]


def plan(plugin: Plugin, budget: Budget, make: MakeJob, scope: Scope) -> Plan:
    """Run the search and the finals of one cell; see `Budget` and `Scope`."""
    trials: list[Trial] = []
    stopped_by = "trials"
    if plugin.space and scope.searched:
        stopped_by = yield from _search(plugin, budget, make, trials, scope)
    else:
        trials.append(Trial(0, dict(plugin.default)))
        yield from _validate(trials, scope.validations, budget, make)
    valid = trials[0].merged()
    chosen = (yield from _chosen(trials, budget, make, scope)) if plugin.space and scope.searched else {}
    finals: dict[tuple[str, int], Entry] = {}
    if stopped_by != "failures" and (plugin.space or valid["status"] == "ok"):
        seeds = range(1 if plugin.deterministic else budget.seeds)
        defaults = [("default", s, plugin.default) for s in seeds]
        tuned = [(tuning, s, choice.trial.params) for tuning, choice in chosen.items() for s in seeds]
        # the tuned ones behind them: a mean takes the default's fit over
        for wanted in filter(None, (defaults, tuned)):
            entries = yield [make("final", params, budget.base + s, s) for _, s, params in wanted]
            finals |= {(tuning, budget.base + s): entry for (tuning, s, _), entry in zip(wanted, entries, strict=True)}
    seed_matters = yield from _seed_matters(plugin, budget, make, finals.get(("default", budget.base)))
    best = {tuning: _told(choice, tuning) for tuning, choice in chosen.items()}
    kept = frozenset(tuning for tuning, choice in chosen.items() if choice.kept_default)
    every = tuple(t.merged() for t in trials) if plugin.space and scope.searched else ()
    return Outcome(every, valid, finals, best, stopped_by, kept, seed_matters)


def confirms(unseen: Sequence[StageName], configurations: int) -> bool:
    """Return whether what a search of so many configurations found is confirmed: the fits of few are fewer than those of that."""
    return bool(unseen) and configurations >= FEW_TRIALS


def confirming(unseen: Sequence[StageName], configurations: int) -> int:
    """Count the fits that confirm what a search found: the few on each stage, where two on half of the users are as one."""
    return FEW * (1 + (RESEEDED in unseen)) if confirms(unseen, configurations) else 0


def _seed_matters(plugin: Plugin, budget: Budget, make: MakeJob, first: Entry | None) -> Generator[list[Job], list[Entry], bool]:
    """Fit the default of a deterministic plugin once more, with another seed, and return whether its predictions are others.

    Asked of code that is not the project's own, and where more seeds than one are wanted: of the fits that are saved, one is taken back.
    """
    if not plugin.deterministic or plugin.source.shipped or budget.seeds == 1 or first is None or not _told_all(first):
        return False
    (other,) = yield [make("final", plugin.default, budget.base + 1, 1)]
    return _told_all(other) and _predicted(other) != _predicted(first)


def _told_all(entry: Entry) -> bool:
    return entry["status"] == "ok" and not entry["cut_short"]


def _predicted(entry: Entry) -> str:
    """Return the digest of an entry's predictions."""
    return entry["digests"][entry["prediction"] or ""]


def _search(plugin: Plugin, budget: Budget, make: MakeJob, trials: list[Trial], scope: Scope) -> Generator[list[Job], list[Entry], str]:
    explored, rivals = shares(budget.trials, scope.validations)
    first, later, confirmed = scope.validations[:1], scope.validations[1:], confirming(scope.unseen, explored)
    for batch in itertools.count():
        # what pruned trainings left over buys further trials
        left = explored - sum(t.cost for t in trials)
        size = min(search.BATCH, math.floor(left + 1e-9))
        if not size:
            break
        finished = [(t.params, score_for_sampler(t, scope.ranking)) for t in trials]
        asked = search.ask(
            plugin.space, plugin.default, finished, batch, seed=stable_seed(budget.base, scope.seed), size=size,
            higher=scope.ranking.higher, portfolio=scope.portfolio, sampler=budget.sampler,
        )  # fmt: skip
        new = [Trial(len(trials) + at, params) for at, params in enumerate(asked)]
        rungs = rungs_after(trials) if scope.pruned else ()
        if (yield from _validate(new, first, budget, make, trials, plugin, rungs, confirmed=confirmed)):
            return "minutes"
        # nothing that was tried works, the author's default included: more of it would only cost time
        if batch == 0 and not any(t.ok for t in trials):
            return "failures"
    racing = trials
    for stage in later if rivals else ():
        if _out_of_time(trials, budget, plugin, confirmed=confirmed):
            return "minutes"
        racing = [trials[0], *contenders(racing, _tunings(trials), scope.ranking, rivals)]
        # the default goes on in any case: its predictions calibrate, and may join the ensemble
        yield from _validate([t for t in racing if t.ok], (stage,), budget, make)
    return "trials"


def _told(choice: Choice, tuning: str) -> Entry:
    """Return the entry of what stands, with what unseen users said of it."""
    entry, unseen = choice.trial.merged(), choice.unseen
    if unseen is None:
        return entry
    told = [unseen.advantage.mean, unseen.advantage.error, unseen.seconds]
    return {**entry, "replicates": {**entry["replicates"], tuning + (TOGETHER if unseen.together else UNSEEN): told}}


def _chosen(trials: Sequence[Trial], budget: Budget, make: MakeJob, scope: Scope) -> Generator[list[Job], list[Entry], dict[str, Choice]]:
    """Choose for each tuning: the mean of the few best on validation, if that is an improvement on the default."""
    found = {}
    for tuning in _tunings(trials):
        few = few_best(trials, tuning, scope.ranking, FEW if scope.averages else 1)
        if few:
            # of one too: its predictions are then stored as what stands, whatever is removed of the trials'
            best = trials[0] if few == trials[:1] else (yield from _mean(standing(few, trials[0], tuning), make))
            # where the mean cannot be scored, the best alone is what the search found
            best, few = (best, few) if best.ok else (few[0], few[:1])
            if confirms(scope.unseen, len(trials)) and best is not trials[0] and scored(trials[0], tuning):
                found[tuning] = yield from _confirmed(best, few, trials[0], tuning, budget, make, scope)
            else:
                found[tuning] = decide(best, trials[0], tuning, scope.ranking)
    return found


def _confirmed(
    best: Trial, few: Sequence[Trial], default: Trial, tuning: str, budget: Budget, make: MakeJob, scope: Scope
) -> Generator[list[Job], list[Entry], Choice]:
    """Ask what the search has not seen about what it found: about the best trial alone too, where windows are asked."""
    first = next((t for t in few if t is not default), best)
    candidates = (first, best) if OLDER in scope.unseen and len(few) > 1 else (best,)
    # what is no better on the past is not asked about any further
    asked = [t for t in candidates if difference(t, default, tuning, higher=scope.ranking.higher).mean > 0]
    if not asked:
        return decide(best, default, tuning, scope.ranking)
    again, spent = yield from _again(few, default, budget, make, scope)
    for trial in asked:
        group = few if trial is best else [trial]
        unseen = Unseen((yield from _advantage(trial, group, default, again, tuning, make, scope)), spent, OLDER in scope.unseen)
        choice = decide(trial, default, tuning, scope.ranking, unseen)
        if not choice.kept_default:
            return choice if trial is best else replace(choice, trial=(yield from _mean(group, make)))
    return choice


def _again(
    few: Sequence[Trial], default: Trial, budget: Budget, make: MakeJob, scope: Scope
) -> Generator[list[Job], list[Entry], tuple[dict[int, Trial], float]]:
    """Fit the few and the default on every stage that the search has not seen; return them by number, and the seconds.

    Their seeds are others than before: a fit that was lucky is not lucky again.
    """
    again = {t.number: Trial(t.number, t.params) for t in (default, *few)}
    wanted = [(trial, stage) for stage in scope.unseen for trial in again.values()]
    entries = yield [make(stage, t.params, stable_seed(budget.base, t.number, stage), t.number) for t, stage in wanted]
    for (trial, stage), entry in zip(wanted, entries, strict=True):
        trial.entries[stage] = entry
    return again, seconds(entries)


def _advantage(
    past: Trial, group: Sequence[Trial], default: Trial, again: Mapping[int, Trial], tuning: str, make: MakeJob, scope: Scope
) -> Generator[list[Job], list[Entry], Difference]:
    """Compare the mean of a group with the default on what was not seen; of windows together with `past`, its validations."""
    if not all(scored(trial, tuning) for trial in again.values()):
        return NOTHING  # what cannot be fitted on half of the users, or on less of the past, is not confirmed
    mean = (yield from _mean([again[t.number] for t in group], make)) if len(group) > 1 else again[group[0].number]
    if not scored(mean, tuning):
        return NOTHING
    base = again[default.number]
    if OLDER in scope.unseen:
        mean, base = (Trial(one.number, {}, {**own.entries, **one.entries}) for own, one in ((past, mean), (default, base)))
    return difference(mean, base, tuning, higher=scope.ranking.higher)


def _mean(few: Sequence[Trial], make: MakeJob) -> Generator[list[Job], list[Entry], Trial]:
    """Score the mean of several trials' predictions on the validations that they have met; nothing is fitted."""
    # in the order of their numbers: the same few are the same model
    few = sorted(few, key=lambda t: t.number)
    mean = Trial(few[0].number, params_of([t.params for t in few]))
    stages = list(few[0].entries)
    entries = yield [make(stage, mean.params, 0, mean.number, tuple(t.entries[stage]["key"] for t in few)) for stage in stages]
    mean.entries.update(zip(stages, entries, strict=True))
    return mean


def _validate(
    new: Sequence[Trial],
    stages: Sequence[StageName],
    budget: Budget,
    make: MakeJob,
    into: list[Trial] | None = None,
    plugin: Plugin | None = None,
    rungs: tuple[Rung, ...] = (),
    *,
    confirmed: int = 0,
) -> Generator[list[Job], list[Entry], bool]:
    """Fit trials on validations and keep their entries; return whether the minutes ran out.

    Where time is limited, one trial is fitted after the other, and looked at after each.
    """
    groups = [[t] for t in new] if budget.minutes is not None and into is not None else [list(new)]
    for group in groups:
        if into and plugin is not None and _out_of_time(into, budget, plugin, confirmed=confirmed):
            return True
        wanted = [(trial, stage) for stage in stages for trial in group]
        entries = yield [make(stage, t.params, trial_seed(budget.base, t.number), t.number, rungs=rungs) for t, stage in wanted]
        for (trial, stage), entry in zip(wanted, entries, strict=True):
            trial.entries[stage] = entry
        if into is not None:
            into += group
    return False


def _tunings(trials: Sequence[Trial]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tuning for t in trials if t.ok for entry in t.entries.values() for tuning in entry["values"]))


def score_for_sampler(trial: Trial, rule: RankingRule) -> float | search.Pruned:
    """Return a trial's score as the sampler is told it: a failed one always the task's penalty, a pruned one its loss at the rung."""
    first = next(iter(trial.entries.values()))
    if trial.pruned:
        return search.Pruned(len(first["losses"]), first["losses"][-1])
    value = first["value"]
    return rule.penalty if value is None or not trial.ok else float(value)


def seconds(entries: Sequence[Entry]) -> float:
    """Sum the worker seconds of entries."""
    return float(sum(e["fit_seconds"] + e["predict_seconds"] for e in entries))


def fits(trials: Sequence[Entry]) -> int:
    """Count the fits of a search: a trial has one for each validation that it met, less where it was stopped at a rung."""
    return math.ceil(sum(t["fits"] for t in trials) - 1e-9)


def seconds_unseen(choices: Mapping[str, Mapping[str, Any]]) -> float:
    """Sum the seconds of the fits that confirmed what was found; `choices`: tuning -> what stands, an entry or a published record."""
    told = [(one["replicates"], tuning + name) for tuning, one in choices.items() for name in (UNSEEN, TOGETHER)]
    return float(sum(replicates.get(name, (0.0,))[-1] for replicates, name in told))


def _out_of_time(trials: Sequence[Trial], budget: Budget, plugin: Plugin, *, confirmed: int) -> bool:
    """Return whether worker seconds so far, and as many again as the finals will need, use up the minutes."""
    if budget.minutes is None:
        return False
    spent = [seconds(list(t.entries.values())) for t in trials]
    finals = (1 + FEW if plugin.local else FEW) * (1 if plugin.deterministic else budget.seeds) + confirmed
    return sum(spent) + finals * max(spent) >= 60 * budget.minutes
