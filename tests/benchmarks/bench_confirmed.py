"""What would unseen users have said of the choices of a finished churn run, and what would have come of it on test?

    python tests/benchmarks/bench_confirmed.py RUN [--dataset cdnow-master] [--model arima] [--cross] [--seeds 2]

For each model that searched, its choice is judged as before (on the past alone) and as today (`bench.tune.decide`); the fits on
halves of the users are made here, and the final ones of defaults that would be replaced today and were not. With `--cross`: the
default and what is averaged with it learn from the training data of each stage, and from as many rows of the final's as the
latest validation has, and each is asked at all stages: does an advantage belong to the data learnt from, to the time, or to a
seed? (Each number is the mean over seeds, none of them that of the search.)
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from bench_selection import counted
from bench_tuning import Scored, boards_of

from bench.api import Context
from bench.execute.jobs import stable_seed
from bench.metrics.bootstrap import draws, interval
from bench.registry import discover, models
from bench.runs.check_prediction import score_validation
from bench.tasks.profiles import profile
from bench.tune.decide import ERRORS, FEW, few_best, replaces
from bench.tune.trials import Trial, difference

DRAWS = 1_000


@dataclass(frozen=True)
class Moved:
    """A default that is replaced, and what comes of it."""

    gain: float
    low: float
    high: float


@dataclass
class Cell:
    """One model on one board of a run."""

    board: Scored
    model: str
    ledger: Sequence[Mapping[str, Any]]
    caps: Any
    kind: Any = field(init=False)
    trials: list[Trial] = field(init=False)
    few: list[Trial] = field(init=False)

    def __post_init__(self) -> None:
        split = self.board.split
        self.kind = models(discover().sources["bench.models"][self.model])[self.model]
        found: dict[int, Trial] = {}
        for entry in self.ledger:
            if entry["stage"] in split.validations and "mean_of" not in entry["params"]:
                found.setdefault(entry["number"], Trial(entry["number"], entry["params"])).entries[entry["stage"]] = entry  # type: ignore[assignment]
        self.trials = [found[number] for number in sorted(found)]
        for trial in self.trials:
            trial.entries = {name: trial.entries[name] for name in split.validations if name in trial.entries}
        self.few = few_best(self.trials, "tuned", split.ranking, FEW) if len(self.trials) > 1 else []

    def predicted(self, train: Any, inputs: Sequence[Any], params: Mapping[str, Any], seed: int) -> list[Any]:
        """Fit once and ask about several inputs."""
        caps = {"epochs": self.caps.epochs, "history": self.caps.history, "rows": self.caps.rows}
        about, model = Context(seed=seed, **caps, **self.board.split.context), self.kind(params)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - as a worker does
        model.fit(train, about)
        return [np.asarray(model.predict(each, about), float) for each in inputs]

    def past(self) -> Trial:
        """Return the mean of the few as the run scored it."""
        if len(self.few) == 1:
            return self.few[0]
        wanted = [dict(t.params) for t in sorted(self.few, key=lambda t: t.number)]
        own = {e["stage"]: e for e in self.ledger if e["params"] == {"mean_of": wanted}}
        return Trial(-1, {}, {name: own[name] for name in self.few[0].entries})  # type: ignore[misc]

    def unseen(self) -> tuple[Trial, Trial]:
        """Fit the few on each half of the users; return their mean and the default."""
        split, task = self.board.split, self.board.task
        mean, default = Trial(-1, {}), Trial(0, {})
        for name in split.unseen:
            stage = split.stages[name]
            each = {t.number: self.predicted(stage.train, stage.parts, t.params, stable_seed(0, t.number, name))[0] for t in self.few}
            for trial, p in ((mean, np.mean(list(each.values()), axis=0)), (default, each[0])):
                done = task.finished(split, name, [{"prediction": p}], causal=True)
                trial.entries[name] = score_validation(task, split, name, done).columns()
        return mean, default

    def on_test(self, seeds: int) -> Moved:
        """Compare what was chosen with the default, by stored predictions, or else by fits of the few."""
        base, stored = self.board.drawn(self.model, "default"), self.board.drawn(self.model, "tuned")
        assert base is not None
        if stored is None or np.array_equal(stored[1], base[1]):
            stored = self._fitted(1 if self.kind.deterministic else seeds)
        low, high = interval(stored[1] - base[1])
        return Moved(stored[0] - base[0], low, high)

    def _fitted(self, seeds: int) -> tuple[float, Any]:
        split, points, drawn = self.board.split, [], []
        stage, group = split.stages["final"], split.truths["final"].group
        for seed in range(seeds):
            each = [self.predicted(stage.train, stage.parts, t.params, seed)[0] for t in self.few]
            scorer = self.board.task.scorer(split, [{"prediction": np.mean(each, axis=0)}])
            points.append(scorer.score(np.ones((1, len(group))))["roc_auc"][0])
            drawn.append(np.concatenate([scorer.score(w)["roc_auc"] for w in draws(group, DRAWS, 7)]))
        return float(np.mean(points)), np.mean(drawn, axis=0)

    def cross(self, seeds: int) -> Iterator[tuple[str, int, dict[str, float]]]:
        """Yield what is learnt from, its rows, and the advantage of the mean over the default at each stage."""
        split = self.board.split
        names = [*split.validations, "final"]
        final, few = split.stages["final"].train, len(split.stages["search"].train)
        sets = {name: split.stages[name].train for name in names}
        sets["final, fewer rows"] = final.take(np.sort(np.random.default_rng(0).permutation(len(final))[:few]))
        for what, train in sets.items():
            gains: dict[str, list[float]] = {name: [] for name in names}
            for seed in range(1 if self.kind.deterministic else seeds):
                inputs = [split.stages[name].parts[0] for name in names]
                each = {t.number: self.predicted(train, inputs, t.params, seed) for t in self.few}
                for at, name in enumerate(names):
                    mean, default = (self._auc(name, p) for p in (np.mean([p[at] for p in each.values()], axis=0), each[0][at]))
                    gains[name].append(mean - default)
            yield what, len(train), {name: float(np.mean(values)) for name, values in gains.items()}

    def _auc(self, name: str, p: Any) -> float:
        truth = self.board.split.truths[name]
        order = np.argsort(p, kind="stable")
        _, tie = np.unique(p[order], return_inverse=True)
        ranks = np.bincount(tie, np.arange(1, len(p) + 1))[tie] / np.bincount(tie)[tie]
        ones = truth.y[order] == 1
        return float((ranks[ones].sum() - ones.sum() * (ones.sum() + 1) / 2) / (ones.sum() * (~ones).sum()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--dataset", action="append")
    parser.add_argument("--model", action="append")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cross", action="store_true")
    given = parser.parse_args()
    before: list[Moved] = []
    today: list[Moved] = []
    pairs = 0
    for cell, name in cells(given):
        pairs += 1
        if cell.few == cell.trials[:1]:
            continue
        if given.cross:
            for what, rows, gains in cell.cross(given.seeds):
                asked = ", ".join(f"{stage} {gain:+.4f}" for stage, gain in gains.items())
                print(f"{name:16} {cell.model:15} learnt from {what:17} {rows:6,d} rows, asked at {asked}", flush=True)
            continue
        past = difference(cell.past(), cell.trials[0], "tuned", higher=True)
        unseen = difference(*cell.unseen(), "tuned", higher=True) if cell.board.split.unseen and past.mean > 0 else None
        was, now = past.exceeds(ERRORS), replaces(past, unseen)
        words = f"past {past.mean:+.4f} ± {past.error:.4f}" + (f", unseen {unseen.mean:+.4f} ± {unseen.error:.4f}" if unseen else "")
        if was or now:
            moved = cell.on_test(given.seeds)
            before, today = before + [moved] * was, today + [moved] * now
            words += f", test {moved.gain:+.4f} ({moved.low:+.4f} to {moved.high:+.4f})"
        print(f"{name:16} {cell.model:15} {words}{', replaced before' * was}{', replaced today' * now}", flush=True)
    if not given.cross:
        print(f"{pairs} pairs, before: {counted(before)}\n{pairs} pairs, today: {counted(today)}")  # type: ignore[arg-type]


def cells(given: argparse.Namespace) -> Iterator[tuple[Cell, str]]:
    """Yield every model that searched on every board."""
    config = json.loads((given.run / "run.json").read_text())["config"]
    lines: dict[tuple[str, str], list[Any]] = {}
    with (given.run / "ledger.jsonl").open() as ledger:
        for entry in map(json.loads, ledger):
            lines.setdefault((entry["dataset"], entry["model"]), []).append(entry)
    for board, name in boards_of(given.run):
        for model in config["models"] if given.dataset is None or name in given.dataset else ():
            if given.model is None or model in given.model:
                cell = Cell(board, model, lines.get((name, model), ()), profile(config["profile"]))
                if cell.few:
                    yield cell, name


if __name__ == "__main__":
    main()
