"""Does tuning pay? For every pair of model and data set of finished runs: tuned against default, ensemble against best single.

    python tests/benchmarks/bench_tuning.py RUN [RUN ...] [--without MODEL]

Each RUN is a folder that `bench run` wrote; its data are read again from where they lay. Differences are of the ranking
metric on test, turned so that more is better, with 95 % intervals, paired, resampled over users, series or entities; the
single model that an ensemble is compared with is the one that was best on validation. Rows of several seeds are averaged. A
second interval resamples the seeds too, in pairs as they were fitted: a final fit of another seed is another model, and what
the users say of three fits is not all that can vary (Bouthillier et al. 2021, "Accounting for variance in machine learning
benchmarks").
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.data.ragged import Array
from bench.execute.prediction_files import read_prediction
from bench.metrics.bootstrap import draws, interval
from bench.registry import discover
from bench.sources.load import loaded, requested
from bench.tasks.base import Split, Task
from bench.tasks.lookup import task_named
from bench.tasks.profiles import profile

DRAWS = 1_000
COMBINED = ("ensemble", "mean-of-3")
LABEL_FREE = " (label-free)"


@dataclass(frozen=True)
class Pair:
    """One comparison on one data set: `gain` of the first over the second, better above 0, with its interval."""

    task: str
    dataset: str
    model: str
    against: str
    gain: float
    low: float
    high: float
    low_seeds: float
    """Of the interval over users and seeds; that over users where there is one seed."""
    high_seeds: float
    replaced: bool = True
    ratio: float = math.nan
    """Of errors: log of the other's over the first's, better above 0; data sets of unlike errors can be averaged by it."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--without", action="append", default=[], help="a model that is left out of the table")
    given = parser.parse_args()
    found = [pair for run in given.runs for pair in pairs(run) if pair.model.removesuffix(LABEL_FREE) not in given.without]
    for kind, words in (("default", "tuned against default"), ("single", "combined against the best single model on validation")):
        print(f"\n{words}")
        for pair in [p for p in found if p.against == kind]:
            note = "" if pair.replaced else "  kept the default"
            both = f"{pair.low:+.4f} to {pair.high:+.4f}  seeds too {pair.low_seeds:+.4f} to {pair.high_seeds:+.4f}"
            print(f"  {pair.task:12} {pair.dataset:28} {pair.model:16} {pair.gain:+.4f}  {both}{note}")
    for task in dict.fromkeys(p.task for p in found):
        mine = [p for p in found if p.task == task]
        print("\n" + task + ": " + summary([p for p in mine if p.against == "default"]))
        for suffix in dict.fromkeys(LABEL_FREE if p.model.endswith(LABEL_FREE) else "" for p in mine):
            own = [p for p in mine if p.model.endswith(LABEL_FREE) == bool(suffix)]
            if suffix or len(own) < len(mine):
                print(f"{task}{suffix or ' (by labels)'}: " + summary([p for p in own if p.against == "default"]))
            for name in COMBINED:
                if boards := [p for p in own if p.model == name + suffix and p.against == "single"]:
                    print(f"{task}, {name}{suffix}: " + against_single(boards))


def summary(found: Sequence[Pair]) -> str:
    """Count what became of the pairs whose default was replaced, and give the mean gain with its interval over pairs."""
    moved = [p for p in found if p.replaced]
    if not moved:
        return f"{len(found)} pairs, no default was replaced"
    gains, ratios = (np.array([getattr(p, name) for p in moved]) for name in ("gain", "ratio"))
    better, worse = int((gains > 0).sum()), int((gains < 0).sum())
    beyond, seeds_too = sum(p.high < 0 for p in moved), sum(p.high_seeds < 0 for p in moved)
    return (
        f"{len(found)} pairs, default replaced in {len(moved)}; there {better} better, {worse} worse ({beyond} beyond the interval over "
        f"users, {seeds_too} beyond that over seeds too); "
        f"mean gain {over_pairs(gains)}" + ("" if np.isnan(ratios).any() else f"; log of the ratio of errors {over_pairs(ratios)}")
    )


def over_pairs(gains: Array) -> str:
    """Give the mean of gains [P] with its 95 % interval, resampled over pairs."""
    drawn = gains[np.random.default_rng(0).integers(0, len(gains), (DRAWS, len(gains)))].mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{gains.mean():+.4f} ({low:+.4f} to {high:+.4f} over pairs)"


def against_single(found: Sequence[Pair]) -> str:
    """Count on how many boards a combination is level or better, and below beyond its interval."""
    level = sum(p.gain >= 0 or p.low <= 0 <= p.high for p in found)
    above = sum(p.gain >= 0 for p in found)
    return (
        f"{len(found)} boards: {above} above or equal, {level} level or above, {sum(p.high < 0 for p in found)} below beyond the interval"
    )


def pairs(run: Path) -> Iterator[Pair]:
    """Compare all rows of one run."""
    rows = pl.read_parquet(run / "leaderboard.parquet").to_dicts()
    for board, name in boards_of(run):
        own = [r for r in rows if (r["task_id"], r["dataset"]) == (board.split.task_id, name) and r["status"] == "ok"]
        yield from _of_board(board, own, " ".join(filter(None, [name, board.split.columns.get("family")])))


