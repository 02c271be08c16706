"""A plugin whose configurations are equally good and each wrong in its own way: the mean of a few is better than any."""

from __future__ import annotations

import numpy as np
from optuna.distributions import BaseDistribution, IntDistribution

from bench.api import Array, ArrayModel, ChurnInputs, ChurnTrain, Context, Model, Params, hookimpl


class Noisy(ArrayModel):
    name = "noisy"
    tasks = frozenset({"churn"})
    deterministic = True

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        return {"draw": IntDistribution(0, 99)}

    @staticmethod
    def default() -> Params:
        return {"draw": 50}

    def fit(self, train: ChurnTrain, ctx: Context) -> None:
        self.state = {"draw": np.asarray(self.params["draw"])}

    def predict(self, inputs: ChurnInputs, ctx: Context) -> Array:
        recency = np.log1p(inputs.column("recency"))
        noise = np.random.default_rng(int(self.state["draw"])).normal(size=len(inputs))
        return 1 / (1 + np.exp(-(recency - recency.mean() + noise)))


@hookimpl
def bench_models() -> list[type[Model]]:
    return [Noisy]
