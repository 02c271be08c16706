"""Lay out what each row adds to each forecasting metric: a numerator and a denominator, summed over its scored steps.

Letters for shapes: N rows, H horizon. Formulas and sources stand at the functions of the same names in
`bench.metrics.forecast_errors`.
Steps that are not scored may hold anything: they are left out when the steps are summed, and not before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from bench.data.ragged import Array
from bench.metrics.quantiles import level_index, quantile_loss
from bench.metrics.scales import Scales, undefined

Rows: TypeAlias = tuple[Array, Array]
"""Numerator and denominator, float64 [N] each."""

FLOOR = 1e-3
"""A mean below one event in a thousand steps counts as that in the Poisson deviance: a sure zero that errs costs a finite sum."""

AT_ONCE = 1 << 18
"""Quantiles looked at together: 2 MB (or one row, if longer). What is made of them stays in the cache, which saves a third of the time."""

LEVELS = (0.1, 0.2, 0.5, 0.8, 0.9)
"""Levels that the metrics need by name."""


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows and what several metrics need of them, float64 [N, H] where nothing else is said."""

    y: Array
    mask: Array
    """bool [N, H]."""
    mean: Array
    at: dict[float, Array]
    """The quantiles of `LEVELS`, by level."""
    scales: Scales
    """Usable, or nan."""
    loss: Array
    """See `quantile_loss`."""
    error: Array
    """|y - median|."""
    size: Array
    """|y|."""


def blocks(y: Array, mask: Array, quantiles: Array, mean: Array, levels: Sequence[float], scales: Scales) -> Iterator[Block]:
    """Cut a forecast into blocks of rows, at least one; raise ValueError for what does not fit or is not finite."""
    y, mask = checked(y, mask, quantiles=quantiles, mean=mean)
    scales = usable(scales, y)
    column = {level: level_index(quantiles, levels, level) for level in LEVELS}
    rows = max(1, AT_ONCE // max(1, y.shape[1] * len(levels)))
    for first in range(0, max(1, len(y)), rows):
        part = slice(first, first + rows)
        truth = y[part]
        at = {level: np.asarray(quantiles[part, :, q], np.float64) for level, q in column.items()}
        with np.errstate(over="ignore", invalid="ignore"):
            loss, error = quantile_loss(truth, quantiles[part], levels), np.abs(truth - at[0.5])
        yield Block(truth, mask[part], np.asarray(mean[part], np.float64), at, scales.take(part), loss, error, np.abs(truth))


def checked(y: Array, mask: Array | None, **forecasts: Array) -> tuple[Array, Array]:
    """Return truth float64 [N, H] and mask bool [N, H]; raise ValueError where shapes differ or a scored number is not finite."""
    y = np.asarray(y, np.float64)
    mask = np.ones(y.shape, bool) if mask is None else np.asarray(mask)
    if y.ndim != 2 or mask.shape != y.shape or mask.dtype != bool:
        raise ValueError(f"y has shape {y.shape}, mask {mask.shape} of {mask.dtype}; expected (N, H), and bool of the same shape")
    whole = bool(mask.all())
    for name, array in {"y": y, **forecasts}.items():
        if (array.shape[:2] if name == "quantiles" else array.shape) != y.shape:
            raise ValueError(f"{name} has shape {array.shape}; y has {y.shape}, and both must have the same rows and steps")
        if not np.isfinite(array if whole else array[mask]).all():
            raise ValueError(f"{name} holds nan or infinity on a scored step; mask what is missing, refuse the forecast that is broken")
    return y, mask


def usable(scales: Scales, y: Array) -> Scales:
    """Make both scales of a row nan where either is unusable, so MASE, RMSSE and SQL leave out the same rows.

    Raises ValueError unless there is one scale for each row of y.
    """
    if len(scales) != len(y):
        raise ValueError(f"there are scales for {len(scales)} rows, y has {len(y)}; use Scales.take to give each row its own")
    bad = undefined(scales)
    return Scales(np.where(bad, np.nan, scales.absolute), np.where(bad, np.nan, scales.squared))


def summed(step: Array, mask: Array, axis: int = 1) -> Array:
    """Sum what stands at scored steps."""
    return np.asarray((step if mask.all() else np.where(mask, step, 0.0)).sum(axis=axis, dtype=np.float64))


def counted(mask: Array, axis: int = 1) -> Array:
    """Count what is true, as float64."""
    return np.asarray(np.count_nonzero(mask, axis=axis), np.float64)


def ratio(numerator: Array, denominator: Array) -> Array:
    """Divide; nan where the denominator is 0."""
    return np.asarray(np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0))


def per_series(step: Array, mask: Array, scale: Array | float = 1.0) -> Rows:
    """Count each series once, with its mean over scored steps, divided by its scale; 0 / 0 where that is undefined."""
    size = counted(mask) * scale
    known = size > 0  # nan is not
    return np.divide(summed(step, mask), size, out=np.zeros(len(step)), where=known), known.astype(np.float64)


def mase(error: Array, mask: Array, scales: Scales) -> Rows:
    """`error`: |y - median|; so in all that follows."""
    return per_series(error, mask, scales.absolute)


def rmsse(y: Array, mean: Array, mask: Array, scales: Scales) -> Rows:
    value, known = per_series((y - mean) ** 2, mask, scales.squared)
    return np.sqrt(value), known


def smape(error: Array, size: Array, median: Array, mask: Array) -> Rows:
    """`size`: |y|; so in all that follows."""
    both = size + np.abs(median)
    return per_series(200 * error / np.where(both == 0, 1.0, both), mask)


def wape(error: Array, size: Array, mask: Array) -> Rows:
    return summed(error, mask), summed(size, mask)


def sql(loss: Array, mask: Array, scales: Scales) -> Rows:
    return per_series(loss, mask, scales.absolute)


def wql(loss: Array, size: Array, mask: Array) -> Rows:
    return summed(loss, mask), summed(size, mask)


def bias(y: Array, mean: Array, size: Array, mask: Array) -> Rows:
    return summed(mean - y, mask), summed(size, mask)


def poisson_deviance(y: Array, mean: Array, mask: Array) -> Rows:
    f = np.maximum(mean, FLOOR)
    step = 2 * (y * np.log(np.where(y > 0, y, f) / f) - y + f)
    return summed(np.where(y < 0, np.nan, step), mask), counted(mask)


def coverage(y: Array, low: Array, high: Array, mask: Array, axis: int = 1) -> Rows:
    return counted((low <= y) & (y <= high) & mask, axis), counted(mask, axis)


def total_wape(y: Array, mean: Array, mask: Array) -> Rows:
    truth = summed(y, mask)
    return np.abs(summed(mean, mask) - truth), np.abs(truth)
