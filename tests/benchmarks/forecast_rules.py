"""Rules by which what a forecast search found might replace the author's default; `bench_forecast_rules.py` tries them.

Letters for shapes: V windows, B resamples of the series.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from bench.tune.decide import ERRORS
from bench.tune.trials import Difference

MEAN = "default and two"
"""What a search ends with: the mean of the default and the two best others."""
BEST = "best"
T_90 = 1.886
"""Student's t of two degrees of freedom, one-sided 90 %: as rare as 1.28 normal standard errors, of three windows."""


@dataclass(frozen=True)
class Asked:
    """Scores of what a search found and of the default, lower is better."""

    found: Any
    """float64 [V]"""
    default: Any
    found_drawn: Any
    """float64 [V, B]; the resamples are the same for both."""
    default_drawn: Any


@dataclass(frozen=True)
class Pair:
    """One search and one way to make what stands for it; `gain` on test is the log of the ratio of errors, better above 0."""

    board: str
    model: str
    local: bool
    asked: Mapping[str, Asked]
    """`past`: the search's own windows and seeds; `fresh`: other seeds; `older`: windows before; `halves`: series not learnt from."""
    gain: float
    low: float
    high: float


Found: TypeAlias = Mapping[str, Pair]
"""Way -> pair."""
Rule: TypeAlias = Callable[[Found], Pair | None]
"""What replaces the default; None: it stays."""


def each_window(asked: Asked) -> Any:
    """Return the advantage over the default in each window, [V]."""
    return asked.default - asked.found


def between(asked: Asked) -> float:
    """Return the standard error of the mean of windows, from how they differ."""
    each = each_window(asked)
    return float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else 0.0


def over_series(asked: Asked) -> float:
    """Return the standard error over resamples of the series."""
    return float((asked.default_drawn - asked.found_drawn).mean(axis=0).std())


def advantage(asked: Asked) -> Difference:
    """Compare as a search does: the error is the larger of that over series and that between windows."""
    return Difference(float(each_window(asked).mean()), max(over_series(asked), between(asked)))


def added(asked: Asked) -> Difference:
    """Add both variances."""
    return Difference(float(each_window(asked).mean()), math.hypot(over_series(asked), between(asked)))


def following(asked: Asked) -> Difference:
    """Give the error of one further window."""
    return Difference(float(each_window(asked).mean()), math.hypot(over_series(asked), between(asked) * math.sqrt(len(asked.found))))


def twice(asked: Asked) -> Difference:
    """Resample windows and series at once."""
    drawn = asked.default_drawn - asked.found_drawn  # [V, B]
    windows, resamples = drawn.shape
    rows = np.random.default_rng(5).integers(0, windows, (windows, 10 * resamples))
    return Difference(float(each_window(asked).mean()), float(drawn[rows, np.tile(np.arange(resamples), 10)].mean(axis=0).std()))


def pooled(*every: Asked | None) -> Asked:
    """Put windows together, each as often as it was asked about."""
    known = [one for one in every if one is not None]
    return Asked(*(np.concatenate([getattr(one, f.name) for one in known]) for f in fields(Asked)))


def seeded(pair: Pair) -> bool:
    """Return whether other seeds change what is predicted."""
    past, fresh = pair.asked["past"], pair.asked["fresh"]
    return bool((past.found != fresh.found).any() or (past.default != fresh.default).any())


def all_windows(pair: Pair) -> Difference:
    """Take the search's windows, by its seeds and by others, and older ones together."""
    return advantage(pooled(pair.asked["past"], pair.asked["fresh"] if seeded(pair) else None, pair.asked.get("older")))


def confirmed(pair: Pair, by: str, past: float = 0.0, own: float = 0.0, both: float = 0.0) -> bool:
    """Ask that both advantages and their mean exceed so many of their errors; the past alone where nothing else was asked."""
    before, further = advantage(pair.asked["past"]), pair.asked.get(by)
    if further is None or (by == "fresh" and not seeded(pair)):
        return before.exceeds(ERRORS)
    then = advantage(further)
    mean = Difference((before.mean + then.mean) / 2, math.hypot(before.error, then.error) / 2)
    return before.exceeds(past) and then.exceeds(own) and mean.exceeds(both)


