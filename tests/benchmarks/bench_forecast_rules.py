"""Which rule tells a forecast search's luck from its finding? On simulated logs, steady ones and such whose level turns.

    python tests/benchmarks/bench_forecast_rules.py FOLDER [--seed 91] [--board weekly] [--model negbin] [--search-only]

Each search is run as `bench run` does (twenty fits, without a portfolio). What it found and the default are then asked at older
windows that the search has not used (one fit, before all of them), fitted anew with other seeds, and, where a model learns over
series, on each half of the series at the last cut-off, to be asked about the other half; then on test. Printed: how often each rule
would have replaced the default, and what would have come of it, as log of the ratio of errors; intervals on test are paired, 95 %,
over series (or blocks of steps). Half of the boards choose, the other half check. What FOLDER holds is not made again.

Letters for shapes: V windows, B resamples.
"""

from __future__ import annotations

import argparse
import json
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
from bench_drift import DAY
from bench_selection import counted
from bench_unseen import beside
from forecast_rules import MEAN, Asked, Found, Pair, rules
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
from bench.tasks.base import OLDER, Split, Stage, weighted
from bench.tasks.forecasting.task import Forecasting
from bench.tasks.profiles import PROFILES
from bench.tune import plan as plans
from bench.tune.decide import few_best
from bench.tune.trials import Trial

LOGS = ("retail", "netflix", "social")
KINDS = ("steady", "turning")
"""As simulated; thinned out otherwise in each month, by a share that all have in common and one of each of four groups."""
WEEKS = {"freq": "W", "season": "4", "horizon": "4"}
BOARDS: Mapping[str, tuple[int, int | None, Mapping[str, str]]] = {
    "daily": (1_000, 210, {}),
    "dense": (5_000, 210, {}),
    "weekly": (3_000, None, WEEKS),
    "users": (150, 210, {"level": "user"}),
    "total": (1_000, 300, {"level": "total", "windows": "4"}),
}
"""Users that are simulated, days that are kept of the log's end, and options."""
MODELS = ("negbin", "seasonal-quantiles", "state-space", "vae", "arima", "lightgbm-lags")
SKIPPED = {("users", "arima"), ("users", "lightgbm-lags"), ("dense", "lightgbm-lags")}
"""What takes minutes."""
SEEDS = (91, 92, 93, 94)
CHOOSING = (91, 92)
"""Seeds of the boards that choose; the others check."""
DRAWS = 1_000
PROFILE = PROFILES["short"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--board", choices=BOARDS, action="append")
    parser.add_argument("--model", action="append")
    parser.add_argument("--validations", type=int, default=3, help="windows that the search itself is steered by")
    parser.add_argument("--stored", action="store_true", help="report what FOLDER holds")
    parser.add_argument("--search-only", action="store_true")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    found: list[Found] = []
    for name, make in boards(given):
        found += pairs(given.folder / name, make, given.model or MODELS, stored=given.stored)
    if not given.search_only:
        report(found)


def boards(given: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Split]]]:
    """Yield each board's name and what makes it."""
    for seed in given.seed or SEEDS:
        for board in given.board or BOARDS:
            for adapter in LOGS:
                for kind in given.kind or KINDS:
                    steered = "" if given.validations == 3 else f"-{given.validations}"
                    yield f"{board}-{adapter}-{kind}-{seed}{steered}", partial(made, adapter, kind, board, seed, given.validations)


def pairs(file: Path, make: Callable[[], Split], names: Sequence[str], *, stored: bool) -> Iterator[Found]:
    """Search one board with every model, or read what was found."""
    split: Split | None = None
    for model in names:
        own = file.with_name(f"{file.name}-{model}.pkl")
        if (file.name.split("-")[0], model) in SKIPPED or (stored and not own.is_file()):
            continue
        if not own.is_file():
            begun_at = time.monotonic()
            try:
                split = split or make()
                if split.reason or len(split.stages["search"].parts) < 2:
                    print(f"{file.name}: {split.reason or 'one validation window'}")
                    return
                own.write_bytes(pickle.dumps(searched(file.name, split, model)))
            except BenchError as error:
                print(f"{file.name}: {error}")
                return
            print(f"{own.stem}: {time.monotonic() - begun_at:.0f} s", flush=True)
        yield pickle.loads(own.read_bytes())  # written above


