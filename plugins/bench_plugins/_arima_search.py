"""Search the orders of seasonal ARMA models for many series at once: every order of a small grid, the least AICc wins.

All pairs of series and order are rows of one batch; each is fitted by conditional least squares (Levenberg-Marquardt:
Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", SIAM Journal 11, 1963).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from bench.api import Array
from bench_plugins._arima_filters import EDGE, Normal, Shape, inside, normal

ROUNDS = 20
"""Most steps of a fit."""
SETTLED = 1e-4
"""A step that lowers the sum of squares by a smaller share is the last."""
START = (0.1, 0.1, 0.1, -0.2)
"""Where phi, theta, Phi and Theta start: beside 0, where AR and MA cannot be told apart."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The chosen model of each series."""

    coefficients: Array
    """float64 [N, K], laid out as `Shape` says."""
    sigma: Array
    """float64 [N]: standard deviation of a residual."""


def grid(shape: Shape) -> Array:
    """List the orders as the columns that each may use, bool [G, K]; the first uses none."""
    seasonal = [(0, 0), (0, 1), (1, 0), (1, 1)] if shape.season > 1 else [(0, 0)]
    rows = [
        [*(i < p for i in range(shape.p)), *(j < q for j in range(shape.q)), P, Q]
        for (P, Q), p, q in product(seasonal, range(shape.p + 1), range(shape.q + 1))
    ]
    return np.array(rows, bool)


def least_squares(w: Array, weight: Array, free: Array, shape: Shape, stop: Callable[[], bool]) -> tuple[Array, Array]:
    """Fit each row by conditional least squares: (coefficients [R, K], sum of squares [R]).

    w, weight [L, R]; free bool [R, K]. `stop` is asked before each step; the best so far is kept.
    """
    start = np.r_[np.full(shape.p, START[0]), np.full(shape.q, START[1]), START[2:]]
    best = np.where(free, start, 0.0)
    at = normal(w, weight, best, free, shape)
    damping = np.full(len(free), 1e-2)
    active = np.flatnonzero(free.any(axis=1))
    for _ in range(ROUNDS):
        if not len(active) or stop():
            break
        here = Normal(at.loss[active], at.squared[active], at.slope[active])
        trial = inside(best[active] + _step(here, damping[active]), shape)
        found = normal(w[:, active], weight[:, active], trial, free[active], shape)
        better = found.loss < here.loss
        gain = (here.loss - found.loss) / np.maximum(here.loss, 1e-300)
        best[active] = np.where(better[:, None], trial, best[active])
        kept = found.where(better, here)
        at.loss[active], at.squared[active], at.slope[active] = kept.loss, kept.squared, kept.slope
        damping[active] *= np.where(better, 0.2, 8.0)
        active = active[np.where(better, gain > SETTLED, damping[active] < 1e4)]
    return best, at.loss


def _step(at: Normal, damping: Array) -> Array:
    """Solve (J'J + damping diag J'J) step = -J'e, [R, K]."""
    size = at.slope.shape[1]
    diagonal = np.einsum("rkk->rk", at.squared)
    damped = at.squared + np.eye(size) * (damping[:, None] * diagonal + 1e-9)[:, None, :]
    step: Array = np.linalg.solve(damped, -at.slope[..., None])[..., 0]
    return np.clip(step, -2 * EDGE, 2 * EDGE)


def aicc(loss: Array, n: Array, k: Array) -> Array:
    """Compute n log(loss / n) + 2 k + 2 k (k + 1) / (n - k - 1) (Hurvich & Tsai, 1989); infinite where n leaves no freedom."""
    room = n - k - 1
    penalty = 2 * k + 2 * k * (k + 1) / np.maximum(room, 1)
    return np.where(room > 0, n * np.log(np.maximum(loss, 1e-12) / np.maximum(n, 1)) + penalty, np.inf)


def search(w: Array, weight: Array, means: Array, seasonal: Array, shape: Shape, stop: Callable[[], bool]) -> Fitted:
    """Fit every order to every series and keep that of least AICc.

    w float64 [N, L], stationary and centred; weight [N, L], 0 where a step is not to be fitted; means: how many parameters
    the centring took, int [N]; seasonal: which series may have seasonal orders, bool [N].
    """
    n = len(w)
    orders = grid(shape)  # [G, K]
    count = weight.sum(axis=1)
    free = np.broadcast_to(orders[:, None, :], (len(orders), n, shape.size)).reshape(-1, shape.size)
    tiled, heavy = (np.tile(x.T, (1, len(orders))) for x in (w, weight))  # [L, G N]
    coefficients, loss = least_squares(tiled, heavy, free, shape, stop)
    k = orders.sum(axis=1)[:, None] + means + 1
    criterion = aicc(loss.reshape(len(orders), n), count, k)
    criterion = np.where((orders[:, -2:].sum(axis=1) > 0)[:, None] & np.logical_not(seasonal), np.inf, criterion)
    chosen = criterion.argmin(axis=0)  # [N]
    at = chosen * n + np.arange(n)
    freedom = np.maximum(count - k[chosen, np.arange(n)] + 1, 1)
    return Fitted(coefficients[at], np.sqrt(loss[at] / freedom))