def past(pair: Pair, errors: float, error: Callable[[Asked], Difference] = advantage, *, every: bool = False) -> bool:
    """Ask the search's own windows: an advantage of so many errors, and in every one of them where `every`."""
    asked = pair.asked["past"]
    return error(asked).exceeds(errors) and (not every or each_window(asked).min() > 0)


def t_like(pair: Pair) -> bool:
    """Ask for more of the error between windows, as there are three."""
    asked = pair.asked["past"]
    return past(pair, ERRORS) and each_window(asked).mean() > T_90 * between(asked)


def older(pair: Pair) -> bool:
    """Ask older windows alone where there are any."""
    return advantage(pair.asked.get("older", pair.asked["past"])).exceeds(ERRORS)


def together(pair: Pair, errors: float) -> bool:
    """Ask all windows together."""
    return all_windows(pair).exceeds(errors)


def stands(way: str, enough: Callable[[Pair], bool]) -> Rule:
    """Let what was made in one way replace the default where it is enough."""
    return lambda found: found[way] if enough(found[way]) else None


def tiers(best: Callable[[Pair], bool], mean: Callable[[Pair], bool]) -> Rule:
    """Let the best trial stand alone where it is sure, else the mean where that is enough."""
    return lambda found: found[BEST] if best(found[BEST]) else found[MEAN] if mean(found[MEAN]) else None


BEFORE = "past 1.5 (before)"
CONFIRMED: Mapping[str, Callable[[Pair], bool]] = {
    BEFORE: partial(past, errors=1.5),
    "past 1": partial(past, errors=1.0),
    "past 2": partial(past, errors=2.0),
    "past 3": partial(past, errors=3.0),
    "past 1.5, every window": partial(past, errors=1.5, every=True),
    "past 1.5, t between windows": t_like,
    "past 1.5, errors added": partial(past, errors=1.5, error=added),
    "past 1, of the next window": partial(past, errors=1.0, error=following),
    "past 1.5, series and windows resampled": partial(past, errors=1.5, error=twice),
    "older 1.5": older,
    "past 1.5, older no loss": partial(confirmed, by="older", past=1.5),
    "past and older 1.5, neither a loss": partial(confirmed, by="older", both=1.5),
    "past 1.5, other seeds no loss": partial(confirmed, by="fresh", past=1.5),
    "past 1.5, other seeds 1": partial(confirmed, by="fresh", past=1.5, own=1.0),
    "all windows 1.5": partial(together, errors=1.5),
    "all windows 1.75": partial(together, errors=1.75),
    "all windows 2": partial(together, errors=2.0),
    "past and halves 1.5, neither a loss": partial(confirmed, by="halves", both=1.5),
    "past 1.5, halves no loss": partial(confirmed, by="halves", past=1.5),
    "always": lambda _: True,
}
SHRUNK = ("default half, two", "default 2/3, two", "default and best", BEST)
"""Other ways to make what stands."""
TIERS = ((1.5, 1.5), (2.0, 1.5), (2.5, 1.5), (2.5, 1.75), (2.5, 2.0), (3.0, 1.75))
"""Errors over all windows of the best trial alone, and of the mean."""


def rules() -> Iterator[tuple[str, Rule]]:
    """Yield every rule with its name, the first that of before."""
    for name, enough in CONFIRMED.items():
        yield name, stands(MEAN, enough)
    for way in SHRUNK:
        for name in (BEFORE, "all windows 1.5"):
            yield f"{way}: {name}", stands(way, CONFIRMED[name])
    for best in ("past 2", "past 3"):
        yield f"best if {best}, else {BEFORE}", tiers(CONFIRMED[best], CONFIRMED[BEFORE])
    for best_errors, mean_errors in TIERS:
        rule = tiers(partial(together, errors=best_errors), partial(together, errors=mean_errors))
        yield f"all windows: best {best_errors:g}, else mean {mean_errors:g}", rule
