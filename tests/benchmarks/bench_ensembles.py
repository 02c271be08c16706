"""Which mean of churn models should a board answer with? Ways to choose members on validation, against the best single model there.

    python tests/benchmarks/bench_ensembles.py FOLDER [--kind steady --kind given] [--seed 51]
    python tests/benchmarks/bench_ensembles.py FOLDER --log netflix=PATH [--set horizon=28d]
    python tests/benchmarks/bench_ensembles.py FOLDER --run RUN

Boards are simulated logs with all models at their defaults (`churn_boards`), or a log or finished run that is given. For each way it
prints on how many boards it is above, or below, the single model that validation likes best (beyond the 95 % interval too,
paired, resampled over users), the mean gain in AUC with its standard error over logs, and that in log-loss.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from churn_boards import SEEDS, SLOPES, Asked, Board, boards, logs, of_run

from bench.data.ragged import Array
from bench.metrics.bootstrap import draws, interval
from bench.runs.ensemble import Member, _mean_of, _Scored, _scored
from bench.tasks.base import Split
from bench.tasks.churn.task import Churn

TASK = Churn()
DRAWS = 400
Taken = Sequence[Member]
"""Members, one as often as it weighs."""
Way = Callable[["Tried", Sequence[Member]], Taken]


@dataclass
class Tried:
    """Means that were scored on the validations of one board."""

    split: Split
    known: dict[tuple[str, ...], _Scored] = field(default_factory=dict)

    def of(self, taken: Taken) -> _Scored:
        """Score a mean, once."""
        names = tuple(sorted(m.model for m in taken))
        if names not in self.known:
            self.known[names] = _scored(TASK, self.split, _mean_of(taken))
        return self.known[names]

    def beyond(self, one: Taken, other: Taken, errors: float) -> bool:
        """Return whether one mean is better than another by more than so many standard errors of the difference."""
        first, second = self.of(one), self.of(other)
        return bool(first.value - second.value > errors * np.nanstd(first.replicates - second.replicates) + 1e-12)


@dataclass(frozen=True)
class Compared:
    """A way's gain over the best single model on one board: AUC with its interval, and log-loss, better above 0."""

    board: str
    family: str
    taken: str
    gain: float
    low: float
    high: float
    loss: float


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", action="append", choices=(*SLOPES, "given"))
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--log", action="append", default=[], metavar="ADAPTER=PATH")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE")
    parser.add_argument("--run", action="append", type=Path, default=[])
    parser.add_argument("--way", action="append", choices=WAYS)
    parser.add_argument("--each", action="store_true", help="print every board, too")
    given = parser.parse_args()
    options = dict(pair.split("=", 1) for pair in given.set)
    wanted = [*logs(given.folder, given.log, options), *(board for run in given.run for board in of_run(run))]
    if not given.log and not given.run:
        wanted = list(boards(given.folder, given.kind or (*SLOPES, "given"), given.seed or SEEDS))
    found: dict[str, list[Compared]] = {way: [] for way in given.way or WAYS}
    for board in wanted:
        for way, one in compared(board, tuple(found)):
            found[way].append(one)
            if given.each:
                print(f"{board.name:24} {way:44} {one.gain:+.4f} ({one.low:+.4f} to {one.high:+.4f})  {one.loss:+.4f}  {one.taken}")
    print("| way | boards | above | below | mean gain, AUC | mean gain, log-loss |\n| --- | --- | --- | --- | --- | --- |")
    for way, each in found.items():
        print(f"| {way} | {' | '.join(columns(each))} |")


def columns(each: Sequence[Compared]) -> Iterator[str]:
    """Sum up one way."""
    gain, loss = np.array([c.gain for c in each]), np.array([c.loss for c in each])
    yield str(len(each))
    yield f"{(gain > 0).sum()} ({sum(c.low > 0 for c in each)} beyond)"
    yield f"{(gain < 0).sum()} ({sum(c.high < 0 for c in each)} beyond)"
    for x, digits in ((gain, 4), (loss, 4)):
        yield f"{x.mean():+.{digits}f} +- {x.std(ddof=1) / np.sqrt(len(x)) if len(x) > 1 else np.nan:.{digits}f}"


def compared(board: Board, ways: Sequence[str]) -> Iterator[tuple[str, Compared]]:
    """Compare ways with the single model that is best on validation."""
    split, members = board.split, members_of(board)
    finals = {one.model: finals_of(board.split, one) for one in board.asked}
    single = [test_scores(split, p) for p in finals[members[0].model]]
    base = {metric: np.mean([one[metric] for one in single], axis=0) for metric in single[0]}
    tried = Tried(split)
    for way in ways:
        taken = WAYS[way](tried, members)
        mean = np.mean([np.mean(finals[m.model], axis=0) for m in taken], axis=0)
        own = test_scores(split, mean) if {m.model for m in taken} != {members[0].model} else base
        gain = own["roc_auc"] - base["roc_auc"]  # [1 + B]
        low, high = interval(gain[1:])
        loss = float(base["log_loss"][0] - own["log_loss"][0])
        names = " ".join(dict.fromkeys(m.model for m in taken))
        yield way, Compared(board.name, board.family, names, float(gain[0]), low, high, loss)


