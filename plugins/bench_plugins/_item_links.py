"""How many users items share, and the inverse of a large matrix of items: neither takes more memory than what it returns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.api import Array
from bench.errors import PluginError

AT_ONCE = 1 << 22
"""Numbers of shared users made at once."""
BLOCK = 512
"""Rows mirrored at once."""


def common_users(users: Any) -> Iterator[tuple[Array, Array]]:
    """Count the users that items share, a chunk of items at a time: their numbers [c], and float32 [c, I] of sparse [U, I]."""
    columns, items = users.tocsc(), users.shape[1]
    step = max(1, AT_ONCE // items)
    for at in range(0, items, step):
        own = np.arange(at, min(at + step, items))
        yield own, (columns[:, own].T @ users).toarray()


def inverse(matrix: Array) -> Array:
    """Invert a positive definite matrix [I, I] in its own memory, by Cholesky factors; raise `PluginError` where it is none."""
    from scipy.linalg import get_lapack_funcs

    routines: Any = get_lapack_funcs(("potrf", "potri"), (matrix,))
    factor, invert = routines
    # its transpose is itself, and in the order of columns that overwriting needs
    found, failed = factor(matrix.T, lower=True, overwrite_a=True)
    if not failed:
        found, failed = invert(found, lower=True, overwrite_c=True)
    if failed:
        raise PluginError("ease: rounding has left no positive definite matrix; raise the penalty (--param ease.penalty=1000)")
    upper = found.T
    for at in range(0, len(upper), BLOCK):
        block = upper[at : at + BLOCK, at:]
        corner = block[:, : len(block)]
        block[:, : len(block)] = np.triu(corner) + np.triu(corner, 1).T
        upper[at:, at : at + BLOCK] = block.T.copy()
    return np.asarray(upper)
