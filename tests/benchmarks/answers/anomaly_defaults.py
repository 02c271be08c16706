"""Anomaly, without searches or workers: the arithmetic floors of each league against two models at their defaults.

These are the mean of detectors and rolling ECOD. Cheaper than `anomaly` by far: every model is asked once, in this process.
The best floor of a set is chosen afterwards, by its labels. The last rows ask what a reader without labels must ask: which one
detector for all sets? There the best floor is the one whose mean over the sets is highest. Intervals are paired, by 1,000 draws
of series within each set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from answers.anomaly import SETS

from bench.api import Array, Context
from bench.metrics.bootstrap import draws, interval
from bench.registry import discover
from bench.tasks.anomaly.task import Anomaly
from bench.tasks.base import Split
from bench.tasks.profiles import PROFILES
from bench_plugins import anomaly_floors, detector_mean, rolling_ecod

FIELDS = ("set", "league", "series", "best floor", "VUS-PR", "mean of detectors", "above", "rolling ECOD", "above")
OWN: Mapping[str, tuple[Any, ...]] = {
    "causal": (detector_mean.DetectorMean, rolling_ecod.RollingEcod),
    "offline": (detector_mean.DetectorMeanWhole, rolling_ecod.RollingEcodWhole),
}
DRAWS = 1000


def table(data: Path, _out: Path, sets: Sequence[str] = (), _models: Sequence[str] = ()) -> Iterator[tuple[str, ...]]:
    """Score each set and yield a row for each of its leagues, then one for each league over all sets."""
    registry, task = discover([], []), Anomaly()
    whole: dict[str, list[tuple[Mapping[str, Array], Mapping[str, Array]]]] = defaultdict(list)
    series = 0
    for name in sets or SETS:
        adapter, _, path = SETS[name].format(data=data).partition("=")
        found = registry.dataset(adapter).read(Path(path), {})
        split = task.splits(found, {"family": "labelled"}, PROFILES["short"], 0, simulated=False)[0]
        series += len(split.truths["final"].group)
        for league, floors, own in _leagues(task, split):
            whole[league].append((floors, own))
            yield (name, league, str(len(split.truths["final"].group)), *_beside(floors, own))
    for league, each in whole.items():
        floors, own = ({name: np.mean([one[kind][name] for one in each], axis=0) for name in each[0][kind]} for kind in (0, 1))
        yield ("mean of the sets", league, str(series), *_beside(floors, own))


def _leagues(task: Anomaly, split: Split) -> Iterator[tuple[str, Mapping[str, Array], Mapping[str, Array]]]:
    """Yield each league, and VUS-PR of its floors and own models: with each series once, then by draw, [1 + DRAWS]."""
    floors: dict[str, Array] = {}
    for league, own in OWN.items():
        offline = league == "offline"
        for model in (m for m in anomaly_floors.bench_models() if m.name != "random"):
            if model.causal or offline:
                score = _asked(task, split, model)
                # a causal floor serves offline too: raw, and smoothed around each step
                floors[model.name] = _values(task, split, score)
                if model.causal and offline:
                    floors[f"{model.name}-centred"] = _values(task, split, task.ahead(split, "final", score))
        yield league, dict(floors), {model.name: _values(task, split, _asked(task, split, model)) for model in own}


def _asked(task: Anomaly, split: Split, model: Any) -> Any:
    (part,) = split.stages["final"].parts
    raw = model(model.default()).predict(part, Context())
    return task.finished(split, "final", [{"prediction": raw}], causal=model.causal).prediction


def _values(task: Anomaly, split: Split, prediction: Any) -> Array:
    scorer, group = task.scorer(split, prediction), split.truths["final"].group
    parts = [np.ones((1, len(group))), *draws(group, DRAWS, 0)]
    return np.concatenate([scorer.score(weights)["vus_pr"] for weights in parts])


def _beside(floors: Mapping[str, Array], own: Mapping[str, Array]) -> tuple[str, ...]:
    best = max(floors, key=lambda name: floors[name][0])
    cells = [best, f"{floors[best][0]:.3f}"]
    for values in own.values():
        low, high = interval(values[1:] - floors[best][1:])
        cells += [f"{values[0]:.3f}", f"{values[0] - floors[best][0]:+.3f} ({low:+.3f} to {high:+.3f})"]
    return tuple(cells)
