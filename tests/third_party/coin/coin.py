"""Coin: throws one for every user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

import bench


class Coin(bench.ArrayModel):
    """Predict by a seeded throw for each row; it learns the share of heads."""

    name = "coin"
    tasks = frozenset({"churn"})
    version = "0.9"
    expected_failures: ClassVar[Mapping[str, str]] = {
        "a row alone gets the answer it gets among others": "one throw after another: a row's depends on those before it",
        "the order of rows does not matter": "one throw after another: a row's depends on those before it",
    }

    def fit(self, train: bench.ChurnTrain, ctx: bench.Context) -> None:
        """Learn the rate of churn."""
        self.state = {"rate": np.array(train.y.mean())}

    def predict(self, inputs: bench.ChurnInputs, ctx: bench.Context) -> np.ndarray:
        """Throw: the rate, a little up or down; float64 [N]."""
        throw = np.random.default_rng(ctx.seed).uniform(-0.1, 0.1, len(inputs))
        return np.clip(self.state["rate"] + throw, 0.0, 1.0)


@bench.hookimpl
def bench_models() -> list[type[bench.Model]]:
    """Offer the coin."""
    return [Coin]
