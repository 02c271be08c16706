"""ETS and Theta by statsforecast's compiled kernels, one series at a time, bounded and guarded by `_stats_guard`.

To choose among the forms of a method costs some twenty fits; a series that is asked about again with more steps keeps the
form that was chosen for its beginning, and its parameters are estimated anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from bench.api import Array, ArrayModel, Context, Model, Params, hookimpl
from bench.data.panel import Forecast, Panel
from bench_plugins._stats_guard import Fitted, serve


@dataclass
class OneSeries:
    """A method for one series: its form is chosen by the first fit to a season and kept by those that follow."""

    method: str
    levels: tuple[float, ...]
    """Each quantile is a bound of its central interval, the median the mean."""
    forms: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    """Season -> the arguments that fix the form."""

    def __call__(self, y: Array, season: int, horizon: int) -> Fitted:
        """Fit to y [T]; give the mean [H] and the quantiles [H, Q]."""
        from statsforecast import models

        model = getattr(models, self.method)(season_length=season, **self.forms.get(season, {})).fit(y)
        self.forms[season] = form_of(self.method, model.model_)
        central: dict[float, Any] = {q: round(abs(1 - 2 * q) * 100, 9) for q in self.levels}  # in per cent: statsforecast's names
        found = model.predict(horizon, level=sorted({c for c in central.values() if c > 0}) or None)
        quantiles = np.empty((horizon, len(self.levels)))
        for k, (q, c) in enumerate(central.items()):
            quantiles[:, k] = found["mean" if c == 0 else f"{'lo' if q < 0.5 else 'hi'}-{c}"]
        return np.asarray(found["mean"], float), quantiles


def form_of(method: str, fitted: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments that fix the form of a fitted model of statsforecast; a constant series has none."""
    if method == "AutoETS" and len(parts := str(fitted.get("components", ""))) == len("AADA"):
        return {"model": parts[:3], "damped": parts[3] == "D"}
    return {"model": fitted["modeltype"]} if method == "AutoTheta" and "modeltype" in fitted else {}


class PerSeries(ArrayModel):
    """A local model without state that is saved, estimated anew in each `predict`."""

    tasks = frozenset({"forecasting"})
    deterministic = True
    local = True
    requires = ("statsforecast",)
    method: ClassVar[str]
    """Its class in `statsforecast.models`."""

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.before: tuple[Panel, list[OneSeries]] | None = None

    def fit(self, train: Panel, ctx: Context) -> None:
        """Learn nothing, and forget what was asked before."""
        self.before = None

    def predict(self, inputs: Panel, ctx: Context) -> Forecast:
        """Fit and forecast each series."""
        fits = [OneSeries(self.method, ctx.quantiles, known) for known in self.known(inputs)]
        self.before = inputs, fits
        return serve(inputs, ctx.quantiles, fits.__getitem__)

    def known(self, inputs: Panel) -> list[dict[int, Mapping[str, Any]]]:
        """Return for each series the forms that were chosen when it was last asked about, in the same place, with fewer steps."""
        if self.before is None or len(self.before[0]) != len(inputs) or self.before[0].steps > inputs.steps:
            return [{} for _ in range(len(inputs))]
        panel, fits = self.before
        same = (panel.start == inputs.start) & (panel.values == inputs.values[:, : panel.steps]).all(axis=1)
        return [dict(fit.forms) if again else {} for fit, again in zip(fits, same, strict=True)]


class Ets(PerSeries):
    """Choose among the exponential smoothing state space models by AICc (Hyndman and Khandakar 2008)."""

    name = "ets"
    method = "AutoETS"


class ThetaMethod(PerSeries):
    """Choose among the standard, optimised and dynamic Theta models by their squared errors (Fiorucci et al. 2016)."""

    name = "theta"
    method = "AutoTheta"


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return both."""
    return [Ets, ThetaMethod]
