"""Small finished runs that several test files look at: each is made once in a process, in a folder of its own."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import bench

START = date(2024, 1, 1)
STEPS, SERIES = 160, 8
CHURN = ["rfm-logit", "rfm-lightgbm", "base-rate"]
FORECAST = ["climatology", "seasonal-naive", "state-space", "level"]
ANOMALY = ["random", "rolling-mean", "sub-pca", "iforest"]
# a forecaster with a space: what it learns in `fit` is the spread of its errors
LEVEL = """
import numpy as np
from optuna.distributions import FloatDistribution

import bench
from bench.data.panel import Forecast


class Level(bench.ArrayModel):
    name = "{name}"
    tasks = frozenset({{"forecasting"}})

    @staticmethod
    def space():
        return {{"share": FloatDistribution(0.0, 1.0)}}

    @staticmethod
    def default():
        return {{"share": 0.3}}

    def _ahead(self, values, horizon):
        cycle = values[:, -7:][:, np.arange(horizon) % 7]
        return self.params["share"] * cycle.mean(axis=1, keepdims=True) + (1 - self.params["share"]) * cycle

    def fit(self, train, ctx):
        made = self._ahead(train.values[:, :-7], 7)
        self.state = {{"spread": np.quantile(train.values[:, -7:] - made, ctx.quantiles)}}

    def predict(self, inputs, ctx):
        mean = self._ahead(inputs.values, inputs.horizon)
        return Forecast(mean[:, :, None] + self.state["spread"], mean)


@bench.hookimpl
def bench_models():
    return [Level]
"""


def run(task: str, out: Path, **more: object) -> bench.Board:
    """Run in the smoke profile with one worker, with a cache beside the run folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(out.parent / "cache"))
        patch.setenv("BENCH_CONFIG", str(out.parent / "config"))
        return bench.run(task, out=out, **{"profile": "smoke", "trials": 2, "seeds": 1, "workers": 1, **more})


def folder() -> Path:
    """Make a folder that goes when the process ends."""
    made = Path(tempfile.mkdtemp(prefix="bench-test-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def purchases(rate: float, users: int = 240, days: int = 120, seed: int = 0, kind: str = "purchase") -> pl.DataFrame:
    """Make a log of users who buy at random, each until a day of its own: the higher `rate`, the sooner they leave."""
    rng = np.random.default_rng(seed)
    last = np.minimum(rng.exponential(1 / rate, users), days)
    active = (rng.random((users, days)) < 0.25) & (np.arange(days) <= last[:, None])
    user, day = np.nonzero(active)
    return pl.DataFrame(
        {
            "user": [f"u{u:03d}" for u in user],
            "time": [START + timedelta(days=int(d)) for d in day],
            "kind": kind,
            "value": rng.gamma(2, 10, len(user)),
            "item": "a",
        }
    )


def waves(series: int = SERIES, steps: int = STEPS, seed: int = 0) -> pl.DataFrame:
    """Make daily series with a week's cycle of 10 and noise of 1."""
    rng, day = np.random.default_rng(seed), np.arange(steps)
    values = cycle(series, day) + rng.normal(0, 1, (series, steps))
    names = np.repeat([f"s{n}" for n in range(series)], steps)
    return pl.DataFrame({"unique_id": names, "ds": [START + timedelta(days=int(d)) for d in day] * series, "y": values.ravel()})


def cycle(series: int, day: np.ndarray) -> np.ndarray:
    """Give what `waves` are without their noise, [N, T]."""
    n = np.arange(series)[:, None]
    return 50 + 10 * n + 10 * np.sin(2 * np.pi * (day + n) / 7)


@cache
def churn() -> Path:
    """Give a run on two logs, `calm` and `wild`, of which the second loses its users sooner."""
    place = folder()
    for name, rate, seed in (("calm", 0.006, 10), ("wild", 0.015, 19)):
        purchases(rate, seed=seed).write_csv(place / f"{name}.csv")
    logs = [f"events={place / name}.csv" for name in ("calm", "wild")]
    run("churn", place / "run", datasets=logs, models=CHURN, options={"horizon": "14d", "cutoffs": 2}, seeds=2)
    return place


@cache
def forecasting() -> Path:
    """Give a run on given series, with models in two plugin files; only the second of them takes part."""
    place = folder()
    waves().write_csv(place / "series.csv")
    files = [place / f"{name}.py" for name in ("spare", "level")]
    for file in files:
        file.write_text(LEVEL.format(name=file.stem))
    run("forecasting", place / "run", datasets=[f"series={place / 'series.csv'}"], models=FORECAST, plugins=files)
    return place


@cache
def anomaly() -> Path:
    """Give a run on labelled series: each has one stretch where the cycle is gone."""
    place = folder()
    frame = waves(series=8, steps=240, seed=1).with_row_index()
    step, owner = pl.col("index") % 240, pl.col("index") // 240
    inside = step.is_between(150 + 5 * owner, 161 + 5 * owner)
    frame = frame.with_columns(label=inside.cast(pl.Int8), y=pl.when(inside).then(pl.col("y") + 40 - 4 * (step % 3)).otherwise("y"))
    frame.drop("index").write_csv(place / "marked.csv")
    options = {"buffer": 14, "smooth": 3, "prefix": 0.4}
    run("anomaly", place / "run", datasets=[f"series={place / 'marked.csv'}"], models=ANOMALY, options=options)
    return place


def stored(run_folder: Path, model: str, dataset: str, tuning: str | None = None) -> list[dict[str, np.ndarray]]:
    """Read what a run predicted with the fit that stands for a model on the board."""
    from bench.board import Board
    from bench.board.ranking import candidates
    from bench.execute.prediction_files import read_prediction

    rows = Board.read(run_folder).rows
    row = next(rows[at] for at in candidates(rows) if (rows[at]["model"], rows[at]["dataset"]) == (model, dataset))
    index = pl.read_parquet(run_folder / "predictions.parquet")
    (file,) = index.filter(model=model, dataset=dataset, tuning=tuning or row["tuning"], seed=row["seed"])["file"]
    return read_prediction(run_folder / file)
