"""Decide what a search has found: the best trial where it is an improvement, the author's default where it is not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.execute.mean_of import configurations
from bench.tasks.base import LABEL_FREE, RankingRule, StageName
from bench.tune.trials import Difference, Trial, difference

ERRORS = 1.5
"""Standard errors by which an advantage over the default must exceed nothing.

Chosen together with `FEW` on simulated logs alone (documentation, "Does tuning pay?"): of 36 pairs of model and log it replaced 18
defaults, 15 for the better on test and none for the worse beyond its interval. The best single trial at one standard error
replaced 20, 14 for the better. Standard errors that add the variation between validations to that between users, or that are
of the next cut-off alone, chose no better among the 24 churn pairs of it (`bench_selection.py` prints the rules); asking that
the advantage be positive on each validation changed nothing at these errors. Where unseen users are asked too, they are those
of the mean of both advantages ("What unseen users say").
"""
WINDOWS, ALONE = 1.75, 2.5
"""Where windows confirm a search: standard errors that the mean of the few, and the best trial alone, must show at all of them together.

Chosen together on simulated logs (documentation, "Which rule for forecasts?"): one trial moves more than a mean that the default is
part of, for the better and for the worse, so that more is asked of it.
"""
LEAST = 0.05
"""Of a search without labels: what its advantage must exceed beside its standard errors, in the area that ranks.

Injections are surer than they are right: a hundredth that holds for each entity is gone where anomalies are of other sorts. Chosen
on simulated boards (documentation, "When may a search without labels replace a default?").
"""
BEHIND = 1.0
"""Standard errors behind the best, or behind the default, at which a trial meets no further validation."""


FEW = 3
"""Configurations that a tuned row is the mean of: the author's default and the best others."""


@dataclass(frozen=True)
class Unseen:
    """What users whom neither had seen say of what a search found, or windows that it had not."""

    advantage: Difference
    """Over the default."""
    seconds: float
    """Of the fits that it took."""
    together: bool = False
    """The advantage is that at the validations and all unseen windows together, each as often as it was asked about."""


@dataclass(frozen=True)
class Choice:
    """What stands as the tuned configuration, or the mean of a few."""

    trial: Trial
    kept_default: bool
    unseen: Unseen | None = None
    """What users that neither had seen said of what the search found, where they were asked."""


def few_best(trials: Sequence[Trial], tuning: str, rule: RankingRule, most: int) -> list[Trial]:
    """Choose the configurations that a tuned row may be the mean of; none where none worked.

    Those that met every validation, the best first: at most `most`, and where that is several the author's default is one
    of them, which keeps what luck has chosen near to what is known to work. `trials[0]` is the default.
    """
    worked = [t for t in trials if t.ok and tuning in next(iter(t.entries.values()))["scores"]]
    whole = max((len(t.entries) for t in worked), default=0)
    sign = 1.0 if rule.higher else -1.0
    ordered = sorted((t for t in worked if len(t.entries) == whole), key=lambda t: (-sign * t.scores(tuning).mean(), t.number))
    few = ordered[:most]
    return few if trials[0] not in ordered or trials[0] in few or most == 1 else [*few[:-1], trials[0]]


def standing(few: Sequence[Trial], default: Trial, tuning: str) -> list[Trial]:
    """Return what a tuned row is the mean of: the few; without labels the default counts as often as all others together.

    So near to it the mean is less often worse, and gains no less ("When may a search without labels replace a default?").
    """
    others = [t for t in few if t is not default]
    return list(few) if tuning != LABEL_FREE or default not in few or not others else [*[default] * len(others), *others]


def decide(
    found: Trial, default: Trial, tuning: str, rule: RankingRule, unseen: Unseen | None = None, *, least: float | None = None
) -> Choice:
    """Choose between what a search found and the default; `unseen`: what users that neither had seen say, if they were asked.

    `least`: what the advantage on validation must exceed; None: `LEAST` without labels, with them nothing.
    """
    least = (LEAST if tuning == LABEL_FREE else 0.0) if least is None else least
    if found is default:
        return Choice(default, kept_default=True)
    if not scored(default, tuning):
        return Choice(found, kept_default=False)
    past = difference(found, default, tuning, higher=rule.higher)
    if past.mean <= least:
        return Choice(default, kept_default=True, unseen=unseen)
    if unseen is not None and unseen.together:
        kept = not unseen.advantage.exceeds(needed(found.params))
    else:
        kept = not replaces(past, unseen.advantage if unseen else None)
    return Choice(default if kept else found, kept, unseen)


def needed(params: Mapping[str, Any]) -> float:
    """Return how many standard errors all windows together must show: a mean that the default is part of risks less than one trial."""
    return WINDOWS if len(configurations(params)) > 1 else ALONE


def replaces(past: Difference, unseen: Difference | None) -> bool:
    """Return whether an advantage is enough to replace the default: `past` is that at the validations.

    Their mean must exceed `ERRORS` of its standard errors (as if both were independent), and neither may be a loss.
    """
    if unseen is None:
        return past.exceeds(ERRORS)
    both = Difference((past.mean + unseen.mean) / 2, math.hypot(past.error, unseen.error) / 2)
    return min(past.mean, unseen.mean) > 0 and both.exceeds(ERRORS)


def scored(trial: Trial, tuning: str) -> bool:
    """Return whether all of a trial's fits worked, and have a score for the tuning."""
    return trial.ok and all(tuning in entry["scores"] for entry in trial.entries.values())


def contenders(trials: Sequence[Trial], tunings: Sequence[str], rule: RankingRule, most: int) -> list[Trial]:
    """Choose the trials that meet the next validation beside the default: at most `most` that may still win, the best first.

    One may still win that is not worse than the default, nor than the best, by more than its standard error.
    """
    default, sign = trials[0], 1.0 if rule.higher else -1.0
    found: dict[int, Trial] = {}
    for tuning in tunings:
        worked = [t for t in trials if t.ok and tuning in next(iter(t.entries.values()))["scores"]]
        worked.sort(key=lambda t: (-sign * t.scores(tuning).mean(), t.number))
        rivals = [t for t in dict.fromkeys((*worked[:1], default)) if t in worked]
        found |= {t.number: t for t in worked if t is not default and not _lost(t, rivals, tuning, rule)}
    return list(found.values())[:most]


def _lost(trial: Trial, rivals: Sequence[Trial], tuning: str, rule: RankingRule) -> bool:
    """Return whether a trial is worse than one of its rivals by more than the difference's standard error."""
    return any(difference(rival, trial, tuning, higher=rule.higher).exceeds(BEHIND) for rival in rivals if rival is not trial)


def shares(fits: int, stages: Sequence[StageName]) -> tuple[int, int]:
    """Part a cell's fits: how many configurations meet the first validation, and how many of them may meet the others.

    Where there is one stage (or too few fits for more), all fits explore. `fits` counts the default's too.
    """
    later = len(stages) - 1
    if not later:
        return fits, 0
    rivals = 3 if fits >= 18 else 2 if fits >= 12 else 1
    explored = fits - (rivals + 1) * later
    return (explored, rivals) if explored >= 3 else (fits, 0)
