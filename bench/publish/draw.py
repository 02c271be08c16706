"""Draw the rows that are fitted again: by a hash that whoever published could not choose; and what such a draw can miss."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

FALSE = (1, 3, 10)
"""Numbers of false rows whose chance to slip through is told."""


def order(names: Sequence[str], board: Sequence[str], seed: int) -> list[int]:
    """Return the positions of `names` in the order in which they are drawn.

    `board`: the ids of all runs, each the digest of all that its run says, so that nothing can be changed without another
    draw. `seed` is the verifier's own: without it a publisher could try changes until the draw suits him.
    """
    head = hashlib.sha256("\n".join([str(seed), *sorted(board)]).encode()).digest()
    keys = [hashlib.sha256(head + name.encode()).digest() for name in names]
    return sorted(range(len(names)), key=lambda at: (keys[at], at))


def miss_probability(false: int, rows: int, drawn: int) -> float:
    """Return the chance that none of `false` rows is among `drawn` of `rows`."""
    return math.comb(rows - false, drawn) / math.comb(rows, drawn) if false <= rows else 0.0


def words(rows: int, drawn: int) -> str:
    """Describe what a draw can miss."""
    told = [f"{n} with {miss_probability(n, rows, drawn):.0%}" for n in FALSE if n <= rows]
    return f"{drawn:,} of {rows:,} rows that can be fitted again were drawn; of false ones among them would slip through: {', '.join(told)}"
