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
from bench.metrics.anomaly import threshold
from bench.tasks.anomaly import entities
from bench.tasks.anomaly.channels import apart
from bench.tasks.base import Arrays, InferenceInputs
from bench.tasks.clock import format_time
from bench.tasks.new_data import inference_split, refuse_step
from bench.tasks.profiles import Profile

ALERTS = 0.01
"""Share of training steps that may raise an alert under the threshold of the intervals shown to people."""


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
    return InferenceInputs(asked, columns, inference_split(run, asked, Observed(panel.mask, panel.until)))


def answer_frame(asked: InferenceInputs, arrays: Arrays) -> pl.DataFrame:
    """Return each observed step after the prefix: `entity, time, score, threshold, alarm`.

    The threshold is exceeded by 1 % of the entity's training scores.
    """
    score, mask, until = arrays["prediction"], asked.columns["mask"], asked.columns["until"]
    learnt = mask & (np.arange(score.shape[1]) < until[:, None])
    limits = np.array([threshold(s[m], ALERTS) for s, m in zip(score, learnt, strict=True)])
    n, step = np.nonzero(mask & ~learnt)
    names, times = np.array(asked.columns["entity"], np.str_), np.array(asked.columns["time"], np.str_)
    columns = {"entity": names[n], "time": times[n if len(times) > 1 else np.zeros_like(n), step], "score": score[n, step]}
    return pl.DataFrame({**columns, "threshold": limits[n], "alarm": score[n, step] > limits[n]})
