"""GBM: boosted trees on the aggregates and all FEATURES of the churn task, five times over, their log-odds averaged.

Each of the five stops on a fifth of the users that it does not see; so all users are learnt from, and stopping is not a
matter of luck. Chosen on earlier cut-offs of CDNOW, Online Retail, CollegeMsg and the simulators, and in KDD Cup's training part.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from scipy.special import expit

from bench.api import FEATURES, STATIC, Array, ChurnInputs, ChurnTrain, Context, Model, Params, hookimpl
from bench.data.ragged import hashed
from bench_plugins.rfm_lightgbm import PATIENCE, ROUNDS, UNWATCHED, fixed, winding_down

FOLDS = 5
BINS = 63
"""Borders that a column is cut at, at most: half of the time of 255, and no worse."""
COLUMNS = (*STATIC, *FEATURES)


class Gbm(Model):
    """Boost trees on about a hundred columns."""

    name = "gbm"
    tasks = frozenset({"churn"})
    trees: list[lgb.Booster]

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the size of the trees, the step, and four kinds of regularisation."""
        return {
            "learning_rate": FloatDistribution(0.01, 0.2, log=True),
            "num_leaves": IntDistribution(3, 31, log=True),
            "min_child_samples": IntDistribution(5, 200, log=True),
            "feature_fraction": FloatDistribution(0.1, 1.0, log=True),
            "bagging_fraction": FloatDistribution(0.5, 1.0),
            "lambda_l2": FloatDistribution(1e-2, 100.0, log=True),
        }

    @staticmethod
    def default() -> Params:
        """Return very small trees on few columns each: many columns say nearly the same."""
        return {
            "learning_rate": 0.06,
            "num_leaves": 4,
            "min_child_samples": 40,
            "feature_fraction": 0.2,
            "bagging_fraction": 0.8,
            "lambda_l2": 10.0,
        }

    def fit(self, train: ChurnTrain, ctx: Context) -> None:
        """Boost once for each fifth of the users, until its log-loss has not improved for 30 rounds."""
        x, fold = columns_of(train), np.floor(hashed(train.group, ctx.seed) * FOLDS)
        self.trees = [self._boosted(x, train.y, fold == k, ctx) for k in range(FOLDS)]

    def _boosted(self, x: Array, y: Array, held: Array, ctx: Context) -> lgb.Booster:
        """Boost on x [N, S + F] and y [N], stopped on the rows `held`, bool [N]; a set number of rounds where one side is empty."""
        watched = bool(held.any() and not held.all())
        seen = ~held if watched else np.ones(len(y), bool)
        settings = {**fixed(ctx), "max_bin": BINS, **self.default(), **self.params}
        settings["bagging_fraction"] = max(settings["bagging_fraction"], 1 / seen.sum())  # a bag of no row ends in an error
        data = lgb.Dataset(x[seen], y[seen], feature_name=list(COLUMNS), params=settings)
        callbacks: list[Callable[[Any], None]] = [winding_down(ctx)]
        if not watched:
            return lgb.train(settings, data, UNWATCHED, callbacks=callbacks)
        callbacks.append(lgb.early_stopping(PATIENCE, verbose=False))
        return lgb.train(settings, data, ROUNDS, valid_sets=[lgb.Dataset(x[held], y[held], reference=data)], callbacks=callbacks)

    def predict(self, inputs: ChurnInputs, ctx: Context) -> Array:
        """Return P(churn) [N]."""
        x = columns_of(inputs)
        margins = [np.asarray(b.predict(x, raw_score=True, num_threads=ctx.threads), float) for b in self.trees]
        return np.asarray(expit(np.mean(margins, axis=0)))

    def contributions(self, inputs: ChurnInputs) -> Array:
        """Part each row's log-odds among the columns, exactly (Lundberg & Lee 2018): [N, S + F], and last what all rows share."""
        x = columns_of(inputs)
        return np.asarray(np.mean([np.asarray(b.predict(x, pred_contrib=True)) for b in self.trees], axis=0))

    def save(self, folder: Path) -> None:
        """Write the trees up to each best round, as LightGBM's text."""
        for k, booster in enumerate(self.trees):
            booster.save_model(folder / f"trees-{k}.txt")

    def load(self, folder: Path) -> None:
        """Read the trees."""
        self.trees = [lgb.Booster(model_file=folder / f"trees-{k}.txt") for k in range(FOLDS)]


def columns_of(inputs: ChurnInputs) -> Array:
    """Return all columns, float64 [N, S + F]."""
    return np.hstack([inputs.static, inputs.features])


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the model."""
    return [Gbm]
