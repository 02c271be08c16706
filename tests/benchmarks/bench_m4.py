"""Time whole runs of local models on M4 Hourly, 414 series, and print their MASE and sMAPE beside the published ones.

    python tests/benchmarks/bench_m4.py FOLDER ets theta standard-theta

FOLDER holds `Hourly-train.csv` and `Hourly-test.csv`; AutoETS takes minutes. One process, one thread.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from bench.api import Context
from bench.metrics import forecasting as metrics
from bench.registry import discover, models
from bench.tasks.forecasting.task import DECILES, Forecasting
from bench.tasks.profiles import PROFILES
from bench_datasets.series import SeriesFile
from bench_plugins.forecast_stats import PerSeries

PUBLISHED = {"naive": (11.608, 43.003), "seasonal-naive": (1.193, 13.912), "standard-theta": (2.454, 18.133), "ets": (1.606, 17.192)}
"""MASE and sMAPE (Makridakis et al. 2020)."""


class StandardTheta(PerSeries):
    """The published form, one of those that `theta` chooses from."""

    name, method = "standard-theta", "Theta"


def main(folder: Path, names: list[str]) -> None:
    """Forecast the given test part with each model and score it."""
    data = SeriesFile().read(folder, {})
    (split,) = Forecasting().splits(data, {"season": "24"}, PROFILES["full"], 0, simulated=False)
    (panel,), truth = split.stages["final"].parts, split.truths["final"]
    registry = discover()
    for name in names:
        model = StandardTheta if name == StandardTheta.name else models(registry.sources["bench.models"][name])[name]
        fitted = model(model.default())
        began = time.perf_counter()
        fitted.fit(panel, Context())
        forecast = fitted.predict(panel, Context(quantiles=DECILES, horizon=float(panel.horizon)))
        spent = time.perf_counter() - began
        finished = Forecasting().finished(split, "final", [forecast.arrays()], causal=True)
        found = metrics.score(truth.rows(finished.prediction, DECILES), np.ones((1, len(truth.group))))
        known = "published MASE {:.3f}, sMAPE {:.3f}".format(*PUBLISHED[name]) if name in PUBLISHED else "none published"
        print(f"{name}: MASE {found['mase'][0]:.3f}, sMAPE {found['smape'][0]:.3f} in {spent:.0f} s; {known}; {finished.note}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
