"""RFM LightGBM: boosted trees on the static aggregates, stopped early on users that the trees do not see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from bench.api import STATIC, Array, ChurnInputs, ChurnTrain, Context, Model, Params, hookimpl

ROUNDS = 1000
PATIENCE = 30
UNWATCHED = 100
"""Rounds where no user is held out to watch."""
FILE = "trees.txt"


def fixed(ctx: Context) -> Params:
    """Return the settings that are not searched: reproducible for a given seed, and silent."""
    return {
        "objective": "binary",
        "metric": "binary_logloss",
        "seed": ctx.seed,
        "num_threads": ctx.threads,
        "deterministic": True,
        "force_row_wise": True,
        "feature_pre_filter": False,
        "bagging_freq": 1,
        "verbosity": -1,
    }


def winding_down(ctx: Context) -> Callable[[Any], None]:
    """Make a callback that reports the holdout's loss and ends the training when `ctx` says so."""

    def step(env: Any) -> None:
        for _, _, loss, _ in env.evaluation_result_list:
            ctx.report(env.iteration, loss)
        if ctx.should_stop():
            raise lgb.callback.EarlyStopException(env.iteration, env.evaluation_result_list)

    return step


class RfmLightgbm(Model):
    """Boost trees on the static aggregates."""

    name = "rfm-lightgbm"
    tasks = frozenset({"churn"})
    trees: lgb.Booster

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the size of the trees, the step, and three kinds of regularisation."""
        return {
            "learning_rate": FloatDistribution(0.01, 0.3, log=True),
            "num_leaves": IntDistribution(4, 64, log=True),
            "min_child_samples": IntDistribution(5, 200, log=True),
            "feature_fraction": FloatDistribution(0.4, 1.0),
            "bagging_fraction": FloatDistribution(0.5, 1.0),
            "lambda_l2": FloatDistribution(1e-3, 30.0, log=True),
        }

    @staticmethod
    def default() -> Params:
        """Return small trees and small steps: the aggregates are few and nearly monotone in their effect."""
        return {
            "learning_rate": 0.05,
            "num_leaves": 15,
            "min_child_samples": 20,
            "feature_fraction": 0.8,
            "bagging_fraction": 0.8,
            "lambda_l2": 1.0,
        }

    def fit(self, train: ChurnTrain, ctx: Context) -> None:
        """Boost until the holdout's log-loss has not improved for 30 rounds; 100 rounds where nobody is held out."""
        seen, held = train.holdout(ctx.seed)
        if not len(seen) or not len(held):
            seen, held = train, train.take(np.zeros(len(train), bool))
        settings = {**fixed(ctx), **self.default(), **self.params}
        settings["bagging_fraction"] = max(settings["bagging_fraction"], 1 / len(seen))  # a bag of no row ends in an error
        data = lgb.Dataset(seen.static, seen.y, feature_name=list(STATIC), params=settings)
        callbacks: list[Callable[[Any], None]] = [winding_down(ctx)]
        watched, rounds = [], UNWATCHED
        if len(held):
            watched, rounds = [lgb.Dataset(held.static, held.y, reference=data)], ROUNDS
            callbacks.append(lgb.early_stopping(PATIENCE, verbose=False))
        self.trees = lgb.train(settings, data, rounds, valid_sets=watched, callbacks=callbacks)

    def predict(self, inputs: ChurnInputs, ctx: Context) -> Array:
        """Return P(churn) [N]."""
        return np.asarray(self.trees.predict(inputs.static, num_threads=ctx.threads), float)

    def save(self, folder: Path) -> None:
        """Write the trees up to the best round, as LightGBM's text."""
        self.trees.save_model(folder / FILE)

    def load(self, folder: Path) -> None:
        """Read the trees."""
        self.trees = lgb.Booster(model_file=folder / FILE)


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the model."""
    return [RfmLightgbm]
