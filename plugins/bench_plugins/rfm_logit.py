"""RFM logit: logistic regression on the logarithms of the static aggregates; the honest bar for every churn model."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution

from bench.api import Array, ArrayModel, ChurnInputs, ChurnTrain, Context, Model, Params, hookimpl

ROUNDS, TINY = 100, 1e-13
"""Newton's steps at most; what is no gain any more, as a share of the loss."""


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
        rate = (train.y.sum() + 0.5) / (len(train.y) + 1)
        coef, intercept = np.zeros(x.shape[1]), np.log(rate / (1 - rate))
        if 0 < train.y.sum() < len(train.y):
            coef, intercept = newton((x - mean) / scale, train.y, float(self.params.get("C", 1.0)))
        self.state = {"mean": mean, "scale": scale, "coef": coef, "intercept": np.asarray(intercept)}

    def predict(self, inputs: ChurnInputs, ctx: Context) -> Array:
        """Return P(churn) [N]; summed row by row, so that no row's digits depend on its neighbours."""
        z = (self.features(inputs) - self.state["mean"]) / self.state["scale"]  # [N, F]
        return expit((z * self.state["coef"]).sum(axis=1) + self.state["intercept"])


def newton(x: Array, y: Array, strength: float) -> tuple[Array, float]:
    """Minimise |w|^2 / 2 + `strength` times the log-loss of x [N, F] w + b against y [N], by Newton's steps: w [F] and b.

    What scikit-learn's LogisticRegression minimises, which is the oracle in the tests: importing it took a second of each worker
    that fits a logit, the fit itself milliseconds. Newton's steps and not L-BFGS: reached to the last digit in a few rounds.
    """
    z, penalty = np.column_stack([x, np.ones(len(x))]), np.append(np.ones(x.shape[1]), 0.0)  # the intercept is free

    def loss(b: Array) -> float:
        return float((penalty * b * b).sum() / 2 + strength * (np.logaddexp(0, z @ b) - y * (z @ b)).sum())

    b = np.append(np.zeros(x.shape[1]), np.log(y.mean() / (1 - y.mean())))
    now = loss(b)
    for _ in range(ROUNDS):
        p = expit(z @ b)
        gradient = penalty * b + strength * (p - y) @ z
        step = np.linalg.solve((z.T * (strength * p * (1 - p))) @ z + np.diag(penalty + TINY), gradient)
        share = 1.0
        while (then := loss(b - share * step)) > now + TINY * abs(now) and share > TINY:
            share /= 2
        b, gain, now = b - share * step, now - then, then
        if gain <= TINY * abs(now):
            break
    return b[:-1], float(b[-1])


def expit(z: Array) -> Array:
    """Return 1 / (1 + exp(-z)), of every z, without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -z)))


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
