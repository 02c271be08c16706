"""Resample whole users, the same way for every model: the paired cluster bootstrap.

Letters for shapes: N rows, U clusters (users), B draws. Sources: Efron (1979); clusters: Davison and Hinkley (1997), 3.8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from bench.data.ragged import Array, hashed

POISSON = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(12)])
"""Distribution function of Poisson(1)."""
AT_ONCE = 1 << 21
"""Counts handed out together: 16 MB a chunk (or one draw, if longer)."""


def draws(groups: Array, n: int, seed: int) -> Iterator[Array]:
    """Draw `n` resamples of the clusters, with replacement; yield them in chunks, float64 [b, N].

    `groups`: int64 [N], the cluster (user) of each row. An entry counts how often the row's cluster was drawn, so
    rows of one cluster always stand together. The same clusters and seed give the same draws, whatever the chunks
    and the order of the rows: use them for every model, so that differences are paired.
    """
    _, row_cluster = np.unique(groups, return_inverse=True)  # [N]
    clusters = int(row_cluster.max()) + 1 if len(row_cluster) else 0
    # raw bits, because numpy promises those (and not what it derives from them) to stay the same over its versions
    bits = np.random.PCG64(seed)
    step = max(1, AT_ONCE // max(1, len(row_cluster)))
    for first in range(0, n, step):
        counts = [_counts(bits, clusters)[row_cluster] for _ in range(min(step, n - first))]
        yield np.asarray(counts, np.float64)


def poisson_draws(groups: Array, n: int, seed: int) -> Iterator[Array]:
    """Draw `n` Poisson resamples of the clusters; yield them in chunks, float64 [b, N].

    Each cluster counts Poisson(1) times (Chamandy et al. 2012), by a hash of its own number and the draw's: a user has the
    same counts at every cut-off, whoever stands beside, so that differences are paired within and between validations.
    """
    groups = np.asarray(groups, np.int64)
    step = max(1, AT_ONCE // max(1, len(groups)))
    if step >= n:
        yield _same_poisson(groups.tobytes(), n, seed)
        return
    for first in range(0, n, step):
        yield _poisson(groups, np.arange(first, min(first + step, n)), seed)


@lru_cache(maxsize=4)
def _same_poisson(groups: bytes, n: int, seed: int) -> Array:
    """Keep the draws of the latest few validations: every trial of a search is scored under the same ones."""
    drawn = _poisson(np.frombuffer(groups, np.int64), np.arange(n), seed)
    drawn.setflags(write=False)
    return drawn


def _poisson(groups: Array, numbers: Array, seed: int) -> Array:
    clusters, row_cluster = np.unique(groups, return_inverse=True)
    keys = clusters[None, :] * 1_000_003 + numbers[:, None]
    counts = np.searchsorted(POISSON, hashed(keys.ravel(), seed), side="right").reshape(keys.shape)
    return np.asarray(counts[:, row_cluster], np.float64)


def _counts(bits: np.random.PCG64, clusters: int) -> Array:
    # multiply and shift maps 32 random bits to [0, U); its bias, U / 2**32, is far below the noise of any bootstrap
    drawn = ((bits.random_raw(clusters) >> np.uint64(32)) * np.uint64(clusters)) >> np.uint64(32)
    return np.bincount(drawn.astype(np.int64), minlength=clusters).astype(np.float64)


def interval(values: Array, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval (low, high) of bootstrap values [B].

    Draws where the metric is undefined (one class only) are left out; with half of them or more undefined, so is
    the interval: (nan, nan).
    """
    known = values[~np.isnan(values)]
    if 2 * len(known) <= len(values):
        return float("nan"), float("nan")
    low, high = np.percentile(known, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
