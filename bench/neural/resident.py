"""Rows that lie where the network computes: made once, batches are gathered there, and no step waits for a copy.

On a CPU that saves making the same features again in each epoch.

Letters for shapes: E steps of all rows, N rows, n rows of a batch, T steps, F features.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from bench.api import Array
from bench.neural.batches import Rows, batches
from bench.neural.training import WIDE

MOST_BYTES = 512 * 1024**2
"""Largest features that are kept; of more, each batch is made when it is asked for."""
EXACT = 4
"""Steps up to which a GPU gets batches as long as they are; longer ones are rounded up, lest each be a shape of its own."""


class Resident:
    """Keep rows on a device: the steps of all rows one after another, behind them a step of zeros that fills up."""

    def __init__(self, rows: Rows, device: str) -> None:
        self.rows, self.device = rows, device
        self.lengths, self.target = np.maximum(rows.lengths, 1), rows.target
        self._first = np.concatenate([[0], np.cumsum(self.lengths)])  # [N + 1]
        self._targets = sent(rows.target, device)
        self._starts, self._lengths = sent(self._first[:-1], device), sent(self.lengths, device)
        self._features = sent(self._all(), device)  # [E + 1, F]

    def __len__(self) -> int:
        """Return the number of rows, N."""
        return len(self.rows)

    def padded(self, rows: Array) -> tuple[Array, Array]:
        """Return a batch as the rows themselves make it."""
        return self.rows.padded(rows)

    def targets(self, rows: Array) -> Tensor:
        """Return what is to be learnt, float32 [n, ...]."""
        return self._targets.index_select(0, sent(rows, self.device))

    def gathered(self, rows: Array) -> tuple[Tensor, Tensor]:
        """Return a batch: (float32 [n, T, F], right-padded with zeros; its lengths, int64 [n])."""
        steps = int(self.lengths[rows].max())
        if self.device != "cpu":
            steps = rounded(steps)
        at = sent(rows, self.device)
        length = self._lengths.index_select(0, at)
        step = torch.arange(steps, device=self.device)
        where = self._starts.index_select(0, at)[:, None] + step  # [n, T]
        if steps > self.lengths[rows].min():
            where = torch.where(step < length[:, None], where, len(self._features) - 1)
        return F.embedding(where, self._features), length

    def _all(self) -> Array:
        """Return the real steps of all rows and a step of zeros, float32 [E + 1, F]."""
        every: Array | None = None
        for rows in batches(self.lengths, WIDE):
            x, length = self.rows.padded(rows)  # [n, T, F], [n]
            if every is None:
                every = np.zeros((int(self._first[-1]) + 1, x.shape[2]), np.float32)
            row, step = np.nonzero(np.arange(x.shape[1]) < length[:, None])
            every[self._first[rows][row] + step] = x[row, step]
        return np.zeros((1, 1), np.float32) if every is None else every


def resident(rows: Rows, device: str) -> Rows:
    """Return rows that are kept on the device, where their features are small enough for that."""
    if not len(rows):
        return rows
    width = rows.padded(np.array([np.argmin(rows.lengths)]))[0].shape[2]
    return Resident(rows, device) if int(np.maximum(rows.lengths, 1).sum()) * width * 4 <= MOST_BYTES else rows


def rounded(steps: int) -> int:
    """Round a number of steps up: to two binary digits, such as 4, 6, 8, 12 and 16, beyond `EXACT`."""
    if steps <= EXACT:
        return steps
    unit = 1 << (int(steps - 1).bit_length() - 2)
    return -(-steps // unit) * unit


def sent(x: Array, device: str) -> Tensor:
    """Bring an array to the device; to a GPU from pinned memory, so that the copy need not be waited for."""
    held = torch.from_numpy(np.ascontiguousarray(x))
    return held.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else held.to(device)
