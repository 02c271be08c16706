"""What would stopping trainings at rungs save, and what would it lose? Whole trainings, looked at as the search would.

    python tests/benchmarks/bench_rungs.py FOLDER [--task churn] [--profile short] [--seed 31] --model lstm --model vae

Each model's default and fifteen configurations, spread over the space, are trained to their end on the latest validation of the
simulated logs. Then the rule of `bench.tune.rungs` is played over them in batches of four, by several percentiles. Printed for
each: the share of all epochs that would not have been trained, how many trainings it stops, how often the best of the sixteen
by the validation score is one of them, and how much of that score would be lost.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from studies import run_plan

from bench.runs.config import Config
from bench.tune import plan as plans
from bench.tune import rungs
from bench.tune.search import BATCH, spread
from bench.tune.trials import Trial

LOGS = ("retail", "netflix", "social")
POINTS = 15
PERCENTILES = (50.0, 75.0, 90.0)


@dataclass(frozen=True)
class Played:
    """What stopping at rungs would have made of one search."""

    stopped: int
    saved: float
    """Share of the epochs of all trainings."""
    best_lost: bool
    lost: float
    """Of the best validation score."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--task", default="churn")
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--profile", default="short")
    parser.add_argument("--seed", type=int, default=31)
    given = parser.parse_args()
    pairs = trained(given.task, given.model, given.profile, given.seed, given.folder)
    for name, (trials, higher) in pairs.items():
        told = [t for t in trials if t.ok and t.entries["search"].get("losses")]
        at = [t.entries["search"]["losses"][min(1, len(t.entries["search"]["losses"]) - 1)] for t in told]
        rho = spearmanr(at, [(1 if higher else -1) * t.entries["search"]["value"] for t in told]).statistic
        print(f"{name:40} {len(told)} trainings; loss after two epochs and validation score (-1 agrees): rho {rho:+.2f}")
    for percentile in PERCENTILES:
        found = [played(trials, percentile, higher=higher) for trials, higher in pairs.values()]
        print(
            f"percentile {percentile:g}: {np.mean([p.saved for p in found]):.1%} of the epochs saved, "
            f"{np.mean([p.stopped for p in found]):.1f} of {POINTS + 1} stopped, the best among them in {sum(p.best_lost for p in found)} "
            f"of {len(found)} searches, mean loss of score {np.mean([p.lost for p in found]):.4f}"
        )


def trained(task: str, models: Sequence[str], profile: str, seed: int, folder: Path) -> dict[str, tuple[list[Trial], bool]]:
    """Train the same configurations of each model on each log."""
    kept: dict[str, tuple[list[Trial], bool]] = {}

    def study(plugin: Any, budget: Any, make: Any, scope: Any) -> plans.Plan:
        trials: list[Trial] = []
        points = [dict(plugin.default), *spread(plugin.space, 0, POINTS)]
        yield from plans._validate([Trial(n, p) for n, p in enumerate(points)], scope.validations[:1], budget, make, trials)
        kept[f"{make.__self__.dataset} {plugin.name}"] = trials, scope.ranking.higher
        return plans.Outcome((), trials[0].merged(), {}, {}, "trials")

    options = {"trials": 1, "seeds": 1, "seed": seed, "sandbox": "off", "out": str(folder), "profile": profile, "workers": 1}
    run_plan(Config(task, LOGS, models=tuple(models), **options).checked(), study)
    return kept


def played(trials: Sequence[Trial], percentile: float, *, higher: bool) -> Played:
    """Look at whole trainings batch by batch as the search would, and stop those that are behind."""
    seen: list[Trial] = []
    stopped: set[int] = set()
    used = whole = 0
    for first in range(0, len(trials), BATCH):
        known = rungs.rungs_after(seen, percentile)
        for trial in trials[first : first + BATCH]:
            entry = trial.entries["search"]
            losses = list(entry.get("losses", ()))
            at = next((r.epoch for r in known if len(losses) >= r.epoch and losses[r.epoch - 1] > r.most), None)
            stopped |= {trial.number} if at is not None else set()
            used, whole = used + (at or len(losses)), whole + len(losses)
            seen.append(Trial(trial.number, trial.params, {"search": {**entry, "losses": losses[:at]}}))
    sign = 1.0 if higher else -1.0
    scores = {t.number: sign * t.entries["search"]["value"] for t in trials if t.ok}
    best = max(scores, key=lambda n: scores[n])
    left = max(score for n, score in scores.items() if n not in stopped)
    return Played(len(stopped), 1 - used / whole if whole else 0.0, best in stopped, scores[best] - left)


if __name__ == "__main__":
    main()