def made(adapter: str, kind: str, board: str, seed: int, validations: int) -> Split:
    """Simulate a log and cut it."""
    users, days, options = BOARDS[board]
    source = discover().dataset(adapter)
    with tempfile.TemporaryDirectory() as folder:
        source.simulate(Path(folder), users, seed)
        events = source.read(Path(folder), {})
    time_ = events.frame["time"].to_physical().to_numpy()
    kept = time_ > time_.max() - (days or 10_000) * DAY
    if kind == "turning":
        kept &= turned(events, "user" if board == "users" else "item", seed)
    events = replace(events, frame=events.frame.filter(pl.Series(kept)))
    asked = {**options, "validations": str(validations)}
    return Forecasting().splits(events, asked, PROFILE, 0, simulated=False)[0]


def turned(events: Events, by: str, seed: int) -> Any:
    """Keep another share of the events in each month, of all and of each of four groups of members."""
    time_ = events.frame["time"].to_physical().to_numpy()
    rng, month = np.random.default_rng(seed), ((time_.max() - time_) // (30 * DAY)).astype(int)
    common, own = rng.uniform(0.4, 1.0, month.max() + 1), rng.uniform(0.4, 1.0, (month.max() + 1, 4))
    codes = events.frame[by].rank("dense").fill_null(0).to_numpy().astype(np.int64)
    group = (hashed(np.arange(codes.max() + 1), 5) * 4).astype(int)[codes]
    return rng.random(len(time_)) < common[month] * own[month, group]


@dataclass
class Fits:
    """Fits and predicts in this process, each configuration once, and answers a plan as a run would."""

    split: Split
    kind: Any

    def __post_init__(self) -> None:
        self.known: dict[str, Any] = {}
        self.task = Forecasting()

    def predicted(self, stage: str, params: Mapping[str, Any], seed: int) -> Any:
        """Return the finished prediction of a fit."""
        key = json.dumps([stage, dict(params), 0 if self.kind.deterministic else seed], sort_keys=True)
        if key not in self.known:
            raw = self._of_halves(params, seed) if stage == "halves" else self._raw(self.split.stages[stage], params, seed)
            self.known[key] = self.task.finished(self.split, scored_as(stage), raw, causal=True).prediction
        return self.known[key]

    def _raw(self, stage: Stage, params: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
        about = Context(seed=seed, epochs=PROFILE.epochs, history=PROFILE.history, rows=PROFILE.rows, **self.split.context)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - as a worker does
        model = self.kind(params)
        model.fit(stage.train, about)
        return [model.predict(part, about).arrays() for part in stage.parts]

    def _of_halves(self, params: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
        """Learn from each half of the series all that the final fit learns, and forecast the other half at the search's windows."""
        train, parts = self.split.stages["final"].train, self.split.stages["search"].parts
        first = np.random.default_rng(3).permutation(len(train)) % 2 == 0
        given = []
        for own in (first, ~first):
            rows, others = np.flatnonzero(own), np.flatnonzero(~own)
            given.append((others, self._raw(Stage(train.take(rows), tuple(p.take(others) for p in parts)), params, seed)))
        order = np.argsort(np.concatenate([others for others, _ in given]))
        both = zip(*(raw for _, raw in given), strict=True)
        return [{name: np.concatenate([one[name] for one in each])[order] for name in each[0]} for each in both]

    def answered(self, steps: Generator[Any, Any, Any]) -> Any:
        """Drive a plan to its end."""
        try:
            jobs = next(steps)
            while True:
                jobs = steps.send([self.entry(stage, self.predicted(stage, params, seed)) for stage, params, seed in jobs])
        except StopIteration as end:
            return end.value

    def entry(self, stage: str, prediction: Any) -> Any:
        """Score a prediction on validation windows as the ledger has it."""
        done = self.task.averaged(self.split, stage, [prediction])
        columns = score_validation(self.task, self.split, stage, done).columns()
        return {**columns, "fit_seconds": 0.0, "predict_seconds": 0.0, "peak_memory_mb": 0.0}

    def asked(self, stage: str, weights: Mapping[int, float], few: Mapping[int, Trial], seed: Callable[[Trial], int]) -> Asked:
        """Score a weighted mean of configurations and the default."""
        each = {number: self.predicted(stage, few[number].params, seed(few[number])) for number in weights}
        mean = weighted([(each[number], weight) for number, weight in weights.items()])
        found, base = (self._windows(stage, p) for p in (mean, each[0]))
        return Asked(found[0], base[0], found[1], base[1])

    def _windows(self, stage: str, prediction: Any) -> tuple[Any, Any]:
        own = self.task.objectives(self.split, scored_as(stage), prediction)["tuned"]
        return np.array([one.value for one in own]), np.stack([one.replicates(0) for one in own])

    def on_test(self, weights: Mapping[int, float], few: Mapping[int, Trial]) -> tuple[float, float, float]:
        """Return the gain on test, the errors averaged over seeds, with its interval."""
        point, drawn = np.zeros(2), np.zeros((2, DRAWS))
        for seed in range(1 if self.kind.deterministic else 2):
            each = {number: self.predicted("final", few[number].params, seed) for number in weights}
            for at, p in enumerate((weighted([(each[n], w) for n, w in weights.items()]), each[0])):
                own = self.on_final(p)
                point[at], drawn[at] = point[at] + own[0], drawn[at] + own[1]
        low, high = interval(np.log(drawn[1] / drawn[0]))
        return float(np.log(point[1] / point[0])), low, high

    def on_final(self, prediction: Any) -> tuple[float, Any]:
        """Score a prediction on test: as it is, and under each resample [B]."""
        metric, group = self.split.ranking.metric, self.split.truths["final"].group
        scorer = self.task.scorer(self.split, prediction)
        drawn = np.concatenate([scorer.score(w)[metric] for w in draws(group, DRAWS, 7)])
        return float(scorer.score(np.ones((1, len(group))))[metric][0]), drawn


def scored_as(stage: str) -> str:
    """Name the stage whose truth a prediction is scored by."""
    return "search" if stage == "halves" else stage


def searched(board: str, split: Split, model: str) -> Found:
    """Search, and learn everything that a rule may ask, for each way to average what was found with the default."""
    kind = models(discover().sources["bench.models"][model])[model]
    space = {name: distribution_to_json(each) for name, each in space_of(kind, "forecasting").items()}
    default = dict(default_of(kind, "forecasting"))
    plugin = Plugin(model, Source(model, model), space=space, default=default, deterministic=kind.deterministic)
    fits, trials = Fits(split, kind), list[Trial]()

    def make(stage: str, params: Any, seed: int, *_: Any, **__: Any) -> Any:
        return stage, params, seed

    scope = plans.Scope(stable_seed(split.task_id, board, model), split.ranking, ("search",))
    fits.answered(plans._search(plugin, plans.Budget(20, 1), make, trials, scope))  # type: ignore[arg-type]
    few = {t.number: t for t in few_best(trials, "tuned", split.ranking, 3)}
    best = [t.number for t in few.values() if t.number]
    ways = {
        MEAN: dict.fromkeys((0, *best), 1 / (1 + len(best))),
        "default half, two": {0: 0.5, **dict.fromkeys(best, 0.5 / len(best))},
        "default 2/3, two": {0: 2 / 3, **dict.fromkeys(best, 1 / 3 / len(best))},
        "default and best": {0: 0.5, best[0]: 0.5},
        "best": {0: 0.0, best[0]: 1.0},
    }
    found = {}
    for way, weights in ways.items():
        asked = {"past": fits.asked("search", weights, few, lambda t: trial_seed(0, t.number))}
        asked["fresh"] = fits.asked("search", weights, few, lambda t: stable_seed(1, t.number))
        if OLDER in split.stages:
            asked["older"] = fits.asked(OLDER, weights, few, lambda t: stable_seed(2, t.number))
        if not kind.local and len(split.stages["final"].train) >= 8:
            asked["halves"] = fits.asked("halves", weights, few, lambda t: stable_seed(3, t.number))
        found[way] = Pair(board, model, bool(kind.local), asked, *fits.on_test(weights, few))
    return found


def report(found: Sequence[Found]) -> None:
    """Print a line for each rule, of the boards that choose and of those that check."""
    halves = {"choose": lambda seed: seed in CHOOSING, "check": lambda seed: seed not in CHOOSING, "all": lambda _: True}
    for half, inside in halves.items():
        each = [one for one in found if inside(int(one[MEAN].board.split("-")[3]))]
        before: Any = None
        for name, rule in rules() if each else ():
            taken = [rule(one) for one in each]
            gained = np.array([0.0 if pair is None else pair.gain for pair in taken])
            before = gained if before is None else before
            words = counted([pair for pair in taken if pair is not None])  # type: ignore[misc]
            print(f"{half:6} {name:45} {len(each)} pairs, {words}; a pair {gained.mean():+.4f}, beside before {beside(gained - before)}")


if __name__ == "__main__":
    main()
