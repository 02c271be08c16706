"""Print how the scores that steer the anomaly search rank trials beside the labels: Spearman's correlation by model and set.

`python tests/benchmarks/bench_steering.py --data FOLDER [--trials 12]`. Trials are random draws from each model's space,
the default first; each is scored as the search stage is, by injections, and as the board is, by the labels of all series.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from scipy.stats import spearmanr

from bench.api import Context
from bench.tasks.anomaly.task import Anomaly
from bench.tasks.base import Split, StageName
from bench.tasks.profiles import PROFILES
from bench_datasets.series import SeriesFile
from bench_datasets.social import Social
from bench_plugins import anomaly_windows, matrix_profile

SETS: dict[str, tuple[Any, str]] = {
    "nab-tweets": (Social, "nab/realTweets"),
    "nab-known-cause": (Social, "nab/realKnownCause"),
    "nab-aws": (Social, "nab_aws/realAWSCloudwatch"),
    "skab-valve2": (SeriesFile, "skab/valve2"),
    "skab-other": (SeriesFile, "skab/other"),
}
MODELS = {m.name: m for m in (*anomaly_windows.bench_models(), *matrix_profile.bench_models())}


def configurations(model: Any, trials: int) -> Iterator[dict[str, Any]]:
    """Yield the default, then random draws."""
    yield dict(model.default())
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(trials - 1):
        yield dict(study.ask(model.space()).params)


def predicted(task: Anomaly, split: Split, stage: StageName, model: Any, params: dict[str, Any]) -> Any:
    """Fit and ask as a worker does, and bring the answers into their final form."""
    fitted, ctx = model(params), Context(seed=0, epochs=5, history=32, rows=20_000)
    fitted.fit(split.stages[stage].train, ctx)
    arrays = [{"prediction": fitted.predict(part, ctx)} for part in split.stages[stage].parts]
    return task.finished(split, stage, arrays, causal=model.causal).prediction


def main() -> None:
    """Print a line for each set and model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--set", action="append", default=[], choices=SETS)
    parser.add_argument("--model", action="append", default=[], choices=MODELS)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    task = Anomaly()
    for name in given.set or SETS:
        adapter, path = SETS[name]
        (split,) = task.splits(adapter().read(given.data / path, {}), {}, PROFILES["short"], 0, simulated=False)
        ones = np.ones((1, len(split.truths["final"].group)))
        for chosen in given.model or MODELS:
            model, pairs = MODELS[chosen], []
            for params in configurations(model, given.trials):
                steered = task.search_score(split, predicted(task, split, "search", model, params))
                true = float(task.scorer(split, predicted(task, split, "final", model, params)).score(ones)["vus_pr"][0])
                pairs.append((steered, true))
            rho = spearmanr(*np.array(pairs).T).statistic
            worth, best = max(pairs)[1], max(true for _, true in pairs)
            words = f"default {pairs[0][1]:.3f}  chosen {worth:.3f}  best {best:.3f}"
            print(f"{name:16} {chosen:14} rho {rho:+.2f}  {words}", flush=True)


if __name__ == "__main__":
    main()
