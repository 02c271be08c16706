"""When should churn probabilities be calibrated? What gates and slopes would have done to log-loss on test.

    python tests/benchmarks/bench_gates.py FOLDER [--kind steady --kind given] [--seed 51]
    python tests/benchmarks/bench_gates.py FOLDER --run RUN

Boards are simulated logs with all models at their defaults (`churn_boards`), or those of a finished run: a row each seed. For every
gate: how many rows were corrected, how often that lowered the log-loss or raised it (beyond the 95 % interval too, paired,
resampled over users), and the mean gain over the corrected rows and over all.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from churn_boards import SEEDS, SLOPES, Asked, Board, boards, of_run

from bench.data.ragged import Array
from bench.metrics.bootstrap import draws, interval
from bench.tasks.churn.calibration import LEAST, Fold, _fitted, _halves, _logit, _loss, applied, drifts

DRAWS = 400
Line = tuple[float, float]
Fit = Callable[[Sequence[Fold], bool, Array], Line | None]
"""Folds, whether the level moves, and the probabilities that are to be corrected (never their labels), to a line."""
Gate = Callable[[Sequence[Fold], bool, Array], Line | None]
"""Folds, whether the level is one, and the probabilities on test, to a line; none where nothing is corrected."""


@dataclass(frozen=True)
class Moved:
    """What a correction did to one row: the gain in log-loss with its interval."""

    name: str
    slope: float
    gain: float
    low: float
    high: float


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", action="append", choices=(*SLOPES, "given"))
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--run", action="append", type=Path, default=[])
    parser.add_argument("--gate", action="append", choices=GATES)
    parser.add_argument("--each", action="store_true", help="print every corrected row, too")
    given = parser.parse_args()
    wanted = [board for run in given.run for board in of_run(run, every=True)]
    if not given.run:
        wanted = list(boards(given.folder, given.kind or (*SLOPES, "given"), given.seed or SEEDS))
    print(
        "| gate | rows | corrected | lower | higher | mean gain, corrected | mean gain, all |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for name, gate in GATES.items() if not given.gate else [(name, GATES[name]) for name in given.gate]:
        rows, found = 0, []
        for board in wanted:
            for one in board.asked:
                rows += len(one.finals)
                found += moved(board, one, gate)
        print(f"| {name} | {rows} | {tally(found, rows)} |", flush=True)
        if given.each:
            for m in found:
                print(f"    {m.name:44} slope {m.slope:.2f} {m.gain:+.4f} ({m.low:+.4f} to {m.high:+.4f})")


def tally(found: Sequence[Moved], rows: int) -> str:
    """Sum up one gate."""
    gain = np.array([m.gain for m in found])
    lower = f"{(gain > 0).sum()} ({sum(m.low > 0 for m in found)} beyond)"
    higher = f"{(gain < 0).sum()} ({sum(m.high < 0 for m in found)} beyond)"
    return f"{len(found)} | {lower} | {higher} | {gain.mean() if len(gain) else 0:+.4f} | {gain.sum() / rows:+.5f}"


def moved(board: Board, one: Asked, gate: Gate) -> list[Moved]:
    """Correct one model's rows on test, one a seed; none where the gate leaves them alone."""
    truths = board.split.truths
    folds = [Fold(p, truths[s].y, truths[s].group) for s, p in one.valid.items()]
    test, found = truths["final"], []
    for p in one.finals:
        line = gate(folds, board.split.facts.get("eligible") == "given", p)
        if line is None:
            continue
        each = _loss(p, test.y) - _loss(applied(p, *line), test.y)
        low, high = interval(np.concatenate([(w * each).sum(axis=1) / w.sum(axis=1) for w in draws(test.group, DRAWS, 7)]))
        found.append(Moved(f"{board.name} {one.model}", line[0], float(each.mean()), low, high))
    return found


def gated(fit: Fit, helps: Callable[[Sequence[Array]], bool], last: Fit | None = None) -> Gate:
    """Use a line where it helps on the validations that it was not fitted on: `helps` is given the gains by row, of each.

    `last` fits the line that is used; else `fit` does.
    """

    def gate(folds: Sequence[Fold], level: bool, p: Array) -> Line | None:
        if sum(len(f.y) for f in folds) < LEAST:
            return None
        parts = list(folds) if len(folds) > 1 else _halves(folds[0])
        moving = not level or drifts([f.y for f in folds])
        gains = []
        for at, held in enumerate(parts):
            line = fit([f for n, f in enumerate(parts) if n != at], moving, held.p)
            if line is None:
                return None
            gains.append(_loss(held.p, held.y) - _loss(applied(held.p, *line), held.y))
        return (last or fit)(parts, moving, p) if helps(gains) else None

    return gate


