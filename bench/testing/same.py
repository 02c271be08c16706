"""Compare what a task hands out, however deep: arrays bit by bit, everything else by value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


def other(a: Any, b: Any, where: str = "") -> str:
    """Name the first place in which two things differ; empty: none."""
    if type(a) is not type(b):
        return where or f"{type(a).__name__} against {type(b).__name__}"
    if is_dataclass(a) or isinstance(a, Mapping | list | tuple):
        return _inside(a, b, where)
    return "" if _equal(a, b) else where or "the value"


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    return bool(a == b or (a != a and b != b))  # noqa: PLR0124 - nan is itself here


def _inside(a: Any, b: Any, where: str) -> str:
    """Compare field by field, key by key, item by item."""
    if is_dataclass(a):
        return _first((f"{where}.{f.name}".lstrip("."), getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, Mapping):
        if set(a) != set(b):
            return f"{where} has other keys".strip()
        return _first((f"{where}[{key!r}]", a[key], b[key]) for key in a)
    if len(a) != len(b):
        return f"the length of {where or 'the list'}"
    return _first((f"{where}[{at}]", x, y) for at, (x, y) in enumerate(zip(a, b, strict=True)))


def _first(pairs: Any) -> str:
    return next((found for where, a, b in pairs if (found := other(a, b, where))), "")
