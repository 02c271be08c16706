"""How many fits until a search is as good as the old one was after twenty? Read twice: by what it sees, and by what its answer is worth.

    python tests/benchmarks/bench_anytime.py FOLDER --task churn --dataset retail --dataset social=CollegeMsg.txt --model gbm [--seed 11]

The old search: the author's default, three points spread over the space, then TPE; all twenty fits on the latest validation,
and its answer is its best trial. Today's begins with the portfolio (learned without the log at hand and others of its simulator).

By validation: the old search's score is that of its best trial; today's, on the latest validation alone too, is that of its best
trial or of the mean of the default and the best two, whichever is better. A fit is a fit; 21: not reached within twenty.

By test: a whole search as `bench run --trials n --seeds 1` makes it, for each n of 1 to 20: it races, asks unseen users, and
answers with the default or the mean of a few. The answer is fitted as a final fit is and scored on test (the metric that ranks, before
calibration); so is the old search's best trial after each of its fits. Nothing is chosen by test. The columns of a pair:

- `default`, `old`: on test, the default's score, and how much better the old search's answer after twenty fits is.
- `today`: fits after which today's answer is at least as good on test as the old one's after twenty, of the smallest n that
  has it. All fits of that search count: the default's, racing's, and those on unseen users (each fitted on half of the users); final
  fits, of which every way has its own, do not. `never`: for no n up to 20 (which may take 26 fits).
- `kept`: the same, of the smallest n from which on it holds for every larger n: a lucky moment does not count.
- `own`, `own kept`: the same two of the old search itself, after how many of its own fits its answer is at least as good as after
  twenty. Where tuning does nothing, or harm, the default is, after one fit: what `today` is to be compared with.
- `7`, `14`, `20`: how much better than the old answer today's of `--trials 7` (seven fits at most), 14 (20) and 20 (26) is.

Then the medians, of all searches and of those where the old answer is better than the default, and the mean differences, less the old
answer after twenty, with 95 % intervals over pairs of log and model (of several seeds the mean). Pairs that share a log or a model are
not independent: the intervals are rather too narrow. Two answers that no user gets say where a difference comes from: the best trial
of the search that only begins with the portfolio, and what `--trials 20` finds, a mean of few, whether or not it may replace the default.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from bench_unseen import beside
from studies import run_plan

from bench.execute.jobs import Job
from bench.execute.mean_of import params_of
from bench.execute.prediction_files import read_prediction
from bench.runs.cell import Cell
from bench.runs.check_prediction import score_validation
from bench.runs.config import Config
from bench.runs.problem import Problem
from bench.tasks.base import Split, Task, weighted
from bench.tune import plan as plans
from bench.tune.decide import FEW, few_best
from bench.tune.plan import Budget
from bench.tune.portfolio import SIZE, _stored_portfolio, chosen, space_digest, utilities
from bench.tune.trials import Entry, Trial, prediction_file

FITS = 20
NEVER = FITS + 1
SHOWN = (7, 14, 20)
"""`--trials` whose answers are compared with the old one: a third of twenty fits, twenty at most with those on unseen users, and 26."""
PARTS = ("the portfolio, then the old search: its best trial", "--trials 20, whatever the rule says")
TIE = 1e-12


@dataclass
class Searched:
    """What was searched on one pair: both searches on the latest validation, and the final fits of their answers."""

    old: list[Trial] = field(default_factory=list)
    new: list[Trial] = field(default_factory=list)
    old_answers: list[Entry] = field(default_factory=list)
    """Final fit of the old search's answer after each fit."""
    answers: list[Entry] = field(default_factory=list)
    """Final fit of today's answer for each `--trials`."""
    fits: list[int] = field(default_factory=list)
    """Fits that each of those searches made, without final ones."""
    parts: list[Entry] = field(default_factory=list)
    """Final fits of `PARTS`."""


