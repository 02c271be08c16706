"""Anomalies in new data: prefixes to learn from, and the steps after them to score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from bench.data.events import Events
from bench.data.ragged import Array
from bench.data.series import Series
from bench.errors import DataError
from bench.tasks.anomaly import entities
from bench.tasks.anomaly.alarms import Rule, limits, raised
from bench.tasks.anomaly.channels import apart
from bench.tasks.base import Arrays, InferenceInputs
from bench.tasks.clock import format_time
from bench.tasks.new_data import inference_split, refuse_step
from bench.tasks.profiles import Profile

ALERTS = 0.01
"""Share of training steps that may raise an alert under the threshold of the intervals shown to people."""

ABOUT = "every step after the training prefix of each entity"


@dataclass(frozen=True)
class Observed:
    """What is known of entities of which no anomaly is: which steps exist, and which of them are learnt from."""

    mask: Array
    """bool [N, T]."""
    until: Array
    """int64 [N]: end of each training prefix."""

    def view(self, part: int) -> Observed:
        """Return what is known of a part."""
        return self

    def learnt(self, n: int) -> Array:
        """Mark the training steps of an entity, bool [T]."""
        return np.asarray(self.mask[n] & (np.arange(self.mask.shape[1]) < self.until[n]))


def inference_inputs(data: Events | Series, run: Mapping[str, Any], options: Mapping[str, str], profile: Profile) -> InferenceInputs:
    """Ask for a score of each step after the prefixes."""
    facts = run["facts"]
    if isinstance(data, Events):
        found = entities.from_log(data, options, profile, simulated=False, among=None)
    else:
        found = entities.from_series(data, options)
    refuse_step(data.name, found.freq, facts["freq"])
    panel = found.panel()
    times = [[format_time(int(t), found.finest) for t in row] for row in found.time]
    columns = {"entity": list(found.names), "time": times, "until": panel.until, "mask": panel.mask}
    asked = apart(panel, found.channels)
    if asked.channels != facts.get("channels", 1):
        raise DataError(
            f"{data.name}: it has {asked.channels} channels, the run's data had {facts.get('channels', 1)}; name them with --set"
        )
    return InferenceInputs(asked, columns, inference_split(run, asked, Observed(panel.mask, panel.until)), ABOUT)


def answer_frame(asked: InferenceInputs, arrays: Arrays) -> pl.DataFrame:
    """Return each observed step after the prefix: `entity, time, score, threshold, alarm`.

    The threshold is that of the entity's prefix, or of the steps just before where they stand higher; steps in an alarm
    may lie below it, between two that do not. See `bench.tasks.anomaly.alarms`.
    """
    score, mask, until = arrays["prediction"], asked.columns["mask"], asked.columns["until"]
    learnt = mask & (np.arange(score.shape[1]) < until[:, None])
    rule = Rule.of(int(asked.split.facts.get("buffer", 1)))
    limit, alarm = np.full(score.shape, np.inf), np.zeros(score.shape, bool)
    for k, real in enumerate(mask):
        own = int(learnt[k].sum())
        limit[k, real], alarm[k, real] = limits(score[k, real], own, rule), raised(score[k, real], own, rule)
    n, step = np.nonzero(mask & ~learnt)
    names, times = np.array(asked.columns["entity"], np.str_), np.array(asked.columns["time"], np.str_)
    columns = {"entity": names[n], "time": times[n if len(times) > 1 else np.zeros_like(n), step], "score": score[n, step]}
    return pl.DataFrame({**columns, "threshold": limit[n, step], "alarm": alarm[n, step]})
