"""What should stand for a search: its best trial, or a mean with the author's default? On simulated logs, where it was chosen.

    python tests/benchmarks/bench_selection.py FOLDER [--task churn] [--model gbm] [--seed 11 --seed 12]
    python tests/benchmarks/bench_selection.py FOLDER --task churn --log social=CollegeMsg.txt --portfolio

Logs that are given, beside which the portfolio may be used, only show what the rule does: it was chosen on simulated ones.

Each search is run as `bench run` does (twenty fits), then every configuration that met all validations, the best five, is
fitted for the test too, which no run does. For each rule it prints how often the default would have been replaced, and what
would have come of it on test, with 95 % intervals, paired, resampled over users or series. Takes ten minutes on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from studies import run_plan

from bench.execute.prediction_files import read_prediction
from bench.metrics.bootstrap import draws, interval
from bench.runs.check_prediction import score_validation
from bench.runs.config import Config
from bench.tasks.base import Split, Task, weighted
from bench.tune import plan as plans
from bench.tune.decide import FEW, few_best
from bench.tune.trials import Difference, Trial, difference, prediction_file

LOGS = ("retail", "netflix", "social")
MODELS = {
    "churn": ("rfm-logit", "rfm-lightgbm", "gbm", "arima"),
    "forecasting": ("lightgbm-lags", "negbin", "seasonal-quantiles", "direct"),
}
ERRORS = (1.0, 1.5, 2.0)
LEAST = (0.0, 0.001, 0.002, 0.003, 0.005)
"""Advantages, in the metric that ranks, below which the default would be kept however sure they are."""
SPREADS = ("the larger", "both added", "of the next")
"""How the variation over users or series and that between validations make a standard error: as the search does, as independent
parts of it, and as that of one further validation."""
SHIPPED = "default and the best two"
RULES = {"best trial": 1, "default and the best": 2, SHIPPED: FEW}
KEPT = 5
DRAWS = 400


@dataclass(frozen=True)
class Searched:
    """A search's trials, and for each of the best the files of its final fits, one a seed."""

    trials: Sequence[Trial]
    finals: dict[int, list[str]]


@dataclass(frozen=True)
class Moved:
    """What one rule would make of one pair: the advantage on validation, and the gain on test with its interval."""

    advantages: Mapping[str, Difference]
    """How its standard error is made -> the advantage: mean and error."""
    gain: float
    low: float
    high: float


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--task", choices=MODELS, action="append")
    parser.add_argument("--model", action="append")
    parser.add_argument("--log", action="append")
    parser.add_argument("--portfolio", action="store_true")
    parser.add_argument("--workers", type=int)
    given = parser.parse_args()
    found: dict[str, list[Moved | None]] = {rule: [] for rule in RULES}
    for task in given.task or MODELS:
        # forecasts of one seed: their searches take three times as long
        for seed in given.seed or ([11, 12] if task == "churn" else [11]):
            asked = {"portfolio": given.portfolio, "workers": given.workers, "seed": seed, "models": tuple(given.model or MODELS[task])}
            for rule, moved in searched(task, given.log or LOGS, given.folder / f"{task}-{seed}", asked):
                found[rule].append(moved)
    for rule, pairs in found.items():
        for spread in SPREADS:
            for errors in ERRORS:
                own = [m for m in pairs if m is not None and m.advantages[spread].exceeds(errors)]
                print(f"{rule:26} {spread:11} {errors:.1f} errors: {len(pairs)} pairs, {counted(own)}")
    for least in LEAST:
        for errors in ERRORS:
            own = [m for m in found[SHIPPED] if m is not None and m.advantages[SPREADS[0]].exceeds(errors)]
            own = [m for m in own if m.advantages[SPREADS[0]].mean >= least]
            print(f"{SHIPPED:26} at least {least:.3f}, {errors:.1f} errors: {counted(own)}")


