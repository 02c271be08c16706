"""LightGBM on lags: one global set of boosted trees for all series and all steps of the horizon.

The target is (value - anchor) / scale of its window (see `_lag_features`), the step ahead is a feature, and so are values of
the same phase of each cycle that the training data show, whatever season the metric is scaled by. Trees with squared loss give
the mean; trees with quantile loss give up to five levels, between which quantiles are linear in the normal score.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from bench.api import Array, Context, Model, Params, hookimpl
from bench.data.panel import Forecast, Panel
from bench_plugins._lag_features import Source, all_steps, drawn, lay_out, turns_of
from bench_plugins._lag_knots import between, knots
from bench_plugins.forecast_floors import seasonal_naive

EXAMPLES = 40_000
"""Most pairs of a window and a step ahead that are trained on, whatever the profile allows: windows overlap, more add little."""
FILE = "knots.json"
MEAN = "mean"


def winding_down(ctx: Context) -> Callable[[Any], None]:
    """Make a callback that ends the training when `ctx` says so."""

    def step(env: Any) -> None:
        if ctx.should_stop():
            raise lgb.callback.EarlyStopException(env.iteration, env.evaluation_result_list)

    return step


class LightgbmLags(Model):
    """Boost trees on lags, means of windows and the calendar."""

    name = "lightgbm-lags"
    tasks = frozenset({"forecasting"})

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.trees: dict[str, lgb.Booster] = {}
        self.at: tuple[float, ...] = ()
        self.turns: tuple[int, ...] = (1,)

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the window, the size and number of the trees, the step, and how much data a leaf needs."""
        return {
            "lags": IntDistribution(4, 64, log=True),
            "num_leaves": IntDistribution(4, 64, log=True),
            "learning_rate": FloatDistribution(0.01, 0.3, log=True),
            "n_estimators": IntDistribution(30, 400, log=True),
            "min_child_samples": IntDistribution(5, 200, log=True),
            "feature_fraction": FloatDistribution(0.4, 1.0),
        }

    @staticmethod
    def default() -> Params:
        """Return small trees: windows overlap, so that there are fewer independent ones than rows."""
        return {
            "lags": 14,
            "num_leaves": 15,
            "learning_rate": 0.07,
            "n_estimators": 120,
            "min_child_samples": 30,
            "feature_fraction": 0.7,
        }

    def fit(self, train: Panel, ctx: Context) -> None:
        """Boost one set of trees for the mean and one for each knot; none where the panel holds no window to learn from."""
        settings = {**fixed(ctx), **self.default(), **self.params}
        lags, rounds = settings.pop("lags"), settings.pop("n_estimators")
        self.at, self.turns, self.trees = knots(ctx.quantiles), turns_of(train), {}
        pairs = drawn(train, ctx.rows, EXAMPLES, ctx.seed)
        if not len(pairs):
            return
        laid = lay_out(Source(train, self.turns, learnt=True), pairs, lags)
        target = (train.values[pairs.series, pairs.origin + pairs.ahead] - laid.anchor) / laid.scale
        data = lgb.Dataset(laid.x, target, params=settings, free_raw_data=False)
        losses: dict[str, Params] = {MEAN: {"objective": "l2"}} | {f"{q:g}": {"objective": "quantile", "alpha": q} for q in self.at}
        for name, loss in losses.items():
            self.trees[name] = lgb.train({**settings, **loss}, data, rounds, callbacks=[winding_down(ctx)])

    def predict(self, inputs: Panel, ctx: Context) -> Forecast:
        """Forecast from the last window of each series.

        An empty series is forecast as 0, all by the seasonal naive where there was no window to learn from; both are marked.
        """
        if not self.trees:
            floor = seasonal_naive(inputs, ctx.quantiles)
            return Forecast(floor.quantiles, floor.mean, np.ones(len(inputs), bool))
        shape, lags = (len(inputs), inputs.horizon), {**self.default(), **self.params}["lags"]
        laid = lay_out(Source(inputs, self.turns), all_steps(inputs), lags)
        mean, *trained = [laid.anchor + laid.scale * self._raw(name, laid.x, ctx) for name in self.trees]
        quantiles = between(np.stack(trained, axis=-1), self.at, ctx.quantiles)
        if inputs.counts:
            mean, quantiles = np.maximum(mean, 0.0), np.maximum(quantiles, 0.0)
        mean, quantiles, empty = mean.reshape(shape), quantiles.reshape(*shape, len(ctx.quantiles)), inputs.lengths == 0
        mean[empty], quantiles[empty] = 0.0, 0.0
        return Forecast(quantiles, mean, empty)

    def _raw(self, name: str, x: Array, ctx: Context) -> Array:
        """Ask one set of trees, float [P]; LightGBM refuses to be asked about nothing."""
        return np.asarray(self.trees[name].predict(x, num_threads=ctx.threads), float) if len(x) else np.zeros(0)

    def save(self, folder: Path) -> None:
        """Write the levels, the cycles and, as LightGBM's text, the trees."""
        (folder / FILE).write_text(json.dumps({"at": self.at, "turns": self.turns, "trees": list(self.trees)}))
        for name, trees in self.trees.items():
            trees.save_model(folder / f"{name}.txt")

    def load(self, folder: Path) -> None:
        """Read them."""
        held = json.loads((folder / FILE).read_text())
        self.at, self.turns = tuple(held["at"]), tuple(held["turns"])
        self.trees = {name: lgb.Booster(model_file=folder / f"{name}.txt") for name in held["trees"]}


def fixed(ctx: Context) -> Params:
    """Return what is the same for all trees: seeds, threads and that their sums do not depend on these."""
    return {
        "seed": ctx.seed,
        "num_threads": ctx.threads,
        "deterministic": True,
        "force_row_wise": True,
        "feature_pre_filter": False,
        "verbosity": -1,
    }


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the model."""
    return [LightgbmLags]
