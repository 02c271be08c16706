"""What a run will cost, said before it starts: from earlier runs on this machine, and from the first trial of each cell.

A cell's fits are counted by its budget; the seconds of one are those of the same model in an earlier run, scaled by the size
of the training data, or those of the fits that the run itself has made. Kept beside the cache of logs, one figure a model.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from bench.execute.machine import cores
from bench.execute.mean_of import fitted
from bench.sources.cache import cache_folder
from bench.tune.decide import FEW, shares
from bench.tune.plan import Budget, confirming

if TYPE_CHECKING:
    from bench.runs.cell import Cell
    from bench.tune.trials import Entry

WORTH = 60.0
"""Seconds to come below which nothing is said after the first trials."""
NAMED = 4
"""Most models that are named as unknown."""


class Figure(TypedDict):
    """What one fit of a model took in an earlier run."""

    seconds: float
    size: int
    """Bytes of its training data as a worker was sent them."""
    epochs: int


Figures = Mapping[str, Figure]


class Spent(NamedTuple):
    """What one fit took."""

    seconds: float
    configurations: int
    """How many were fitted: one, or those of a mean."""
    ok: bool


def spent(entry: Entry) -> Spent:
    """Return what the fit of a ledger's entry took."""
    over = entry.get("taken_over", 0.0)
    seconds = entry["fit_seconds"] + entry["predict_seconds"] - over
    return Spent(seconds, fitted(entry["params"]) - bool(over), entry["status"] == "ok")


@dataclass(frozen=True)
class Estimate:
    """Worker seconds to come: at least (every default is kept) and at most (every search finds something)."""

    low: float
    high: float
    unknown: tuple[str, ...] = ()
    """Models of which nothing is known."""
    cells: int = 0

    def wall(self, workers: int) -> tuple[float, float]:
        """Return the seconds that pass with so many workers."""
        return self.low / workers, self.high / workers


def fits_to_come(cell: Cell, budget: Budget) -> tuple[int, int]:
    """Count the fits of a whole cell: where the default stands in the end, and where a mean of a few configurations does."""
    seeds = 1 if cell.plugin.deterministic else budget.seeds
    if not cell.plugin.space or cell.split.no_search_reason:
        return (n := len(cell.split.validations) + seeds), n
    # a mean takes the default's fit over, where it is saved
    confirmed = confirming(cell.scope.unseen, shares(budget.trials, cell.split.validations)[0])
    return budget.trials + seeds, budget.trials + confirmed + seeds * (1 + FEW if cell.plugin.local else FEW)


def estimate(cells: Sequence[Cell], budget: Budget, done: Mapping[str, Sequence[Spent]], figures: Figures) -> Estimate:
    """Estimate what is left: `done` holds what each cell's fits took so far, by the cell's name."""
    low = high = 0.0
    unknown = []
    for cell in cells:
        own = done.get(cell.name, ())
        each = seconds_of_a_fit(own) or _scaled(figures.get(_key(cell)), cell)
        if each is None:
            unknown.append(cell.plugin.name)
            continue
        least, most = (max(n - sum(fit.configurations for fit in own), 0) for n in fits_to_come(cell, budget))
        limit = math.inf if budget.minutes is None else 60 * budget.minutes
        low, high = low + min(least * each, limit), high + min(most * each, limit)
    return Estimate(low, high, tuple(dict.fromkeys(unknown)), len(cells))


def seconds_of_a_fit(fits: Iterable[Spent]) -> float | None:
    """Return the median seconds of a fit with its predictions; None where none worked."""
    each = [fit.seconds / fit.configurations for fit in fits if fit.ok]
    return statistics.median(each) if each else None


def before(found: Estimate, workers: int) -> str:
    """State what a run will cost before it starts."""
    known = found.cells and found.high > 0
    if not known:
        later = "once each model has its first trial, where more than a minute is to come"
        return f"how long it takes is not known here yet; it is said {later}" if found.unknown else "nothing is left to fit"
    words = f"will take {_range(*found.wall(workers))}, by earlier runs on this machine"
    if not found.unknown:
        return words
    names = ", ".join(found.unknown[:NAMED]) + (f" and {len(found.unknown) - NAMED} more" if len(found.unknown) > NAMED else "")
    return f"{words}, and what {names} need, which have not run here"


def after_first_trials(found: Estimate, workers: int) -> str:
    """State what is still to come once every cell has its first trial; empty where that is next to nothing."""
    low, high = found.wall(workers)
    return f"by the first trial of each model: {_range(low, high)} to come" if high >= WORTH else ""


def _range(low: float, high: float) -> str:
    unit, name = (60.0, "min") if high >= 90 else (1.0, "s")
    ends = [max(round(x / unit), 1) for x in (low, high)]
    if high >= 5400:
        return f"about {low / 3600:.1f} to {high / 3600:.1f} h"
    return f"about {ends[0]} {name}" if ends[0] == ends[1] else f"about {ends[0]} to {ends[1]} {name}"


def _scaled(figure: Figure | None, cell: Cell) -> float | None:
    if figure is None:
        return None
    epochs = 1.0 if cell.plugin.runtime == "none" else cell.context["epochs"] / max(figure["epochs"], 1)
    return figure["seconds"] * epochs * _size(cell) / max(figure["size"], 1)


def _size(cell: Cell) -> int:
    return cell.split.stages[cell.split.validations[0]].payloads[0].size


def _key(cell: Cell) -> str:
    task = cell.split.task_id.partition("/")[0]
    return "/".join((platform.node(), str(cores()), task, cell.plugin.name, cell.device))


def costs_file() -> Path:
    """Return where the figures are kept."""
    return cache_folder().parent / "costs.json"


def earlier() -> dict[str, Figure]:
    """Read the figures of earlier runs; none where there are none, or none that can be read: they only inform."""
    try:
        found = json.loads(costs_file().read_text())
        return {key: Figure(seconds=float(f["seconds"]), size=int(f["size"]), epochs=int(f["epochs"])) for key, f in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def remember(cells: Sequence[Cell], done: Mapping[str, Sequence[Spent]]) -> str:
    """Keep what a fit of each model took, the latest run's figure in place of an earlier one's; return why that failed, if it did."""
    new = {
        _key(cell): Figure(seconds=each, size=_size(cell), epochs=int(cell.context["epochs"]))
        for cell in cells
        if (each := seconds_of_a_fit(done.get(cell.name, ()))) is not None
    }
    file = costs_file()
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps({**earlier(), **new}, indent=0, sort_keys=True))
        partial.replace(file)
    except OSError as error:
        return f"what this run took is not kept for the next one's estimate: {file}: {error.strerror or error}"
    return ""
