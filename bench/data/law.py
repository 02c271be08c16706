"""The law by which a simulator drew items: what one who knows it would foretell, a ceiling for those who only see the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from bench.data.ragged import Array, spans
from bench.errors import DataError

COLUMNS = ("user", "start", "item", "weight")
EVERYBODY = "*"


@dataclass(frozen=True)
class Law:
    """Weights of items by user and time: a law holds from its start until the next of the same user, or of everybody."""

    user: tuple[str, ...]
    """Users with a law of their own, sorted; `*`, where it stands, is for all others."""
    whose: Array
    """int64 [L]: the user of each law, sorted, and of one user by time."""
    start: Array
    """int64 [L]: microseconds since 1970 UTC."""
    offsets: Array
    """int64 [L + 1]: where each law's items begin."""
    item: pl.Series
    """Text [W]."""
    weight: Array
    """float32 [W], not negative; an item that is not named has none."""

    @property
    def since(self) -> int:
        """Return from when on something is known, in microseconds."""
        return int(self.start.min(initial=np.iinfo(np.int64).max))

    def at(self, users: Sequence[str], time: Array) -> Array:
        """Find the law of each (user, time), int64 [N]: the user's own, else everybody's, else -1."""
        number = {name: at for at, name in enumerate(self.user)}
        own = self._latest(np.array([number.get(name, -1) for name in users], np.int64), time)
        return np.where(own >= 0, own, self._latest(np.full(len(time), number.get(EVERYBODY, -1)), time))

    def _latest(self, whose: Array, time: Array) -> Array:
        """Find the last law of a user that has begun by a time, int64 [N]; -1 where there is none, or no such user."""
        moments = np.unique(self.start)
        key = self.whose * (len(moments) + 1) + np.searchsorted(moments, self.start) + 1
        found = np.searchsorted(key, whose * (len(moments) + 1) + np.searchsorted(moments, time, side="right"), side="right") - 1
        fits = (found >= 0) & (whose >= 0)
        fits[fits] = self.whose[found[fits]] == whose[fits]
        return np.where(fits, found, -1)

    def weights(self, laws: Array, number: Array, items: int) -> Array:
        """Lay out the weights of some laws, float32 [n, I]; law -1 knows nothing.

        `number`: int [W], the column of each item, from I on none.
        """
        known, which = np.unique(laws, return_inverse=True)
        table = np.zeros((len(known), items), np.float32)
        some = np.flatnonzero(known >= 0)
        length = np.diff(self.offsets)[known[some]]
        at, _ = spans(self.offsets[known[some]], length)
        inside = number[at] < items
        table[np.repeat(some, length)[inside], number[at][inside]] = self.weight[at][inside]
        return table[which]


def read_law(path: Path) -> Law:
    """Read `user`, `start` (UTC), `item` and `weight`; raise `DataError` that names file and column."""
    table = pl.read_parquet(path)
    missing = [c for c in COLUMNS if c not in table.columns]
    if missing:
        raise DataError(f"{path}: no column {missing[0]!r}; it has {', '.join(table.columns)}, expected {', '.join(COLUMNS)}")
    table = table.select(
        pl.col("user", "item").cast(pl.String), pl.col("start").cast(pl.Datetime("us")).to_physical(), pl.col("weight").cast(pl.Float32)
    )
    if table.null_count().sum_horizontal().sum() or not (table["weight"].is_finite() & (table["weight"] >= 0)).all():
        raise DataError(f"{path}: a law has empty fields, or weights that are no finite numbers from 0 on; simulate the log again")
    table = table.sort("user", "start", maintain_order=True)
    user = table["user"].unique().sort()
    whose = table["user"].cast(pl.Enum(user)).to_physical().to_numpy().astype(np.int64)
    start = table["start"].to_numpy()
    new = np.flatnonzero(np.r_[True, (np.diff(whose) != 0) | (np.diff(start) != 0)][: len(table)])
    return Law(tuple(user), whose[new], start[new], np.r_[new, len(table)], table["item"], table["weight"].to_numpy())
