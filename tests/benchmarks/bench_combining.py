"""What should a board of forecasts answer with? Ways to choose and combine models on validation, against the best floor on test.

    python tests/benchmarks/bench_combining.py --data FOLDER [--board page-views] [--model direct]
    python tests/benchmarks/bench_combining.py --data FOLDER --held-out

Each board is a simulator of a seed of its own, or page views, or M4 Hourly (every twelfth series), cut at several ends, so that
each has its own three validation windows and its own test; all models stand at their defaults. For each way it prints on how
many boards it is better or worse on test than the floor that validation chooses, beyond its 95 % interval too, and the mean of
log(floor / way), whose standard error is over families of boards.

`--held-out` asks the sets that chose nothing (Online Retail, CDNOW, MovieLens, CollegeMsg) and prints a row for each before that.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from answers.forecasting import FLOORS

from bench.api import Context
from bench.data.series import Series
from bench.metrics.bootstrap import draws, interval
from bench.registry import Registry, discover, models
from bench.runs.ensemble import GAIN
from bench.sources.load import Request, loaded
from bench.tasks.base import Prediction, Split, StageName, weighted, weighted_median
from bench.tasks.forecasting.plan import choose
from bench.tasks.forecasting.task import Forecasting, split_of
from bench.tasks.grid import chosen, from_events, from_series
from bench.tasks.profiles import PROFILES

TASK, SHORT = Forecasting(), PROFILES["short"]
MODELS = (
    "zero", "naive", "seasonal-naive", "window-average", "climatology", "seasonal-quantiles", "negbin", "croston-sba", "tsb", "adida",
    "direct", "lightgbm-lags",
)  # fmt: skip
DRAWS = 400
Scores = tuple[float, np.ndarray]
"""A score and its resamples [B]."""


@dataclass(frozen=True)
class Family:
    """Boards that are cuts of the same grid."""

    source: str
    folder: str = ""
    seed: int = 0
    options: Mapping[str, str] | None = None
    back: tuple[int, ...] = (0, 120)
    """Steps left out at the grid's end, one board each."""
    every: int = 1


FAMILIES = {
    "retail": Family("retail", seed=11),
    "netflix": Family("netflix", seed=11),
    "social": Family("social", seed=11, back=(0, 42)),
    "retail-sum": Family("retail", seed=15, options={"target": "sum"}),
    "retail-total": Family("retail", seed=15, options={"level": "total", "windows": "8"}),
    "page-views": Family("series", "wp_page_views", options={"windows": "8"}, back=(0, 300, 600, 900)),
    "m4-hourly": Family("series", "m4_hourly", options={"season": "24", "horizon": "48", "windows": "1"}, back=(48,), every=12),
}
HELD_OUT = {
    "online-retail": Family("retail", "online_retail/by-day", back=(0,)),
    "cdnow-total": Family("retail", "cdnow/CDNOW_master.txt", options={"level": "total", "windows": "8"}, back=(0,)),
    "movielens": Family("netflix", "movielens_latest_small", options={"freq": "W"}, back=(0,)),
    "college-msg": Family("social", "college_msg/CollegeMsg.txt", options={"level": "user"}, back=(0,)),
}


@dataclass(frozen=True)
class Asked:
    """One model's predictions on a board, and their scores."""

    name: str
    valid: Prediction
    final: Prediction
    scored: Scores


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--board", action="append", choices={**FAMILIES, **HELD_OUT})
    parser.add_argument("--model", action="append")
    parser.add_argument("--held-out", action="store_true")
    given = parser.parse_args()
    found: dict[str, dict[str, list[tuple[float, float, float]]]] = {way: {} for way in WAYS}
    families = HELD_OUT if given.held_out else FAMILIES
    for name in given.board or families:
        for split in boards(families[name], given.data, discover()):
            asked = sorted((ask(split, model) for model in given.model or MODELS), key=lambda one: one.scored[0])
            floor = on_test(split, next(one for one in asked if one.name in FLOORS).final)
            if given.held_out:
                print(f"| {name} | {' | '.join(row(split, asked))} |", flush=True)
            for way, of in WAYS.items():
                point, drawn = on_test(split, of(split, asked))
                low, high = interval(floor[1] - drawn)
                found[way].setdefault(name, []).append((float(np.log(floor[0] / point)), low, high))
    for way, by_family in found.items():
        gain, low, high = np.array([board for family in by_family.values() for board in family]).T
        means = np.array([np.mean([board[0] for board in family]) for family in by_family.values()])
        error = means.std(ddof=1) / np.sqrt(len(means)) if len(means) > 1 else np.nan
        better, worse = (f"{(s * gain > 1e-9).sum()} ({(s * edge > 1e-9).sum()} beyond)" for s, edge in ((1, low), (-1, high)))
        print(f"| {way} | {len(gain)} | {better} | {worse} | {means.mean():+.3f} +- {error:.3f} |")


