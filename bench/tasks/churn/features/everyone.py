"""What everybody did up to a cut-off: the drift and the season that a user's own activity is seen against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.data.ragged import Array
from bench.tasks.churn.features.past import ratio
from bench.tasks.churn.prepared import DAY, History

YEAR = 364 * DAY
"""Whole weeks."""


@dataclass(frozen=True)
class Everyone:
    """Everybody's events up to a cut-off, in numbers."""

    h4: int
    h: int
    h2: int
    """Events in the last H/4, H and 2 H."""
    churned: float
    year: float

    @classmethod
    def at(cls, history: History, cutoff: int, horizon: int) -> Everyone:
        """Count everybody's events; `cutoff`, `horizon` in microseconds."""
        until = {k: history.active.events_until(cutoff - k * horizon // 4) for k in (0, 1, 4, 8)}  # int64 [U] each
        quarter, last, both = (int((until[0] - until[k]).sum()) for k in (1, 4, 8))
        before, silent = until[4] > until[8], until[0] == until[4]
        churned = float((before & silent).sum() / max(before.sum(), 1))
        return cls(quarter, last, both, churned, _year(history, cutoff, horizon))

    def beside(self, own: dict[str, Array]) -> dict[str, Array]:
        """Compute the columns of `EVERYONE`, float64 [N] each; `own`: the users' own columns."""
        rows = len(own["share_h4_of_h"])
        return {
            "season_h4": _relative(own["share_h4_of_h"], self.h4, self.h),
            "season_h": _relative(own["share_h_of_2h"], self.h, self.h2),
            "all_h_to_before": np.full(rows, self.h / max(self.h2 - self.h, 1)),
            "all_churned_h": np.full(rows, self.churned),
            "all_year": np.full(rows, self.year),
        }


def _relative(share: Array, part: int, whole: int) -> Array:
    """Divide users' shares [N] by everybody's, `part` of `whole`."""
    return ratio(share, np.full(len(share), part / max(whole, 1)))


def _year(history: History, cutoff: int, horizon: int) -> float:
    """Compare everybody's events after and before the day a year ago; 1 where the log does not reach so far back."""
    then = cutoff - YEAR
    if then - horizon < history.first or then + horizon > cutoff:
        return 1.0
    early, middle, late = (int(history.active.events_until(then + k * horizon).sum()) for k in (-1, 0, 1))
    return (late - middle) / max(middle - early, 1)
