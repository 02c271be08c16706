"""Print what alarms people would get on labelled series: by one limit of each prefix, by a rolling one, and within the budget.

`python tests/benchmarks/bench_alarms.py --data FOLDER`. Of each set and detector, at its default: the share of the later steps
that alarms fill, alarms a series and week, the share of alarms that meet a labelled window and of windows that are met.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import Array, Context
from bench.metrics.anomaly import threshold
from bench.registry import discover
from bench.tasks.anomaly.alarms import Rule, limits, merged, raised, summary
from bench.tasks.anomaly.task import Anomaly
from bench.tasks.base import Split
from bench.tasks.profiles import PROFILES
from bench_plugins import anomaly_floors, anomaly_windows, rolling_ecod

SETS = {
    "nab-tweets": "social=nab/realTweets",
    "nab-known-cause": "social=nab/realKnownCause",
    "nab-aws": "social=nab_aws/realAWSCloudwatch",
}
MODELS = (anomaly_floors.RollingMean, anomaly_floors.RollingVariance, rolling_ecod.RollingEcod, anomaly_windows.SubPca)


def fixed(score: Array, learnt: int, rule: Rule) -> Array:
    """Mark what exceeds the limit of the prefix, bool [T]."""
    return np.asarray((score > threshold(score[:learnt], rule.budget)) & (np.arange(len(score)) >= learnt))


def rolling(score: Array, learnt: int, rule: Rule) -> Array:
    """Mark the merged alarms of the rolling limit, without a budget, bool [T]."""
    out, found = (score > limits(score, learnt, rule)) & (np.arange(len(score)) >= learnt), np.zeros(len(score), bool)
    for begin, end in merged(out, rule.gap):
        found[begin:end] = out[begin:end].sum() >= rule.least
    return found


WAYS: dict[str, Callable[[Array, int, Rule], Array]] = {"one limit": fixed, "rolling limit": rolling, "budget": raised}


def row(split: Split, score: Array, way: Callable[[Array, int, Rule], Array]) -> str:
    """Summarise the alarms of one detector in one cell."""
    truth, alarms, labels = split.truths["final"], [], []
    for n in truth.group.tolist():
        prefix, steps = truth.prefix(n), truth.steps(n)
        alarms.append(way(score[n, np.concatenate([prefix, steps])], len(prefix), Rule.of(truth.buffer))[len(prefix) :])
        labels.append(truth.labels[n, steps])
    found: dict[str, Any] = summary(labels, alarms, truth.clock.step)
    return f"{found['share']:.1%}, {found['alarms_a_week']:.1f}, {found['precision'] or 0:.2f}, {found['recall']:.2f}"


def main() -> None:
    """Print a Markdown row for each set and detector."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    data, task, registry = parser.parse_args().data, Anomaly(), discover([], [])
    print(f"| set | detector | {' | '.join(WAYS)} |\n|{' --- |' * (2 + len(WAYS))}")
    for name, source in SETS.items():
        adapter, _, path = source.partition("=")
        series = registry.dataset(adapter).read(data / path, {})
        (split,) = task.splits(series, {"family": "labelled"}, PROFILES["short"], 0, simulated=False)
        (part,) = split.stages["final"].parts
        for model in MODELS:
            raw: Any = model(model.default()).predict(part, Context())
            score = task.finished(split, "final", [{"prediction": raw}], causal=model.causal).prediction[0]["prediction"]
            print(f"| {name} | {model.name} | {' | '.join(row(split, score, way) for way in WAYS.values())} |", flush=True)


if __name__ == "__main__":
    main()
