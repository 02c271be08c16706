"""What would unseen windows have said of the choices of finished forecasting runs, and what would have come of it on test?

    python tests/benchmarks/bench_forecast_confirmed.py RUN [RUN ...] [--model negbin]

For each model that searched, its choice is judged as before (by its validations alone, one and a half standard errors) and as
today (`bench.tune.decide`). Fits that confirm a search are made here, and the final ones of what would stand today and did not.
Gains on test are logs of the ratio of errors, seeds averaged, with 95 % intervals, paired, resampled over series.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_forecast_rules import Fits
from bench_selection import counted
from bench_tuning import Scored, boards_of

from bench.execute.jobs import stable_seed
from bench.execute.mean_of import KEY
from bench.metrics.bootstrap import interval
from bench.registry import discover, models
from bench.tasks.base import RESEEDED, weighted
from bench.tune.decide import ALONE, ERRORS, FEW, WINDOWS, few_best
from bench.tune.trials import Difference, Trial, difference


@dataclass(frozen=True)
class Moved:
    """A default that is replaced, and what comes of it."""

    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Cell:
    """One model that searched, on one board of a run."""

    board: Scored
    model: str
    kind: Any
    few: Sequence[Trial]
    """The best first; the default, number 0, is one of them."""
    mean: Trial
    """As the run scored it on its validations."""

    def verdicts(self, fits: Fits) -> tuple[str, str, str]:
        """Say what stood before and what stands today, `mean`, `alone` or nothing, and the advantages."""
        default = next(t for t in self.few if t.number == 0)
        past = self._over(self.mean, default)
        before = "mean" if past.exceeds(ERRORS) else ""
        words = f"past {in_errors(past):+.1f} errors"
        unseen = [s for s in self.board.split.unseen if s != RESEEDED or not self.kind.deterministic]
        alone = next((t for t in self.few if t.number), default)
        if not unseen:
            return before, before, words + ", no older windows"
        if max(past.mean, self._over(alone, default).mean) <= 0:
            return before, "", words
        equal = {t.number: 1 / len(self.few) for t in self.few}
        found = {"alone": (alone, {alone.number: 1.0}, ALONE), "mean": (self.mean, equal, WINDOWS)}
        for name, (trial, weights, errors) in found.items():
            both = self._over(self._with(trial, weights, unseen, fits), self._with(default, {0: 1.0}, unseen, fits))
            words += f", {name} {in_errors(both):+.1f}"
            if self._over(trial, default).mean > 0 and both.exceeds(errors):
                return before, name, words
        return before, "", words

    def _with(self, past: Trial, weights: Mapping[int, float], unseen: Sequence[str], fits: Fits) -> Trial:
        """Add what a weighted mean scores on the unseen stages."""
        params, entries = {t.number: t.params for t in self.few}, dict(past.entries)
        for stage in unseen:
            each = [(fits.predicted(stage, params[n], stable_seed(0, n, stage)), w) for n, w in weights.items()]
            entries[stage] = fits.entry(stage, weighted(each))
        return Trial(past.number, {}, entries)

    def _over(self, one: Trial, other: Trial) -> Difference:
        return difference(one, other, "tuned", higher=self.board.split.ranking.higher)

    def on_test(self, stands: str, fits: Fits, seeds: int) -> Moved:
        """Compare what stands with the default, by stored predictions, or else by fits."""
        base, stored = self.board.drawn(self.model, "default"), self.board.drawn(self.model, "tuned")
        assert base is not None
        if stands == "alone" or stored is None or np.array_equal(stored[1], base[1]):
            few = self.few if stands == "mean" else [next(t for t in self.few if t.number)]
            stored = self._fitted(few, fits, seeds)
        low, high = interval(np.log(base[1] / stored[1]))
        return Moved(float(np.log(base[0] / stored[0])), low, high)

    def _fitted(self, few: Sequence[Trial], fits: Fits, seeds: int) -> tuple[float, Any]:
        points, drawn = [], []
        for seed in range(1 if self.kind.deterministic else seeds):
            point, own = fits.on_final(weighted([(fits.predicted("final", t.params, seed), 1 / len(few)) for t in few]))
            points.append(-point)
            drawn.append(-own)
        return float(np.mean(points)), np.mean(drawn, axis=0)


def in_errors(found: Difference) -> float:
    """Give an advantage in standard errors."""
    return found.mean / found.error if found.error else 0.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--model", action="append")
    given = parser.parse_args()
    moved: dict[str, list[Moved]] = {"before": [], "today": []}
    pairs = 0
    for cell, name, seeds in cells(given.runs, given.model):
        pairs += 1
        fits = Fits(cell.board.split, cell.kind)
        was, now, words = cell.verdicts(fits)
        for what, stands in (("before", was), ("today", now)):
            if stands:
                own = cell.on_test(stands, fits, seeds)
                moved[what].append(own)
                words += f"; {what} {stands} {own.gain:+.3f} ({own.low:+.3f} to {own.high:+.3f})"
        print(f"{name:28} {cell.model:18} {words}", flush=True)
    for what, each in moved.items():
        print(f"{pairs} pairs, {what}: {counted(each)}")  # type: ignore[arg-type]


def cells(runs: Sequence[Path], names: Sequence[str] | None) -> Iterator[tuple[Cell, str, int]]:
    """Yield every model that searched on every board of every run, and the run's seeds."""
    for run in runs:
        config = json.loads((run / "run.json").read_text())["config"]
        with (run / "ledger.jsonl").open() as ledger:
            lines = [entry for entry in map(json.loads, ledger) if entry["stage"] == "search"]
        for board, name in boards_of(run):
            for model in names or config["models"]:
                own = [e for e in lines if (e["dataset"], e["model"]) == (name, model)]
                trials = {e["number"]: Trial(e["number"], e["params"], {"search": e}) for e in own if KEY not in e["params"]}
                few = few_best([trials[n] for n in sorted(trials)], "tuned", board.split.ranking, FEW) if len(trials) > 1 else []
                if few:
                    wanted = [dict(t.params) for t in sorted(few, key=lambda t: t.number)]
                    mean = next(Trial(-1, {}, {"search": e}) for e in own if e["params"] == {KEY: wanted})
                    kind = models(discover().sources["bench.models"][model])[model]
                    yield Cell(board, model, kind, few, mean), name, config["seeds"]


if __name__ == "__main__":
    main()
