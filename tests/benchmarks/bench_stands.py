"""What should stand for a churn search, now that unseen users have a say? On simulated logs, young and changing ones among them.

    python tests/benchmarks/bench_stands.py FOLDER [--seed 91 92 93] [--model vae --users 2000]

Each search is run as `bench run` does (twenty fits, no portfolio). Candidates are the best trial, the two best, the three best
and the author's default with the two best; each is asked about on the past, by unseen users and on test. Printed for each rule:
how often it replaces the default, what comes of it on test, and the gain over all pairs beside that of today's rule. The first
version of the search is among them: its best trial by the latest validation, always. What FOLDER holds is not made again.
"""

from __future__ import annotations

import argparse
import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench_unseen import KINDS, LOGS, MODELS, Fits, beside, made, tried

from bench.errors import BenchError
from bench.execute.jobs import stable_seed, trial_seed
from bench.metrics.bootstrap import draws, interval
from bench.tasks.base import Split
from bench.tasks.churn.task import Churn
from bench.tune.decide import ERRORS, FEW, few_best
from bench.tune.trials import Difference, Trial, difference

DRAWS = 200
FIRST, TODAY, ALONE, TWO, THREE = "the first version's", "default and two", "best", "best two", "best three"


@dataclass(frozen=True)
class Told:
    """What is known of one candidate; advantages over the default."""

    past: Difference
    unseen: Difference
    gain: float
    low: float
    high: float

    def holds(self, errors: float) -> bool:
        """Return whether it may replace the default, as `bench.tune.decide.replaces` has it."""
        return min(self.past.mean, self.unseen.mean) > 0 and self.both.exceeds(errors)

    @property
    def both(self) -> Difference:
        """Return the mean of both advantages."""
        return Difference((self.past.mean + self.unseen.mean) / 2, math.hypot(self.past.error, self.unseen.error) / 2)


Pair = Mapping[str, Told | None]
"""By candidate; None: it is the default itself."""
Rule = Callable[[Pair], str | None]
"""Names what replaces the default, if anything does."""


def only(name: str, errors: float = ERRORS) -> Rule:
    """Ask one candidate."""
    return lambda pair: name if (one := pair.get(name)) and one.holds(errors) else None


def always(name: str) -> Rule:
    """Take one candidate whatever is known of it."""
    return lambda pair: name if pair.get(name) else None


def best_of(names: Sequence[str], key: Callable[[Told], float]) -> Rule:
    """Take of the candidates that may replace the default the one that `key` likes best."""

    def rule(pair: Pair) -> str | None:
        able = {name: one for name in names if (one := pair.get(name)) and one.holds(ERRORS)}
        return max(able, key=lambda name: key(able[name])) if able else None

    return rule


RULES: Mapping[str, Rule] = {
    "default and two, 1.5 errors (today)": only(TODAY),
    "the first version's best trial, always": always(FIRST),
    "best trial": only(ALONE),
    "best two": only(TWO),
    "best three": only(THREE),
    "default and two, 1 error": only(TODAY, 1.0),
    "default and two, always": always(TODAY),
    "of these means the best by both": best_of((TODAY, TWO, THREE), lambda one: one.both.mean),
    "of these means the best by unseen users": best_of((TODAY, TWO, THREE), lambda one: one.unseen.mean),
    "of all the best by both": best_of((TODAY, ALONE, TWO, THREE), lambda one: one.both.mean),
}


