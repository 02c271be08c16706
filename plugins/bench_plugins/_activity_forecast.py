"""An ARIMA(p, d, 0) of users' activity, its coefficients shared by all users: what it foresees, and P(no event in H).

    z = g(active days of a period),  d = 0:  z_t - m_t = c + b m_t + phi_1 (z_{t-1} - m_t) + ... + phi_p (z_{t-p} - m_t) + e_t
                                     d = 1:  D z_t     = c + phi_1 D z_{t-1} + ... + phi_p D z_{t-p} + e_t

with m_t the user's own mean before t, drawn to that of all. A count of mean mu whose rate differs as a gamma of shape k
is zero with probability (1 + mu / k)^-k. Letters: N users, K periods, F coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bench.api import Array, ChurnInputs, ChurnTrain, Context
from bench_plugins._activity import MOST, Activity, calibrated, calibration, passive_kinds, shuffled, surprise

ROWS = 2000
"""Rows that are forecast between two looks at the clock."""
DRAW = 4.0
"""Periods that the mean of all users weighs in a user's own."""
RIDGE = 1.0
"""Penalty of a coefficient, in squared units of z."""
SHAPES = np.geomspace(0.05, 50.0, 13)
"""Shapes of the gamma to choose from."""
LEAST = 1e-3
"""Least value of a forecast on the scale of z: the way back must not end at nothing."""


LINKS: Mapping[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "none": (np.positive, np.positive),
    "sqrt": (np.sqrt, np.square),
    "log": (np.log1p, np.expm1),
    "auto": (np.log1p, np.expm1),
}
"""The transform -> g and its inverse; counts have zeros, so `auto` is the logarithm of 1 + x."""


def before(x: Array, lag: int) -> Array:
    """Move columns `lag` to the right and fill up with 0 (or False), [N, K]."""
    moved = np.zeros_like(x)
    moved[:, lag:] = x[:, : max(x.shape[1] - lag, 0)]
    return moved


def own_means(z: Array, known: Array, everyone: float) -> Array:
    """Compute each user's mean of the known periods before each of K + 1, drawn to `everyone`: [N, K + 1]."""
    total, n = (np.pad(np.cumsum(x, axis=1), ((0, 0), (1, 0))) for x in (np.where(known, z, 0.0), known.astype(float)))
    return np.asarray((total + DRAW * everyone) / (n + DRAW))


def coefficients(z: Array, known: Array, everyone: float, p: int, d: int) -> Array:
    """Fit by least squares over all users and known periods: (c, b, phi_1 ... phi_p) [F]; b = 0 where d = 1."""
    x, live = (z - before(z, 1), known & before(known, 1)) if d else (z, known)
    mean = np.zeros_like(z) if d else own_means(z, known, everyone)[:, :-1]
    past = [np.where(before(live, i), before(x, i) - mean, 0.0) for i in range(1, p + 1)]
    columns = [np.ones_like(z), mean, *past]
    design = np.stack([c[live] for c in columns], axis=1)  # [pairs, F]
    target = (x - mean)[live]
    return np.asarray(np.linalg.solve(design.T @ design + RIDGE * np.eye(p + 2), design.T @ target))


def foreseen(z: Array, known: Array, everyone: float, fitted: Array, d: int, ahead: int) -> Array:
    """Forecast z for the next `ahead` periods, [N, ahead], each from the forecasts before it."""
    p = len(fitted) - 2
    x, live = (z - before(z, 1), known & before(known, 1)) if d else (z, known)
    mean = np.zeros(len(z)) if d else own_means(z, known, everyone)[:, -1]
    short = max(p - z.shape[1], 0)
    x, live = (np.pad(a, ((0, 0), (short, ahead))) for a in (x, live))
    at = x.shape[1] - ahead
    for k in range(at, at + ahead):
        x[:, k] = mean + fitted[0] + fitted[1] * mean
        for i in range(1, p + 1):
            x[:, k] += fitted[1 + i] * np.where(live[:, k - i], x[:, k - i] - mean, 0.0)
        live[:, k] = True
    last = np.where(known[:, -1], z[:, -1], everyone)[:, None]
    return last + np.cumsum(x[:, at:], axis=1) if d else x[:, at:]


def empty(mean: Array, shape: float) -> Array:
    """Compute P(count = 0) [N] of a mean [N] and the shape of its gamma."""
    return np.asarray(np.exp(-shape * np.log1p(mean / shape)))


def expected(seen: Activity, state: Mapping[str, Array], params: Mapping[str, Any]) -> Array:
    """Forecast the number of active days in the horizon [N]."""
    z, known = LINKS[params["transform"]][0](seen.counts), seen.exposure >= 1
    ahead = foreseen(z, known, float(state["everyone"]), state["coefficients"], int(state["d"]), params["periods"])
    return np.asarray(LINKS[params["transform"]][1](np.maximum(ahead, LEAST)).sum(axis=1))


def expected_until(seen: Activity, state: Mapping[str, Array], params: Mapping[str, Any], stop: Callable[[], bool]) -> Array:
    """Forecast the first rows, `ROWS` at a time, until told to stop: [n], of which the first `ROWS` are always there."""
    parts: list[Array] = []
    for at in range(0, max(len(seen.counts), 1), ROWS):
        if parts and stop():
            break
        parts.append(expected(seen.take(slice(at, at + ROWS)), state, params))
    return np.concatenate(parts)


def learn(train: ChurnTrain, params: Mapping[str, Any], ctx: Context) -> dict[str, Array]:
    """Fit coefficients on some of the rows, then the gamma's shape and a calibration on all labels, or on those reached in time.

    Where the trend is `auto`, that d is kept whose probabilities the training labels prefer.
    """
    passive, order = passive_kinds(train, ctx.history), shuffled(train)
    seen, y = Activity.of(train, ctx.horizon / params["periods"], passive).take(order), train.y[order]
    some = seen.take(slice(MOST))
    z, known = LINKS[params["transform"]][0](some.counts), some.exposure >= 1
    everyone = float(z[known].mean()) if known.any() else 0.0
    best: dict[str, Array] = {}
    least = np.inf
    for d in {"always": (1,), "never": (0,)}.get(params["trend"], (0, 1)):
        if best and ctx.should_stop():
            break
        fitted = coefficients(z, known, everyone, params["lags"], d)
        state = {"everyone": np.asarray(everyone), "coefficients": fitted, "d": np.asarray(d)}
        mean = expected_until(seen, state, params, ctx.should_stop)
        shape = min(SHAPES, key=lambda k: surprise(empty(mean, k), y[: len(mean)]))
        p = empty(mean, shape)
        found = calibration(p, y[: len(mean)])
        if (loss := surprise(calibrated(p, found), y[: len(mean)])) < least:
            best, least = {**state, "shape": np.asarray(shape), "calibration": found, "passive": passive}, loss
    return best


def answer(inputs: ChurnInputs, state: Mapping[str, Array], params: Mapping[str, Any], ctx: Context) -> Array:
    """Return P(no event within the horizon) [N]."""
    seen = Activity.of(inputs, ctx.horizon / params["periods"], state["passive"])
    return calibrated(empty(expected(seen, state, params), float(state["shape"])), state["calibration"])
