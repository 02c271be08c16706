"""LightGBM on counts: boosted trees correct the mean of `negbin`, as far as the latest windows confirm.

Trees with Poisson loss learn over all series the log of count over foreseen mean, so that with no tree left the forecast is that of
`negbin`: a negative binomial around an exponentially weighted mean. What all series share at a step is taken out first (see
`_count_trees.common`). How much of the correction stands, from nothing to all, is chosen in the last windows of the training data, by
trees that learnt from what lies before them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from bench.api import Array, Context, Model, Params, hookimpl
from bench.data.panel import Forecast, Panel
from bench_plugins._count_means import PRIOR, around, factors, means, spread_of
from bench_plugins._count_trees import Counts, aged, common
from bench_plugins._lag_features import BLOCK, Pairs, all_steps, drawn, turns_of
from bench_plugins.forecast_counts import NegBin
from bench_plugins.lightgbm_lags import EXAMPLES, fixed, winding_down

TREES, FILE = "trees.txt", "counts.json"
FEW = 500
"""Pairs of a window and a step ahead below which no tree is grown."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the correction."""
CELLS, WINDOWS = 40, (2, 6)
"""Pairs of a series and a window that choose the share, about; how few and many windows that may be."""
PAST = 4
"""Horizons that stay before them, where there is room."""


