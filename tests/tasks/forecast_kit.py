"""What the tests of the forecasting task share: small series and logs, their splits, random forecasts and scores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from bench.data.events import Events
from bench.data.series import Series
from bench.tasks.base import Split
from bench.tasks.forecasting.task import Forecasting
from bench.tasks.profiles import PROFILES

START = datetime(2024, 1, 1, tzinfo=UTC)
FULL = PROFILES["full"]
TASK = Forecasting()


def series(values, *, test: int = 0, timed: bool = True, step: timedelta = timedelta(days=1)) -> Series:
    """Make series of values [N, T], NaN where missing."""
    values = np.asarray(values, float)
    n, steps = values.shape
    columns = {
        "series": np.repeat([f"s{k:02d}" for k in range(n)], steps).tolist(),
        "time": pl.Series([START + k * step if timed else None for k in range(steps)] * n, dtype=pl.Datetime("us", "UTC")),
        "value": values.ravel(),
        "test": [k >= steps - test for k in range(steps)] * n,
    }
    return Series.build(pl.DataFrame(columns), name="given")


def log(user, day, item, value=None, kind="purchase") -> Events:
    """Make a log of whole days; it covers its last day."""
    columns = {
        "user": [f"u{u}" for u in user], "time": [START + timedelta(days=int(d)) for d in day], "kind": kind,
        "item": [f"i{i}" for i in item], "value": None if value is None else list(value),
    }  # fmt: skip
    return Events.build(pl.DataFrame(columns), name="made", activity=("purchase",))


def split(data: Series | Events, simulated: bool = False, profile=FULL, **options: object) -> Split:
    """Split data, on one validation window unless told otherwise."""
    chosen = {"validations": "1"} | {k: str(v) for k, v in options.items()}
    (found,) = TASK.splits(data, chosen, profile, 0, simulated=simulated)
    return found


def noise(n: int, steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, 10.0, (n, steps))


def forecast_of(found: Split, stage: str = "final", seed: int = 0, **change: object) -> list[dict]:
    """Make a valid random prediction for all parts of a stage."""
    windows, n, horizon = found.truths[stage].y.shape
    rng, q = np.random.default_rng(seed), len(found.context["quantiles"])
    found = []
    for _ in range(windows):
        quantiles = np.sort(rng.gamma(2, 10, (n, horizon, q)), axis=2)
        found.append({"quantiles": quantiles, "mean": rng.gamma(2, 10, (n, horizon)), "fallback": np.zeros(n, bool), **change})
    return found


def scores(found: Split, prediction: list[dict]) -> dict[str, float]:
    ones = np.ones((1, len(found.truths["final"].group)))
    return {name: float(value[0]) for name, value in TASK.scorer(found, prediction).score(ones).items()}
