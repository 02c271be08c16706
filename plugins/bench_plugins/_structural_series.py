"""Structural models at work on whole series: the history filtered, the horizon behind it, each step from those before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Array
from bench_plugins._links import SIGMA, UNKNOWN
from bench_plugins._structural_filter import Filtered, counted, likelihood, run
from bench_plugins._structural_form import Form


@dataclass(frozen=True, slots=True)
class Estimate:
    """The chosen variances of N series that share a form."""

    form: Form
    ratios: Array
    """float64 [N, 3]: variances of level, slope and season to that of the irregular."""
    sigma: Array
    """float64 [N]: standard deviation of the irregular, on the link's scale."""
    filtered: Filtered
    """The predictions of the history, and of the horizon behind it; left-aligned."""


def estimate(form: Form, ratios: Array, y: Array, mask: Array) -> Estimate:
    """Filter the history and the H steps behind it, left-aligned [N, L + H], and work out sigma."""
    filtered = run(form, y, mask, ratios)
    used = counted(form.size, mask)
    _, sigma2 = likelihood((y - filtered.mean).T, filtered.variance.T, used.T)
    return Estimate(form, ratios, np.where(used.any(axis=1), np.sqrt(sigma2), UNKNOWN), filtered)


def left(values: Array, mask: Array, start: Array, ahead: int = 0) -> tuple[Array, Array]:
    """Move each series to begin at step 0: (values, mask) [N, L + ahead]; behind its end nothing is observed."""
    source = start[:, None] + np.arange(values.shape[1] + ahead)
    inside = np.minimum(source, values.shape[1] - 1)
    return np.take_along_axis(values, inside, axis=1), np.take_along_axis(mask, inside, axis=1) & (source < values.shape[1])


def beyond(found: Estimate, length: Array, horizon: int) -> tuple[Array, Array]:
    """Take the H predictions behind each series' end, at `length` [N]: (mean, sd) [N, H]."""
    at = length[:, None] + np.arange(horizon)
    mean, variance = (np.take_along_axis(x, at, axis=1) for x in (found.filtered.mean, found.filtered.variance))
    return mean, found.sigma[:, None] * np.sqrt(variance)


def within(found: Estimate, y: Array, mask: Array, start: Array) -> tuple[Array, Array]:
    """Predict each step of whole series y [N, T] from those before it: (mean, sd) [N, T], right-aligned as y is."""
    filtered = run(found.form, *left(y, mask, start), found.ratios)
    at = np.maximum(np.arange(y.shape[1]) - start[:, None], 0)
    mean, variance = (np.take_along_axis(x, at, axis=1) for x in (filtered.mean, filtered.variance))
    return mean, np.maximum(found.sigma, SIGMA)[:, None] * np.sqrt(variance)
