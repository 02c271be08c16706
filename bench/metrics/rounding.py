"""Make arrays ready for JSON: six significant digits, null where there is no number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bench.data.ragged import Array

DIGITS = 6


def rounded(value: float | None) -> float | int | None:
    """Round to six significant digits; None for None, nan and infinity; whole numbers lose their point."""
    if value is None or not math.isfinite(value):
        return None
    rounded = float(f"{value:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def listed(values: Array | list[float]) -> list[Any]:
    """Round an array of any shape into nested lists."""
    array = np.asarray(values)
    return [rounded(float(v)) for v in array] if array.ndim == 1 else [listed(part) for part in array]


def picks(scores: Array) -> list[tuple[str, int]]:
    """Choose what stands for many by a fixed rule: the best, the median and the worst by `scores` (float [N], lower is better).

    Series without a score never stand; of equals the first; with fewer than three, those there are.
    """
    known = np.flatnonzero(np.isfinite(scores))
    order = known[np.argsort(scores[known], kind="stable")]
    if len(order) < 3:
        return [(role, int(at)) for role, at in zip(("best", "worst"), order, strict=False)]
    return [("best", int(order[0])), ("median", int(order[(len(order) - 1) // 2])), ("worst", int(order[-1]))]
