"""Forecasts of new data: the panel up to its last step, and the steps after it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from bench.data.events import Events
from bench.data.series import Series
from bench.errors import DataError
from bench.tasks.base import Arrays, InferenceInputs
from bench.tasks.clock import format_time
from bench.tasks.grid import begun, chosen, from_events, from_series, most_of, start_of
from bench.tasks.new_data import inference_split, refuse_step
from bench.tasks.profiles import Profile

log = logging.getLogger("bench")


def inference_inputs(data: Events | Series, run: Mapping[str, Any], options: Mapping[str, str], _profile: Profile) -> InferenceInputs:
    """Ask for the steps after the last one of the data."""
    facts = run["facts"]
    if isinstance(data, Events) == (facts["level"] == "given"):
        fitted, given = ("given series", "a log") if isinstance(data, Events) else (f"a log, by {facts['level']}", "series")
        raise DataError(f"{data.name} holds {given}; the run's models were fitted on {fitted}: give data of that kind")
    grid = from_events(data, {**options, "level": facts["level"]}) if isinstance(data, Events) else from_series(data, options)
    for note in grid.notes:
        log.warning("%s", note)
    refuse_step(data.name, grid.clock.freq, facts["freq"])
    steps = grid.values.shape[1]
    if isinstance(data, Events):
        most = most_of(facts["level"], options, max(facts["series"], 1))
        grid = begun(chosen(grid, facts["level"], steps, most), start_of(options))
    panel = grid.panel(steps, facts["horizon"], facts["season"])
    ahead = [format_time(int(t), grid.clock) for t in panel.time[0, steps:]]
    names = list(grid.names)
    split = inference_split(run, panel, SimpleNamespace(y=np.zeros((1, len(names), facts["horizon"]))))
    step = f" ({facts['freq']})" if facts["freq"] else ""
    return InferenceInputs(panel, {"unique_id": names, "ds": ahead}, split, f"{facts['horizon']} steps{step} from {ahead[0]} on")


def answer_frame(asked: InferenceInputs, arrays: Arrays) -> pl.DataFrame:
    """Return one row a series and step: `unique_id, ds, mean, q0.1, ...`."""
    n, horizon, _ = arrays["quantiles"].shape
    columns = {
        "unique_id": np.repeat(asked.columns["unique_id"], horizon),
        "ds": np.tile(asked.columns["ds"], n),
        "mean": arrays["mean"].ravel(),
    }
    columns |= {f"q{q:g}": arrays["quantiles"][:, :, at].ravel() for at, q in enumerate(asked.split.context["quantiles"])}
    return pl.DataFrame(columns)
