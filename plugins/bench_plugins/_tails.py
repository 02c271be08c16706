"""Tail probabilities of a series' values among its earlier ones.

Letters for shapes: N entities, T steps.
"""

from __future__ import annotations

import numpy as np

from bench.api import Array

BLOCK = 256
"""Steps that are placed among the earlier ones at once."""


def rising(x: Array, real: Array, until: Array) -> Array:
    """Return -log of the share of values at least as large, float64 [N, T]: among those before `until` [N] and all up to the step.

    Equal values count half; one is added to the count of all, so that no share is 0.
    """
    found = np.zeros(x.shape)
    for n in range(len(x)):
        at = np.flatnonzero(real[n])
        first = int(np.searchsorted(at, until[n]))
        found[n, at] = _placed(x[n, at], first)
    return found


def _placed(values: Array, first: int) -> Array:
    """Place each value among the first ones and all before it, float64 [T] to [T]; see `rising`."""
    known, share = np.sort(values[:first]), np.ones(len(values))
    share[:first] = _share(_above(known, values[:first]), first)
    for begin in range(first, len(values), BLOCK):
        block = values[begin : begin + BLOCK]
        earlier = np.tri(len(block), k=-1)  # row: the step, column: one of the same block before it
        inside = ((block > block[:, None]) * earlier).sum(axis=1) + ((block == block[:, None]) * earlier).sum(axis=1) / 2
        share[begin : begin + len(block)] = _share(_above(known, block) + inside, begin + np.arange(len(block)))
        known = np.sort(np.concatenate([known, block]), kind="stable")
    return np.asarray(-np.log(share))


def _above(known: Array, values: Array) -> Array:
    """Count the known values, rising, above each value; those equal to it half."""
    return len(known) - (np.searchsorted(known, values) + np.searchsorted(known, values, side="right")) / 2


def _share(above: Array, of: Array | int) -> Array:
    return np.asarray((above + 0.5) / (np.asarray(of) + 1))