def boards(family: Family, data: Path, registry: Registry) -> Iterator[Split]:
    """Cut one family's grid at each of its ends."""
    path, options = (data / family.folder if family.folder else None), family.options or {}
    log = loaded(Request(family.source, path), registry, {}, size=SHORT.users, seed=family.seed).data
    given = isinstance(log, Series)
    whole = from_series(log, options) if given else from_events(log, options)
    whole = whole.take(np.arange(0, len(whole.names), family.every))
    for back in family.back:
        end = len(whole.number) - back
        grid = replace(whole, values=whole.values[:, :end], number=whole.number[:end], fixed=0)
        plan = choose(log, grid, {"windows": "2", **options}, SHORT, simulated=False)
        yield split_of(grid if given else chosen(grid, plan.level, plan.test[0]), plan, SHORT)


def ask(split: Split, model: str) -> Asked:
    """Fit a model's default before each stage and ask it about the stage's windows."""
    made = models(discover().sources["bench.models"][model])[model]
    about = Context(epochs=SHORT.epochs, history=SHORT.history, rows=SHORT.rows, **split.context)
    found: dict[StageName, Prediction] = {}
    for name, stage in split.stages.items():
        own = made(made.default())
        own.fit(stage.train, about)
        found[name] = TASK.finished(split, name, [own.predict(part, about).arrays() for part in stage.parts], causal=True).prediction
    return Asked(model, found["search"], found["final"], on_validation(split, found["search"]))


def on_validation(split: Split, prediction: Prediction) -> Scores:
    """Score on all validation windows together, as the search does."""
    windows = TASK.objectives(split, "search", prediction)["tuned"]
    return float(np.mean([w.value for w in windows])), np.mean([w.replicates(0) for w in windows], axis=0)


def on_test(split: Split, prediction: Prediction) -> Scores:
    """Score on test: as it is, and under each resample."""
    scorer, group, metric = TASK.scorer(split, prediction), split.truths["final"].group, split.ranking.metric
    point = float(scorer.score(np.ones((1, len(group))))[metric][0])
    return point, np.concatenate([scorer.score(w)[metric] for w in draws(group, DRAWS, 7)])


def row(split: Split, asked: Sequence[Asked]) -> Iterator[str]:
    """Write the floor on validation, the best floor on test, the best model and the answer, the latter two against both floors."""
    floors = [one for one in asked if one.name in FLOORS]
    tested = {one.name: on_test(split, one.final) for one in asked}
    bars = floors[0].name, min((one.name for one in floors), key=lambda name: tested[name][0])
    model = next(one.name for one in asked if one.name not in FLOORS)
    yield split.ranking.metric
    yield from (f"{name} {tested[name][0]:.3f}" for name in bars)
    taken = unless_beaten(split, varied(asked))
    for name, (point, drawn) in ((model, tested[model]), (" + ".join(one.name for one in taken), on_test(split, median(split, taken)))):
        yield f"{name} {point:.3f}"
        for bar in bars:
            low, high = interval(tested[bar][1] - drawn)
            yield f"{tested[bar][0] - point:+.3f} ({low:+.3f} to {high:+.3f})"


def few(k: int, *, middle: bool) -> Callable[[Split, Sequence[Asked]], Prediction]:
    """Combine the k best on validation."""
    combine = weighted_median if middle else weighted
    return lambda _, asked: combine([(one.final, 1 / k) for one in asked[:k]])


def unless_beaten(split: Split, asked: Sequence[Asked]) -> Sequence[Asked]:
    """Take the three best, of fewer only where their median is better beyond its standard error."""
    best, taken = on_validation(split, weighted_median([(one.valid, 1 / 3) for one in asked[:3]])), asked[:3]
    for k in (2, 1):
        fewer = on_validation(split, weighted_median([(one.valid, 1 / k) for one in asked[:k]]))
        if best[0] - fewer[0] > GAIN * np.nanstd(fewer[1] - best[1]) + 1e-12:
            best, taken = fewer, asked[:k]
    return taken


def varied(asked: Sequence[Asked]) -> list[Asked]:
    """Leave of the models that learn over all series the best: what a run does."""
    first = next((one for one in asked if one.name not in FLOORS), None)
    return [one for one in asked if one.name in FLOORS or one is first]


def median(_: Split, taken: Sequence[Asked]) -> Prediction:
    """Combine what was taken."""
    return weighted_median([(one.final, 1 / len(taken)) for one in taken])


WAYS: dict[str, Callable[[Split, Sequence[Asked]], Prediction]] = {
    "the best model, floors left out": lambda _, asked: next((one for one in asked if one.name not in FLOORS), asked[0]).final,
    "the best of all": few(1, middle=False),
    "mean of the best three": few(3, middle=False),
    "mean of the best five": few(5, middle=False),
    "median of the best three": few(3, middle=True),
    "median of the best five": few(5, middle=True),
    "median of the best three, fewer if better beyond an error": lambda split, asked: median(split, unless_beaten(split, asked)),
    "the same, one at most learns over all series": lambda split, asked: median(split, unless_beaten(split, varied(asked))),
}


if __name__ == "__main__":
    main()
