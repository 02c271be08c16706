"""Isolation forests (Liu et al. 2008): the trees grow together, one level after the other, and are asked together.

scikit-learn makes an object for each tree; on the short prefixes of users nearly all of its time goes into that. The law of
the trees is the same: each cut takes a feature that varies in its node, all alike, and a threshold evenly between its ends.

Letters for shapes: R trees, n rows that are scored, k rows that are learnt from, m of them a tree, W features, V of them a
tree, Q nodes of all trees, q of one level, M rows in them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.api import Array

AT_ONCE = 1 << 15
"""Pairs of a row and a tree that are looked at together: they stay in the cache."""


@dataclass(frozen=True)
class Forest:
    """Trees, level by level; the first R nodes are their roots."""

    trees: int
    levels: int
    """Most cuts between a root and a leaf."""
    feature: Array
    """int32 [Q]: what is cut; 0 at a leaf."""
    threshold: Array
    """float64 [Q]: rows up to it go left; infinite at a leaf."""
    left: Array
    """int32 [Q]: the left child, whose right neighbour is the other one; a leaf is its own."""
    length: Array
    """float64 [Q]: of a leaf, the cuts above it and those that its rows would still need; 0 elsewhere."""

    def lengths(self, rows: Array) -> Array:
        """Return the mean path length of each row, float64 [n]; `rows`: [n, W]."""
        found, step = np.zeros(len(rows)), max(AT_ONCE // self.trees, 1)
        for at in range(0, len(rows), step):
            found[at : at + step] = self._of_block(np.ascontiguousarray(rows[at : at + step], np.float64))
        return found

    def _of_block(self, rows: Array) -> Array:
        n, width = rows.shape
        values, row = rows.ravel(), np.repeat(np.arange(n, dtype=np.int32) * width, self.trees)  # [n R]
        node = np.tile(np.arange(self.trees, dtype=np.int32), n)
        for _ in range(self.levels):
            beyond = values.take(row + self.feature.take(node)) > self.threshold.take(node)
            node = self.left.take(node) + beyond
        return np.asarray(self.length.take(node).reshape(n, self.trees).mean(axis=1))


@dataclass(frozen=True)
class _Level:
    """The nodes of one level, and the rows in them, one node after the other."""

    row: Array
    """int64 [M]."""
    size: Array
    """int64 [q]: rows of each node."""
    tree: Array
    """int64 [q]."""

    @property
    def begin(self) -> Array:
        """Return where the rows of each node begin, int64 [q]."""
        return np.asarray(np.cumsum(self.size) - self.size)


def grown(learnt: Array, trees: int, samples: int, features: float, seed: int) -> Forest:
    """Grow a forest; `learnt`: [k, W]; each tree sees `samples` <= k of the rows and a share of the features."""
    x, draw = np.ascontiguousarray(learnt, np.float64), np.random.default_rng(seed)
    rows = _some(trees, len(x), samples, draw)
    columns = _some(trees, x.shape[1], max(int(features * x.shape[1]), 1), draw)
    level = _Level(rows.ravel(), np.full(trees, samples), np.arange(trees))
    levels = list(_levels(x, level, columns, math.ceil(math.log2(max(samples, 2))), draw))
    feature, threshold, left, length = (np.concatenate(part) for part in zip(*levels, strict=True))
    return Forest(trees, len(levels) - 1, feature.astype(np.int32), threshold, left.astype(np.int32), length)


def anomaly(lengths: Array, samples: int) -> Array:
    """Return the authors' score of mean path lengths, in [0, 1]; 1/2 where nothing can be cut."""
    return np.asarray(2.0 ** -(lengths / float(still(np.array([samples]))[0]) if samples > 1 else np.ones(len(lengths))))


def still(size: Array) -> Array:
    """Return the cuts that set one of so many rows apart on average (a failed search in a binary tree), float64 like `size`."""
    n = np.maximum(size, 3).astype(np.float64)
    return np.select([size <= 1, size == 2], [0.0, 1.0], 2 * (np.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n)


def _some(trees: int, n: int, wanted: int, draw: np.random.Generator) -> Array:
    """Draw `wanted` of `n` for each tree, without repeating one, int64 [R, wanted]."""
    if wanted >= n:
        return np.tile(np.arange(n), (trees, 1))
    return np.argpartition(draw.random((trees, n)), wanted - 1, axis=1)[:, :wanted]


def _levels(x: Array, level: _Level, columns: Array, deepest: int, draw: np.random.Generator) -> Iterator[tuple[Array, ...]]:
    """Yield feature, threshold, left child and length of the nodes, level by level; `columns`: [R, V]."""
    first = 0
    for depth in range(deepest + 1):
        q = len(level.size)
        column, low, high = _cuts(x, level, columns[level.tree], draw)
        threshold = low + draw.random(q) * (high - low)
        threshold = np.where(threshold < high, threshold, low)  # rounding must not leave the right side empty
        cut = (high > low) & (depth < deepest)
        left = np.where(cut, first + q + 2 * (np.cumsum(cut) - 1), first + np.arange(q))
        yield np.where(cut, column, 0), np.where(cut, threshold, np.inf), left, np.where(cut, 0.0, depth + still(level.size))
        if not cut.any():
            return
        level, first = _parted(x, level, cut, column, threshold), first + q


def _cuts(x: Array, level: _Level, columns: Array, draw: np.random.Generator) -> tuple[Array, Array, Array]:
    """Choose each node's feature among those that vary in it, all alike, and tell its ends, [q] each; equal where none varies."""
    q, begin = np.arange(len(level.size)), level.begin
    column = columns[q, draw.integers(columns.shape[1], size=len(q))]
    value = x[level.row, np.repeat(column, level.size)]
    low, high = np.minimum.reduceat(value, begin), np.maximum.reduceat(value, begin)
    flat = np.flatnonzero((high <= low) & (level.size > 1))
    if len(flat):
        # where the first choice does not vary all are looked at: each of those that do is still as likely as any other
        lows, highs = _ends(x, level, flat, columns[flat])
        varies = highs > lows
        chosen, at = np.argmax(np.where(varies, draw.random(varies.shape), -1.0), axis=1), np.arange(len(flat))
        column[flat], low[flat], high[flat] = columns[flat, chosen], lows[at, chosen], highs[at, chosen]
    return column, low, high


def _ends(x: Array, level: _Level, nodes: Array, columns: Array) -> tuple[Array, Array]:
    """Return the least and the largest value of each feature in some nodes, [len(nodes), V] each."""
    size = level.size[nodes]
    begin = np.cumsum(size) - size
    row = level.row[np.arange(size.sum()) + np.repeat(level.begin[nodes] - begin, size)]
    value = x[row[:, None], np.repeat(columns, size, axis=0)]
    return np.minimum.reduceat(value, begin, axis=0), np.maximum.reduceat(value, begin, axis=0)


def _parted(x: Array, level: _Level, cut: Array, column: Array, threshold: Array) -> _Level:
    """Part the rows of the nodes that are cut: each gives a left and a right one."""
    row, size = level.row[np.repeat(cut, level.size)], level.size[cut]
    beyond = x[row, np.repeat(column[cut], size)] > np.repeat(threshold[cut], size)
    right = np.add.reduceat(beyond, np.cumsum(size) - size, dtype=np.int64)
    order = np.argsort(2 * np.repeat(np.arange(len(size)), size) + beyond, kind="stable")
    return _Level(row[order], np.stack([size - right, right], axis=1).ravel(), np.repeat(level.tree[cut], 2))
