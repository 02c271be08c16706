"""Pareto/NBD: purchases at a gamma-mixed Poisson rate; the user leaves after a gamma-mixed exponential lifetime.

Schmittlein, Morrison & Colombo, "Counting your customers: who are they and what will they do next?", Management
Science 33 (1987), 1-24. Formulas as in Fader & Hardie, "A note on deriving the Pareto/NBD model and related
expressions" (2005), here [FH]. Parameters: rate ~ Gamma(r, alpha per week), leaving ~ Gamma(s, beta per week).
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from bench.api import Array, Model, hookimpl
from bench_plugins.btyd import BuyTillYouDie, Summary


def hyp2f1_from_one(b: Array, c: Array, z: Array) -> Array:
    """Compute 2F1(1, b; c; z) for 0 < b < c and 0 <= z < 1 by Gauss's continued fraction (DLMF 15.7.5).

    Holds 1e-11 where library functions overflow (c > 170, z near 1). The number of steps follows from each element's z
    alone: two of them gain a factor ((1 - root) / (1 + root))^2, with root = sqrt(1 - z).
    """
    b, c, z = np.broadcast_arrays(np.asarray(b, float), np.asarray(c, float), np.asarray(z, float))
    root = np.sqrt(1 - z)
    gain = -2 * np.log(np.maximum((1 - root) / (1 + root), 1e-9))
    steps = np.exp2(np.ceil(np.log2(np.clip(27 / np.maximum(gain, 1e-6), 4, 8192)))).astype(int)
    result = np.ones(z.shape)
    for n in np.unique(steps):
        at = steps == n
        result[at] = _fraction(b[at], c[at], z[at], int(n))
    return result


def _fraction(b: Array, c: Array, z: Array, steps: int) -> Array:
    tail = np.ones_like(z)
    for m in range(steps, 0, -1):
        tail = 1 - m * (c - b + m - 1) / ((c + 2 * m - 2) * (c + 2 * m - 1)) * z / tail
        tail = 1 - (b + m - 1) * (c + m - 2) / ((c + 2 * m - 3) * (c + 2 * m - 2)) * z / tail
    result: Array = 1 / tail
    return result


def _seen(r: Array, alpha: Array, s: Array, beta: Array, users: Summary) -> tuple[Array, Array]:
    """Compute log P(history, alive) and log P(history), both without the factor Gamma(r + x) alpha^r beta^s / Gamma(r).

    [FH]'s likelihood with Euler's transformation (DLMF 15.8.1) of their 2F1: the second is the log of
    `base(T) (1 - gone(T)) + base(t_x) gone(t_x)`, base(y) = (alpha + y)^-(r + x) (beta + y)^-s and 0 <= gone <= 1.
    """
    x = users.x

    def base(y: Array) -> Array:
        return np.asarray(-(r + x) * np.log(alpha + y) - s * np.log(beta + y))

    def gone(y: Array) -> Array:
        larger = np.maximum(alpha, beta) + y
        series = hyp2f1_from_one(np.where(alpha >= beta, r + x, s + 1), r + s + x + 1, np.abs(alpha - beta) / larger)
        return np.asarray(np.clip(s / (r + s + x) * series * np.where(alpha >= beta, 1, (alpha + y) / larger), 1e-300, 1))

    stayed = base(users.T) + np.log(np.maximum(1 - gone(users.T), 1e-300))
    return base(users.T), np.logaddexp(stayed, base(users.t_x) + np.log(gone(users.t_x)))


def log_likelihood(fitted: Array, users: Summary) -> Array:
    """Compute log L(r, alpha, s, beta | x, t_x, T) [N]: [FH], the likelihood function."""
    r, alpha, s, beta = fitted
    factor = gammaln(r + users.x) - gammaln(r) + r * np.log(alpha) + s * np.log(beta)
    total: Array = factor + _seen(r, alpha, s, beta, users)[1]
    return total


def alive(fitted: Array, users: Summary) -> Array:
    """Compute P(alive at T) [N]: the part of the likelihood in which the user has not left ([FH], on P(alive))."""
    r, alpha, s, beta = fitted
    here, seen = _seen(r, alpha, s, beta, users)
    return np.asarray(np.exp(np.minimum(here - seen, 0)))


def silent(r: Array, alpha: Array, s: Array, beta: Array, horizon: Array) -> Array:
    """Compute log P(no purchase in `horizon` weeks) [N] of a living user: the model's own probability of (0, 0, horizon)."""
    none = np.zeros_like(horizon)
    _, seen = _seen(r, alpha, s, beta, Summary(none, none, horizon))
    return np.asarray(np.minimum(r * np.log(alpha) + s * np.log(beta) + seen, 0))


def active(fitted: Array, start: Array, width: float) -> Array:
    """Compute P(a purchase between the ages `start` [N] and `start + width`) [N].

    Alive at age u with probability (beta / (beta + u))^s, and then leaving at Gamma(s, beta + u).
    """
    r, alpha, s, beta = fitted
    here = s * (np.log(beta) - np.log(beta + start))
    chance: Array = -np.exp(here) * np.expm1(silent(r, alpha, s, beta + start, np.full_like(start, width)))
    return chance


def no_purchase(fitted: Array, users: Summary, horizon: float) -> Array:
    """Compute P(X(T, T + horizon) = 0) [N].

    The living have rates Gamma(r + x, alpha + T) and leave at Gamma(s, beta + T).
    """
    r, alpha, s, beta = fitted
    still = silent(r + users.x, alpha + users.T, s, beta + users.T, np.full_like(users.T, horizon))
    none: Array = 1 + alive(fitted, users) * np.expm1(still)
    return none


def expected(fitted: Array, users: Summary, horizon: float) -> Array:
    """Compute E[X(T, T + horizon)] [N]: [FH], the conditional expectation, in a form that holds at s = 1 too."""
    r, alpha, s, beta = fitted
    shrink = np.log(beta + users.T) - np.log(beta + users.T + horizon)
    weeks = -np.expm1((s - 1) * shrink) / (s - 1) if s != 1 else -shrink
    purchases: Array = alive(fitted, users) * (r + users.x) * (beta + users.T) / (alpha + users.T) * weeks
    return purchases


class ParetoNbd(BuyTillYouDie):
    """Fit r, alpha, s and beta; predict P(no purchase within the horizon)."""

    name = "paretonbd"
    parameters = ("r", "alpha", "s", "beta")
    log_likelihood = staticmethod(log_likelihood)
    active = staticmethod(active)
    no_purchase = staticmethod(no_purchase)

    @staticmethod
    def start(users: Summary) -> Array:
        """Begin at the users' mean rate and a lifetime of their mean age, both spread exponentially."""
        age = max(users.T.mean(), 1e-3)
        return np.array([1.0, age / max(users.x.mean(), 1e-3), 1.0, age])


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the model."""
    return [ParetoNbd]
