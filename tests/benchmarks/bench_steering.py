"""Print how the scores that steer the anomaly search rank trials beside the labels: Spearman's correlation by model and set.

Choices without labels that are compared: injections, which steer; agreement of a trial's scores with those of all trials of
all models, and of its own model (see `bench.tasks.anomaly.agreement`); and the mean rank by injections and agreement.

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
from scipy.stats import rankdata, spearmanr

from bench.api import Context
from bench.data.ragged import Array
from bench.tasks.anomaly.agreement import agreements, open_steps
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


def steered(task: Anomaly, split: Split, found: Any) -> float:
    """Score by the injections, as the search does."""
    (one,) = task.objectives(split, "search", found)["label-free"]
    return one.value


def main() -> None:
    """Print a line for each set and model, and one for all models together."""
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
        models = given.model or list(MODELS)
        scored = [
            (model, *tried(task, split, MODELS[model], params))
            for model in models
            for params in configurations(MODELS[model], given.trials)
        ]
        agreed = agreements([one[3] for one in scored])
        within = np.concatenate([agreements([one[3] for one in scored if one[0] == model]) for model in models])
        for model in [*models, "all"]:
            own = [n for n, one in enumerate(scored) if model in {one[0], "all"}]
            by_injection, true = (np.array([scored[n][at] for n in own]) for at in (1, 2))
            told(f"{name:16} {model:14}", {"injections": by_injection, "agreement": agreed[own], "own agreement": within[own]}, true)


def tried(task: Anomaly, split: Split, model: Any, params: dict[str, Any]) -> tuple[float, float, Array]:
    """Return a trial's score by injections, its true VUS-PR and its ranks of the steps of the prefixes' first draw."""
    found = predicted(task, split, "search", model, params)
    ones = np.ones((1, len(split.truths["final"].group)))
    true = float(task.scorer(split, predicted(task, split, "final", model, params)).score(ones)["vus_pr"][0])
    ranked = task.blendable(split, "search", found)[0]["prediction"]
    return steered(task, split, found), true, ranked[open_steps(split.truths["search"].view(0))]


def told(words: str, choices: dict[str, Array], true: Array) -> None:
    """Print how choices rank trials beside the labels, and what each would have taken."""
    choices = {name: np.nan_to_num(score, nan=-1.0) for name, score in choices.items()}
    choices["both"] = rankdata(choices["injections"]) + rankdata(choices["agreement"])
    said = [f"{name} rho {spearmanr(score, true).statistic:+.2f} takes {true[score.argmax()]:.3f}" for name, score in choices.items()]
    print(f"{words} default {true[0]:.3f}  {'  '.join(said)}  best {true.max():.3f}", flush=True)


if __name__ == "__main__":
    main()
