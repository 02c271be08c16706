"""Why is what a churn search finds gone on test, and what says so before? On simulated logs, young and changing ones among them.

    python tests/benchmarks/bench_unseen.py FOLDER [--seed 81] [--kind young] [--model vae] [--users 2000]
    python tests/benchmarks/bench_unseen.py FOLDER --log events=grocery.csv --horizon 28d --horizon 56d

Each search is run as `bench run` does (twenty fits, without a portfolio). The default and what is averaged with it are then
fitted for the test, on halves of the users (`bench.tasks.churn.unseen`), and anew with other seeds at every validation. Printed:
how often each rule would have replaced the default, and what would have come of it on test, with 95 % intervals, paired,
resampled over users. What FOLDER holds is not made again.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from bench_drift import DAY, thinned
from bench_selection import counted
from optuna.distributions import distribution_to_json

from bench.api import Context
from bench.data.events import Events
from bench.data.ragged import hashed
from bench.errors import BenchError
from bench.execute.jobs import Plugin, stable_seed, trial_seed
from bench.execute.task_space import default_of, space_of
from bench.metrics.bootstrap import draws, interval
from bench.registry import Source, discover, models
from bench.runs.check_prediction import score_validation
from bench.sources.load import loaded, requested
from bench.tasks.base import Split
from bench.tasks.churn.task import Churn
from bench.tasks.profiles import PROFILES
from bench.tune import plan as plans
from bench.tune.decide import ERRORS, FEW, few_best, replaces
from bench.tune.trials import Difference, Trial, difference

LOGS = ("retail", "netflix", "social")
KINDS = ("steady", "rising", "falling", "young", "cohort", "shifting")
"""As simulated; events thinned out over time, or less and less; what went before the last six horizons lost; of these, only
those who came early; thinned out otherwise in each month and for each of four groups of users."""
MODELS = ("rfm-logit", "rfm-lightgbm", "arima")
SEEDS = (81, 82)
HORIZON, HORIZONS, EARLY = 28, 5.95, 4.5
DRAWS = 400
PROFILE = PROFILES["short"]


@dataclass(frozen=True)
class Pair:
    """What is known of one search; advantages over the default are None where it stands without a question."""

    model: str
    past: Difference | None
    fresh: Difference | None
    unseen: Difference | None
    gain: float = 0.0
    low: float = 0.0
    high: float = 0.0


BEFORE = "past, 1.5 errors (before)"
RULES: Mapping[str, Callable[[Pair], bool]] = {
    BEFORE: lambda p: p.past.exceeds(ERRORS),
    "past, 2 errors": lambda p: p.past.exceeds(2.0),
    "past, 3 errors": lambda p: p.past.exceeds(3.0),
    "past, fitted with other seeds, 1.5": lambda p: p.fresh.exceeds(ERRORS),
    "unseen users, 1.5": lambda p: p.unseen.exceeds(ERRORS),
    "past 1.5, and unseen 1": lambda p: p.past.exceeds(ERRORS) and p.unseen.exceeds(1.0),
    "past 1, and unseen 1": lambda p: p.past.exceeds(1.0) and p.unseen.exceeds(1.0),
    "both together, 1.5 (today)": lambda p: replaces(p.past, p.unseen),
}  # type: ignore[union-attr]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--model", action="append")
    parser.add_argument("--users", type=int, default=3000)
    parser.add_argument("--log", action="append", default=[], metavar="ADAPTER=PATH")
    parser.add_argument("--horizon", action="append")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[Pair]] = {}
    for name, kind, make in logs(given):
        for pair in pairs(given.folder / name, make, given.model or MODELS):
            for what in ("all", kind, pair.model):
                found.setdefault(what, []).append(pair)
    for what, each in found.items():
        gains = {name: np.array([p.gain if p.past and rule(p) else 0.0 for p in each]) for name, rule in RULES.items()}
        for name, rule in RULES.items():
            # what is averaged with nothing is the default itself
            words = counted([p for p in each if p.past and rule(p)])  # type: ignore[misc]
            print(f"{what:13} {name:35} {len(each)} pairs, {words}; a pair beside before {beside(gains[name] - gains[BEFORE])}")


def beside(gains: Any) -> str:
    """Give the mean of differences over pairs with its interval."""
    drawn = gains[np.random.default_rng(0).integers(0, len(gains), (DRAWS, len(gains)))].mean(axis=1)
    low, high = interval(drawn)
    return f"{gains.mean():+.4f} ({low:+.4f} to {high:+.4f})"


def logs(given: argparse.Namespace) -> Iterator[tuple[str, str, Callable[[], Split]]]:
    """Yield each log's name and kind, and what cuts it: the given ones, or else the simulated."""
    for spec in given.log:
        for horizon in given.horizon or ["28d"]:
            name = f"{Path(spec.partition('=')[2]).stem}-{horizon}"
            yield name, name, partial(cut, spec, horizon)
    for seed in [] if given.log else given.seed or SEEDS:
        for adapter in LOGS:
            for kind in given.kind or KINDS:
                yield f"{adapter}-{kind}-{seed}-{given.users}", kind, partial(made, adapter, kind, seed, given.users)