def errors_of(gains: Array) -> float:
    """Return the standard error of a mean over rows."""
    return float(gains.std() / np.sqrt(len(gains)))


def on_the_whole(errors: float) -> Callable[[Sequence[Array]], bool]:
    """Ask for a gain beyond so many errors on the whole, and no loss on any validation."""

    def helps(gains: Sequence[Array]) -> bool:
        every = np.concatenate(gains)
        return bool(every.mean() > errors * errors_of(every) and min(each.mean() for each in gains) >= 0)

    return helps


def everywhere(errors: float) -> Callable[[Sequence[Array]], bool]:
    """Ask for a gain beyond so many errors on each validation."""
    return lambda gains: all(each.mean() > errors * errors_of(each) for each in gains)


def plain(folds: Sequence[Fold], moving: bool, _: Array) -> Line | None:
    """Fit the line as it is."""
    return _fitted(folds, moving=moving)


def turned(folds: Sequence[Fold], slope: float) -> Line:
    """Make the line of a slope that turns about the middle of the log-odds."""
    return slope, (1 - slope) * float(_logit(np.concatenate([f.p for f in folds])).mean())


def shrunk(errors: float) -> Fit:
    """Draw a slope so many of its standard errors towards 1 where the level moves."""

    def fit(folds: Sequence[Fold], moving: bool, _: Array) -> Line | None:
        line = _fitted(folds, moving=moving)
        if line is None or not moving:
            return line
        p = np.concatenate([applied(f.p, *line) for f in folds])
        x = np.concatenate([_logit(f.p) - _logit(f.p).mean() for f in folds])
        error = 1 / np.sqrt((x * x * p * (1 - p)).sum())
        return turned(folds, 1 + np.sign(line[0] - 1) * max(0.0, abs(line[0] - 1) - errors * float(error)))

    return fit


def least(folds: Sequence[Fold], moving: bool, _: Array) -> Line | None:
    """Take, where the level moves, of the slopes of each validation the one nearest to 1; none where they lie on both sides."""
    each = [_fitted([f], moving=moving) for f in folds]
    if not moving:
        return _fitted(folds, moving=moving)
    slopes = [line[0] for line in each if line is not None]
    if len(slopes) < len(folds) or (min(slopes) < 1 < max(slopes)):
        return turned(folds, 1.0)
    return turned(folds, min(slopes, key=lambda s: abs(np.log(s))))


def no_further_than_the_trend(folds: Sequence[Fold], moving: bool, _: Array) -> Line | None:
    """Take, where the level moves, no more of a correction than the slopes of the validations tend to; `folds`: the latest first.

    A model that gets sharper as it learns from more cut-offs needs less of a correction at the next.
    """
    line = _fitted(folds, moving=moving)
    if line is None or not moving or len(folds) < 2:
        return line
    each = [one[0] for f in folds if (one := _fitted([f], moving=True)) is not None]
    if len(each) < len(folds):
        return None
    ahead = float(np.exp(np.polyval(np.polyfit(-np.arange(len(each)), np.log(each), 1), 1.0)))
    return turned(folds, 1.0 if (ahead - 1) * (line[0] - 1) <= 0 else min(line[0], ahead, key=lambda s: abs(np.log(s))))


def never_moving(folds: Sequence[Fold], moving: bool, _: Array) -> Line | None:
    """Leave what moves alone."""
    return None if moving else _fitted(folds, moving=moving)


GATES = {
    "1 error on the whole, a loss on none": gated(plain, on_the_whole(1.0)),
    "2 errors on the whole, a loss on none": gated(plain, on_the_whole(2.0)),
    "3 errors on the whole, a loss on none": gated(plain, on_the_whole(3.0)),
    "0.5 errors on each": gated(plain, everywhere(0.5)),
    "1 error on each": gated(plain, everywhere(1.0)),
    "2 errors on each": gated(plain, everywhere(2.0)),
    "slope 1 error towards 1, 1 error on the whole": gated(shrunk(1.0), on_the_whole(1.0)),
    "slope 2 errors towards 1, 1 error on the whole": gated(shrunk(2.0), on_the_whole(1.0)),
    "slope 2 errors towards 1, 1 error on each": gated(shrunk(2.0), everywhere(1.0)),
    "least slope, 1 error on the whole": gated(least, on_the_whole(1.0)),
    "least slope, 1 error on each": gated(least, everywhere(1.0)),
    "least slope, 2 errors on each": gated(least, everywhere(2.0)),
    "1 error on each, no further than the trend": gated(plain, everywhere(1.0), no_further_than_the_trend),
    "only where the level stands, 1 error on the whole": gated(never_moving, on_the_whole(1.0)),
    "only where the level stands, 1 error on each": gated(never_moving, everywhere(1.0)),
}


if __name__ == "__main__":
    main()
