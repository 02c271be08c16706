"""The churn protocol where labels are derived: cut-offs step back from the log's end by the horizon.

Rule (RelBench's): at cut-off t a user is eligible with at least one activity in (t - H, t] (`eligible=ever`: any
before), and churned with none in (t, t + H].
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.api import Array
from bench.data.durations import parse_duration, show_duration
from bench.data.events import Events
from bench.errors import ConfigError, ProtocolError
from bench.tasks.base import Split, Stage, StageName, Truth
from bench.tasks.churn.history import DAY, History, rows_at
from bench.tasks.churn.rows import Labelled, among_rows, day, eligible, ids_of, judge, make_split, sizes, training
from bench.tasks.profiles import Profile

HORIZONS = (7 * DAY, 28 * DAY, 91 * DAY)
TESTED_ONLY = 0.2
"""Share of the users that `split=time+user` never trains on."""


@dataclass(frozen=True)
class Protocol:
    """The choices of one churn split; times in microseconds since 1970, UTC."""

    horizon: int
    ever: bool
    by_user: bool
    fit: tuple[int, ...]
    """Training cut-offs, latest first."""
    valid: int
    test: int

    def task_id(self, activity: tuple[str, ...], caps: str) -> str:
        """Format every choice that makes two scores comparable."""
        kinds = "+".join(activity)
        return (
            f"churn/v1/h={show_duration(self.horizon)}/elig={'ever' if self.ever else 'h'}"
            f"/split={'time+user' if self.by_user else 'time'}/cutoffs={len(self.fit)}/activity={kinds}/{caps}"
        )


def choose(history: History, options: Mapping[str, str], name: str) -> Protocol:
    """Fix horizon and cut-offs from the options and the log; raise `ProtocolError` with the dates."""
    wanted = _cutoffs_wanted(options)
    eligible, split = options.get("eligible", "h"), options.get("split", "time")
    if eligible not in {"h", "ever"}:
        raise ConfigError(f"eligible={eligible!r} is unknown; use h or ever")
    if split not in {"time", "time+user"}:
        raise ConfigError(f"split={split!r} is unknown; use time or time+user")
    given = options.get("horizon")
    horizon = default_horizon(history, min(wanted, 2)) if given is None else parse_duration(given, name="horizon")
    test, valid, fit = cutoffs(history, horizon, wanted)
    if not fit:
        raise ProtocolError(_too_short(history, horizon, name))
    return Protocol(horizon, eligible == "ever", split == "time+user", fit, valid, test)


def cutoffs(history: History, horizon: int, wanted: int) -> tuple[int, int, tuple[int, ...]]:
    """Step back from the log's end by the horizon: (test, validation, training cut-offs with H of history)."""
    test = (history.last - horizon) // DAY * DAY
    valid = test - horizon
    fit = (valid - k * horizon for k in range(1, wanted + 1))
    return test, valid, tuple(t for t in fit if t - horizon >= history.first // DAY * DAY)


def default_horizon(history: History, needed: int) -> int:
    """Choose the smallest of 7, 28, 91 days >= the 90th percentile of gaps, stepped down until enough cut-offs exist."""
    typical = np.quantile(history.gaps, 0.9) * DAY if len(history.gaps) else 0
    at = next((i for i, h in enumerate(HORIZONS) if h >= typical), len(HORIZONS) - 1)
    while at > 0 and len(cutoffs(history, HORIZONS[at], needed)[2]) < needed:
        at -= 1
    return HORIZONS[at]


def label(history: History, cutoff: int, protocol: Protocol, longest: int | None, kinds: tuple[str, ...]) -> Labelled:
    """Find who is eligible at a cut-off and who churned after it.

    The inputs come from `rows_at`, which reads nothing after the cut-off; the labels come from (t, t + H] alone.
    """
    until = history.active.events_until(cutoff)
    users = eligible(history, cutoff, protocol.horizon, ever=protocol.ever)
    after = history.active.events_until(cutoff + protocol.horizon)
    y = (after == until)[users].astype(np.int8)
    return Labelled(rows_at(history, users, cutoff, protocol.horizon, longest, kinds), y, users)


def build(events: Events, history: History, protocol: Protocol, profile: Profile, seed: int) -> Split:
    """Make both stages: search (fit -> validation) and final (fit + validation -> test)."""
    kinds = known_kinds(events, min(protocol.fit))
    at = {t: label(history, t, protocol, profile.history, kinds) for t in (*protocol.fit, protocol.valid, protocol.test)}
    tested = _tested_only(events) if protocol.by_user else None
    valid, test = at[protocol.valid], at[protocol.test]
    fit = [at[t] for t in protocol.fit]
    if tested is not None:
        fit, valid = [_among(part, ~tested) for part in fit], _among(valid, ~tested)
        test = _among(test, tested)
    stages: dict[StageName, Stage] = {
        "search": Stage(training(fit, profile.rows, seed), (valid.inputs,)),
        "final": Stage(training([*fit, valid], profile.rows, seed), (test.inputs,)),
    }
    truths: dict[StageName, Truth] = {
        "search": Truth(valid.y, valid.inputs.group),
        "final": Truth(test.y, test.inputs.group),
    }
    facts = {**_facts(protocol, stages, at, test), "eligible": "ever" if protocol.ever else "h", "kinds": list(kinds)}
    opening = f"horizon {facts['horizon_days']:g} days; cut-offs {', '.join(facts['churn_by_cutoff'])}"
    judged = judge(facts, truths, profile, sum(len(p.y) for p in (*fit, valid)), opening)
    members = {"user": ids_of(events)[test.users].tolist(), "cutoff": [day(protocol.test)] * len(test.users)}
    return make_split(protocol.task_id(events.activity, profile.caps()), stages, truths, facts, judged, members)


def known_kinds(events: Events, cutoff: int) -> tuple[str, ...]:
    """List the kinds seen by the first training cut-off; index 0 stands for all others, now and later."""
    import polars as pl

    seen = events.frame.filter(pl.col("time").to_physical() <= cutoff)["kind"].unique().cast(pl.String)
    return ("?", *sorted(seen))


def _among(part: Labelled, chosen: Array) -> Labelled:
    """Keep the rows whose user is chosen, bool [U]."""
    return among_rows(part, chosen[part.users])


def _tested_only(events: Events) -> Array:
    """Choose 20 % of the users by a hash of their id, bool [U]: the same users whatever else the log holds."""
    ids = ids_of(events)
    numbers = (int.from_bytes(hashlib.sha256(i.encode()).digest()[:4], "big") for i in ids)
    return np.fromiter(numbers, np.int64, len(ids)) < TESTED_ONLY * 2**32


def _cutoffs_wanted(options: Mapping[str, str]) -> int:
    text = options.get("cutoffs", "3")
    if not text.isdigit() or int(text) < 1:
        raise ConfigError(f"cutoffs={text!r} is no number of training cut-offs; use 1 or more")
    return int(text)


def _too_short(history: History, horizon: int, name: str) -> str:
    test, valid, _ = cutoffs(history, horizon, 1)
    need = show_duration(horizon)
    longest = max((history.last // DAY - history.first // DAY) // 5, 0)
    return (
        f"{name}: horizon {need} does not fit a log from {day(history.first)} to {day(history.last)}: test cut-off {day(test)}, "
        f"validation {day(valid)}, first training cut-off {day(valid - horizon)}, which needs {need} of history before it; "
        + (f"try --set horizon={longest}d" if longest else "give a longer log")
    )


def _facts(protocol: Protocol, stages: Mapping[StageName, Stage], at: Mapping[int, Labelled], test: Labelled) -> dict[str, Any]:
    churned = {day(t): float(part.y.mean()) if len(part.y) else float("nan") for t, part in sorted(at.items())}
    return {
        "horizon_days": protocol.horizon / DAY,
        "fit_cutoffs": [day(t) for t in sorted(protocol.fit)],
        "valid_cutoff": day(protocol.valid),
        "test_cutoff": day(protocol.test),
        "churn_by_cutoff": churned,
        **sizes(stages, test.y),
    }
