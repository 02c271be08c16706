"""Find models of one board whose predictions are the same: one of them may be a copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bench.board.schema import Row
from bench.data.ragged import Array
from bench.runs.ensemble import BLENDS
from bench.runs.offline_rows import base_of
from bench.tasks.base import Prediction

LOOKED_AT = 4_096
"""Numbers of each array that are compared, evenly spread."""
CLOSE = 1e-6
"""Relative to the largest number: a copy may be shaken."""


def sketch(prediction: Prediction) -> list[Array]:
    """Return a few numbers of each array, float64, by which two predictions can be told apart."""
    arrays = [part[name] for part in prediction for name in sorted(part)]
    return [_few(array.ravel()) for array in arrays]


def duplicates(rows: Sequence[Row], sketches: Mapping[int, Sequence[Array]]) -> Iterator[str]:
    """Describe pairs of models whose predictions do not differ; `sketches` by the place of their row."""
    told: set[tuple[str, str]] = set()
    fits = [at for at in sketches if rows[at]["model"] not in BLENDS and base_of(rows[at]) == rows[at]["model"]]
    places = [at for at in fits if any(np.ptp(part) > 0 for part in sketches[at] if part.size)]
    for at, one in enumerate(places):
        for other in places[at + 1 :]:
            names = rows[one]["model"], rows[other]["model"]
            if names[0] != names[1] and names not in told and _same(sketches[one], sketches[other]):
                told.add(names)
                yield f"{names[0]} and {names[1]} on {rows[one]['dataset']} have the same predictions: one may be a copy of the other"


def _few(flat: Array) -> Array:
    step = max(1, len(flat) // LOOKED_AT)
    return np.nan_to_num(flat[::step].astype(np.float64))


def _same(one: Sequence[Array], other: Sequence[Array]) -> bool:
    if [a.shape for a in one] != [b.shape for b in other]:
        return False
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a.size]
    return bool(pairs) and all(float(np.abs(a - b).max()) <= CLOSE * max(np.abs(a).max(), np.abs(b).max(), 1e-300) for a, b in pairs)
