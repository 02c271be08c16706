"""The sizes of a network, which belong to the task and the data and not to the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["churn", "forecasting", "anomaly", "next-event"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Describe what a network is fed and what it emits: `each` numbers at each of the last `steps` steps of a row."""

    task: Kind
    f: int
    """Features of a step, F."""
    steps: int = 1
    """Last steps of a row that are answered: 1 (churn), H (forecasting), the scored steps of a window (anomaly)."""
    each: int = 1
    """Numbers for each of them: 1, a number for each quantile, or one for each item of the catalogue."""
    longest: int = 1
    """Steps of the longest row that was learnt from, for a network of a fixed size."""
    beside: int = 0
    """The last of the F features, which are the same at all steps of a row."""
    levels: tuple[float, ...] = ()
    """Levels of the quantiles, where `each` is a number for each of them."""

    @property
    def o(self) -> int:
        """Return the number of outputs of a row, O; step by step, so that raw outputs reshape to [N, steps, each]."""
        return self.steps * self.each
