"""What one cell does: search in batches, then final fits. A generator that yields jobs and is sent their entries.

It knows nothing of processes, files or time; fed from a finished ledger it replays the same path and ends the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.execute.jobs import Job, Plugin, stable_seed
from bench.tasks.base import Board, StageName
from bench.tune import search

Entry = Mapping[str, Any]
"""A line of the ledger."""
MakeJob = Callable[[StageName, Mapping[str, Any], int, int], Job]
"""(stage, parameters, seed, number) -> job."""


@dataclass(frozen=True)
class Budget:
    """The budget, equal for every cell."""

    trials: int
    seeds: int
    base: int = 0
    minutes: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a cell."""

    trials: tuple[Entry, ...]
    """By number; empty for a model with an empty space."""
    valid: Entry
    """The default configuration on validation: trial 0."""
    finals: Mapping[tuple[str, int], Entry]
    """(tuning, seed) -> entry of the final fit."""
    best: Mapping[str, Entry]
    """Tuning -> the trial that it chose; empty where no trial worked."""
    stopped_by: str


Plan = Generator[list[Job], list[Entry], Outcome]


def plan(plugin: Plugin, budget: Budget, make: MakeJob, *, name: str, board: Board, searched: bool = True) -> Plan:
    """Run the search and the finals of one cell; see `Budget`. Where it is not `searched`, only the default is fitted."""
    trials: list[Entry] = []
    stopped_by = "trials"
    if plugin.space and searched:
        stopped_by = yield from _search(plugin, budget, make, trials, name=name, board=board)
        valid = trials[0]
    else:
        (valid,) = yield [make("search", plugin.default, stable_seed(budget.base, 0), 0)]
    best = chosen(trials, board)
    finals: dict[tuple[str, int], Entry] = {}
    if stopped_by != "failures" and (plugin.space or valid["status"] == "ok"):
        seeds = range(1 if plugin.deterministic else budget.seeds)
        wanted = [("default", s, plugin.default) for s in seeds]
        wanted += [(tuning, s, trial["params"]) for tuning, trial in best.items() for s in seeds]
        entries = yield [make("final", params, budget.base + s, s) for _, s, params in wanted]
        finals = {(tuning, budget.base + s): entry for (tuning, s, _), entry in zip(wanted, entries, strict=True)}
    return Outcome(tuple(trials), valid, finals, best, stopped_by)


def chosen(trials: Sequence[Entry], board: Board) -> dict[str, Entry]:
    """Choose the best trial for each tuning that they were scored for; the earliest of equals."""
    worked = [t for t in trials if t["status"] == "ok"]
    sign = 1 if board.higher else -1
    tunings = dict.fromkeys(tuning for t in worked for tuning in t["values"])
    return {
        tuning: max((t for t in worked if tuning in t["values"]), key=lambda t: (sign * t["values"][tuning], -t["number"]))
        for tuning in tunings
    }


def _search(
    plugin: Plugin, budget: Budget, make: MakeJob, trials: list[Entry], *, name: str, board: Board
) -> Generator[list[Job], list[Entry], str]:
    for batch in range(math.ceil(budget.trials / search.BATCH)):
        if batch and _out_of_time(trials, budget, plugin):
            return "minutes"
        size = min(search.BATCH, budget.trials - batch * search.BATCH)
        finished = [(t["params"], objective(t, board.penalty)) for t in trials]
        asked = search.ask(plugin.space, plugin.default, finished, batch, base=budget.base, cell=name, size=size, higher=board.higher)
        numbers = range(len(trials), len(trials) + size)
        trials += yield [make("search", p, stable_seed(budget.base, n), n) for n, p in zip(numbers, asked, strict=True)]
        # nothing that was tried works, the author's default included: more of it would only cost time
        if batch == 0 and all(t["status"] != "ok" for t in trials):
            return "failures"
    return "trials"


def objective(entry: Entry, penalty: float) -> float:
    """Return a trial's value as the sampler is told it: a failed one always the task's penalty."""
    return float(entry["value"]) if entry["status"] == "ok" else penalty


def seconds(entries: Sequence[Entry]) -> float:
    """Sum the worker seconds of entries."""
    return float(sum(e["fit_seconds"] + e["predict_seconds"] for e in entries))


def _out_of_time(trials: Sequence[Entry], budget: Budget, plugin: Plugin) -> bool:
    """Return whether worker seconds so far, and as many again as the finals will need, use up the minutes."""
    if budget.minutes is None:
        return False
    finals = 2 * (1 if plugin.deterministic else budget.seeds)
    slowest = max(seconds([t]) for t in trials)
    return seconds(trials) + finals * slowest >= 60 * budget.minutes
