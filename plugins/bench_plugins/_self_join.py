"""Join a series' windows with those of its own past: each window's distance to the nearest one, exact.

Windows are points: their distances come from one matrix product a tile, and the nearest one's is then measured again from
the windows themselves, so that equal windows are 0 apart and no rounding error travels along the series, as it does where
products are carried from one window to the next (Yeh et al. 2016; a spike then leaves its error behind). By shape, a
window is taken as less its mean and over its deviation; one that is constant has no shape: two of them are 0 apart, one
and any other sqrt(W), the distance from a shape to the origin.

Letters for shapes: n windows, k of them to compare with, W steps of a window, R rows and C columns of a tile.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bench.api import Array

ROWS, COLUMNS = 256, 4096
"""R and C: 8 MB of distances at once. Tiles lie the same wherever a series ends: later steps change no bit of a distance."""


def nearest(x: Array, width: int, k: int, apart: int, *, shape: bool) -> Array:
    """Return each window's distance to the nearest of the first k that begins more than `apart` steps away, float64 [n].

    x: float64 [T], finite, T >= W, n = T - W + 1 windows; `shape`: compare windows by shape alone, else as they are (of
    numbers up to 1e150). Inf where no window is far enough away. It takes n k W multiplications.
    """
    windows = sliding_window_view(x, width)  # [n, W]
    n = len(windows)
    best, found = np.full(n, np.inf), np.full(n, -1)
    for left in range(0, k, COLUMNS):
        others = _points(windows[left : min(left + COLUMNS, k)], shape=shape)  # [C, W]
        turned, norm = -2 * others.T, (others**2).sum(axis=1)
        for top in range(0, n, ROWS):
            own = _points(windows[top : top + ROWS], shape=shape)
            r = len(own)
            # a tile of full height, always: a product's rounding may hang on its size
            far = np.concatenate([own, np.zeros((ROWS - r, width))]) @ turned + norm  # [R, C], less the row's own norm
            _leave_out(far, top - left, apart)
            at = far[:r].argmin(axis=1)
            value, rows = far[np.arange(r), at], np.arange(top, top + r)
            nearer = value < best[rows]
            best[rows[nearer]], found[rows[nearer]] = value[nearer], left + at[nearer]
    return _measured(windows, found, shape=shape)


def _points(windows: Array, *, shape: bool) -> Array:
    """Return windows [., W] as points: as they are, or centred and scaled to the length sqrt(W), constant ones to 0."""
    if not shape:
        return np.asarray(windows)
    low, high = windows.min(axis=1, keepdims=True), windows.max(axis=1, keepdims=True)
    # from the least on, scaled: large and tiny numbers keep their shape when squared, and a constant is 0 without rounding
    size = np.maximum(high / 2 - low / 2, np.finfo(np.float64).tiny)
    centred = (windows / 2 - low / 2) / size
    centred = centred - centred.mean(axis=1, keepdims=True)
    length = np.sqrt((centred**2).mean(axis=1, keepdims=True))
    return np.asarray(centred / np.where(length > 0, length, 1.0))


def _leave_out(far: Array, shift: int, apart: int) -> None:
    """Set to inf what lies at most `apart` steps away; row r and column c of the tile are |r + shift - c| steps apart."""
    r, c = far.shape
    if -apart - r < shift < c + apart:
        near = np.abs(np.arange(r)[:, None] + shift - np.arange(c)) <= apart
        far[near] = np.inf


def _measured(windows: Array, found: Array, *, shape: bool) -> Array:
    """Measure from each window to the one found for it, float64 [n]; inf where none was."""
    out = np.full(len(windows), math.inf)
    for top in range(0, len(windows), ROWS):
        rows = np.arange(top, min(top + ROWS, len(windows)))
        rows = rows[found[rows] >= 0]
        out[rows] = np.sqrt(((_points(windows[rows], shape=shape) - _points(windows[found[rows]], shape=shape)) ** 2).sum(axis=1))
    return out
