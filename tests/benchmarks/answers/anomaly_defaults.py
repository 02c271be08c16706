"""Anomaly, without searches or workers: the arithmetic floors of each league against rolling ECOD and sub-PCA at their defaults.

Cheaper than `anomaly` by far: every model is asked once, in this process. Intervals are paired, by 1,000 draws of series.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from answers.anomaly import SETS

from bench.api import Context
from bench.metrics.bootstrap import draws, interval
from bench.registry import discover
from bench.tasks.anomaly.task import Anomaly
from bench.tasks.base import Scorer, Split
from bench.tasks.profiles import PROFILES
from bench_plugins import anomaly_floors, anomaly_windows, rolling_ecod

FIELDS = ("set", "league", "series", "best floor", "VUS-PR", "rolling ECOD", "above", "sub-PCA", "above", "mean of both", "above")
OWN = {
    "causal": (rolling_ecod.RollingEcod, anomaly_windows.SubPca),
    "offline": (rolling_ecod.RollingEcodWhole, anomaly_windows.SubPcaWhole),
}


def table(data: Path, _out: Path, sets: Sequence[str] = (), _models: Sequence[str] = ()) -> Iterator[tuple[str, ...]]:
    """Score each set and yield a row for each of its leagues."""
    registry, task = discover([], []), Anomaly()
    for name in sets or SETS:
        adapter, _, path = SETS[name].format(data=data).partition("=")
        series = registry.dataset(adapter).read(Path(path), {})
        split = task.splits(series, {"family": "labelled"}, PROFILES["short"], 0, simulated=False)[0]
        yield from ((name, league, *row) for league, row in _leagues(task, split))


def _leagues(task: Anomaly, split: Split) -> Iterator[tuple[str, tuple[str, ...]]]:
    floors: dict[str, Any] = {}
    for league, own in OWN.items():
        offline = league == "offline"
        for model in (m for m in anomaly_floors.bench_models() if m.name != "random"):
            if model.causal or offline:
                score = _asked(task, split, model)
                # a causal floor serves offline too: raw, and smoothed around each step
                floors[model.name] = score
                if model.causal and offline:
                    floors[f"{model.name}-centred"] = task.ahead(split, "final", score)
        best, floor = max(((n, task.scorer(split, s)) for n, s in floors.items()), key=lambda pair: _value(split, pair[1]))
        asked = [_asked(task, split, model) for model in own]
        ranked = [task.blendable(split, "final", one)[0]["prediction"] for one in asked]
        both = [*asked, [{"prediction": np.mean(ranked, axis=0)}]]
        cells = [cell for one in both for cell in _beside(split, task.scorer(split, one), floor)]
        yield league, (str(len(split.truths["final"].group)), best, f"{_value(split, floor):.3f}", *cells)


def _asked(task: Anomaly, split: Split, model: Any) -> Any:
    (part,) = split.stages["final"].parts
    raw = model(model.default()).predict(part, Context())
    return task.finished(split, "final", [{"prediction": raw}], causal=model.causal).prediction


def _value(split: Split, scorer: Scorer) -> float:
    return float(scorer.score(np.ones((1, len(split.truths["final"].group))))["vus_pr"][0])


def _beside(split: Split, one: Scorer, floor: Scorer) -> tuple[str, str]:
    group = split.truths["final"].group
    spread = np.concatenate([one.score(w)["vus_pr"] - floor.score(w)["vus_pr"] for w in draws(group, 1000, 0)])
    low, high = interval(spread)
    return f"{_value(split, one):.3f}", f"{_value(split, one) - _value(split, floor):+.3f} ({low:+.3f} to {high:+.3f})"
