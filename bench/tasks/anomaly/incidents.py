"""Lay the incidents that a simulator wrote beside its log on a panel's grid.

An incident of a user (bulk orders, spam) is an anomaly; one of everybody (`*`: a promotion, a surge) is no user's
anomaly but a benign event that all share, a decoy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from bench.data.ragged import Array
from bench.tasks.anomaly.injection_plan import Incident, labels

EVERYBODY = "*"


def simulated_incidents(table: pl.DataFrame, names: Sequence[str], time: Array, step: int) -> list[Incident]:
    """Return the incidents of the entities `names` on the grid `time`, by entity and step.

    `table`: from `read_incidents`; `time`: int64 [T], begin of each step in microseconds since 1970, ascending; `step`:
    its length. An incident covers each step that it overlaps; one without length is in the step of its start. Users that
    are not named, and incidents outside the grid, are passed over. Strength is 1: a simulator does not tell it.
    """
    entity = {name: n for n, name in enumerate(names)}
    start, end = (table[c].dt.epoch("us").to_numpy() for c in ("start", "end"))
    begin = np.searchsorted(time + step, start, side="right")  # the first step that ends after the start
    stop = np.searchsorted(time, np.maximum(end, start + 1), side="left")
    found: list[Incident] = []
    for user, b, e, kind in zip(table["user"], begin.tolist(), stop.tolist(), table["kind"], strict=True):
        whose = range(len(names)) if user == EVERYBODY else [entity[user]] if user in entity else []
        found += [Incident(n, b, e, kind, 1.0, decoy=user == EVERYBODY) for n in whose if b < e]
    return sorted(found, key=lambda i: (i.entity, i.begin, i.end, i.kind))


def incident_labels(table: pl.DataFrame, names: Sequence[str], time: Array, step: int) -> Array:
    """Mark the steps of the users' own incidents, bool [N, T]; arguments as for `simulated_incidents`."""
    return labels(simulated_incidents(table, names, time, step), (len(names), len(time)))
