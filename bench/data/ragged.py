"""Small vectorised helpers for ragged rows and for seeded, order-free choices."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def spans(start: Array, length: Array) -> tuple[Array, Array]:
    """List the indices of ragged spans, one after another.

    `start`, `length`: int [N]. Returns (indices int64 [sum(length)], offsets int64 [N + 1]).
    """
    offsets = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    shift = np.repeat(np.asarray(start, np.int64) - offsets[:-1], length)
    return np.arange(offsets[-1], dtype=np.int64) + shift, offsets


def hashed(keys: Array, seed: int) -> Array:
    """Map whole numbers to [0, 1) by a seeded hash (splitmix64, Steele et al. 2014): the same key, the same number.

    `keys`: int [N]; returns float64 [N]. A choice made so does not depend on which other keys are present.
    """
    with np.errstate(over="ignore"):
        z = np.asarray(keys).astype(np.uint64) + np.uint64((seed * 2 + 1) % 2**64) * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def id_hashes(ids: Array) -> Array:
    """Hash ids to uint64 [N] by the first 8 bytes of their sha256."""
    numbers = (int.from_bytes(hashlib.sha256(i.encode()).digest()[:8], "big") for i in ids)
    return np.fromiter(numbers, np.uint64, len(ids))
