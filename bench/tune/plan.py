"""What one cell does: explore, confirm, decide, then final fits. A generator that yields jobs and is sent their entries.

It knows nothing of processes, files or time; fed from a finished ledger it replays the same path and ends the same.
Every configuration meets the first validation; only those that may still win meet the others, beside the default.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.execute.jobs import Job, Plugin, stable_seed
from bench.tasks.base import Ranking, StageName
from bench.tune import search
from bench.tune.decide import choose, contenders, shares
from bench.tune.trials import Entry, Trial

MakeJob = Callable[[StageName, Mapping[str, Any], int, int], Job]
"""(stage, parameters, seed, number) -> job."""
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


@dataclass(frozen=True)
class Scope:
    """What a cell searches on: seeds follow from the data, the task and the model, never from a file's name."""

    seed: int
    board: Ranking
    validations: tuple[StageName, ...] = ("search",)
    searched: bool = True
    """Where it is not, only the default is fitted."""
    portfolio: tuple[Mapping[str, Any], ...] = ()
    """Configurations that did well on other data: tried right after the default."""


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
    """Tuning -> the trial that it chose, which may be the default; empty where no trial worked."""
    stopped_by: str
    kept_default: frozenset[str] = field(default=frozenset())
    """Tunings for which no trial was better than the default beyond its own uncertainty."""


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
    chosen = {tuning: choice for tuning in _tunings(trials) if (choice := choose(trials, tuning, scope.board))} if plugin.space else {}
    if not scope.searched:
        chosen = {}
    finals: dict[tuple[str, int], Entry] = {}
    if stopped_by != "failures" and (plugin.space or valid["status"] == "ok"):
        seeds = range(1 if plugin.deterministic else budget.seeds)
        wanted = [("default", s, plugin.default) for s in seeds]
        wanted += [(tuning, s, choice.trial.params) for tuning, choice in chosen.items() for s in seeds]
        entries = yield [make("final", params, budget.base + s, s) for _, s, params in wanted]
        finals = {(tuning, budget.base + s): entry for (tuning, s, _), entry in zip(wanted, entries, strict=True)}
    best = {tuning: choice.trial.merged() for tuning, choice in chosen.items()}
    kept = frozenset(tuning for tuning, choice in chosen.items() if choice.kept_default)
    every = tuple(t.merged() for t in trials) if plugin.space and scope.searched else ()
    return Outcome(every, valid, finals, best, stopped_by, kept)


def _search(plugin: Plugin, budget: Budget, make: MakeJob, trials: list[Trial], scope: Scope) -> Generator[list[Job], list[Entry], str]:
    explored, rivals = shares(budget.trials, scope.validations)
    first, later = scope.validations[:1], scope.validations[1:]
    for batch in range(math.ceil(explored / search.BATCH)):
        size = min(search.BATCH, explored - batch * search.BATCH)
        finished = [(t.params, told(t, scope.board)) for t in trials]
        asked = search.ask(
            plugin.space, plugin.default, finished, batch, seed=stable_seed(budget.base, scope.seed), size=size,
            higher=scope.board.higher, portfolio=scope.portfolio,
        )  # fmt: skip
        new = [Trial(len(trials) + at, params) for at, params in enumerate(asked)]
        if (yield from _validate(new, first, budget, make, trials, plugin)):
            return "minutes"
        # nothing that was tried works, the author's default included: more of it would only cost time
        if batch == 0 and not any(t.ok for t in trials):
            return "failures"
    racing = trials
    for stage in later if rivals else ():
        racing = [trials[0], *contenders(racing, _tunings(trials), scope.board, rivals)]
        # the default goes on in any case: its predictions calibrate, and may join the ensemble
        yield from _validate([t for t in racing if t.ok], (stage,), budget, make)
    return "trials"


def _validate(
    new: Sequence[Trial],
    stages: Sequence[StageName],
    budget: Budget,
    make: MakeJob,
    into: list[Trial] | None = None,
    plugin: Plugin | None = None,
) -> Generator[list[Job], list[Entry], bool]:
    """Fit trials on validations and keep their entries; return whether the minutes ran out.

    Where time is limited, one trial is fitted after the other, and looked at after each.
    """
    groups = [[t] for t in new] if budget.minutes is not None and into is not None else [list(new)]
    for group in groups:
        if into and plugin is not None and _out_of_time(into, budget, plugin):
            return True
        wanted = [(trial, stage) for stage in stages for trial in group]
        entries = yield [make(stage, t.params, stable_seed(budget.base, t.number), t.number) for t, stage in wanted]
        for (trial, stage), entry in zip(wanted, entries, strict=True):
            trial.entries[stage] = entry
        if into is not None:
            into += group
    return False


def _tunings(trials: Sequence[Trial]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tuning for t in trials if t.ok for entry in t.entries.values() for tuning in entry["values"]))


def told(trial: Trial, board: Ranking) -> float:
    """Return a trial's score as the sampler is told it: a failed one always the task's penalty."""
    first = next(iter(trial.entries.values()))
    return float(first["value"]) if trial.ok else board.penalty


def seconds(entries: Sequence[Entry]) -> float:
    """Sum the worker seconds of entries."""
    return float(sum(e["fit_seconds"] + e["predict_seconds"] for e in entries))


def fits(trials: Sequence[Entry]) -> int:
    """Count the fits of a search: a trial has one for each validation that it met."""
    return sum(len(t["validations"]) for t in trials)


def _out_of_time(trials: Sequence[Trial], budget: Budget, plugin: Plugin) -> bool:
    """Return whether worker seconds so far, and as many again as the finals will need, use up the minutes."""
    if budget.minutes is None:
        return False
    spent = [seconds(list(t.entries.values())) for t in trials]
    finals = 2 * (1 if plugin.deterministic else budget.seeds)
    return sum(spent) + finals * max(spent) >= 60 * budget.minutes
