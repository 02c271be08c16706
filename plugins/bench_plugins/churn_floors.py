"""Churn floors: the base rate, and one aggregate alone; a model that does not beat them has learnt nothing."""

from __future__ import annotations

import numpy as np

from bench.api import Array, ArrayModel, ChurnInputs, ChurnTrain, Context, Model, hookimpl
from bench_plugins.rfm_logit import Logit, signed_log


class BaseRate(ArrayModel):
    """Predict the training rate for everybody: AUC 1/2, and the log-loss that skill is measured against."""

    name = "base-rate"
    tasks = frozenset({"churn"})
    deterministic = True

    def fit(self, train: ChurnTrain, ctx: Context) -> None:
        """Take the mean of the labels."""
        self.state = {"rate": np.asarray(train.y.mean(dtype=float))}

    def predict(self, inputs: ChurnInputs, ctx: Context) -> Array:
        """Repeat the rate [N]."""
        return np.full(len(inputs), float(self.state["rate"]))


class Recency(Logit):
    """Regress on the days since the last activity alone."""

    name = "recency"

    def features(self, inputs: ChurnInputs) -> Array:
        """Return log(1 + recency) [N, 1]."""
        return signed_log(inputs.column("recency")[:, None])


class Frequency(Logit):
    """Regress on the number of distinct active days alone (`n_days`).

    On CDNOW, active within 91 days, its AUC is .718, as that of `n_events`; but days do not depend on how a shop writes
    its invoices: one line or fifty.
    """

    name = "frequency"

    def features(self, inputs: ChurnInputs) -> Array:
        """Return log(1 + n_days) [N, 1]."""
        return signed_log(inputs.column("n_days")[:, None])


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the floors."""
    return [BaseRate, Recency, Frequency]
