"""RFM logit: logistic regression on the logarithms of the static aggregates; the honest bar for every churn model."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution
from scipy.special import expit, logit

from bench.api import Array, ArrayModel, ChurnInputs, ChurnTrain, Context, Model, Params, hookimpl


class Logit(ArrayModel):
    """Fit a logistic regression to standardised `features`; subclasses choose which.

    Training labels of one class leave nothing to regress: then each row gets the rate (k + 1/2) / (N + 1).
    """

    tasks = frozenset({"churn"})
    deterministic = True

    @abstractmethod
    def features(self, inputs: ChurnInputs) -> Array:
        """Return the features of each row [N, F]."""

    def fit(self, train: ChurnTrain, ctx: Context) -> None:
        """Standardise on `train`, then fit with an L2 penalty of strength 1 / C."""
        x = self.features(train)  # [N, F]
        mean, scale = x.mean(axis=0), x.std(axis=0)
        scale = np.where(scale > 1e-9 * np.maximum(np.abs(mean), 1), scale, np.inf)  # a constant feature counts as 0
        coef, intercept = np.zeros(x.shape[1]), logit((train.y.sum() + 0.5) / (len(train.y) + 1))
        if 0 < train.y.sum() < len(train.y):
            # imported where it is needed: a second of each worker that only asks what models there are, or fits a base rate
            from sklearn.linear_model import LogisticRegression

            # Newton's steps, not L-BFGS: reached to the last digit in a few rounds, whatever the order of the rows
            found = LogisticRegression(C=float(self.params.get("C", 1.0)), solver="newton-cholesky", tol=1e-8, max_iter=200)
            found.fit((x - mean) / scale, train.y)
            coef, intercept = found.coef_[0], found.intercept_[0]
        self.state = {"mean": mean, "scale": scale, "coef": coef, "intercept": np.asarray(intercept)}

    def predict(self, inputs: ChurnInputs, ctx: Context) -> Array:
        """Return P(churn) [N]; summed row by row, so that no row's digits depend on its neighbours."""
        z = (self.features(inputs) - self.state["mean"]) / self.state["scale"]  # [N, F]
        return np.asarray(expit((z * self.state["coef"]).sum(axis=1) + self.state["intercept"]))


def signed_log(x: Array) -> Array:
    """Compute sign(x) log(1 + |x|): counts and sums are skewed, and sums may be negative."""
    return np.asarray(np.sign(x) * np.log1p(np.abs(x)))


class RfmLogit(Logit):
    """Regress on the signed logarithms of all static aggregates."""

    name = "rfm-logit"

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the inverse strength of the penalty."""
        return {"C": FloatDistribution(1e-4, 1e2, log=True)}

    @staticmethod
    def default() -> Params:
        """Return scikit-learn's default."""
        return {"C": 1.0}

    def features(self, inputs: ChurnInputs) -> Array:
        """Return all aggregates [N, S]."""
        return signed_log(inputs.static)


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the model."""
    return [RfmLogit]
