"""The Kalman filter for many series at once, and the choice of the variance ratios by likelihood.

The gains of a series without gaps depend on the ratios alone, not on its values. So the search works them out once for
each candidate and shares them among all series; only the chosen candidate is filtered with each series' own gaps.
Durbin & Koopman, "Time series analysis by state space methods", 2nd edition (2012), chapters 4 and 7.

Series are left-aligned: they begin at step 0 with a diffuse state. The variance of the irregular is 1 throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.api import Array
from bench_plugins._structural_form import Form, most_states

DIFFUSE = 1e6
"""Variance of the first state, in units of the irregular's."""
CACHED = 200_000
"""States of all candidates and series that are filtered at once."""
STEADY = 1e-9
"""Gains that change by less from one step to the next have arrived."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """The one-step predictions of N series over T steps; a missing step is predicted too."""

    mean: Array
    """float64 [N, T]."""
    variance: Array
    """float64 [N, T], in units of the irregular's variance."""


def gains(form: Form, ratios: Array, steps: int) -> tuple[Array, Array]:
    """Work out the gains of a series without gaps: (gain [T, G, D], variance of a prediction [T, G]); ratios [G, 3]."""
    noise = ratios @ form.noise  # [G, D]
    p = np.broadcast_to(DIFFUSE * np.eye(form.size), (len(ratios), form.size, form.size))
    gain, variance = np.empty((steps, len(ratios), form.size)), np.empty((steps, len(ratios)))
    for t in range(steps):
        p, gain[t], variance[t] = _covariance(form, p, noise, 1.0)
        if t > form.size and np.abs(gain[t] - gain[t - 1]).max() < STEADY:
            gain[t:], variance[t:] = gain[t], variance[t]
            break
    return gain, variance


def _covariance(form: Form, p: Array, noise: Array, seen: Array | float) -> tuple[Array, Array, Array]:
    """Take the state's covariance [R, D, D] one step on: (the next, gain [R, D], variance of the prediction [R]).

    noise [R, D]; seen: 1 where the step is observed, 0 where not, [R] or one for all.
    """
    with_y = p @ form.loading  # [R, D]
    variance = with_y @ form.loading + 1.0
    used = with_y * np.asarray(seen / variance)[:, None]
    p = p - used[:, :, None] * with_y[:, None, :]
    p = _sandwich(form.transition, p)
    p[:, np.arange(form.size), np.arange(form.size)] += noise
    return p, used @ form.transition.T, variance


def _sandwich(a: Array, p: Array) -> Array:
    """Compute a p a' for symmetric p, [R, D, D]: two flat products in place of R small ones each."""
    half = (p.reshape(-1, len(a)) @ a.T).reshape(p.shape)
    turned = np.ascontiguousarray(half.swapaxes(1, 2))
    return (turned.reshape(-1, len(a)) @ a.T).reshape(p.shape)


def run(form: Form, y: Array, mask: Array, ratios: Array) -> Filtered:
    """Filter each series with its own ratios [N, 3] and gaps: y, mask [N, T]. A missing step updates nothing."""
    n, steps = y.shape
    noise = ratios @ form.noise
    state, p = np.zeros((n, form.size)), np.broadcast_to(DIFFUSE * np.eye(form.size), (n, form.size, form.size))
    mean, variance = np.empty((steps, n)), np.empty((steps, n))
    for t in range(steps):
        mean[t] = state @ form.loading
        p, gain, variance[t] = _covariance(form, p, noise, mask[:, t].astype(float))
        state = state @ form.transition.T + gain * (y[:, t] - mean[t])[:, None]
    return Filtered(mean.T, variance.T)


def likelihood(v: Array, variance: Array, used: Array) -> tuple[Array, Array]:
    """Compute (log-likelihood at the best variance of the irregular, that variance), each [...], from steps along axis 0.

    v: innovations [T, ...]; variance of the predictions, in units of the irregular's; used: the steps that count.
    """
    n = np.maximum(used.sum(axis=0), 1)
    sigma2 = np.where(used, v**2 / variance, 0.0).sum(axis=0) / n
    log = np.where(used, np.log(variance), 0.0).sum(axis=0)
    floor = np.maximum(sigma2, 1e-12)
    return -0.5 * (n * (np.log(2 * np.pi * floor) + 1) + log), sigma2


def counted(size: int, mask: Array) -> Array:
    """Return which observed steps enter the likelihood, bool [N, T]: not the first D, `size`, which settle the diffuse state."""
    return mask & (np.cumsum(mask, axis=1) > size)


def choose(forms: list[Form], y: Array, mask: Array, stop: Callable[[], bool]) -> tuple[Array, Array]:
    """Choose form and variance ratios of each series by AIC: (index into `forms` [N], ratios float64 [N, 3]).

    y, mask [N, T], left-aligned. Gaps are passed over with the gains of a series that has none: near enough to choose by.
    `stop` is asked before each form but the first; what was not reached is not chosen.
    """
    used = counted(most_states(forms), mask).T  # [T, N]: the same steps for all forms
    best, which, chosen = np.full(len(y), np.inf), np.zeros(len(y), np.int64), np.zeros((len(y), 3))
    for index, form in enumerate(forms):
        if index and stop():
            break
        ratios = form.ratios()
        fit = np.concatenate([_shared(form, y.T, mask.T, used, part) for part in _split(ratios, len(y) * form.size)])
        top = fit.argmax(axis=0)
        aic = 2 * form.parameters - 2 * fit.max(axis=0)
        better = aic < best
        best, which = np.where(better, aic, best), np.where(better, index, which)
        chosen = np.where(better[:, None], ratios[top], chosen)
    return which, chosen


def _split(ratios: Array, states: int) -> list[Array]:
    """Cut the candidates into batches whose states, so many for each, fit into the processor's cache."""
    size = max(CACHED // max(states, 1), 4)
    return [ratios[at : at + size] for at in range(0, len(ratios), size)]


def _shared(form: Form, y: Array, mask: Array, used: Array, ratios: Array) -> Array:
    """Compute the log-likelihood of each candidate and series, [G, N], with shared gains; y, mask, used [T, N]."""
    gain, variance = gains(form, ratios, len(y))
    state = np.zeros((len(ratios), y.shape[1], form.size))
    square = np.zeros(state.shape[:2])
    for t in range(len(y)):
        v = np.where(mask[t], y[t] - state @ form.loading, 0.0)  # [G, N]
        square += np.where(used[t], v**2 / variance[t][:, None], 0.0)
        state = (state.reshape(-1, form.size) @ form.transition.T).reshape(state.shape)
        state += gain[t][:, None, :] * v[..., None]
    n = np.maximum(used.sum(axis=0), 1)
    log = np.log(variance).T @ used
    fit: Array = -0.5 * (n * np.log(np.maximum(square / n, 1e-12)) + log)
    return fit
