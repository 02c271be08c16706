"""Buy-till-you-die models: what BG/NBD and Pareto/NBD share (the summary of a user, the fit, the contract).

A user buys at random times at an own rate until an unseen moment of leaving. Three numbers say all that such a model
knows of a past: `x` repeat purchases, the age `t_x` at the last of them, and the age `T` at the cut-off. Fader & Hardie,
"Probability models for customer-base analysis", Journal of Interactive Marketing 23 (2009). One file a model.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from bench.api import STATIC, Array, ArrayModel, ChurnInputs, ChurnTrain, Context
from bench.data.ragged import hashed
from bench.errors import PluginError

WEEK = 7.0
BOUND = 5.0
"""Farthest that a parameter may go from its start, in log units: where users do not differ, the best fit lies at infinity."""
MOST = 50_000
"""Most users that a fit reads, chosen by a hash: four parameters are then known to about 1 %, and more users only cost time."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a buy-till-you-die model knows of N users; ages in weeks."""

    x: Array
    """float64 [N]: active days after the first; several purchases on a day are one occasion."""
    t_x: Array
    """float64 [N]: age at the last active day, 0 where x = 0."""
    T: Array
    """float64 [N]: age at the cut-off."""

    @classmethod
    def of(cls, static: Array) -> Summary:
        """Summarise users from their static aggregates [N, S]."""
        days, age, recency = (static[:, STATIC.index(name)] for name in ("n_days", "tenure", "recency"))
        x = np.maximum(days - 1, 0.0)
        tenure = np.maximum(age, 0.0)
        last = np.clip(tenure - recency, 0.0, tenure)
        return cls(x, np.where(x > 0, last, 0.0) / WEEK, tenure / WEEK)

    def take(self, rows: Array) -> Summary:
        """Select users by index or mask."""
        return Summary(self.x[rows], self.t_x[rows], self.T[rows])

    def compressed(self) -> tuple[Summary, Array]:
        """Merge users that are equal to the day: the distinct ones [M] and how many each stands for [M]."""
        days = np.rint(np.stack([self.x, self.t_x * WEEK, self.T * WEEK]))
        (x, last, age), weight = np.unique(days, axis=1, return_counts=True)
        return Summary(x, last / WEEK, age / WEEK), weight


LogLikelihood = Callable[[Array, Summary], Array]


def maximise(log_likelihood: LogLikelihood, start: Array, users: Summary) -> Array:
    """Fit positive parameters by maximum likelihood: L-BFGS-B on their logarithms, from up to three starts.

    `log_likelihood` maps (parameters [P], users) to [N]; `start` [P]. Raises `PluginError` where no start converges.
    """
    distinct, weight = users.compressed()
    log_start = np.log(start)

    def loss(theta: Array) -> float:
        return -float(np.average(log_likelihood(np.exp(theta), distinct), weights=weight))

    messages = []
    bounds = [(at - BOUND, at + BOUND) for at in log_start]
    for shift in (0.0, -1.5, 1.5):
        found: OptimizeResult = minimize(
            loss, log_start + shift, method="L-BFGS-B", jac="2-point", bounds=bounds, options={"maxiter": 500, "ftol": 1e-11, "gtol": 1e-6}
        )
        if found.success and np.isfinite(found.fun):
            return np.asarray(np.exp(found.x))
        messages.append(str(found.message))
    raise PluginError(f"the likelihood of {len(users.x):,} users has no maximum that L-BFGS-B can find ({'; '.join(messages)})")


class BuyTillYouDie(ArrayModel):
    """Fit one of these models to everyone first seen before the latest cut-off; no label is used. Its parameters are its state.

    Where everyone is not known, and only users active within the horizon are eligible, nobody who left long ago is among
    the rows, and the plain likelihood concludes that nobody ever leaves. So where every row was active within the
    horizon, each user's likelihood is then conditioned on it (a truncated sample).
    """

    tasks = frozenset({"churn"})
    deterministic = True
    parameters: ClassVar[tuple[str, ...]]
    """Names of the P parameters, all positive."""

    @staticmethod
    @abstractmethod
    def start(users: Summary) -> Array:
        """Return parameters to start from, [P]."""

    @staticmethod
    @abstractmethod
    def log_likelihood(fitted: Array, users: Summary) -> Array:
        """Compute each user's log-likelihood [N] under the parameters `fitted` [P]."""

    @staticmethod
    @abstractmethod
    def active(fitted: Array, start: Array, width: float) -> Array:
        """Compute P(a purchase between the ages `start` [N] and `start + width`) [N] of users of whom nothing is known."""

    @staticmethod
    @abstractmethod
    def no_purchase(fitted: Array, users: Summary, horizon: float) -> Array:
        """Compute P(no purchase in the next `horizon` weeks) [N]."""

    def fit(self, train: ChurnTrain, ctx: Context) -> None:
        """Fit to the latest cut-off; raises `PluginError` where nobody came back or the fit does not converge."""
        users = Summary.of(train.everyone)
        within = not len(train.everyone)
        if within:
            rows = np.flatnonzero(train.cutoff == train.cutoff.max())
            rows = rows[np.argsort(hashed(train.group[rows], 0), kind="stable")[:MOST]]
            users = Summary.of(train.static[rows])
            within = bool((train.column("recency")[rows] < ctx.horizon).all())
        if not users.x.any():
            raise PluginError(f"{self.name}: none of {len(users.x):,} users was active on a second day: there is no rate to estimate")
        fitted = maximise(self.truncated(ctx.horizon / WEEK) if within else self.log_likelihood, self.start(users), users)
        self.state = dict(zip(self.parameters, fitted, strict=True))

    def truncated(self, width: float) -> LogLikelihood:
        """Condition the likelihood on a purchase in the last `width` weeks; who is younger than that has made one."""

        def log_likelihood(fitted: Array, users: Summary) -> Array:
            begin, at = np.unique(np.maximum(users.T - width, 0.0), return_inverse=True)
            chance = np.where(begin > 0, self.active(fitted, begin, width), 1.0)
            return self.log_likelihood(fitted, users) - np.log(np.maximum(chance, 1e-300))[at]

        return log_likelihood

    def predict(self, inputs: ChurnInputs, ctx: Context) -> Array:
        """Return P(no purchase within the horizon) [N]: never 1 - P(alive), which says nothing of those who rarely buy."""
        fitted = np.array([self.state[name] for name in self.parameters])
        return np.clip(self.no_purchase(fitted, Summary.of(inputs.static), ctx.horizon / WEEK), 0.0, 1.0)