def counted(own: Sequence[Moved]) -> str:
    """Count what would have come of the replaced defaults, with the mean gain and its interval over pairs."""
    if not own:
        return "none replaced"
    gains = np.array([m.gain for m in own])
    low, high = interval(gains[np.random.default_rng(0).integers(0, len(gains), (DRAWS, len(gains)))].mean(axis=1))
    worse = f"{(gains < 0).sum()} worse ({sum(m.high < 0 for m in own)} beyond)"
    return f"{len(own)} replaced, {(gains > 0).sum()} better, {worse}, mean {gains.mean():+.4f} ({low:+.4f} to {high:+.4f})"


def spreads(mean: Trial, default: Trial, tuning: str, *, higher: bool) -> dict[str, Difference]:
    """Make the advantage's standard error in several ways, from its variation over resamples and between V validations."""
    found = difference(mean, default, tuning, higher=higher)
    apart = mean.scores(tuning) - default.scores(tuning)  # [V]
    stages = tuple(default.entries)
    resampled = np.nanstd(mean.replicates(tuning, stages) - default.replicates(tuning, stages))
    between = apart.std(ddof=1) if len(apart) > 1 else 0.0
    added, following = np.hypot(resampled, between / np.sqrt(len(apart))), np.hypot(resampled, between)
    return dict(zip(SPREADS, (found, Difference(found.mean, float(added)), Difference(found.mean, float(following))), strict=True))


def searched(name: str, logs: Sequence[str], folder: Path, asked: Mapping[str, Any]) -> Iterator[tuple[str, Moved | None]]:
    """Search all pairs of one task; yield what each rule would make of each, None where it leaves the default."""
    kept: dict[tuple[str, str], Searched] = {}

    def study(plugin: Any, budget: Any, make: Any, scope: Any) -> plans.Plan:
        trials: list[Trial] = []
        yield from plans._search(plugin, budget, make, trials, scope)
        best = few_best(trials, next(iter(plans._tunings(trials))), scope.ranking, KEPT + 1)
        entries = yield [make("final", t.params, 0, 0) for t in best]
        finals = {t.number: [prediction_file(e)] for t, e in zip(best, entries, strict=True)}
        kept[make.__self__.split.task_id + make.__self__.dataset, plugin.name] = Searched(trials, finals)
        return plans.Outcome((), trials[0].merged(), {}, {}, "trials")

    config = Config(name, tuple(logs), trials=20, seeds=1, sandbox="off", out=str(folder), **asked).checked()
    task, problems = run_plan(config, study)
    for problem in problems:
        for model in config.models:
            search = kept[problem.split.task_id + problem.title, model]
            for rule, most in RULES.items():
                yield rule, of_rule(task, problem.split, search, most, folder)


def of_rule(task: Task, split: Split, search: Searched, most: int, folder: Path) -> Moved | None:
    """Say what the mean of the few best is worth beside the default."""
    default = search.trials[0]
    tuning = next(iter(default.merged()["values"]))
    few = [t for t in few_best(search.trials, tuning, split.ranking, most) if t.number in search.finals]
    if few == [default]:
        return None
    mean = Trial(few[0].number, {})
    for stage in default.entries:
        own = [read_prediction(folder / "valid" / f"{t.entries[stage]['key']}.npz") for t in few]
        mean.entries[stage] = score_validation(task, split, stage, task.averaged(split, stage, own)).columns()
    sign = 1.0 if split.ranking.higher else -1.0
    point, drawn = on_test(task, split, few, search, folder)
    base, base_drawn = on_test(task, split, [default], search, folder)
    low, high = interval(sign * (drawn - base_drawn))
    return Moved(spreads(mean, default, tuning, higher=split.ranking.higher), sign * (point - base), low, high)


def on_test(task: Task, split: Split, few: Sequence[Trial], search: Searched, folder: Path) -> tuple[float, Any]:
    """Score the mean of final predictions: as it is, and under each resample [B]."""
    each = [task.blendable(split, "final", read_prediction(folder / search.finals[t.number][0])) for t in few]
    scorer, group = task.scorer(split, weighted([(one, 1 / len(each)) for one in each])), split.truths["final"].group
    metric = split.ranking.metric
    point = float(scorer.score(np.ones((1, len(group))))[metric][0])
    return point, np.concatenate([scorer.score(w)[metric] for w in draws(group, DRAWS, 7)])


if __name__ == "__main__":
    main()