def main() -> None:
    """Make what is not there, and count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, nargs="+", default=[91, 92, 93])
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--model", action="append")
    parser.add_argument("--users", type=int, default=3000)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    found: list[Pair] = []
    for seed in given.seed:
        for adapter in LOGS:
            for kind in given.kind or KINDS:
                make = partial(made, adapter, kind, seed, given.users)
                found += pairs(given.folder / f"{adapter}-{kind}-{seed}-{given.users}", make, given.model or MODELS, searched)
    gains = {name: np.array([gain(pair, rule) for pair in found]) for name, rule in RULES.items()}
    today = next(iter(gains.values()))
    for name, each in gains.items():
        taken = [one for pair in found if (of := RULES[name](pair)) and (one := pair[of])]
        better, worse, beyond = (sum(f(one) for one in taken) for f in (lambda o: o.gain > 0, lambda o: o.gain < 0, lambda o: o.high < 0))
        words = f"{len(found)} pairs, replaced {len(taken)}, better {better}, worse {worse} ({beyond} beyond)"
        print(f"{name:42} {words}; a pair {each.mean():+.4f}, beside today's {beside(each - today)}")


def gain(pair: Pair, rule: Rule) -> float:
    """Return what comes of a rule on test."""
    one = pair[name] if (name := rule(pair)) else None
    return one.gain if one else 0.0


def pairs(file: Path, make: Callable[[], Split], names: Sequence[str], search: Callable[[Split, str], Any]) -> list[Any]:
    """Search one log with every model, or read what was found; nothing found is left out."""
    split: Split | None = None
    found = []
    for model in names:
        own = file.with_name(f"{file.name}-{model}.pkl")
        if not own.is_file():
            try:
                split = split or make()
            except BenchError as error:
                print(f"{file.name}: {error}")
                return found
            own.write_bytes(pickle.dumps(search(split, model)))
        found.append(pickle.loads(own.read_bytes()))  # written above
    return [pair for pair in found if pair]


def searched(split: Split, model: str) -> Pair:
    """Search as a run does, and learn of every candidate what a rule may ask."""
    fits, trials = tried(split, model)
    if not split.unseen or not trials[0].ok:
        return {}
    worked = [t for t in trials if t.ok]
    whole = max(len(t.entries) for t in worked)
    ordered = sorted((t for t in worked if len(t.entries) == whole), key=lambda t: (-t.scores("tuned").mean(), t.number))
    first = max(worked, key=lambda t: (t.entries[split.validations[0]]["value"], -t.number))
    candidates = {FIRST: [first], TODAY: few_best(trials, "tuned", split.ranking, FEW)}
    candidates |= {name: ordered[:n] for name, n in ((ALONE, 1), (TWO, 2), (THREE, 3))}
    return {name: None if few == trials[:1] else told(fits, few, trials[0]) for name, few in candidates.items()}


def told(fits: Fits, few: Sequence[Trial], default: Trial) -> Told:
    """Compare the mean of a few with the default: on the past with the search's own seeds, by unseen users with others, and on test."""

    def advantage(stages: Sequence[str], seed: Callable[[Trial, str], int]) -> Difference:
        mean, alone = Trial(-1, {}), Trial(0, default.params)
        for stage in stages:
            own = [fits.predicted(stage, t.params, seed(t, stage)) for t in few]
            mean.entries[stage] = fits.entry(stage, own)
            alone.entries[stage] = fits.entry(stage, [fits.predicted(stage, default.params, seed(default, stage))])
        return difference(mean, alone, "tuned", higher=True)

    past = advantage([s for s in fits.split.validations if s in few[0].entries], lambda t, _: trial_seed(0, t.number))
    unseen = advantage(fits.split.unseen, lambda t, stage: stable_seed(0, t.number, stage))
    return Told(past, unseen, *on_test(fits, few, default))


def on_test(fits: Fits, few: Sequence[Trial], default: Trial) -> tuple[float, float, float]:
    """Return the gain on test, averaged over three seeds as a run's rows are, and its interval over users."""
    group, gains, drawn = fits.split.truths["final"].group, [], []
    for seed in range(1 if fits.kind.deterministic else 3):
        both = [np.mean([fits.predicted("final", t.params, seed) for t in own], axis=0) for own in (few, [default])]
        found = [Churn().scorer(fits.split, [{"prediction": p}]) for p in both]
        mean, alone = (s.score(np.ones((1, len(group))))["roc_auc"][0] for s in found)
        gains.append(mean - alone)
        drawn.append(np.subtract(*(np.concatenate([s.score(w)["roc_auc"] for w in draws(group, DRAWS, 7)]) for s in found)))
    return (float(np.mean(gains)), *interval(np.mean(drawn, axis=0)))


if __name__ == "__main__":
    main()
