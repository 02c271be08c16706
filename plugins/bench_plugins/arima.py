"""ARIMA: differences by test, seasonal ARMA orders by AICc over a small grid, everything batched over the series.

    phi(B) Phi(B^m) (1 - B)^d (1 - B^m)^D z_t = theta(B) Theta(B^m) e_t,   z = (g(y) - centre) / scale

Box & Jenkins, "Time series analysis: forecasting and control" (1970); the automatic choice follows Hyndman & Khandakar,
"Automatic time series forecasting: the forecast package for R", Journal of Statistical Software 27 (2008), with a grid in
place of their walk, and conditional least squares for the likelihood. Anomaly score: the standardised one-step residual.
Churn: an ARIMA(p, d, 0) of users' activity with shared coefficients, in `_activity_forecast.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from bench.api import Array, ArrayModel, ChurnInputs, ChurnTrain, Context, Model, Params, hookimpl
from bench.data.panel import Forecast, Panel
from bench_plugins import _activity_forecast
from bench_plugins._arima_differences import SEASONS, Differences, choose, difference
from bench_plugins._arima_filters import Shape
from bench_plugins._arima_recursion import psi, run
from bench_plugins._arima_search import Fitted, grid, search
from bench_plugins._links import SIGMA, TRANSFORMS, UNKNOWN, History, Link, batches

FEWEST = 8
"""Observed steps below which a series is served by a random walk."""
SHORTEST, LONGEST = 400, 1000
"""Bounds of the history, in steps, whatever the season: the time of a fit grows with it."""
CELLS = 2_000_000
"""Steps of all series and orders that are fitted at once: some 16 MB an array."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A fitted model a series, and the scale that it lives on."""

    link: Link
    how: Differences
    fitted: Fitted
    shape: Shape
    fallback: Array
    """bool [N]: a random walk had to serve."""


class Arima(ArrayModel):
    """Fit each series by itself in `predict`, where nothing is learnt across series; or learn from all users, in `fit`."""

    name = "arima"
    tasks = frozenset({"forecasting", "churn", "anomaly"})
    deterministic = True
    local = True

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the limits of the order search, the differences, the transform, the history in seasons; for churn, lags and periods."""
        return {
            "max_p": IntDistribution(0, 3),
            "max_q": IntDistribution(0, 3),
            "trend": CategoricalDistribution(("auto", "always", "never")),
            "seasonal": CategoricalDistribution(("auto", "always", "never")),
            "transform": CategoricalDistribution(TRANSFORMS),
            "seasons": IntDistribution(5, 80, log=True),
            "lags": IntDistribution(1, 12),
            "periods": CategoricalDistribution((2, 4, 8)),
        }

    @staticmethod
    def default() -> Params:
        """Return orders up to two, tests for the differences, and twenty seasons; two horizons of lags, of four periods each."""
        series = {"max_p": 2, "max_q": 2, "trend": "auto", "seasonal": "auto", "transform": "auto", "seasons": 20}
        return {**series, "lags": 8, "periods": 4}

    def fit(self, train: Panel | ChurnTrain, ctx: Context) -> None:
        """Learn from users; of a panel nothing: each series is estimated in `predict`."""
        if isinstance(train, ChurnTrain):
            self.state = _activity_forecast.learn(train, {**self.default(), **self.params}, ctx)

    def predict(self, inputs: Panel | ChurnInputs, ctx: Context) -> Forecast | Array:
        """Forecast the horizon, or score each step [N, T] where there is none; for users, P(churn) [N]."""
        if isinstance(inputs, ChurnInputs):
            return _activity_forecast.answer(inputs, self.state, {**self.default(), **self.params}, ctx)
        shape, most = self.bounds(inputs)
        rows = max(CELLS // (most * len(grid(shape))), 1)
        return batches(inputs, rows, lambda part: self.answer(part, shape, most, ctx))

    def bounds(self, panel: Panel) -> tuple[Shape, int]:
        """Return the largest orders, and the length of the history: a season of which too few are left is given up."""
        chosen = {**self.default(), **self.params}
        most = int(np.clip(chosen["seasons"] * panel.season, SHORTEST, LONGEST))
        seasonal = panel.season > 1 and panel.season * SEASONS < min(most, panel.steps)
        return Shape(chosen["max_p"], chosen["max_q"], panel.season if seasonal else 1), most

    def answer(self, panel: Panel, shape: Shape, most: int, ctx: Context) -> Forecast | Array:
        """Estimate and apply the models of one batch of series."""
        history = History.of(panel, most)
        found = self.estimate(history, panel, shape, ctx)
        return forecast(found, history, panel.horizon, ctx) if panel.horizon else score(found, panel)

    def estimate(self, history: History, panel: Panel, shape: Shape, ctx: Context) -> Estimate:
        """Choose link, differences and orders; series too short, or reached after the time is out, get a random walk."""
        chosen = {**self.default(), **self.params}
        link = Link.of(history, chosen["transform"], panel.season, counts=panel.counts)
        z = link.forward(history.values)
        how = choose(z, history.start, shape.season, chosen["trend"], chosen["seasonal"])
        walk = (history.mask.sum(axis=1) < FEWEST) | ctx.should_stop()
        how = replace(how, once=np.where(walk, 1, how.once), seasonal=np.where(walk, 0, how.seasonal), mean=np.where(walk, 0.0, how.mean))
        w, live = difference(z, history.start, how)
        weight = (live & history.mask).astype(float)
        if walk.all():
            fitted = Fitted(np.zeros((len(z), shape.size)), np.zeros(len(z)))
        else:
            long = z.shape[1] - history.start > SEASONS * shape.season
            fitted = search(w, weight, (how.mean != 0).astype(int), long, shape, ctx.should_stop)
        plain = np.sqrt((weight * w**2).sum(axis=1) / np.maximum(weight.sum(axis=1), 1))
        plain = np.where(history.mask.sum(axis=1) < 2, UNKNOWN, plain)
        coefficients = np.where(walk[:, None], 0.0, fitted.coefficients)
        return Estimate(link, how, Fitted(coefficients, np.where(walk, plain, fitted.sigma)), shape, walk)


def forecast(found: Estimate, history: History, horizon: int, ctx: Context) -> Forecast:
    """Forecast H steps: the normal of variance sigma^2 (1 + psi_1^2 + ... + psi_(h-1)^2), h counted from the last value seen."""
    ahead = ((0, 0), (0, horizon))
    z, mask = np.pad(found.link.forward(history.values), ahead), np.pad(history.mask, ahead)
    y, _ = run(z, mask, history.start + found.how.lost, found.fitted.coefficients, found.shape, found.how)
    gap = np.where(history.mask.any(axis=1), history.mask[:, ::-1].argmax(axis=1), 0)  # steps missing at the end
    weights = psi(found.fitted.coefficients, found.shape, found.how, horizon + int(gap.max(initial=0)))
    growth = np.take_along_axis(np.cumsum(weights**2, axis=1), gap[:, None] + np.arange(horizon), axis=1)
    sd = found.fitted.sigma[:, None] * np.sqrt(growth)
    return found.link.forecast(y[:, -horizon:], sd, ctx.quantiles, found.fallback)


def score(found: Estimate, panel: Panel) -> Array:
    """Score each step by its residual in standard deviations, [N, T]: 0 where nothing was observed or could be foreseen."""
    z = found.link.forward(panel.values)
    _, e = run(z, panel.mask, panel.start + found.how.lost, found.fitted.coefficients, found.shape, found.how)
    return np.abs(e) / np.maximum(found.fitted.sigma, SIGMA)[:, None]


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the model."""
    return [Arima]