def pairs(file: Path, make: Callable[[], Split], names: Sequence[str]) -> Iterator[Pair]:
    """Search one log with every model, or read what was found."""
    split: Split | None = None
    for model in names:
        own = file.with_name(f"{file.name}-{model}.pkl")
        if not own.is_file():
            begun = time.monotonic()
            try:
                split = split or make()
            except BenchError as error:
                print(f"{file.name}: {error}")
                return
            own.write_bytes(pickle.dumps(searched(split, model)))
            print(f"{own.stem}: {time.monotonic() - begun:.0f} s", flush=True)
        yield pickle.loads(own.read_bytes())  # written above


def cut(spec: str, horizon: str) -> Split:
    """Read a log of one's own and cut it."""
    registry = discover()
    (request,) = requested((spec,), None, registry, holds=("events",))
    data = loaded(request, registry, {}, size=PROFILE.users, seed=0).data
    return Churn().splits(data, {"horizon": horizon}, PROFILE, 0, simulated=False)[0]


def made(adapter: str, kind: str, seed: int, users: int) -> Split:
    """Simulate a log and cut it."""
    source = discover().dataset(adapter)
    with tempfile.TemporaryDirectory() as folder:
        source.simulate(Path(folder), users, seed)
        events = source.read(Path(folder), {})
    if kind in {"rising", "falling"}:
        events = thinned(events, 2.0 if kind == "rising" else -2.0)
    elif kind != "steady":
        kept = shifted(events, seed) if kind == "shifting" else young(events, early=kind == "cohort")
        events = replace(events, frame=events.frame.filter(pl.Series(kept)))
    options = {} if kind in {"steady", "rising", "falling"} else {"horizon": f"{HORIZON}d"}
    return Churn().splits(events, options, PROFILE, 0, simulated=False)[0]


def young(events: Events, *, early: bool) -> Any:
    """Keep the last six horizons, or of them those users alone who came in the first one and a half."""
    time_, user = columns(events)
    first = np.full(user.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, user, time_)
    recent = time_ > time_.max() - HORIZONS * HORIZON * DAY
    return recent & (first[user] < time_.max() - EARLY * HORIZON * DAY) if early else recent


