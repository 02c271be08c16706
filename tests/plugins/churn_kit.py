"""What the tests of activity models share: logs of users as churn rows, and CDNOW's rolling split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import STATIC, ArrayModel, ChurnInputs, ChurnTrain, Context

KINDS = ("?", "buy", "cancel")


def rows_of(ages: Sequence[Sequence[float]], y: Any = None, kinds: Any = None, longest: int = 10_000, **static: Any) -> ChurnTrain:
    """Make rows from each user's event ages in days, oldest first; `kinds`: index into `KINDS` of every event, 2 is no activity."""
    kinds = [np.ones(len(row), np.int16) for row in ages] if kinds is None else [np.asarray(k, np.int16) for k in kinds]
    table = np.zeros((len(ages), len(STATIC)))
    for line, row, kind in zip(table, ages, kinds, strict=True):
        active = np.asarray(row, float)[kind != 2]
        facts = {"n_events": len(active), "n_days": len({int(age) for age in active})}
        if len(active):
            facts |= {"recency": active.min(), "tenure": active.max()}
        for name, value in (facts | static).items():
            line[STATIC.index(name)] = value
    kept, kinds = [np.asarray(row, np.float32)[-longest:] for row in ages], [kind[-longest:] for kind in kinds]
    flat = np.concatenate([np.zeros(0, np.float32), *kept])
    n = len(ages)
    return ChurnTrain(
        offsets=np.r_[0, np.cumsum([len(row) for row in kept])].astype(np.int64),
        days_before_cutoff=flat,
        gap=np.zeros_like(flat),
        kind=np.concatenate([np.zeros(0, np.int16), *kinds]),
        value=np.zeros_like(flat),
        count=np.ones_like(flat),
        static=table,
        cutoff=np.full(n, 10_000.0),
        group=np.arange(n),
        kinds=KINDS,
        y=np.zeros(n, np.int8) if y is None else np.asarray(y, np.int8),
    )


def inputs_of(rows: ChurnTrain) -> ChurnInputs:
    """Take the labels away."""
    names = ("offsets", "days_before_cutoff", "gap", "kind", "value", "count", "static", "cutoff", "group", "kinds")
    return ChurnInputs(**{name: getattr(rows, name) for name in names})


def leavers(n: int, seed: int, horizon: float = 28.0) -> ChurnTrain:
    """Draw users who buy at their own rates until they leave; every fifth bought once; a third of the events are cancellations."""
    rng = np.random.default_rng(seed)
    tenure, rate = rng.uniform(30, 300, n), rng.gamma(1.0, 0.1, n) + 0.01
    end = tenure - rng.exponential(120, n)
    ages, kinds, y = [], [], []
    for user in range(n):
        times = -np.sort(-rng.uniform(-horizon, tenure[user], rng.poisson(rate[user] * (tenure[user] + horizon))))
        times = np.r_[tenure[user], times[times > end[user]]] if user % 5 else np.array([tenure[user]])
        kind = np.where((rng.random(len(times)) < 0.3) & (np.arange(len(times)) > 0), 2, 1)
        ages.append(times[times >= 0])
        kinds.append(kind[times >= 0])
        y.append(not ((times < 0) & (kind == 1)).any())
    return rows_of(ages, y, kinds)


def fitted(model: type[ArrayModel], train: ChurnTrain, ctx: Context, **params: Any) -> ArrayModel:
    made = model({**model.default(), **params})
    made.fit(train, ctx)
    return made


def cdnow(real: Path, **options: str) -> tuple[ChurnTrain, ChurnInputs, np.ndarray]:
    """Give the final stage on CDNOW master, H = 91 days, two training cut-offs: (train, inputs, truth)."""
    from bench.tasks.churn.task import Churn
    from bench.tasks.profiles import PROFILES
    from bench_datasets.retail import Retail

    events = Retail().read(real / "cdnow" / "CDNOW_master.txt", {})
    split = Churn().split(events, {"horizon": "91d", "cutoffs": "1", **options}, PROFILES["full"], 0)
    return split.stages["final"].train, split.stages["final"].parts[0], split.truths["final"].y
