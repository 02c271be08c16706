"""Batches of rows of like length: what a sequence model is fed without wasting its time on padding.

Letters for shapes: E events, N rows, n rows of a batch, T steps, F features of a step, S features of a row, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bench.api import Array
from bench.data.ragged import spans

USEFUL = 0.8
"""Least share of a batch's padded steps that must be real; a batch below it is halved."""


class Rows(Protocol):
    """Rows that a network learns from or is asked about, given batch by batch."""

    @property
    def target(self) -> Array:
        """Return what is to be learnt, float32 [N, ...]; [0, ...] where there is none."""

    @property
    def lengths(self) -> Array:
        """Return the number of steps of each row, int64 [N]."""

    def __len__(self) -> int:
        """Return the number of rows, N."""

    def padded(self, rows: Array) -> tuple[Array, Array]:
        """Return a batch: (float32 [n, T, F], right-padded; its lengths, int64 [n], at least 1)."""


@dataclass(frozen=True, slots=True)
class Lazy:
    """Rows whose features are made when a batch is asked for: overlapping windows would fill the memory otherwise."""

    lengths: Array
    """int64 [N], each at least 1."""
    target: Array
    """float32 [N, ...]; [0, ...] where there is none."""
    features: Callable[[Array], Array]
    """Rows, int [n], to float32 [n, T, F], right-padded to the longest of them."""

    def __len__(self) -> int:
        """Return the number of rows, N."""
        return len(self.lengths)

    def padded(self, rows: Array) -> tuple[Array, Array]:
        """Return a batch: (float32 [n, T, F], right-padded; its lengths, int64 [n])."""
        return self.features(rows), self.lengths[rows]


@dataclass(frozen=True, slots=True)
class Sequences:
    """Encoded rows, ragged: row n has the steps `[offsets[n], offsets[n + 1])`."""

    offsets: Array
    """int64 [N + 1]: where each row's steps begin."""
    features: Array
    """float32 [E, F]: one line a step."""
    context: Array
    """float32 [N, S]: what holds for the whole row; it stands beside every step."""
    target: Array
    """float32 [N, O]; [0, O] where there is none."""

    def __len__(self) -> int:
        """Return the number of rows, N."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Array:
        """Return the number of steps of each row, int64 [N]."""
        return np.diff(self.offsets)

    def padded(self, rows: Array) -> tuple[Array, Array]:
        """Return a batch: (float32 [n, T, F + S], right-padded; its lengths, int64 [n], at least 1)."""
        steps = pad(self.offsets, self.features, rows)  # [n, T, F]
        beside = np.broadcast_to(self.context[rows, None], (*steps.shape[:2], self.context.shape[1]))  # [n, T, S]
        return np.concatenate([steps, beside], axis=2), np.maximum(self.offsets[rows + 1] - self.offsets[rows], 1)


def batches(lengths: Array, size: int, seed: int | Sequence[int] | None = None, turn: int | Sequence[int] | None = None) -> list[Array]:
    """Cut rows into batches of at most `size` rows of like length, each row in exactly one.

    `lengths`: int [N]. With a seed, rows of equal length and then the batches are shuffled (training); without one,
    the order depends on nothing but the lengths (prediction). `turn`: a seed of its own for the order of the batches; the
    batches of two seeds then have the same lengths, place by place. Returns index arrays, int64 [n].
    """
    rng = np.random.default_rng(seed)
    order = np.arange(len(lengths)) if seed is None else rng.permutation(len(lengths))
    order = order[np.argsort(lengths[order], kind="stable")]
    chunks = [order[at : at + size] for at in range(0, len(order), size)]
    cut = [part for chunk in chunks for part in _halved(chunk, lengths)]
    if seed is None:
        return cut
    rng = rng if turn is None else np.random.default_rng(turn)
    return [cut[at] for at in rng.permutation(len(cut))]


def useful_share(lengths: Array, cut: list[Array]) -> float:
    """Measure which share of the padded steps of all batches is real; `lengths`: int [N]."""
    steps = np.maximum(lengths, 1)
    return float(steps.sum() / sum(steps[rows].max() * len(rows) for rows in cut))


def pad(offsets: Array, features: Array, rows: Array) -> Array:
    """Lay ragged rows side by side, filled up with zeros on the right to the longest, at least one step.

    `offsets`: int64 [N + 1], `features`: [E, F], `rows`: int [n]. Returns float32 [n, T, F].
    """
    start, length = offsets[rows], offsets[rows + 1] - offsets[rows]
    inside = np.arange(max(1, length.max(initial=1))) < length[:, None]  # [n, T]
    padded = np.zeros((*inside.shape, features.shape[1]), np.float32)  # [n, T, F]
    padded[inside] = features[spans(start, length)[0]]
    return padded


def _halved(rows: Array, lengths: Array) -> list[Array]:
    """Halve rows that are sorted by length until each part's padding is worth it: only the long tail is cut small."""
    steps = np.maximum(lengths[rows], 1)
    if steps.sum() >= USEFUL * steps[-1] * len(rows):
        return [rows]
    half = len(rows) // 2
    return _halved(rows[:half], lengths) + _halved(rows[half:], lengths)