def shifted(events: Events, seed: int) -> Any:
    """Keep another share of events in each month and group of users."""
    time_, user = columns(events)
    rng, month = np.random.default_rng(seed), ((time_.max() - time_) // (HORIZON * DAY)).astype(int)
    share = rng.uniform(0.2, 1.0, (month.max() + 1, 4))
    group = (hashed(np.arange(user.max() + 1), 5) * 4).astype(int) % 4
    return rng.random(len(time_)) < share[month, group[user]]


def columns(events: Events) -> tuple[Any, Any]:
    """Return the times and the users' codes, [E] each."""
    return tuple(events.frame[name].to_physical().to_numpy() for name in ("time", "user"))  # type: ignore[return-value]


@dataclass
class Fits:
    """Fits and predicts in this process, each configuration once, and answers a plan as a run would."""

    split: Split
    kind: Any

    def __post_init__(self) -> None:
        self.known: dict[str, Any] = {}

    def predicted(self, stage: str, params: Mapping[str, Any], seed: int) -> Any:
        key = json.dumps([stage, dict(params), 0 if self.kind.deterministic else seed], sort_keys=True)
        if key not in self.known:
            about = Context(seed=seed, epochs=PROFILE.epochs, history=PROFILE.history, rows=PROFILE.rows, **self.split.context)
            np.random.seed(seed % 2**32)  # noqa: NPY002 - as a worker does
            model = self.kind(params)
            model.fit(self.split.stages[stage].train, about)
            self.known[key] = np.asarray(model.predict(self.split.stages[stage].parts[0], about), float)
        return self.known[key]

    def entry(self, stage: str, each: Sequence[Any]) -> Any:
        """Score the mean of predictions."""
        done = Churn().finished(self.split, stage, [{"prediction": np.mean(each, axis=0)}], causal=True)
        columns = score_validation(Churn(), self.split, stage, done).columns()
        return {**columns, "fit_seconds": 0.0, "predict_seconds": 0.0, "peak_memory_mb": 0.0}

    def answered(self, steps: Generator[Any, Any, Any]) -> Any:
        """Drive a plan to its end."""
        try:
            jobs = next(steps)
            while True:
                jobs = steps.send([self.entry(stage, [self.predicted(stage, params, seed)]) for stage, params, seed in jobs])
        except StopIteration as end:
            return end.value

    def advantage(self, few: Sequence[Trial], stages: Sequence[str], seed: Callable[[Trial, str], int]) -> Difference:
        """Compare the mean of a few with the default on some stages, each fit with a seed of its own."""
        mean, default = Trial(-1, {}), next(t for t in few if t.number == 0)
        alone = Trial(0, default.params)
        for stage in stages:
            found = {t.number: self.predicted(stage, t.params, seed(t, stage)) for t in few}
            mean.entries[stage], alone.entries[stage] = self.entry(stage, list(found.values())), self.entry(stage, [found[0]])
        return difference(mean, alone, "tuned", higher=True)


def tried(split: Split, model: str, validations: tuple[str, ...] = ()) -> tuple[Fits, list[Trial]]:
    """Search as a run does, with twenty fits and no portfolio; `validations`: by these alone, where a split has further stages."""
    kind = models(discover().sources["bench.models"][model])[model]
    space = {name: distribution_to_json(each) for name, each in space_of(kind, "churn").items()}
    plugin = Plugin(model, Source(model, model), space=space, default=dict(default_of(kind, "churn")), deterministic=kind.deterministic)
    fits, trials = Fits(split, kind), list[Trial]()

    def make(stage: str, params: Any, seed: int, *_: Any, **__: Any) -> Any:
        return stage, params, seed

    scope = plans.Scope(stable_seed(split.task_id, model), split.ranking, validations or split.validations)
    fits.answered(plans._search(plugin, plans.Budget(20, 1), make, trials, scope))  # type: ignore[arg-type]
    return fits, trials


def searched(split: Split, model: str) -> Pair:
    """Search, and learn everything that a rule may ask."""
    fits, trials = tried(split, model)
    few = few_best(trials, "tuned", split.ranking, FEW)
    if few == trials[:1] or trials[0] not in few or not split.unseen:
        return Pair(model, None, None, None)
    past = fits.advantage(few, split.validations, lambda t, _: trial_seed(0, t.number))
    fresh = fits.advantage(few, split.validations, lambda t, stage: stable_seed(1, t.number, stage))
    unseen = fits.advantage(few, split.unseen, lambda t, stage: stable_seed(0, t.number, stage))
    return Pair(model, past, fresh, unseen, *on_test(fits, few))


def on_test(fits: Fits, few: Sequence[Trial]) -> tuple[float, float, float]:
    """Return the gain on test, averaged over three seeds as a run's rows are, and its interval."""
    group, gains, drawn = fits.split.truths["final"].group, [], []
    for seed in range(1 if fits.kind.deterministic else 3):
        each = {t.number: fits.predicted("final", t.params, seed) for t in few}
        found = [Churn().scorer(fits.split, [{"prediction": p}]) for p in (np.mean(list(each.values()), axis=0), each[0])]
        mean, default = (s.score(np.ones((1, len(group))))["roc_auc"][0] for s in found)
        gains.append(mean - default)
        drawn.append([np.concatenate([s.score(w)["roc_auc"] for w in draws(group, DRAWS, 7)]) for s in found])
    low, high = interval(np.mean([one - other for one, other in drawn], axis=0))
    return (float(np.mean(gains)), low, high) if math.isfinite(low) else (float(np.mean(gains)), -1.0, 1.0)


if __name__ == "__main__":
    main()
