"""What a network of the churn task is shown beside each step's gap, size and kind, and the aggregates of the whole past.

All of it is searched; what helps differs from log to log and from network to network (see `tests/benchmarks/bench_inputs.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Context = Literal["history", "features"]
Items = Literal["none", "past", "events"]
Calendar = Literal["none", "events"]


@dataclass(frozen=True)
class Shown:
    """Choose what is shown beside the usual."""

    context: Context = "history"
    """`features`: all FEATURES stand beside the aggregates."""
    items: Items = "none"
    """Where vectors of items stand: nowhere, once for the whole past, or at each step."""
    calendar: Calendar = "none"
    """`events`: each step tells its hour and weekday."""

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Shown:
        """Read it from a model's parameters; what they do not name is as usual."""
        return cls(**{name: params[name] for name in ("context", "items", "calendar") if name in params})

    @property
    def usual(self) -> bool:
        """Return whether nothing is shown beside the usual."""
        return self == Shown()


def shown_choices(*, by_step: bool) -> dict[str, tuple[str, ...]]:
    """Return the choices of each parameter, the default first.

    `by_step`: the network reads steps one by one. One that reads a past as a single row of numbers begins with FEATURES, by which
    `vae` gained on nine of eleven logs, and is told nothing more of each step, by which it lost on most.
    """
    if not by_step:
        return {"context": ("features", "history"), "items": ("none", "past")}
    return {"context": get_args(Context), "items": get_args(Items), "calendar": get_args(Calendar)}
