"""New data in the form that a fitted model is asked about: the same task, the same choices, no truth.

What a run chose (horizon, eligibility, level, season, ...) stands in its `run.json`; new data of another kind is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.api import ChurnInputs, Panel
from bench.errors import ConfigError, DataError
from bench.events import Events
from bench.profiles import Profile
from bench.series import Series
from bench.tasks import entities
from bench.tasks.base import Board, Split
from bench.tasks.churn import day, eligible, ids_of
from bench.tasks.forecast_plan import spelt
from bench.tasks.grid import chosen, from_events, from_series
from bench.tasks.history import DAY, prepare, rows_at


@dataclass(frozen=True)
class Asked:
    """Hold what models are asked, and what each row of their answers is of."""

    inputs: ChurnInputs | Panel
    columns: Mapping[str, Any]
    """Column -> value of each row: users and cut-off, or names and times of series."""
    split: Split
    """What the task needs to bring answers into their final form; it holds no truth."""


def churn(data: Events | Series, run: Mapping[str, Any], options: Mapping[str, str], profile: Profile) -> Asked:
    """Ask about the users active before the log's end, or before `cutoff=2011-05-01`."""
    if not isinstance(data, Events):
        raise DataError(f"{data.name} holds series; the run's models were fitted on an event log")
    facts = run["facts"]
    history = prepare(data)
    if not len(history.active.time):
        kinds = ", ".join(data.kinds)
        raise DataError(f"{data.name}: no event is of an activity kind ({', '.join(data.activity)}); the log has {kinds}")
    if not set(facts["kinds"][1:]) & set(data.kinds):
        raise DataError(f"{data.name}: kinds {', '.join(data.kinds)} share none with the run's ({', '.join(facts['kinds'][1:])})")
    horizon = round(facts["horizon_days"] * DAY)
    cutoff = _moment(options["cutoff"]) if "cutoff" in options else (history.last // DAY + 1) * DAY
    users = eligible(history, cutoff, horizon, ever=facts["eligible"] != "h")
    if not len(users):
        raise DataError(
            f"{data.name}: no user is active in the {facts['horizon_days']:g} days before {day(cutoff)}; give a later log, or cutoff="
        )
    inputs = rows_at(history, users, cutoff, horizon, profile.history, tuple(facts["kinds"]))
    columns = {"user": ids_of(data)[users].tolist(), "cutoff": [day(cutoff)] * len(users)}
    return Asked(inputs, columns, _split(run, SimpleNamespace(y=np.zeros(len(users)))))


def forecasting(data: Events | Series, run: Mapping[str, Any], options: Mapping[str, str], _profile: Profile) -> Asked:
    """Ask for the steps after the last one of the data."""
    facts = run["facts"]
    grid = from_events(data, options) if isinstance(data, Events) else from_series(data, options)
    _refuse_step(data.name, grid.clock.freq, facts["freq"])
    steps = grid.values.shape[1]
    if isinstance(data, Events):
        grid = chosen(grid, options.get("level", facts["level"]), steps, max(facts["series"], 1))
    panel = grid.panel(steps, facts["horizon"], facts["season"])
    ahead = [spelt(int(t), grid.clock) for t in panel.time[0, steps:]]
    names = list(grid.names)
    split = _split(run, SimpleNamespace(y=np.zeros((1, len(names), facts["horizon"]))))
    return Asked(panel, {"unique_id": names, "ds": ahead}, split)


def anomaly(data: Events | Series, run: Mapping[str, Any], options: Mapping[str, str], profile: Profile) -> Asked:
    """Ask for a score of each step after the prefixes."""
    facts = run["facts"]
    if isinstance(data, Events):
        found = entities.from_log(data, options, profile, simulated=False, among=None)
    else:
        found = entities.from_series(data, options)
    _refuse_step(data.name, found.clock.freq, facts["freq"])
    panel = found.panel()
    times = [[spelt(int(t), found.clock) for t in row] for row in found.time]
    columns = {"entity": list(found.names), "time": times, "until": panel.until.tolist(), "mask": panel.mask}
    return Asked(panel, columns, _split(run, SimpleNamespace(mask=panel.mask)))


TASKS = {"churn": churn, "forecasting": forecasting, "anomaly": anomaly}


def _split(run: Mapping[str, Any], truth: Any) -> Split:
    context = {key: tuple(v) if isinstance(v, list) else v for key, v in run["context"].items()}
    return Split(run["task_id"], {}, {"final": truth}, run["facts"], board=Board(""), context=context)


def _refuse_step(name: str, given: str, wanted: str) -> None:
    if given != wanted:
        raise DataError(f"{name}: its step is {given or 'without time'}, the run's is {wanted or 'without time'}; give data of that step")


def _moment(text: str) -> int:
    try:
        return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e6)
    except ValueError:
        raise ConfigError(f"cutoff={text!r} is no day; write it as 2011-05-01") from None
