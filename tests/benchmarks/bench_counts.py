"""What trees that correct the mean of `negbin` are worth, on simulated logs, steady ones and such whose level turns.

    python tests/benchmarks/bench_counts.py [--seed 95 96] [--board daily weekly users dense total] [--model lightgbm-counts lightgbm-lags]

Defaults are fitted as `bench run` fits a final and scored on test by what ranks the board. Printed: the log of the ratio of errors to
those of `negbin`, mean over boards with its 95 % interval, and on how many it is below and above 0 (lower is better). With
`--beside-year` the ratio is to the same model's own error where it is shown the day of the year although the data hold less than two,
for models that do not see to that themselves.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace

import numpy as np
from bench_forecast_rules import BOARDS, KINDS, LOGS, Fits, made
from bench_unseen import beside

from bench.errors import BenchError
from bench.execute.task_space import default_of
from bench.registry import discover, models
from bench.tasks.base import Split, Stage
from bench_plugins._lag_features import seen_twice

BASE = "negbin"
MODELS = ("lightgbm-counts", "lightgbm-lags", "adida", "seasonal-quantiles")


def main() -> None:
    """Make the boards, and count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, nargs="+", default=[95, 96])
    parser.add_argument("--board", choices=BOARDS, nargs="+", default=list(BOARDS))
    parser.add_argument("--kind", choices=KINDS, nargs="+", default=list(KINDS))
    parser.add_argument("--model", nargs="+", default=list(MODELS))
    parser.add_argument("--beside-year", action="store_true")
    given = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = {model: {} for model in given.model}
    for seed, board, adapter, kind in itertools.product(given.seed, given.board, LOGS, given.kind):
        try:
            split = made(adapter, kind, board, seed, 3)
        except BenchError as error:
            print(f"{board} {adapter} {kind} {seed}: {error}")
            continue
        asked = without_year(split) if given.beside_year else split
        for model in given.model:
            ratio = float(np.log(error_of(asked, model) / error_of(split, model if given.beside_year else BASE)))
            for what in ("all", board, kind):
                found[model].setdefault(what, []).append(ratio)
        print(f"{board} {adapter} {kind} {seed}: {shown(found)}", flush=True)
    for model, kinds in found.items():
        for what, ratios in kinds.items():
            each = np.array(ratios)
            print(f"{model:20} {what:8} {len(each)} boards, {beside(each)}, lower {(each < 0).sum()}, higher {(each > 0).sum()}")


def shown(found: dict[str, dict[str, list[float]]]) -> str:
    """Show the latest board."""
    return ", ".join(f"{model} {kinds['all'][-1]:+.3f}" for model, kinds in found.items())


def without_year(split: Split) -> Split:
    """Hide what is known of a cycle that the training data hold less than twice."""
    final = split.stages["final"]
    train, *parts = (replace(panel, known=panel.known * seen_twice(final.train)) for panel in (final.train, *final.parts))
    return replace(split, stages={**split.stages, "final": Stage(train, tuple(parts))})


def error_of(split: Split, model: str) -> float:
    """Return the error of a model's default on test."""
    kind = models(discover().sources["bench.models"][model])[model]
    fits = Fits(split, kind)
    return fits.on_final(fits.predicted("final", default_of(kind, "forecasting"), 0))[0]


if __name__ == "__main__":
    main()