@dataclass(frozen=True)
class OnTest:
    """How good the answers of one pair are on test, higher is better: the old search's after each fit, and today's by `--trials`."""

    pair: tuple[str, str]
    """The log's fingerprint and the model."""
    old: Sequence[float]
    today: Sequence[float]
    fits: Sequence[int]
    parts: Sequence[float]

    @property
    def goal(self) -> float:
        """Return the old answer's score after twenty fits."""
        return self.old[-1]

    @property
    def tuned(self) -> bool:
        """Return whether the old answer is better than the default, which is today's of one trial."""
        return self.goal > self.today[0] + TIE

    def counts(self) -> dict[str, float]:
        """Count fits by column: infinite where today's never reaches the old answer."""
        found = dict(zip(("today", "kept"), reached(self.today, self.goal, self.fits), strict=True))
        return found | dict(zip(("own", "own kept"), reached(self.old, self.goal, range(1, FITS + 1)), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--task", default="churn")
    parser.add_argument("--dataset", action="append", required=True)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--workers", type=int)
    given = parser.parse_args()
    seen: list[tuple[int, int]] = []
    tested: list[OnTest] = []
    for seed in given.seed or [11]:
        options = {"datasets": tuple(given.dataset), "models": tuple(given.model), "seed": seed, "workers": given.workers}
        task, problems, found = searched(given.task, given.folder, options)
        for problem in problems:
            for model in given.model:
                pair = found.get((problem.split.task_id + problem.title, model))
                if pair is None or not pair.old[0].ok:
                    continue
                seen.append(fits_until(task, problem, pair.old, pair.new, given.folder))
                tested.append(on_test(task, problem, model, pair, given.folder))
                stands, best = seen[-1]
                print(f"{problem.title:24} {model:14} {seed}: validation {stands:2d}, best trial alone {best:2d}; {row(tested[-1])}")
    for words, each in zip(("what stands", "best trial alone"), zip(*seen, strict=True), strict=True):
        print(f"{words}: {len(each)} searches, median {np.median(each):g} fits of {FITS}, not reached in {sum(n == NEVER for n in each)}")
    summary(tested)


def row(pair: OnTest) -> str:
    """Show one pair by test."""
    counts = ", ".join(f"{name} {told(count)}" for name, count in pair.counts().items())
    more = ", ".join(f"{n} {pair.today[n - 1] - pair.goal:+.4f}" for n in SHOWN)
    return f"test: default {abs(pair.today[0]):.4f}, old {pair.goal - pair.today[0]:+.4f}; {counts}; {more}"


def summary(tested: Sequence[OnTest]) -> None:
    """Print the medians of the pairs, and how far today's answers are from the old ones."""
    for words, each in (("all", tested), ("old answer better than the default", [pair for pair in tested if pair.tuned])):
        for column in ("today", "kept", "own", "own kept") if each else ():
            counts = np.array([pair.counts()[column] for pair in each])
            never, late = np.isinf(counts).sum(), (np.isfinite(counts) & (counts > FITS)).sum()
            more = f"{(counts == 1).sum()} after one, {(counts <= FITS / 3).sum()} within a third, {late} beyond {FITS}, {never} never"
            print(f"by test, {words}: {len(each)} searches, {column:8} median {told(np.median(counts))} fits; {more}")
    answers = {"the default": [pair.today[0] for pair in tested]}
    for n in SHOWN:
        fits = [pair.fits[n - 1] for pair in tested]
        answers[f"--trials {n} ({min(fits)} to {max(fits)} fits, median {np.median(fits):g})"] = [pair.today[n - 1] for pair in tested]
    answers |= {name: [pair.parts[at] for pair in tested] for at, name in enumerate(PARTS)}
    for name, scores in answers.items():
        print(f"{name:50} {beyond(tested, scores)}")


def beyond(tested: Sequence[OnTest], scores: Sequence[float]) -> str:
    """Compare answers with the old ones after twenty fits."""
    gains: dict[tuple[str, str], list[float]] = {}
    for each, score in zip(tested, scores, strict=True):
        gains.setdefault(each.pair, []).append(score - each.goal)
    every = np.concatenate(list(gains.values()))
    means = np.array([np.mean(own) for own in gains.values()])
    same = sum(abs(score - each.today[0]) <= TIE for each, score in zip(tested, scores, strict=True))
    words = f"{(every > TIE).sum()} better, {(every < -TIE).sum()} worse; {same} as good as the default, or it"
    return f"{beside(means)} over {len(means)} pairs, {words}"


def told(count: float) -> str:
    """Write a count of fits."""
    return f"{count:g}" if np.isfinite(count) else "never"


def reached(scores: Sequence[float], goal: float, fits: Sequence[int]) -> tuple[float, float]:
    """Return the fits of the first answer that is at least as good as the goal, and of the first from which on all are."""
    good = [score >= goal - TIE for score in scores]
    first = next((n for n, reaches in zip(fits, good, strict=True) if reaches), np.inf)
    kept = next((fits[at] for at in range(len(good)) if all(good[at:])), np.inf)
    return first, kept


def searched(name: str, folder: Path, options: Mapping[str, Any]) -> tuple[Task, list[Problem], dict[tuple[str, str], Searched]]:
    """Make every search of each pair; by task, data set and model. Searches share the fits that they have in common."""
    found: dict[tuple[str, str], Searched] = {}

    def study(plugin: Any, budget: Budget, make: Any, scope: Any) -> plans.Plan:
        pair, latest = Searched(), scope.validations[:1]
        scope = replace(scope, portfolio=portfolio_of_others(name, make.__self__))
        for trials, of in ((pair.old, replace(scope, portfolio=())), (pair.new, scope)):
            yield from plans._search(plugin, budget, make, trials, replace(of, validations=latest))
        found[make.__self__.split.task_id + make.__self__.dataset, plugin.name] = pair
        # all searches first: a worker that has seen the labels of a final fit is replaced before the next search
        whole: list[Trial] = []
        for n in range(1, FITS + 1):
            whole.clear()
            yield from plans._search(plugin, replace(budget, trials=n), make, whole, scope)
        if pair.old[0].ok:
            yield from answered(plugin, budget, make, scope, pair)
            yield from parted(budget, make, scope, pair, whole)
        return plans.Outcome((), pair.old[0].merged(), {}, {}, "trials")

    config = Config(name, trials=FITS, seeds=1, sandbox="off", out=str(folder), **options).checked()
    return *run_plan(config, study), found


def answered(plugin: Any, budget: Budget, make: Any, scope: Any, pair: Searched) -> Generator[list[Job], list[Entry], None]:
    """Fit the answers of a pair: the old search's after each fit, then today's for each budget."""
    best = [bests(pair.old[:n], scope.ranking.higher) for n in range(1, FITS + 1)]
    pair.old_answers += yield [make("final", trial.params, budget.base, 0) for trial in best]
    for n in range(1, FITS + 1):
        made: set[str] = set()
        outcome = yield from plans.plan(plugin, replace(budget, trials=n), counting(make, made), scope)
        pair.answers.append(outcome.finals[next(iter(outcome.best)), budget.base])
        pair.fits.append(len(made))


def parted(budget: Budget, make: Any, scope: Any, pair: Searched, whole: Sequence[Trial]) -> Generator[list[Job], list[Entry], None]:
    """Fit what `PARTS` are; `whole`: the trials of today's search of twenty."""
    few = few_best(whole, plans._tunings(whole)[0], scope.ranking, FEW)
    mean = params_of([trial.params for trial in sorted(few, key=lambda t: t.number)])
    pair.parts += yield [make("final", params, budget.base, 0) for params in (bests(pair.new, scope.ranking.higher).params, mean)]


def counting(make: Callable[..., Job], made: set[str]) -> Callable[..., Job]:
    """Note the keys of all fits but final ones; means of predictions are none."""

    def counted(stage: str, params: Mapping[str, Any], seed: int, number: int, of: tuple[str, ...] = (), **more: Any) -> Job:
        job = make(stage, params, seed, number, of, **more)
        if stage != "final" and not of:
            made.add(job.key)
        return job

    return counted


def bests(trials: Sequence[Trial], higher: bool) -> Trial:
    """Return the best trial by the latest validation; of equals the first."""
    (tuning, *_), sign = plans._tunings(trials), 1.0 if higher else -1.0
    return max((t for t in trials if t.ok), key=lambda t: sign * t.scores(tuning).mean())


def portfolio_of_others(task: str, cell: Cell) -> tuple[Mapping[str, Any], ...]:
    """Return the portfolio learned without the log at hand and, where it is simulated, without any of that simulator."""
    scored = _stored_portfolio().get(task, {}).get(cell.plugin.name)
    if scored is None or scored["space"] != space_digest(cell.plugin.space):
        return ()
    own = cell.dataset.partition(",")[0]
    logs = [log for log in scored["logs"] if log["fingerprint"] != cell.key_parts["data"] and log["data"].partition(",")[0] != own]
    return tuple(scored["params"][at] for at in chosen(utilities(logs), SIZE)) if logs else ()


def on_test(task: Task, problem: Problem, model: str, pair: Searched, folder: Path) -> OnTest:
    """Score the answers of a pair on test, each prediction once."""
    each = [[prediction_file(entry) for entry in entries] for entries in (pair.old_answers, pair.answers, pair.parts)]
    score = {file: scored_on_test(task, problem.split, folder / file) for file in {file for files in each for file in files}}
    old, today, parts = ([score[file] for file in files] for files in each)
    return OnTest((problem.fingerprint, model), old, today, pair.fits, parts)


def scored_on_test(task: Task, split: Split, file: Path) -> float:
    """Score a final prediction by the metric that ranks, turned so that higher is better."""
    own = weighted([(task.blendable(split, "final", read_prediction(file)), 1.0)])
    metric, sign = split.ranking.metric, 1.0 if split.ranking.higher else -1.0
    return sign * float(task.scorer(split, own).score(np.ones((1, len(split.truths["final"].group))))[metric][0])


def fits_until(task: Task, problem: Problem, old: Sequence[Trial], new: Sequence[Trial], folder: Path) -> tuple[int, int]:
    """Count the fits until today's search is as good as the old one's best trial: what stands, and its best trial alone."""
    rule = problem.split.ranking
    tuning, sign = next(iter(plans._tunings(old))), 1.0 if rule.higher else -1.0
    goal = max(sign * t.scores(tuning).mean() for t in old if t.ok)
    best, stands = NEVER, NEVER
    for n in range(1, len(new) + 1):
        few = few_best(new[:n], tuning, rule, FEW)
        own = max((sign * t.scores(tuning).mean() for t in new[:n] if t.ok), default=-np.inf)
        reached = own >= goal - TIE
        best = min(best, n if reached else NEVER)
        if stands > n and (reached or (len(few) == FEW and sign * _of_mean(task, problem, few, folder) >= goal - TIE)):
            stands = n
    return stands, best


def _of_mean(task: Task, problem: Problem, few: Sequence[Trial], folder: Path) -> float:
    (stage,) = few[0].entries
    own = [read_prediction(folder / "valid" / f"{t.entries[stage]['key']}.npz") for t in few]
    columns = score_validation(task, problem.split, stage, task.averaged(problem.split, stage, own)).columns()
    return float(columns["value"])


if __name__ == "__main__":
    main()
