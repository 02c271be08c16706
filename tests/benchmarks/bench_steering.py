"""Print how the scores that may steer an anomaly search rank a detector's configurations beside the labels, by set.

Choices without labels that are compared: injections into the prefixes, which steer; agreement with the consensus of simple
floors there (`consensus.py`); the mean of both. For each, Spearman's correlation with the board's VUS-PR over the
configurations of one detector, and how much better than the author's default the one is that it takes; both averaged over the
detectors. The last line of a set ranks the configurations of all detectors together: there a choice among models is asked for.

`python tests/benchmarks/bench_steering.py --data FOLDER [--trials 8]`. Configurations are random draws from each model's space,
the default first; each is scored as the search stage is, and as the board is, by the labels of all series.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from consensus import agreement, consensus
from scipy.stats import spearmanr

from bench.api import Array, Context
from bench.registry import discover
from bench.tasks.anomaly.task import Anomaly
from bench.tasks.base import Split, StageName
from bench.tasks.profiles import PROFILES
from bench_plugins import anomaly_windows, matrix_profile, rolling_ecod

SETS = {
    "nab-tweets": "social=nab/realTweets",
    "nab-known-cause": "social=nab/realKnownCause",
    "nab-aws": "social=nab_aws/realAWSCloudwatch",
    "skab-valve2": "series=skab/valve2",
    "skab-other": "series=skab/other",
}
MODELS = {m.name: m for plugin in (anomaly_windows, matrix_profile, rolling_ecod) for m in plugin.bench_models() if m.space()}


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


def tried(task: Anomaly, split: Split, model: Any, params: dict[str, Any]) -> tuple[float, dict[str, float]]:
    """Return a configuration's VUS-PR by the labels, and what each choice says of it."""
    truth, facts = split.truths["search"], split.facts
    found = predicted(task, split, "search", model, params)
    reference = consensus(split.stages["search"].parts[0], truth.draws[0], facts["smooth"], facts["combine"])
    agreed, injections = agreement(found[0]["prediction"], reference, truth.draws[0]), truth.search_score(found).value
    ones = np.ones((1, len(split.truths["final"].group)))
    true = float(task.scorer(split, predicted(task, split, "final", model, params)).score(ones)["vus_pr"][0])
    return true, {"injections": injections, "agreement": agreed, "both": (injections + agreed) / 2}


def main() -> None:
    """Print a Markdown row for each set."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--set", action="append", default=[], choices=SETS)
    parser.add_argument("--model", action="append", default=[], choices=MODELS)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    task, registry = Anomaly(), discover([], [])
    print("| set | what is ranked | injections | agreement | both | best | random |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name in given.set or SETS:
        adapter, _, path = SETS[name].partition("=")
        data = registry.dataset(adapter).read(given.data / path, {})
        (split,) = task.splits(data, {"family": "labelled"}, PROFILES["short"], 0, simulated=False)
        scored = {
            model: [tried(task, split, MODELS[model], params) for params in configurations(MODELS[model], given.trials)]
            for model in given.model or MODELS
        }
        told(name, f"configurations of each of {len(scored)} detectors", list(scored.values()))
        told(name, "all of them", [[one for each in scored.values() for one in each]])


def told(name: str, what: str, groups: list[list[tuple[float, dict[str, float]]]]) -> None:
    """Print correlations and gains over the first configuration, averaged over the groups."""
    cells = []
    for choice in groups[0][0][1]:
        pairs = [compared(group, choice) for group in groups]
        cells.append(f"{np.nanmean([rho for rho, _ in pairs]):+.2f}, {np.mean([gain for _, gain in pairs]):+.3f}")
    true: list[Array] = [np.array([one[0] for one in group]) for group in groups]
    best, mean = np.mean([t.max() - t[0] for t in true]), np.mean([t.mean() - t[0] for t in true])
    print(f"| {name} | {what} | {' | '.join(cells)} | {best:+.3f} | {mean:+.3f} |", flush=True)


def compared(group: list[tuple[float, Mapping[str, float]]], choice: str) -> tuple[float, float]:
    """Return the correlation of a choice with VUS-PR, and what it takes above the first."""
    true, score = np.array([one[0] for one in group]), np.nan_to_num([one[1][choice] for one in group], nan=-1.0)
    return float(spearmanr(score, true).statistic), float(true[score.argmax()] - true[0])


if __name__ == "__main__":
    main()