def boards_of(run: Path) -> Iterator[tuple[Scored, str]]:
    """Yield the boards of one run, ready to be scored, each with the name of its data set."""
    config = json.loads((run / "run.json").read_text())["config"]
    task = task_named(config["task"])()
    files = pl.read_parquet(run / "predictions.parquet").to_dicts()
    for split, name in splits(config, task):
        yield Scored(run, task, split, [f for f in files if (f["task_id"], f["dataset"]) == (split.task_id, name)]), name


def splits(config: Mapping[str, Any], task: Task) -> Iterator[tuple[Split, str]]:
    """Read and split a run's data again."""
    from dataclasses import replace

    registry = discover(config["plugins"], config["plugins_dirs"])
    options = {k: v for k, v in config["options"].items() if "." not in k}
    for request in requested(tuple(config["datasets"]), config["source"], registry, holds=task.holds):
        caps = profile(config["profile"])
        data = loaded(request, registry, {}, size=caps.users, seed=config["seed"])
        for split in task.splits(replace(data.data, name=data.name), options, caps, config["seed"], simulated=data.simulated):
            if not split.reason:
                yield split, data.name


@dataclass(frozen=True)
class Scored:
    """A board whose predictions can be scored under any weights."""

    run: Path
    task: Task
    split: Split
    files: Sequence[Mapping[str, Any]]

    def drawn(self, model: str, tuning: str) -> tuple[float, Array] | None:
        """Return the ranking metric of a row, averaged over seeds: as it is, and under each resample [B]."""
        found = self.by_seed(model, tuning)
        return None if found is None else (float(np.mean(found[0])), np.mean(found[1], axis=0))

    def by_seed(self, model: str, tuning: str) -> tuple[Array, Array] | None:
        """Return the ranking metric of a row, more being better, for each of S seeds: as it is [S], and under each resample [S, B]."""
        mine = [f["file"] for f in sorted(self.files, key=lambda f: f["seed"]) if (f["model"], f["tuning"]) == (model, tuning)]
        if not mine:
            return None
        board, group = self.split.ranking, self.split.truths["final"].group
        scorers = [self.task.scorer(self.split, read_prediction(self.run / file)) for file in mine]
        sign = 1.0 if board.higher else -1.0
        point = [s.score(np.ones((1, len(group))))[board.metric][0] for s in scorers]
        each = [np.concatenate([s.score(w)[board.metric] for w in draws(group, DRAWS, 7)]) for s in scorers]
        return sign * np.array(point), sign * np.array(each)


def _of_board(board: Scored, rows: Sequence[Mapping[str, Any]], name: str) -> Iterator[Pair]:
    for model, tuning in dict.fromkeys((r["model"], r["tuning"]) for r in rows if r["tuning"] != "default" and r["model"] not in COMBINED):
        kept = any("kept-default" in r["flags"] for r in rows if (r["model"], r["tuning"]) == (model, tuning))
        if pair := _pair(board, name, (model, tuning), (model, "default"), "default", replaced=not kept):
            yield pair
    for row in rows:
        if row["model"] in COMBINED:
            best = single_of(rows, row["tuning"], higher=board.split.ranking.higher)
            if pair := _pair(board, name, (row["model"], row["tuning"]), (best["model"], best["tuning"]), "single", replaced=True):
                yield pair


def single_of(rows: Sequence[Mapping[str, Any]], tuning: str, *, higher: bool) -> Mapping[str, Any]:
    """Return the row of one model that validation likes best, of those that are judged by what chose a combination's members.

    Where labels choose for some rows and injections for others, the scores of both are no common measure.
    """
    known = [r for r in rows if r["model"] not in COMBINED and r["valid_score"] is not None]
    if any(r["tuning"] == "label-free" for r in rows):
        known = [r for r in known if (r["tuning"] == "tuned") == (tuning == "tuned")]
    return max(known, key=lambda r: r["valid_score"] * (1 if higher else -1))


def _pair(board: Scored, name: str, one: tuple[str, str], other: tuple[str, str], against: str, *, replaced: bool) -> Pair | None:
    first, second = board.by_seed(*one), board.by_seed(*other)
    if first is None or second is None:
        return None
    point, against_point = float(np.mean(first[0])), float(np.mean(second[0]))
    return Pair(
        board.task.name,
        name,
        one[0] + ("" if one[1] != "label-free" else LABEL_FREE),
        against,
        point - against_point,
        *interval(first[1].mean(axis=0) - second[1].mean(axis=0)),
        *interval(over_seeds(first[1], second[1])),
        replaced,
        math.nan if board.split.ranking.higher else math.log(against_point / point),
    )


def over_seeds(first: Array, second: Array) -> Array:
    """Return differences [B] of two rows' scores [S, B] and [R, B], each draw of users with a draw of the seeds: in pairs where S is R."""
    rng, seeds, draw = np.random.default_rng(11), len(first), np.arange(first.shape[1])
    taken = rng.integers(0, seeds, (seeds, first.shape[1]))
    other = taken if len(second) == seeds else rng.integers(0, len(second), (len(second), second.shape[1]))
    return np.asarray(first[taken, draw].mean(axis=0) - second[other, draw].mean(axis=0))


if __name__ == "__main__":
    main()
