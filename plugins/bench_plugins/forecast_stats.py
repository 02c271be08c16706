"""ETS and Theta by statsforecast's compiled kernels, one series at a time, bounded and guarded by `_stats_guard`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from bench.api import Array, ArrayModel, Context, Model, hookimpl
from bench.data.panel import Forecast, Panel
from bench_plugins._stats_guard import Fit, Fitted, serve


def by_statsforecast(name: str, levels: tuple[float, ...]) -> Fit:
    """Make a function that fits a method to one series; each quantile is a bound of its central interval, the median the mean."""
    from statsforecast import models

    method = getattr(models, name)

    def fit(y: Array, season: int, horizon: int) -> Fitted:
        central: dict[float, Any] = {q: round(abs(1 - 2 * q) * 100, 9) for q in levels}  # in per cent: statsforecast's names
        asked = sorted({c for c in central.values() if c > 0}) or None
        found = method(season_length=season).forecast(y, h=horizon, level=asked)
        quantiles = np.empty((horizon, len(levels)))
        for k, (q, c) in enumerate(central.items()):
            quantiles[:, k] = found["mean" if c == 0 else f"{'lo' if q < 0.5 else 'hi'}-{c}"]
        return np.asarray(found["mean"], float), quantiles

    return fit


class PerSeries(ArrayModel):
    """A local model without state, estimated anew in each `predict`."""

    tasks = frozenset({"forecasting"})
    deterministic = True
    local = True
    requires = ("statsforecast",)
    method: ClassVar[str]
    """Its class in `statsforecast.models`."""

    def fit(self, train: Panel, ctx: Context) -> None:
        """Learn nothing."""

    def predict(self, inputs: Panel, ctx: Context) -> Forecast:
        """Fit and forecast each series."""
        return serve(inputs, ctx.quantiles, by_statsforecast(self.method, ctx.quantiles))


class Ets(PerSeries):
    """Choose among the exponential smoothing state space models by AICc (Hyndman and Khandakar 2008)."""

    name = "ets"
    method = "AutoETS"


class ThetaMethod(PerSeries):
    """The standard Theta method: deseasonalise, half the drift, simple smoothing (Assimakopoulos and Nikolopoulos 2000)."""

    name = "theta"
    method = "Theta"


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return both."""
    return [Ets, ThetaMethod]
