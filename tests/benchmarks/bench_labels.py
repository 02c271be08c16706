"""Which detectors should labels choose? On simulated series whose labels are known: of two halves, each for the other.

    python tests/benchmarks/bench_labels.py FOLDER [--seed 1 2 3 4]

The injected and the spliced anomalies of the simulators' users, as if a person had labelled them: boards of 8, 12 and 20 series.
Detectors that search fast, twelve trials. For every rule: VUS-PR less that of the best floor (known only afterwards), of the single
row that the labels like best, and of the ensemble that was chosen without labels. Takes eight seconds a board, 18 boards a seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import bench
from bench.metrics.bootstrap import draws, interval
from bench.registry import discover
from bench.runs import ensemble, write_results
from bench.runs.check_prediction import RESAMPLED
from bench.runs.ensemble import Chosen, Member, choose, members_of
from bench.runs.problem import Problem
from bench.sources.load import loaded, requested
from bench.tasks.anomaly import entities
from bench.tasks.anomaly.plan import Marked, injected, spliced
from bench.tasks.base import SECOND, TUNED, Prediction, Task
from bench.tasks.lookup import task_named
from bench.tasks.profiles import profile
from bench.tune.plan import Outcome

MODELS = (
    "random,abs-median,rolling-variance,rolling-deviation,abs-median-centred,rolling-variance-centred,detector-mean,detector-mean-whole,"
    "sub-pca,sub-pca-whole,rolling-ecod,rolling-ecod-whole"
)
SIZES = (8, 12, 20)
DRAWS = 1_000
MOST = 8
FREE = "the ensemble that no label chose"
ALONE = "the best alone, by labels"
Taken = Sequence[str]
"""Names of models, some of them several times."""


def level(members: Sequence[Member], task: Task, split: Any) -> Taken:
    """Take those that are not worse than the best by more than a standard error."""
    scored = [ensemble._scored(task, split, m.valid) for m in members]
    near = [m for m, one in zip(members, scored, strict=True) if one is scored[0] or not ensemble._beyond(scored[0], one, split)]
    return [m.model for m in near[:MOST]]


def alone_if(errors: float) -> Callable[[Sequence[Member], Task, Any], Taken]:
    """Take the mean of the best three, or the best alone where that is better by so many standard errors of the difference."""

    def rule(members: Sequence[Member], task: Task, split: Any) -> Taken:
        three, one = (ensemble._scored(task, split, ensemble._mean_of(members[:n])) for n in (3, 1))
        better = one.value - three.value > errors * float(np.nanstd(one.replicates - three.replicates)) + 1e-12
        return [m.model for m in members[: 1 if better else 3]]

    return rule


def multiset(chosen: Chosen) -> Taken:
    """Write weights as a list of members, of which some stand there several times."""
    return [model for model, weight in chosen.weights.items() for _ in range(round(weight * 60))]


RULES: Mapping[str, Callable[[Sequence[Member], Task, Any], Taken]] = {
    "the best alone": lambda members, *_: [m.model for m in members[:1]],
    "mean of 3": lambda members, *_: [m.model for m in members[:3]],
    "mean of 3, the best alone if better by 1 error": alone_if(1.0),
    "mean of 3, the best alone if better by 2 errors": alone_if(2.0),
    "mean of 3, the best alone if better by 3 errors": alone_if(3.0),
    "mean of 4": lambda members, *_: [m.model for m in members[:4]],
    "mean of 5": lambda members, *_: [m.model for m in members[:5]],
    "mean of 7": lambda members, *_: [m.model for m in members[:7]],
    "all within an error": level,
    "best of one, two, three, then greedy": lambda members, task, split: multiset(choose(members, task, split)),
}


@dataclass(frozen=True)
class Found:
    """What one rule came to on one board: the point estimate, and under each resample [B]."""

    board: str
    value: float
    drawn: np.ndarray[Any, Any]


def main() -> None:
    """Make the boards, run what has not been run, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, nargs="+", default=[1, 2, 3, 4])
    given = parser.parse_args()
    found: dict[str, list[Found]] = {}
    caught: list[tuple[Problem, Mapping[str, Outcome], Task, Path]] = []
    blended = ensemble.blended
    write_results.blended = lambda *of: (caught.append(of), blended(*of))[1]  # type: ignore[attr-defined,func-returns-value]
    for folder in sorted(one for seed in given.seed for one in series(given.folder / "data", seed)):
        options = {"series.label": "label", "prefix": ".5", "season": "7", "buffer": "7"}
        out = given.folder / "runs" / folder.name
        bench.run(
            "anomaly", datasets=f"series={folder}", models=MODELS, trials=12, seeds=1, workers=1, sandbox="off", out=out, options=options
        )
        for rule, one in judged(*caught.pop(), folder.name):
            found.setdefault(rule, []).append(one)
    for words, boards in (
        ("all boards", found),
        *((f"{n} series", {r: [o for o in own if o.board.endswith(f"-{n}")] for r, own in found.items()}) for n in SIZES),
    ):
        show(words, boards)


