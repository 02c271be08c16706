"""BG/NBD: purchases at a gamma-mixed Poisson rate; after each of them the user leaves with a beta-mixed probability.

Fader, Hardie & Lee, "'Counting your customers' the easy way: an alternative to the Pareto/NBD model",
Marketing Science 24 (2005), 275-284. Parameters: rate ~ Gamma(r, alpha per week), leaving ~ Beta(a, b).
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, betaln, expit, gammaln, hyp2f1, log_expit

from bench.api import Array, Model, hookimpl
from bench_plugins.btyd import BuyTillYouDie, Summary

LOGITS = np.linspace(-25.0, 25.0, 401)


def log_likelihood(fitted: Array, users: Summary) -> Array:
    """Compute log L(r, alpha, a, b | x, t_x, T) [N]: the paper's likelihood of a randomly chosen customer, summed on the log scale."""
    r, alpha, a, b = fitted
    x = users.x
    rate = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    stayed = betaln(a, b + x) - (r + x) * np.log(alpha + users.T)
    gone = betaln(a + 1, np.maximum(b + x - 1, b)) - (r + x) * np.log(alpha + users.t_x)  # x = 0 cannot have left
    total: Array = rate - betaln(a, b) + np.where(x > 0, np.logaddexp(stayed, gone), stayed)
    return total


def alive(fitted: Array, users: Summary) -> Array:
    """Compute P(alive at T) [N]: 1 at x = 0, since users leave only by buying (Fader, Hardie & Lee, "Computing P(alive)", 2008)."""
    r, alpha, a, b = fitted
    x = users.x
    log_odds = np.log(np.maximum(b + x - 1, b)) - np.log(a) - (r + x) * (np.log(alpha + users.T) - np.log(alpha + users.t_x))
    return np.where(x > 0, expit(log_odds), 1.0)


def active(fitted: Array, start: Array, width: float) -> Array:
    """Compute P(a purchase between the ages `start` [N] and `start + width`) [N].

    A user of rate l and leaving probability p is alive at age u with probability exp(-l p u). Over l this integrates to
    (alpha / (alpha + p u))^r - (alpha / (alpha + p u + width))^r; over p by the trapezoid rule in the logit of p.
    """
    r, alpha, a, b = fitted
    density = np.exp(a * log_expit(LOGITS) + b * log_expit(-LOGITS) - betaln(a, b)) * (LOGITS[1] - LOGITS[0])
    density[[0, -1]] = density[[0, -1]] / 2 + betainc([a, b], [b, a], expit(LOGITS[0]))  # flat beyond: the tails' own mass
    spent = alpha + start[:, None] * expit(LOGITS)  # [N, len(LOGITS)]
    chance: Array = ((spent / alpha) ** -r - ((spent + width) / alpha) ** -r) @ density
    return chance


def no_purchase(fitted: Array, users: Summary, horizon: float) -> Array:
    """Compute P(X(T, T + horizon) = 0) [N].

    The living have rates Gamma(r + x, alpha + T), hence stay silent with ((alpha + T) / (alpha + T + horizon))^(r + x).
    """
    r, alpha, _, _ = fitted
    silent = (r + users.x) * (np.log(alpha + users.T) - np.log(alpha + users.T + horizon))
    none: Array = 1 + alive(fitted, users) * np.expm1(silent)
    return none


def expected(fitted: Array, users: Summary, horizon: float) -> Array:
    """Compute E[X(T, T + horizon)] [N]: the paper's conditional expectation.

    Euler's transformation (DLMF 15.8.1) turns its 2F1, which overflows for large x, into one with small coefficients.
    """
    r, alpha, a, b = fitted
    a = a if abs(a - 1) > 1e-6 else 1 + 1e-6  # a = 1 is a removable gap, and so is c = 0
    c = a + b + users.x - 1
    c = np.where(np.abs(c) > 1e-6, c, 1e-6)
    left = (alpha + users.T) / (alpha + users.T + horizon)
    living = c / (a - 1) * (1 - left ** (a - 1) * hyp2f1(a - 1, a + b - 1 - r, c, 1 - left))
    purchases: Array = alive(fitted, users) * living
    return purchases


class BgNbd(BuyTillYouDie):
    """Fit r, alpha, a and b; predict P(no purchase within the horizon)."""

    name = "bgnbd"
    parameters = ("r", "alpha", "a", "b")
    log_likelihood = staticmethod(log_likelihood)
    active = staticmethod(active)
    no_purchase = staticmethod(no_purchase)

    @staticmethod
    def start(users: Summary) -> Array:
        """Begin at a rate of one mean age's purchases, spread exponentially, and at even odds of leaving."""
        return np.array([1.0, max(users.T.mean() / max(users.x.mean(), 1e-3), 1e-3), 1.0, 1.0])


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the model."""
    return [BgNbd]
