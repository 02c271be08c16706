"""Run chosen models over their series: one-step residuals, and forecasts as the steps that were not observed.

A step without a value takes its own one-step prediction and has the residual 0. So a gap, and the horizon behind the last
step, need no code of their own; and the response to one unit at a single step is the model's psi weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Array
from bench_plugins._arima_differences import Differences
from bench_plugins._arima_filters import Shape
from bench_plugins._links import BOUND


@dataclass(frozen=True, slots=True)
class Taps:
    """Lag polynomials multiplied out: for each of k lags, the coefficient of each series [k, N]."""

    lags: Array
    coefficients: Array

    @classmethod
    def of(cls, short: Array, seasonal: Array, season: int) -> Taps:
        """Multiply 1 + sum_i short_i B^i with 1 + seasonal B^season, less the leading 1; short [N, p], seasonal [N]."""
        n, p = short.shape
        both = np.stack([np.ones(n), seasonal])[:, None, :] * np.vstack([np.ones((1, n)), short.T])[None]
        lags = (np.arange(2)[:, None] * season + np.arange(p + 1)).ravel()
        return cls(lags[1:], both.reshape(len(lags), n)[1:])

    def sum(self, past: Array, t: int) -> Array:
        """Compute sum_k c_k past_(t - lag_k) [N]."""
        total: Array = np.einsum("kn,kn->n", self.coefficients, past[t - self.lags])
        return total


def run(z: Array, mask: Array, first: Array, coefficients: Array, shape: Shape, how: Differences) -> tuple[Array, Array]:
    """Run each series' model over z [N, T] from the step `first` [N] on: (z with gaps filled [N, T], residuals [N, T]).

    Steps before `first`, or not in `mask`, have the residual 0.
    """
    phi, theta, phi_m, theta_m = shape.parts(coefficients)
    ar, ma = Taps.of(-phi, -phi_m, shape.season), Taps.of(theta, theta_m, shape.season)
    level = Taps.of(-how.once[:, None].astype(float), -how.seasonal.astype(float), shape.season)
    lead = shape.season + max(shape.p, shape.q, 1)
    y = np.pad(z, ((0, 0), (lead, 0))).T.copy()  # [lead + T, N]
    known = np.pad(mask, ((0, 0), (lead, 0))).T.copy()
    w, e = np.zeros_like(y), np.zeros_like(y)
    for t in range(lead, len(y)):
        on = t - lead >= first
        base = -level.sum(y, t)
        guess = ma.sum(e, t) - ar.sum(w, t)
        predicted = np.clip(base + how.mean + guess, -BOUND, BOUND)
        y[t] = np.where(on & ~known[t], predicted, y[t])
        w[t] = np.where(on, y[t] - base - how.mean, 0.0)
        e[t] = np.where(on & known[t], y[t] - predicted, 0.0)
    return y[lead:].T, e[lead:].T


def psi(coefficients: Array, shape: Shape, how: Differences, count: int) -> Array:
    """Compute the first psi weights of each model [N, count]: its response to one unit."""
    n = len(coefficients)
    impulse, mask = np.zeros((n, count)), np.zeros((n, count), bool)
    impulse[:, 0], mask[:, 0] = 1.0, True
    still = Differences(how.once, how.seasonal, np.zeros(n), how.season)
    response, _ = run(impulse, mask, np.zeros(n, np.int64), coefficients, shape, still)
    return response
