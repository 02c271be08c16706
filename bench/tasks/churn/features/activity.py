"""How much, and how much of it lately: events, days and values by window, their slopes and shares."""

from __future__ import annotations

import numpy as np

from bench.data.feature_names import QUARTERS, WINDOWS
from bench.data.ragged import Array
from bench.tasks.churn.features.past import LATER, Past, ratio
from bench.tasks.churn.prepared import DAY


def activity(past: Past, cutoff: int, horizon: int) -> dict[str, Array]:
    """Compute the columns of `ACTIVITY`, float64 [N] each."""
    events = past.by(past.quarter, LATER + 1, past.count)  # [N, LATER + 1]
    days = past.by(past.quarter, LATER + 1, past.new_days().astype(np.float64))
    value = past.by(past.quarter, LATER + 1, past.value)
    return {
        **{f"events_q{k + 1}": events[:, k] for k in range(QUARTERS)},
        "events_4h": within(events, "4h"),
        **{f"days_{w}": within(days, w) for w in WINDOWS},
        **{f"value_{w}": within(value, w) for w in WINDOWS},
        "quarters_active": (events[:, :QUARTERS] > 0).sum(axis=1),
        "quarters_in_a_row": np.cumprod(events[:, :LATER] > 0, axis=1).sum(axis=1),
        "slope_h": slope(events[:, : WINDOWS["h"]]),
        "slope_2h": slope(events[:, : WINDOWS["2h"]]),
        "share_h4_of_h": ratio(within(events, "h4"), within(events, "h")),
        "share_h_of_2h": ratio(within(events, "h"), within(events, "2h")),
        "share_2h_of_4h": ratio(within(events, "2h"), within(events, "4h")),
        "share_h_of_all": ratio(within(events, "h"), events.sum(axis=1)),
        "days_share_h_of_2h": ratio(within(days, "h"), within(days, "2h")),
        "value_share_h_of_2h": ratio(within(np.abs(value), "h"), within(np.abs(value), "2h")),
        "rate_h_to_life": _rate(past, events, cutoff, horizon),
    }


def within(table: Array, window: str) -> Array:
    """Sum the quarters [N, LATER + 1] of a window: [N]."""
    return np.asarray(table[:, : WINDOWS[window]].sum(axis=1))


def slope(events: Array) -> Array:
    """Compute the least-squares slope of log(1 + events) [N, Q] over the quarters, the latest first: [N]; above 0, it rises."""
    x = -np.arange(events.shape[1], dtype=np.float64)
    x -= x.mean()
    return np.asarray((np.log1p(events) * x).sum(axis=1) / (x**2).sum())


def _rate(past: Past, events: Array, cutoff: int, horizon: int) -> Array:
    """Compare events a day in the last horizon with those since the first event, [N]; an age of less than a day counts as one."""
    age = np.maximum((cutoff - past.of_step(past.time, past.first)) / DAY, 1.0)
    return ratio(within(events, "h") / np.minimum(horizon / DAY, age), events.sum(axis=1) / age)
