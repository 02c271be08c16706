"""Churn on open logs: gbm and the model that validation chooses, against the reference and the best other, on the test cut-off.

Run it as `python tests/benchmarks/answers/churn.py DATA [LOG ...] [--models NAME ...]`, DATA the folder of the open sets.
Every model runs at its default, the same rows, all of them. Prints ROC AUC and log-loss, and the differences in ROC AUC
of gbm to rfm-logit and rfm-lightgbm, and of the chosen model to the best other, with 95 % paired intervals by user.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import Context
from bench.execute.task_space import default_of
from bench.metrics.bootstrap import draws, interval
from bench.metrics.churn import churn_metrics, ranked
from bench.registry import discover, models
from bench.tasks.base import Split
from bench.tasks.churn.task import Churn
from bench.tasks.profiles import PROFILES

LOGS: dict[str, tuple[str, str, dict[str, str]]] = {
    "cdnow": ("retail", "cdnow/CDNOW_master.txt", {"horizon": "91d"}),
    "college-msg": ("social", "college_msg/CollegeMsg.txt", {"horizon": "7d", "eligible": "ever"}),
    "college-msg-28": ("social", "college_msg/CollegeMsg.txt", {"horizon": "28d"}),
    "kdd-cup": ("activity", "kddcup2015_mooc", {}),
    "online-retail": ("retail", "online_retail/by-day", {"horizon": "28d"}),
    "movielens": ("netflix", "movielens_latest_small/ratings.csv", {"horizon": "364d"}),
}
FLOORS = ("recency", "frequency", "rfm-logit", "rfm-lightgbm")
OURS = ("gbm", "bgnbd", "paretonbd")
DRAWS = 1000


def splits(data: Path, names: list[str]) -> Iterator[tuple[str, Split]]:
    """Cut each log by the default protocol; no row is left out."""
    registry = discover([], [])
    for name in names or LOGS:
        adapter, path, options = LOGS[name]
        events = registry.dataset(adapter).read(data / path, {})
        yield name, Churn().split(events, options, PROFILES["full"], 0)


def answers(split: Split, names: list[str]) -> dict[str, dict[str, Any]]:
    """Fit each model at its default for the validation and for the test: P(churn) [N] of both."""
    registry, ctx = discover([], []), Context(horizon=split.context["horizon"], epochs=20, history=PROFILES["full"].history)
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        found[name] = {}
        for stage in ("search", "final"):
            model = models(registry.sources["bench.models"][name])[name]
            one = model(default_of(model, "churn"))
            one.fit(split.stages[stage].train, ctx)
            found[name][stage] = np.asarray(one.predict(split.stages[stage].parts[0], ctx), float)
    return found


def auc(split: Split, stage: str, chance: Any) -> float:
    return float(churn_metrics(split.truths[stage].y, chance, base_rate=0.5)["roc_auc"][0])


def difference(split: Split, one: Any, other: Any) -> str:
    """Write the difference in ROC AUC on the test with its interval."""
    truth = split.truths["final"]
    a, b = (ranked(truth.y, chance, 0.5) for chance in (one, other))
    spread = np.concatenate([_auc(a, w) - _auc(b, w) for w in draws(truth.group, DRAWS, 0)])
    low, high = interval(spread)
    point = np.ones((1, len(truth.y)))
    return f"{float((_auc(a, point) - _auc(b, point))[0]):+.4f} ({low:+.4f} to {high:+.4f})"


def _auc(model: Any, weights: Any) -> Any:
    return np.asarray(model.score(weights)["roc_auc"])


def show(name: str, split: Split, models: list[str]) -> None:
    found = answers(split, models)
    test = {m: auc(split, "final", p["final"]) for m, p in found.items()}
    y = split.truths["final"].y
    print(f"\n{name}: {split.task_id}; {len(y):,} test users, {y.mean():.3f} churned")
    for model, score in sorted(test.items(), key=lambda item: -item[1]):
        loss = float(churn_metrics(y, found[model]["final"], base_rate=split.facts["train_rate"])["log_loss"][0])
        print(f"  {model:16} ROC AUC {score:.4f}  log-loss {loss:.4f}")
    ours = [m for m in models if m not in FLOORS]
    chosen = max(ours, key=lambda m: auc(split, "search", found[m]["search"]))
    floor = max((m for m in models if m in FLOORS), key=lambda m: test[m])
    for one, other in (("gbm", "rfm-logit"), ("gbm", "rfm-lightgbm"), (chosen, floor)):
        print(f"  {one} less {other}: {difference(split, found[one]['final'], found[other]['final'])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("logs", nargs="*")
    parser.add_argument("--models", nargs="*", default=list(OURS))
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name, split in splits(given.data, given.logs):
        show(name, split, [*FLOORS, *given.models])


if __name__ == "__main__":
    main()
