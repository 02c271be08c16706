"""How many fits until a search is as good as the old one was after twenty? The anytime comparison behind the documented figure.

    python tests/benchmarks/bench_anytime.py FOLDER --task churn --dataset retail --dataset social=CollegeMsg.txt [--seed 11]

The old search: the author's default, three points spread over the space, then TPE; its score is that of its best trial after
twenty fits. Today's begins with the portfolio (learned without the log at hand), and what stands after n fits is the best
trial or the mean of the default and the best two, whichever is better. Both are scored on the latest validation, where a
search can see it; a fit is a fit. Printed for each pair: the fits until today's is at least as good (more than twenty: not
reached), then the median.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from studies import run_plan

from bench.execute.prediction_files import read_prediction
from bench.runs.check_prediction import score_validation
from bench.runs.config import Config
from bench.runs.problem import Problem
from bench.tasks.base import Task
from bench.tune import plan as plans
from bench.tune.decide import FEW, few_best
from bench.tune.plan import Budget
from bench.tune.trials import Trial

FITS = 20
NEVER = FITS + 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--task", default="churn")
    parser.add_argument("--dataset", action="append", required=True)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--seed", type=int, default=11)
    given = parser.parse_args()
    old, new = ({}, {})
    for found, on in ((old, False), (new, True)):
        task, problems = searched(given.task, given.dataset, given.model, given.seed, given.folder, found, portfolio=on)
    fits, by_best = [], []
    for problem in problems:
        for model in given.model:
            key = (problem.split.task_id + problem.title, model)
            if key not in old or not old[key][0].ok:
                continue
            reached = fits_until(task, problem, old[key], new[key], given.folder)
            fits.append(reached[0])
            by_best.append(reached[1])
            print(f"{problem.title:24} {model:20} {reached[0]:3d} fits; by its best trial alone {reached[1]:3d}")
    for words, each in (("what stands", fits), ("best trial alone", by_best)):
        print(f"{words}: {len(each)} pairs, median {np.median(each):g} fits of {FITS}, not reached in {sum(n == NEVER for n in each)}")


def searched(
    name: str, datasets: Sequence[str], models: Sequence[str], seed: int, folder: Path, found: dict[Any, list[Trial]], *, portfolio: bool
) -> tuple[Task, list[Problem]]:
    """Spend twenty fits on the latest validation of each pair; put the trials into `found`."""

    def study(plugin: Any, _: Budget, make: Any, scope: Any) -> plans.Plan:
        from dataclasses import replace

        trials: list[Trial] = []
        yield from plans._search(plugin, Budget(FITS, 1, seed), make, trials, replace(scope, validations=scope.validations[:1]))
        found[make.__self__.split.task_id + make.__self__.dataset, plugin.name] = trials
        return plans.Outcome((), trials[0].merged(), {}, {}, "trials")

    options = {"trials": FITS, "seeds": 1, "seed": seed, "sandbox": "off", "out": str(folder), "portfolio": portfolio}
    return run_plan(Config(name, tuple(datasets), models=tuple(models), **options).checked(), study)


def fits_until(task: Task, problem: Problem, old: Sequence[Trial], new: Sequence[Trial], folder: Path) -> tuple[int, int]:
    """Count the fits until today's search is as good as the old one's best trial: what stands, and its best trial alone."""
    rule = problem.split.ranking
    tuning, sign = next(iter(plans._tunings(old))), 1.0 if rule.higher else -1.0
    goal = max(sign * t.scores(tuning).mean() for t in old if t.ok)
    best, stands = NEVER, NEVER
    for n in range(1, len(new) + 1):
        few = few_best(new[:n], tuning, rule, FEW)
        own = max((sign * t.scores(tuning).mean() for t in new[:n] if t.ok), default=-np.inf)
        reached = own >= goal - 1e-12
        best = min(best, n if reached else NEVER)
        if stands > n and (reached or (len(few) == FEW and sign * _of_mean(task, problem, few, folder) >= goal - 1e-12)):
            stands = n
    return stands, best


def _of_mean(task: Task, problem: Problem, few: Sequence[Trial], folder: Path) -> float:
    (stage,) = few[0].entries
    own = [read_prediction(folder / "valid" / f"{t.entries[stage]['key']}.npz") for t in few]
    columns = score_validation(task, problem.split, stage, task.averaged(problem.split, stage, own)).columns()
    return float(columns["value"])


if __name__ == "__main__":
    main()
