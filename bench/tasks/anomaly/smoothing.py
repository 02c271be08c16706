"""Score anomalies by simple arithmetic on the values themselves: what every model has to beat.

Pure functions over `x`, float64 [T] or [N, T], each row a series of its own. `learn`, bool like `x`, marks the training
prefix; a row without a step to learn from has the median 0. `real`, bool like `x`, marks the steps that exist (None: all):
windows are shortened at the ends and where steps do not exist, and hold at least the step itself where that exists.

A trailing window ends at the step; a centred one of even width reaches one step further back than forward.
Results are finite: what overflows (a spike of 1e300, squared) is the largest double.
"""

from __future__ import annotations

import numpy as np

from bench.data.ragged import Array
from bench.metrics.anomaly import LARGEST


def rolling_mean(x: Array, width: int, *, centred: bool = False, real: Array | None = None) -> Array:
    """Average each step's window of `width` steps; 0 where no step of it exists."""
    there = np.ones(x.shape, bool) if real is None else real
    # divided before the sum: a sum of spikes may overflow where their mean does not
    total = sum(_shifted(np.where(there, x, 0) / max(width, 1), width, centred=centred))
    return np.asarray(total * (width / np.maximum(_count(there, width, centred=centred), 1)))


def rolling_variance(x: Array, width: int, *, centred: bool = False, real: Array | None = None) -> Array:
    """Return the variance (divisor: steps in the window) of each step's window of `width` steps; 0 where no step exists.

    In two passes over each window, for running sums keep the rounding error of a spike long after it.
    """
    there = np.ones(x.shape, bool) if real is None else real
    mean = rolling_mean(x, width, centred=centred, real=there)
    pairs = zip(_shifted(x, width, centred=centred), _shifted(there, width, centred=centred), strict=True)
    with np.errstate(over="ignore"):
        total = sum(np.where(inside, value - mean, 0) ** 2 for value, inside in pairs)
    return np.asarray(np.minimum(total / np.maximum(_count(there, width, centred=centred), 1), LARGEST))


def abs_median(x: Array, learn: Array) -> Array:
    """Return the distance of each step from the median of the prefix."""
    return distance(x, prefix_median(x, learn)[..., None])


def mean_shift(x: Array, learn: Array, width: int, *, centred: bool = False, real: Array | None = None) -> Array:
    """Return the distance of the rolling mean from the median of the prefix: the floor named after the rolling mean."""
    return distance(rolling_mean(x, width, centred=centred, real=real), prefix_median(x, learn)[..., None])


def seasonal_residual(x: Array, learn: Array, season: int) -> Array:
    """Return the distance of each step from the prefix's median at its phase, step number modulo `season`.

    A phase that the prefix lacks has the median of the whole prefix.
    """
    if not x.size:
        return np.zeros(x.shape)
    empty = -x.shape[-1] % season
    whole = [(0, 0)] * (x.ndim - 1) + [(0, empty)]
    by_phase = (*x.shape[:-1], -1, season)
    cycles, known = np.pad(x, whole).reshape(by_phase), np.pad(learn, whole).reshape(by_phase)  # [N, cycles, season]
    usual = prefix_median(cycles.swapaxes(-1, -2), known.swapaxes(-1, -2))  # [N, season]
    usual = np.where(known.any(axis=-2), usual, prefix_median(x, learn)[..., None])
    return distance(x, usual[..., np.arange(x.shape[-1]) % season])


def moved(x: Array, steps: int, real: Array) -> Array:
    """Move each row's values back by `steps` of those that are `real`, bool like `x`; the last one stands at the end."""
    if not steps:
        return x
    found = np.zeros(x.shape)
    for n, own in enumerate(real):
        at = np.flatnonzero(own)
        if len(at):
            found[n, at] = x[n, at[np.minimum(np.arange(len(at)) + steps, len(at) - 1)]]
    return found


def prefix_median(x: Array, learn: Array) -> Array:
    """Return the median over the last axis of the steps to learn from, [...] for `x` [..., T]; 0 where there are none."""
    if not x.shape[-1]:
        return np.zeros(x.shape[:-1])
    count = learn.sum(axis=-1, keepdims=True)
    rising = np.sort(np.where(learn, x, np.inf), axis=-1)
    middle = [np.take_along_axis(rising, np.maximum(at, 0), axis=-1) for at in ((count - 1) // 2, count // 2)]
    low, high = (np.where(count > 0, side, 0.0)[..., 0] for side in middle)
    return np.asarray(low / 2 + high / 2)


def distance(x: Array, usual: Array) -> Array:
    """Return |x - usual|, finite."""
    with np.errstate(over="ignore"):
        return np.asarray(np.minimum(np.abs(x - usual), LARGEST))


def _shifted(x: Array, width: int, *, centred: bool) -> list[Array]:
    """Yield, for each place in a window, the values that stand there, like `x`; 0 beyond the ends."""
    if width < 1:
        raise ValueError(f"width is {width}; expected a window of at least 1 step")
    steps = x.shape[-1]
    back = width // 2 if centred else width - 1
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(back, width - 1 - back)])
    return [padded[..., k : k + steps] for k in range(width)]


def _count(there: Array, width: int, *, centred: bool) -> Array:
    return np.asarray(sum(_shifted(there.astype(np.int64), width, centred=centred)))
