"""Which cycles a panel has: found from the calendar and from its autocorrelation, whatever season the metric is scaled by.

Letters for shapes: N series, T steps, L lags.
"""

from __future__ import annotations

import numpy as np

from bench.api import Array, Panel

CALENDAR = {"D": (7, 365), "h": (24, 168), "W": (52,), "MS": (12,), "QS": (4,), "15min": (96, 672), "30min": (48, 336)}
"""Cycles that a step of this length may have: the day, the week, the year."""
LONGEST = 800
"""Longest lag that is looked at, in steps."""
REPEATS = 2
"""Cycles that half of the series must cover, at least, before one is believed."""
CLEAR = 0.1
"""Least autocorrelation of a cycle, averaged over series."""
NEAR = 0.7
"""Share of the highest peak that a shorter lag must reach: it is the cycle, the highest a multiple of it."""
UNNAMED = 0.2
"""Least autocorrelation of a cycle that the calendar does not name."""
SERIES = 400
"""Series that are looked at, evenly spread over the panel."""


def cycles(panel: Panel) -> tuple[int, ...]:
    """List the cycles of a panel in steps, at most two, the shorter first, each at least 2; empty where it has none.

    A cycle is a peak of the autocorrelation of the series' differences, averaged over series; of nearly equal peaks the
    shortest. The second is a peak of what is left when the first is differenced away (the week behind the day).
    """
    steps, lengths = differences(panel)
    named = {*CALENDAR.get(panel.freq, ()), panel.season}
    first = strongest(autocorrelation(steps, lengths), named, 2)
    if not first:
        return ()
    left = np.where(np.arange(steps.shape[1] - first) >= steps.shape[1] - lengths[:, None] + 1, steps[:, first:] - steps[:, :-first], 0.0)
    second = strongest(autocorrelation(left, lengths - first), {*named, 7 * first}, 2 * first)
    return (first, second) if second else (first,)


def strongest(r: Array, named: set[int], least: int) -> int:
    """Return the shortest lag from `least` on that is a clear peak of `r` and nearly the highest; 0: there is none."""
    lags = sorted({m for m in {*named, *peaks(r).tolist()} if least <= m < len(r)})
    clear = [lag for lag in lags if r[lag] >= (CLEAR if lag in named else UNNAMED)]
    return next((lag for lag in clear if r[lag] >= NEAR * max(r[clear])), 0)


def differences(panel: Panel) -> tuple[Array, Array]:
    """Return the steps from value to value of some series, of one size, float64 [n, T - 1], 0 before each start; and their number."""
    rows = np.flatnonzero(panel.lengths >= 2 * REPEATS)
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), SERIES)).astype(int)] if len(rows) else rows
    step = np.diff(panel.values[rows], axis=1)
    step[np.arange(1, panel.steps) <= panel.start[rows, None]] = 0.0
    top = np.abs(step).max(axis=1, keepdims=True, initial=0.0)
    step = step / np.where(top > 0, top, 1.0)
    return step[top[:, 0] > 0], panel.lengths[rows][top[:, 0] > 0] - 1


def autocorrelation(step: Array, lengths: Array) -> Array:
    """Return the mean autocorrelation of rows [n, T] by lag, float64 [L + 1], of which the last `lengths` [n] steps are real.

    L is bounded by `LONGEST` and by what half of the series cover `REPEATS` times. A long lag has fewer pairs behind it,
    which is made up for; without that long cycles would look weak.
    """
    if not len(step):
        return np.ones(1)
    width = int(min(max(np.median(lengths), 0) // REPEATS, LONGEST))
    power = np.abs(np.fft.rfft(step, n=2 * step.shape[1], axis=1)) ** 2
    r = np.fft.irfft(power, axis=1)[:, : width + 1]  # [n, L + 1]
    varies = r[:, 0] > 0
    pairs = 1 - np.arange(r.shape[1]) / np.maximum(lengths[varies, None], 1)
    scaled = r[varies] / r[varies, :1] / np.maximum(pairs, 1 / (2 * REPEATS))
    return np.asarray(scaled.mean(axis=0)) if varies.any() else np.ones(1)


def peaks(r: Array) -> Array:
    """Return the lags that are the highest within an eighth of themselves and lie behind a negative one, int64.

    Differences sum to 0 over a cycle, and so do their autocorrelations: there is no cycle without negative lags inside it.
    Lag 1 is left out, where noise is negative. Of a smooth cycle many lags near its top are higher than their neighbours.
    """
    below = np.flatnonzero(r[2:] < 0)
    first = int(below[0]) + 3 if len(below) else len(r)
    near = [r[lag - max(lag // 8, 1) : lag + max(lag // 8, 1) + 1] for lag in range(first, len(r) - 1)]
    return np.flatnonzero([r[lag] >= around.max() for lag, around in enumerate(near, first)]) + first