def members_of(board: Board) -> list[Member]:
    """Make members as a run does: calibrated, scored on all validations, the best first."""
    made = []
    for one in board.asked:
        line = line_of(board.split, one)
        valid = {stage: TASK.calibrated([{"prediction": p}], line) for stage, p in one.valid.items()}
        made.append(Member(one.model, "default", valid, _scored(TASK, board.split, valid).value, ()))
    stages = set.intersection(*(set(m.valid) for m in made))
    shared = [Member(m.model, m.tuning, {s: p for s, p in m.valid.items() if s in stages}, m.value, ()) for m in made]
    return sorted(shared, key=lambda m: (-m.value, m.model))


def line_of(split: Split, one: Asked) -> Mapping[str, float]:
    """Fit the correction of one model's probabilities."""
    return TASK.calibration(split, {stage: [{"prediction": p}] for stage, p in one.valid.items()})


def finals_of(split: Split, one: Asked) -> list[Array]:
    """Correct the predictions on test, one a seed."""
    line = line_of(split, one)
    return [TASK.calibrated([{"prediction": p}], line)[0]["prediction"] for p in one.finals]


def test_scores(split: Split, p: Array) -> dict[str, Array]:
    """Score on test: as it is, then under each resample, [1 + B] each."""
    scorer, group = TASK.scorer(split, [{"prediction": p}]), split.truths["final"].group
    each = [scorer.score(w) for w in (np.ones((1, len(group))), *draws(group, DRAWS, 7))]
    return {metric: np.concatenate([one[metric] for one in each]) for metric in ("roc_auc", "log_loss")}


def best_of_starts(tried: Tried, members: Sequence[Member]) -> Taken:
    """Take the best of the means of one, two and three."""
    starts = [list(members[:k]) for k in (1, 2, 3) if k <= len(members)]
    return max(starts, key=lambda taken: (tried.of(taken).value, -len(taken)))


def few(k: int) -> Way:
    """Take the k best."""
    return lambda _, members: members[:k]


def unless_fewer(k: int, errors: float) -> Way:
    """Take the k best, of fewer only where their mean is better beyond so many errors."""

    def choose(tried: Tried, members: Sequence[Member]) -> Taken:
        taken = members[:k]
        for n in range(len(taken) - 1, 0, -1):
            taken = members[:n] if tried.beyond(members[:n], taken, errors) else taken
        return taken

    return choose


def grown(start: Way, errors: float) -> Way:
    """Add members, one after the other, where that helps beyond so many errors."""

    def choose(tried: Tried, members: Sequence[Member]) -> Taken:
        taken = list(start(tried, members))
        for _ in range(9):
            best = max(members, key=lambda m: tried.of([*taken, m]).value)
            if not tried.beyond([*taken, best], taken, errors):
                break
            taken.append(best)
        return taken

    return choose


def not_beaten(errors: float, most: int) -> Way:
    """Take all that are not worse than the best by more than so many standard errors of the difference, at most so many.

    The simplest form of trimming before an equal-weighted mean (Samuels and Sekkel 2017 trim by a model confidence set).
    """

    def choose(tried: Tried, members: Sequence[Member]) -> Taken:
        kept = [m for m in members if m is members[0] or not tried.beyond(members[:1], [m], errors)]
        return kept[:most]

    return choose


def shrunk_greedy(tried: Tried, members: Sequence[Member]) -> Taken:
    """Greedy selection without a gate (Caruana et al. 2004), nine additions, then once more each of those that were taken."""
    taken: list[Member] = list(members[:1])
    for _ in range(9):
        taken.append(max(members, key=lambda m: tried.of([*taken, m]).value))
    kept = list(dict.fromkeys(m.model for m in taken))
    by_name = {m.model: m for m in members}
    # half the weight by selection, half the same for each
    return [*taken * len(kept), *[by_name[name] for name in kept for _ in range(len(taken))]]


WAYS: dict[str, Way] = {
    "best of 1, 2, 3, then greedy beyond 1 error": grown(best_of_starts, 1.0),
    "mean of 3": few(3),
    "3, fewer if better beyond 1 error": unless_fewer(3, 1.0),
    "the same, then greedy beyond 1 error": grown(unless_fewer(3, 1.0), 1.0),
    "mean of 5": few(5),
    "5, fewer if better beyond 1 error": unless_fewer(5, 1.0),
    "greedy, half towards equal": shrunk_greedy,
    "all within 0.5 errors of the best, at most 8": not_beaten(0.5, 8),
    "all within 1 error of the best, at most 3": not_beaten(1.0, 3),
    "all within 1 error of the best, at most 8": not_beaten(1.0, 8),
    "the same, then greedy beyond 1 error of it": grown(not_beaten(1.0, 8), 1.0),
    "all within 1.5 errors of the best, at most 8": not_beaten(1.5, 8),
    "all within 2 errors of the best, at most 8": not_beaten(2.0, 8),
}


if __name__ == "__main__":
    main()
