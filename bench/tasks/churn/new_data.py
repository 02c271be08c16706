"""Churn of new users: the rows that a fitted model is asked about, at the end of a new log or at a given cut-off."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from bench.api import Array, ChurnInputs
from bench.data.events import Events
from bench.data.series import Series
from bench.errors import ConfigError, DataError
from bench.tasks.base import Arrays, InferenceInputs
from bench.tasks.churn.history import DAY, History, prepare, rows_at
from bench.tasks.churn.rows import day, eligible, ids_of, joined
from bench.tasks.new_data import inference_split
from bench.tasks.profiles import Profile


def inference_inputs(data: Events | Series, run: Mapping[str, Any], options: Mapping[str, str], profile: Profile) -> InferenceInputs:
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
    columns = {"user": ids_of(data)[users].tolist(), "cutoff": [day(int(t)) for t in cutoff], "horizon_days": facts["horizon_days"]}
    split = inference_split(run, inputs, SimpleNamespace(y=np.zeros(len(users))))
    days = sorted(set(columns["cutoff"]))
    about = f"churn within {facts['horizon_days']:g} days from {days[0] if len(days) == 1 else 'the cut-off of each user'} on"
    return InferenceInputs(inputs, columns, split, about, _excluded(data, history, facts, users, int(cutoff[0])))


def _excluded(data: Events, history: History, facts: Mapping[str, Any], users: Array, cutoff: int) -> dict[str, str]:
    """Return why each other user of the log is not asked about, by id; nothing where labels came with the data and say who counts."""
    if facts["eligible"] == "given":
        return {}
    present = np.unique(data.frame["user"].to_physical().to_numpy())
    before, active = history.active.events_until(cutoff) > 0, np.diff(history.active.start) > 0
    late = f"no activity in the {facts['horizon_days']:g} days before {day(cutoff)}"
    others = np.setdiff1d(present, users)
    reasons = np.where(before[others], late, np.where(active[others], f"not active before {day(cutoff)}", "no activity at all"))
    return dict(zip(ids_of(data)[others].tolist(), reasons.tolist(), strict=True))


def _rows(data: Events, history: History, facts: Mapping[str, Any], options: Mapping[str, str]) -> tuple[Array, Array]:
    """Choose users and their cut-offs in microseconds, int64 [N] each, sorted by cut-off; given cut-offs come with the data."""
    if facts["eligible"] == "given" and data.labels is not None and "cutoff" not in options:
        table = data.labels.sort("cutoff", "user")
        return table["user"].to_physical().to_numpy().astype(np.int64), table["cutoff"].to_physical().to_numpy()
    cutoff = _moment(options["cutoff"]) if "cutoff" in options else (history.last // DAY + 1) * DAY
    users = eligible(history, cutoff, round(facts["horizon_days"] * DAY), ever=facts["eligible"] != "h")
    if not len(users):
        when = f"in the {facts['horizon_days']:g} days before" if facts["eligible"] == "h" else "before"
        raise DataError(f"{data.name}: no user is active {when} {day(cutoff)}; give a later log, or another cut-off")
    return users, np.full(len(users), cutoff)


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"cutoff={text!r} is no day; write it as 2011-05-01") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)


def answer_frame(asked: InferenceInputs, arrays: Arrays) -> pl.DataFrame:
    """Return one row a user, the likeliest to churn first: `user, cutoff, horizon_days, p_churn`."""
    return pl.DataFrame({**asked.columns, "p_churn": arrays["prediction"]}).sort("p_churn", descending=True, maintain_order=True)
