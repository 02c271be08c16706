"""May a churn search look at every configuration on few rows first? On simulated logs, young and changing ones among them.

    python tests/benchmarks/bench_screen.py FOLDER [--seed 91] [--users 3000] [--kind steady] [--model vae]

Today's search (twenty fits) beside such that fit N configurations on a share of the latest validation's training rows (chosen by user),
and only the K best of these, and the default, on all of them and on the other validations. Sampler, race, mean of the default and the two
best, and what unseen users have to confirm are as today. Printed for each: fits, where one on few rows counts by its share, defaults
replaced, what comes of it on test, and the gain over all pairs beside today's. What FOLDER holds is not made again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from bench_stands import Told, pairs, told
from bench_unseen import KINDS, LOGS, MODELS, Fits, beside, made, tried
from optuna.distributions import distribution_to_json

from bench.data.ragged import hashed
from bench.execute.jobs import stable_seed, trial_seed
from bench.execute.task_space import default_of, space_of
from bench.tasks.base import Split
from bench.tune import search
from bench.tune.decide import ERRORS, FEW, contenders, few_best
from bench.tune.trials import Trial

TODAY = "today"
LEAST = 300
"""Training rows of a first look, at least."""


@dataclass(frozen=True)
class Way:
    """A search that looks first."""

    share: float
    configurations: int
    promoted: int

    def __str__(self) -> str:
        return f"{self.configurations} on {self.share:g}, {self.promoted} on all"


WAYS = (Way(0.25, 20, 3), Way(0.25, 16, 2), Way(0.125, 20, 3), Way(0.5, 12, 3), Way(0.5, 20, 3))
Pair = dict[str, tuple[float, Told | None]]
"""Name of a way -> its fits, and what is known of what it found; None: the default itself."""


def main() -> None:
    """Make what is not there, and count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, nargs="+", default=[91])
    parser.add_argument("--kind", choices=KINDS, nargs="+", default=list(KINDS))
    parser.add_argument("--model", nargs="+", default=list(MODELS))
    parser.add_argument("--users", type=int, default=3000)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    found = []
    for seed in given.seed:
        for adapter in LOGS:
            for kind in given.kind:
                name, make = f"{adapter}-{kind}-{seed}-{given.users}", partial(made, adapter, kind, seed, given.users)
                found += pairs(given.folder / name, make, given.model, searched)
    base = np.array([gain(pair[TODAY][1]) for pair in found])
    for name in found[0]:
        taken = [one for pair in found if (one := pair[name][1]) and one.holds(ERRORS)]
        better, worse, beyond = (sum(f(one) for one in taken) for f in (lambda o: o.gain > 0, lambda o: o.gain < 0, lambda o: o.high < 0))
        each = np.array([gain(pair[name][1]) for pair in found])
        words = f"replaced {len(taken)}, better {better}, worse {worse} ({beyond} beyond)"
        fits = np.mean([pair[name][0] for pair in found])
        print(f"{name:22} {len(found)} pairs, {fits:4.1f} fits, {words}; a pair {each.mean():+.4f}, beside today's {beside(each - base)}")


def gain(one: Told | None) -> float:
    """Return what comes of a finding on test, where it may replace the default."""
    return one.gain if one and one.holds(ERRORS) else 0.0


def searched(split: Split, model: str) -> Pair:
    """Search as today, and in each of the ways; nothing where no unseen user can be asked."""
    if not split.unseen:
        return {}
    latest, stages, truths = split.validations[0], dict(split.stages), dict(split.truths)
    train = stages[latest].train
    for share in {way.share for way in WAYS}:
        few = hashed(train.group, 77) < max(share, LEAST / len(train))
        stages[str(share)], truths[str(share)] = replace(stages[latest], train=train.take(few)), truths[latest]
    fits, trials = tried(replace(split, stages=stages, truths=truths, known_until={}), model, split.validations)
    found: Pair = {TODAY: (sum(t.cost for t in trials), answer(fits, trials, split))}
    for way in WAYS:
        spent, looked = screened(fits, way, model, split)
        found[str(way)] = (spent, answer(fits, looked, split))
    return found


def screened(fits: Fits, way: Way, model: str, split: Split) -> tuple[float, list[Trial]]:
    """Look at all configurations on few rows and race the best of them on all; return the fits and the trials that were fitted whole."""
    space = {name: distribution_to_json(each) for name, each in space_of(fits.kind, "churn").items()}
    latest, few, seed = split.validations[0], str(way.share), stable_seed(0, stable_seed(split.task_id, model))
    cost = len(fits.split.stages[few].train) / len(split.stages[latest].train)

    def fitted(trial: Trial, stage: str) -> Trial:
        trial.entries[stage] = fits.entry(stage, [fits.predicted(stage, trial.params, trial_seed(0, trial.number))])
        return trial

    small: list[Trial] = []
    for batch in range(-(-way.configurations // search.BATCH)):
        done, size = [(t.params, t.entries[few]["value"]) for t in small], min(search.BATCH, way.configurations - len(small))
        asked = search.ask(space, default_of(fits.kind, "churn"), done, batch, seed=seed, size=size)
        small += [fitted(Trial(len(small) + at, params), few) for at, params in enumerate(asked)]
    best = sorted(small[1:], key=lambda t: (-t.entries[few]["value"], t.number))[: way.promoted]
    trials = racing = [fitted(Trial(t.number, t.params), latest) for t in (small[0], *best)]
    for stage in split.validations[1:]:
        racing = [trials[0], *contenders(racing, ("tuned",), split.ranking, 3)]
        for trial in racing:
            fitted(trial, stage)
    return len(small) * cost + sum(t.cost for t in trials), trials


def answer(fits: Fits, trials: Sequence[Trial], split: Split) -> Told | None:
    """Return what is known of the mean of the default and the two best."""
    few = few_best(trials, "tuned", split.ranking, FEW)
    return None if few == list(trials[:1]) else told(replace_split(fits, split), few, trials[0])


def replace_split(fits: Fits, split: Split) -> Fits:
    """Ask the same fits about the stages of a run alone."""
    own = Fits(split, fits.kind)
    own.known = fits.known
    return own


if __name__ == "__main__":
    main()