def series(folder: Path, seed: int) -> Iterator[Path]:
    """Write the simulators' anomalies as labelled series, one file each, and yield the folders."""
    caps, task, registry = profile("medium" if seed % 2 else "short"), task_named("anomaly")(), discover((), ())
    for request in requested(("retail", "netflix", "social"), None, registry, holds=task.holds):
        data = loaded(request, registry, {}, size=caps.users, seed=seed)
        clean = entities.from_log(data.data, {"users": "60"}, profile("short"), simulated=data.simulated, among=None)
        for marked in (injected(clean, seed, None), spliced(clean, seed, None)):
            order = np.random.default_rng(seed).permutation(len(clean.names))
            for first, n in zip(np.cumsum((0, *SIZES)), SIZES, strict=False):
                if len(order) >= first + n:
                    yield written(folder / f"{data.name}-{marked.family}-{seed}-{n}", marked, order[first : first + n])


def written(folder: Path, marked: Marked, rows: Sequence[int]) -> Path:
    """Write some entities: time, value, label."""
    folder.mkdir(parents=True, exist_ok=True)
    for n in rows:
        known = np.isfinite(marked.values[n])
        time = marked.entities.time[0][known]
        frame = {
            "time": pl.Series(time).cast(pl.Datetime("us")),
            "value": marked.values[n][known],
            "label": marked.labels[n][known].astype(int),
        }
        pl.DataFrame(frame).write_csv(folder / f"{n:03d}.csv")
    return folder


def judged(problem: Problem, outcomes: Mapping[str, Outcome], task: Task, folder: Path, board: str) -> Iterator[tuple[str, Found]]:
    """Score what every rule makes of one board; nothing where no labels tune."""
    split = problem.split
    if split.reason or not any(outcome.second for outcome in outcomes.values()):
        return
    group, blender = split.truths["final"].group, ensemble._Blender(problem, task, folder)

    def scored(prediction: Prediction) -> Found:
        one = task.scorer(split, prediction)
        drawn = np.concatenate([one.score(w)["vus_pr"] for w in draws(group, DRAWS, 7)])
        return Found(board, float(one.score(np.ones((1, len(group))))["vus_pr"][0]), drawn)

    floors = [scored(blender._final(list(outcomes[name].finals.values()))) for name in split.ranking.floors if name in outcomes]
    yield "best floor", max(floors, key=lambda one: one.value)
    free = members_of(outcomes, folder, task, split)
    yield FREE, scored(blender.row("none", [choose(free, task, split)], [free]).prediction)
    for words, evidence in (("injections", (True, False)), ("labels", (False, True)), ("labels and injections", (True, True))):
        taken, members = [], []
        for half in (TUNED, SECOND):
            with steered_by(half, *evidence):
                own = members_of(outcomes, folder, task, split, (), half)
                taken.append({rule: take(own, task, split) for rule, take in RULES.items()})
            members.append(own)
        for rule in RULES:
            chosen = [Chosen({m: one[rule].count(m) / len(one[rule]) for m in one[rule]}, 0.0, TUNED) for one in taken]
            yield f"{rule}, by {words}", scored(blender.row("none", chosen, members).prediction)


@contextmanager
def steered_by(half: str, injections: bool, labels: bool) -> Iterator[None]:
    """Let the scores by which members are chosen be those of the injections, of a half's labels, or the mean of both."""
    shipped = ensemble._scored

    def score(task: Task, split: Any, valid: Any, _: str = "") -> Any:
        told = [task.objectives(split, stage, prediction) for stage, prediction in valid.items()]
        names = ["label-free"] * injections + [half] * labels
        one = [objective for found in told for name in names for objective in found[name]]
        return ensemble._Scored(float(np.mean([o.value for o in one])), np.mean([o.replicates(RESAMPLED) for o in one], axis=0))

    ensemble._scored = score
    try:
        yield
    finally:
        ensemble._scored = shipped


def show(words: str, found: Mapping[str, Sequence[Found]]) -> None:
    """Print one table: every rule against the best floor, the best alone and the ensemble without labels."""
    print(f"\n{words}: {len(found['best floor'])} boards")
    for rule, own in found.items():
        told = [compared(own, found[other]) for other in ("best floor", ALONE, FREE)]
        print(f"  {rule:72} {np.mean([one.value for one in own]):.4f}  " + "   ".join(told))


def compared(own: Sequence[Found], other: Sequence[Found]) -> str:
    """Count boards on which one is better or worse (beyond its interval), and give the mean difference with its interval over boards."""
    gains = np.array([a.value - b.value for a, b in zip(own, other, strict=True)])
    ends = [interval(a.drawn - b.drawn) for a, b in zip(own, other, strict=True)]
    over, under = sum(low > 0 for low, _ in ends), sum(high < 0 for _, high in ends)
    drawn = gains[np.random.default_rng(0).integers(0, len(gains), (DRAWS, len(gains)))].mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{(gains > 0).sum():2} ({over}), {(gains < 0).sum():2} ({under}), {gains.mean():+.4f} ({low:+.4f} to {high:+.4f})"


if __name__ == "__main__":
    main()
