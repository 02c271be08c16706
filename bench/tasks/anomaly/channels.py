"""Several channels an entity: to a model rows of a panel that follow each other, to a board one score a step.

Letters for shapes: N entities, T steps, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.data.panel import Panel, filled
from bench.data.ragged import Array
from bench.metrics.anomaly import LARGEST
from bench.tasks.anomaly.injection_plan import Incident

COMBINE, SEARCHED = ("mean", "max"), "search"


def apart(panel: Panel, values: Array | None) -> Panel:
    """Return a panel of N C rows, the channels of each entity one after another; `values`: float64 [N, T, C], None: as it is."""
    if values is None:
        return panel
    n, steps, channels = values.shape
    rows, mask, start = filled(values.transpose(0, 2, 1).reshape(n * channels, steps))
    shared: dict[str, Any] = {name: x if len(x := getattr(panel, name)) == 1 else over(x, channels) for name in ("time", "known")}
    seasons = None if panel.seasons is None else over(panel.seasons, channels)
    until = np.maximum(over(panel.until, channels), start)
    return replace(panel, values=rows, mask=mask, start=start, until=until, seasons=seasons, channels=channels, **shared)


def over(x: Array, channels: int) -> Array:
    """Repeat what is known of each entity for its channels, [N, ...] to [N C, ...]."""
    return np.repeat(x, channels, axis=0)


def together(score: Array, learnt: Array, channels: int, how: str = "mean") -> Array:
    """Combine the channels' scores, float64 [N C, T] to [N, T], each in units of its own mean size over the steps `learnt`, bool [N, T].

    On SKAB's eight channels the mean of |x - median|, smoothed, reached VUS-PR .87 so, and .63 where each channel was
    ranked against its prefix first: how far beyond the prefix a channel goes is what counts.
    """
    if channels == 1:
        return score
    seen = over(learnt, channels)
    size = np.where(seen, np.abs(score) / np.maximum(seen.sum(axis=1), 1)[:, None], 0.0).sum(axis=1)
    whole = np.abs(score / score.shape[1]).sum(axis=1)  # of a channel that was still in its prefix
    unit = np.select([size > 0, whole > 0], [size, whole], 1.0)[:, None]
    with np.errstate(over="ignore"):
        scaled = np.clip(score / unit, -LARGEST / channels, LARGEST / channels)
    each = scaled.reshape(-1, channels, score.shape[1])
    return np.asarray(each.max(axis=1) if how == "max" else each.mean(axis=1))


def incidents_apart(incidents: Sequence[Incident], channels: int) -> list[Incident]:
    """Let each incident happen in every other channel of its entity, in one at least: few faults show in all."""
    return [
        replace(i, entity=i.entity * channels + c, seed=i.seed + c)
        for i in incidents
        for c in range(channels)
        if (c + i.seed) % 2 == 0 or channels == 1
    ]
