"""New data in the form that a fitted model is asked about: the same task, the same choices, no truth.

What a run chose (horizon, eligibility, level, season, ...) stands in its `run.json`; new data of another kind is refused.
"""

from __future__ import annotations

import logging
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
from bench.ragged import Array
from bench.series import Series
from bench.tasks import entities
from bench.tasks.base import Board, Split, Stage
from bench.tasks.churn import day, eligible, ids_of, joined
from bench.tasks.forecast_plan import spelt
from bench.tasks.grid import chosen, from_events, from_series
from bench.tasks.history import DAY, History, prepare, rows_at

log = logging.getLogger("bench")


@dataclass(frozen=True)
class Asked:
    """Hold what models are asked, and what each row of their answers is of."""

    inputs: ChurnInputs | Panel
    columns: Mapping[str, Any]
    """Column -> value of each row: users and cut-off, or names and times of series."""
    split: Split
    """What the task needs to bring answers into their final form; it holds no truth."""


@dataclass(frozen=True)
class Observed:
    """Hold what is known of entities of which no anomaly is: which steps exist, and which of them are learnt from."""

    mask: Array
    """bool [N, T]."""
    until: Array
    """int64 [N]: end of each training prefix."""

    def learnt(self, n: int) -> Array:
        """Mark the training steps of an entity, bool [T]."""
        return np.asarray(self.mask[n] & (np.arange(self.mask.shape[1]) < self.until[n]))


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
    users, cutoff = _rows(data, history, facts, options)
    horizon = round(facts["horizon_days"] * DAY)
    inputs = ChurnInputs(
        **joined([rows_at(history, users[cutoff == t], int(t), horizon, profile.history, tuple(facts["kinds"])) for t in np.unique(cutoff)])
    )
    columns = {"user": ids_of(data)[users].tolist(), "cutoff": [day(int(t)) for t in cutoff]}
    return Asked(inputs, columns, _split(run, inputs, SimpleNamespace(y=np.zeros(len(users)))))


def _rows(data: Events, history: History, facts: Mapping[str, Any], options: Mapping[str, str]) -> tuple[Array, Array]:
    """Choose users and their cut-offs in microseconds, int64 [N] each, sorted by cut-off; given cut-offs come with the data."""
    if facts["eligible"] == "given" and data.labels is not None and "cutoff" not in options:
        table = data.labels.sort("cutoff", "user")
        return table["user"].to_physical().to_numpy().astype(np.int64), table["cutoff"].to_physical().to_numpy()
    cutoff = _moment(options["cutoff"]) if "cutoff" in options else (history.last // DAY + 1) * DAY
    users = eligible(history, cutoff, round(facts["horizon_days"] * DAY), ever=facts["eligible"] != "h")
    if not len(users):
        when = f"in the {facts['horizon_days']:g} days before" if facts["eligible"] == "h" else "before"
        raise DataError(f"{data.name}: no user is active {when} {day(cutoff)}; give a later log, or --set cutoff=")
    return users, np.full(len(users), cutoff)


def forecasting(data: Events | Series, run: Mapping[str, Any], options: Mapping[str, str], _profile: Profile) -> Asked:
    """Ask for the steps after the last one of the data."""
    facts = run["facts"]
    if isinstance(data, Events) == (facts["level"] == "given"):
        fitted, given = ("given series", "a log") if isinstance(data, Events) else (f"a log, by {facts['level']}", "series")
        raise DataError(f"{data.name} holds {given}; the run's models were fitted on {fitted}: give data of that kind")
    grid = from_events(data, {**options, "level": facts["level"]}) if isinstance(data, Events) else from_series(data, options)
    for note in grid.notes:
        log.warning("%s", note)
    _refuse_step(data.name, grid.clock.freq, facts["freq"])
    steps = grid.values.shape[1]
    if isinstance(data, Events):
        grid = chosen(grid, facts["level"], steps, max(facts["series"], 1))
    panel = grid.panel(steps, facts["horizon"], facts["season"])
    ahead = [spelt(int(t), grid.clock) for t in panel.time[0, steps:]]
    names = list(grid.names)
    split = _split(run, panel, SimpleNamespace(y=np.zeros((1, len(names), facts["horizon"]))))
    return Asked(panel, {"unique_id": names, "ds": ahead}, split)


def anomaly(data: Events | Series, run: Mapping[str, Any], options: Mapping[str, str], profile: Profile) -> Asked:
    """Ask for a score of each step after the prefixes."""
    facts = run["facts"]
    if isinstance(data, Events):
        found = entities.from_log(data, options, profile, simulated=False, among=None)
    else:
        found = entities.from_series(data, options)
    _refuse_step(data.name, found.freq, facts["freq"])
    panel = found.panel()
    times = [[spelt(int(t), found.finest) for t in row] for row in found.time]
    columns = {"entity": list(found.names), "time": times, "until": panel.until, "mask": panel.mask}
    return Asked(panel, columns, _split(run, panel, Observed(panel.mask, panel.until)))


TASKS = {"churn": churn, "forecasting": forecasting, "anomaly": anomaly}


def _split(run: Mapping[str, Any], inputs: ChurnInputs | Panel, truth: Any) -> Split:
    context = {key: tuple(v) if isinstance(v, list) else v for key, v in run["context"].items()}
    return Split(run["task_id"], {"final": Stage((), (inputs,))}, {"final": truth}, run["facts"], board=Board(""), context=context)


def _refuse_step(name: str, given: str, wanted: str) -> None:
    if not set(given.split("+")) <= set(wanted.split("+")):  # a run may have had series of several steps
        raise DataError(f"{name}: its step is {given or 'without time'}, the run's is {wanted or 'without time'}; give data of that step")


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"cutoff={text!r} is no day; write it as 2011-05-01") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)
