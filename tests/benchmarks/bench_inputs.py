"""Do networks gain by seeing more? FEATURES as context, items, the calendar: on validation alone, paired.

    python tests/benchmarks/bench_inputs.py FOLDER --data DATA [--log LOG ...] [--model MODEL ...] [--seeds 2] [--validations 2]

Each model is fitted at its default without any of it and with one more thing shown, with the same seeds, on the latest
validations of each log; DATA is the folder of the open logs. No test truth is read. What is fitted is kept in FOLDER, and
not fitted again. Differences are of ROC AUC, averaged over seeds and validations, with 95 % intervals resampled by user.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import Context
from bench.metrics.bootstrap import interval, poisson_draws
from bench.metrics.churn import ranked
from bench.registry import discover, models
from bench.tasks.base import Split
from bench.tasks.churn.task import Churn
from bench.tasks.profiles import PROFILES

PROFILE = PROFILES["short"]
SIMULATED = {"retail-sim": "retail", "ratings-sim": "netflix", "social-sim": "social"}
OPEN: dict[str, tuple[str, str, dict[str, str]]] = {
    "cdnow": ("retail", "cdnow/CDNOW_master.txt", {"horizon": "91d"}),
    "college-msg": ("social", "college_msg/CollegeMsg.txt", {"horizon": "7d", "eligible": "ever"}),
    "kdd-cup": ("activity", "kddcup2015_mooc", {}),
    "online-retail": ("retail", "online_retail/by-day", {"horizon": "28d"}),
    "movielens": ("netflix", "movielens_latest_small/ratings.csv", {"horizon": "364d", "eligible": "ever"}),
}
MODELS = ("lstm", "seq2seq", "self-attention", "vae")
USUAL = {"context": "history", "items": "none", "calendar": "none"}
ARMS: dict[str, dict[str, str]] = {
    "usual": {},
    "features": {"context": "features"},
    "items": {"items": "events"},
    "items-past": {"items": "past"},
    "calendar": {"calendar": "events"},
}
DRAWS = 400


def split_of(name: str, data: Path, seed: int) -> Split:
    """Cut a log as a run does."""
    registry = discover([], [])
    if name.partition("#")[0] in SIMULATED:
        adapter = registry.dataset(SIMULATED[name.partition("#")[0]])
        with tempfile.TemporaryDirectory() as folder:
            adapter.simulate(Path(folder), PROFILE.users, int(name.partition("#")[2] or seed))
            events = adapter.read(Path(folder), {})
        return Churn().split(events, {}, PROFILE, 0)
    source, path, options = OPEN[name]
    return Churn().split(registry.dataset(source).read(data / path, {}), options, PROFILE, 0)


def answer(split: Split, stage: str, model: str, params: dict[str, str], seed: int, kept: Path) -> tuple[Any, float]:
    """Fit and ask on one validation: P(churn) [N] and seconds; taken from `kept` where it lies there."""
    if kept.is_file():
        with np.load(kept) as stored:
            return stored["p"], float(stored["seconds"])
    kind = models(discover([], []).sources["bench.models"][model])[model]
    made = kind({**kind.default(), **params})
    ctx = Context(seed=seed, horizon=split.context["horizon"], epochs=PROFILE.epochs, history=PROFILE.history, rows=PROFILE.rows)
    began = time.perf_counter()
    made.fit(split.stages[stage].train, ctx)
    seconds = time.perf_counter() - began
    p = np.asarray(made.predict(split.stages[stage].parts[0], ctx), float)
    kept.parent.mkdir(parents=True, exist_ok=True)
    np.savez(kept, p=p, seconds=seconds)
    return p, seconds


def compared(split: Split, name: str, model: str, arms: list[str], given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Compare each arm with the default."""
    stages = [s for s in split.stages if s != "final"][: given.validations]
    point, drawn, seconds = {}, {}, {}
    for arm in arms:
        scores, clouds, times = [], [], []
        for stage in stages:
            truth = split.truths[stage]
            for seed in range(given.seeds):
                kept = given.folder / name / model / arm / f"{stage}-{seed}.npz"
                p, took = answer(split, stage, model, {**USUAL, **ARMS[arm]}, seed, kept)
                order = ranked(truth.y, p, 0.5)
                scores.append(float(order.score(np.ones((1, len(p))))["roc_auc"][0]))
                clouds.append(np.concatenate([np.asarray(order.score(w)["roc_auc"]) for w in poisson_draws(truth.group, DRAWS, 0)]))
                times.append(took)
        point[arm], drawn[arm], seconds[arm] = np.mean(scores), np.mean(clouds, axis=0), np.mean(times)
    for arm in arms[1:]:
        low, high = interval(drawn[arm] - drawn["usual"])
        yield {
            "log": name, "model": model, "arm": arm, "usual": round(point["usual"], 4), "gain": round(point[arm] - point["usual"], 4),
            "low": round(low, 4), "high": round(high, 4), "seconds": round(seconds["usual"], 1), "with": round(seconds[arm], 1),
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--log", nargs="*", default=[*SIMULATED, *OPEN])
    parser.add_argument("--model", nargs="*", default=list(MODELS))
    parser.add_argument("--arm", nargs="*", default=list(ARMS)[1:])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--validations", type=int, default=2)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    found = []
    for name in given.log:
        split = split_of(name, given.data, 21)
        for model in given.model:
            for row in compared(split, name, model, ["usual", *given.arm], given):
                found.append(row)
                print(json.dumps(row), flush=True)
    for arm in given.arm:
        print(summary([row for row in found if row["arm"] == arm]))


def summary(rows: list[dict[str, Any]]) -> str:
    """Average the gains over models and logs, with the interval over logs, and count the pairs that are beyond their own."""
    logs = dict.fromkeys(row["log"] for row in rows)
    each = np.array([np.mean([row["gain"] for row in rows if row["log"] == log]) for log in logs])
    low, high = interval(np.random.default_rng(0).choice(each, (2000, len(each))).mean(axis=1))
    better, worse = sum(row["low"] > 0 for row in rows), sum(row["high"] < 0 for row in rows)
    return (
        f"{rows[0]['arm']}: mean gain {each.mean():+.4f} ({low:+.4f} to {high:+.4f} over {len(each)} logs); "
        f"of {len(rows)} pairs {better} better and {worse} worse beyond their interval"
    )


if __name__ == "__main__":
    main()