class LightgbmCounts(Model):
    """Boost trees on what an exponentially weighted mean leaves over."""

    name = "lightgbm-counts"
    tasks = frozenset({"forecasting"})

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.given: dict[str, Any] = {**self.default(), **params}
        self.trees: lgb.Booster | None = None
        self.share: float = 0.0
        self.turns: tuple[int, ...] = (1,)

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search how fast the past is forgotten, and the number, size and step of the trees."""
        return {
            "alpha": FloatDistribution(0.003, 0.3, log=True),
            "lags": IntDistribution(2, 28, log=True),
            "num_leaves": IntDistribution(4, 32, log=True),
            "learning_rate": FloatDistribution(0.01, 0.2, log=True),
            "n_estimators": IntDistribution(20, 300, log=True),
            "min_child_samples": IntDistribution(20, 500, log=True),
        }

    @staticmethod
    def default() -> Params:
        """Return the memory of `negbin` and few small trees: what is to be found beside the mean is faint."""
        return {"alpha": 0.03, "lags": 7, "num_leaves": 8, "learning_rate": 0.05, "n_estimators": 60, "min_child_samples": 100}

    def fit(self, train: Panel, ctx: Context) -> None:
        """Choose the share of the correction, then grow the trees; none where the series count nothing or the windows confirm nothing."""
        self.trees, self.share, self.turns = None, 0.0, turns_of(train)
        wanted = int(np.clip(np.ceil(CELLS / max(len(train), 1)), *WINDOWS))
        windows = max(min(wanted, train.steps // max(train.horizon, 1) - PAST), 1)
        first = train.steps - windows * train.horizon
        if not train.counts or first <= 0:
            return
        early = train.ending(np.full(len(train), first))
        trees = self._grown(early, ctx)
        if trees is not None:
            self.share = self._confirmed(train, trees, self._weight(early), range(first, train.steps, train.horizon), ctx)
        self.trees = self._grown(train, ctx) if self.share else None

    def predict(self, inputs: Panel, ctx: Context) -> Forecast:
        """Forecast the mean of `negbin` times the correction, with its spread; an empty series is forecast as 0, and marked."""
        base = NegBin({"alpha": self.given["alpha"]}).predict(inputs, ctx)
        if self.trees is None or not len(inputs):
            return base
        counts, pairs = self._counts(inputs), all_steps(inputs)
        raw = [self._raw(self.trees, counts.lay_out(pairs.part(at), self.given["lags"]).x, ctx) for at in range(0, len(pairs), BLOCK)]
        correction = np.exp(self.share * np.concatenate(raw))
        point = np.asarray(base.mean) * correction.reshape(len(inputs), inputs.horizon)
        error, ratio = self._spread(inputs)
        return Forecast(around(inputs, point, error, ratio, ctx.quantiles, inputs.horizon), point, inputs.lengths == 0)

    def _counts(self, panel: Panel, *, learnt: bool = False) -> Counts:
        return Counts(panel, self.turns, self.given["alpha"], PRIOR, learnt=learnt)

    def _raw(self, trees: lgb.Booster, x: Array, ctx: Context) -> Array:
        return np.asarray(trees.predict(x, raw_score=True, num_threads=ctx.threads), float) if len(x) else np.zeros(0)

    def _spread(self, panel: Panel) -> tuple[Array, Array]:
        """Return root mean square error and variance-to-mean ratio of `negbin`'s one-step forecasts, float [N] each."""
        shape = factors(panel)
        level = means(panel, self.given["alpha"], shape)[:, :-1]
        return spread_of(panel, level * shape[:, np.arange(panel.steps) % shape.shape[1]])

    def _weight(self, panel: Panel) -> Array:
        """Return what a count of each series weighs, float [N]: the larger its variance for its mean, the less (quasi-Poisson)."""
        return np.asarray(1.0 / spread_of(panel, aged(panel, self.given["alpha"])[:, :-1])[1])

    def _grown(self, panel: Panel, ctx: Context) -> lgb.Booster | None:
        """Boost trees on a panel; None where it holds too few windows."""
        pairs = drawn(panel, ctx.rows, EXAMPLES, ctx.seed)
        if len(pairs) < FEW:
            return None
        settings = {name: self.given[name] for name in ("num_leaves", "learning_rate", "min_child_samples")}
        more = {"objective": "poisson", "lambda_l2": 5.0, "feature_fraction": 0.7, "bagging_fraction": 0.7, "bagging_freq": 1}
        laid, step = self._counts(panel, learnt=True).lay_out(pairs, self.given["lags"]), pairs.origin + pairs.ahead
        y, weight = panel.values[pairs.series, step], self._weight(panel)[pairs.series]
        shared = common(step, y, np.exp(laid.offset), weight, panel.season)
        data = lgb.Dataset(laid.x, y, weight=weight, init_score=laid.offset + shared, free_raw_data=False)
        return lgb.train({**fixed(ctx), **more, **settings}, data, self.given["n_estimators"], callbacks=[winding_down(ctx)])

    def _confirmed(self, panel: Panel, trees: lgb.Booster, weight: Array, origins: range, ctx: Context) -> float:
        """Return the share of the correction with the least Poisson deviance in windows that the trees have not seen."""
        counts, loss = self._counts(panel), np.zeros(len(SHARES))
        for origin in origins:
            series, ahead = np.nonzero(panel.mask[:, origin : origin + panel.horizon] & (panel.start < origin)[:, None])
            laid = counts.lay_out(Pairs(series, np.full(len(series), origin), ahead), self.given["lags"])
            y, raw = panel.values[series, origin + ahead], self._raw(trees, laid.x, ctx)
            score = laid.offset + np.multiply.outer(SHARES, raw)  # [shares, P]
            loss += (weight[series] * (np.exp(score) - y * score)).sum(axis=1)
        return SHARES[int(loss.argmin())]

    def save(self, folder: Path) -> None:
        """Write the cycles, the share and, as LightGBM's text, the trees."""
        (folder / FILE).write_text(json.dumps({"turns": self.turns, "share": self.share, "trees": self.trees is not None}))
        if self.trees is not None:
            self.trees.save_model(folder / TREES)

    def load(self, folder: Path) -> None:
        """Read them."""
        held = json.loads((folder / FILE).read_text())
        self.turns, self.share = tuple(held["turns"]), held["share"]
        self.trees = lgb.Booster(model_file=folder / TREES) if held["trees"] else None


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the model."""
    return [LightgbmCounts]
