"""Small seeded problems for each task, made in memory: what an author's model is checked on.

Letters for shapes: U users, N rows or series, T steps, H horizon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.api import Array, ChurnInputs, ChurnTrain, Context
from bench.data.panel import DAY, Panel, calendar, filled
from bench.data.ranking import NextInputs
from bench.errors import ConfigError, suggest

USERS, LATE = 48, "gift"
"""Users of the churn problem, and the kind that is first seen after the last training cut-off."""
HORIZON, SEASON, STEPS = 7, 7, 70
"""Steps to forecast, steps of a season, and steps that a forecaster is fitted to."""
PREFIX, SCORED = 64, 36
"""Steps of an anomaly problem to learn from, and behind them to score."""
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
FIRST_DAY = 19_723
"""Days from 1970 to 2024-01-01, a Monday."""


@dataclass(frozen=True)
class Example:
    """One problem: what `fit` sees, what `predict` is asked, and the context that the task sets."""

    task: str
    train: Any
    inputs: Any
    context: Mapping[str, Any]


def example(task: str, seed: int = 0) -> Example:
    """Make the problem of a task; the same seed makes the same one. Raises `ConfigError` for an unknown task."""
    make = {"churn": _churn, "forecasting": _forecasting, "anomaly": _anomaly, "next-event": _next_event}
    if task not in make:
        raise ConfigError(f"unknown task {task!r}; {suggest(task, list(make))}")
    return make[task](np.random.default_rng(seed))


def context(task: str, **fields: Any) -> Context:
    """Make the context of a task's problem: two epochs and short inputs, so that a check takes no time."""
    return Context(**{"epochs": 2, "history": 16, "rows": 64, **example(task).context, **fields})


def alone(problem: Example) -> Example:
    """Keep one user, or one series, of a problem: the one with the longest past."""
    inputs, train = problem.inputs, problem.train
    row = int(np.argmax(inputs.lengths))
    asked = np.array([row])
    seen = np.flatnonzero(train.group == inputs.group[row])[:1] if isinstance(inputs, ChurnInputs | NextInputs) else asked
    return replace(problem, train=train.take(seen if len(seen) else asked), inputs=inputs.take(asked))


def constant(problem: Example) -> Example:
    """Make all series constant, a third of them zero; or all users alike, but for their labels."""
    if isinstance(problem.inputs, Panel):
        return replace(problem, train=_flat(problem.train), inputs=_flat(problem.inputs))
    train, inputs = (part.take(np.full(len(part), np.argmax(part.lengths))) for part in (problem.train, problem.inputs))
    own = {"group": problem.train.group}
    if isinstance(problem.train, ChurnTrain):
        own["y"] = problem.train.y
    return replace(problem, train=replace(train, **own), inputs=replace(inputs, group=problem.inputs.group))


def _flat(panel: Panel) -> Panel:
    level = np.where(np.arange(len(panel)) % 3 == 0, 0.0, 5.0)[:, None]
    return replace(panel, values=np.broadcast_to(level, panel.values.shape).copy())


def _churn(rng: np.random.Generator) -> Example:
    """Cut a log of 150 days at three cut-offs, two of them to learn from; some users come once, some long ago."""
    import polars as pl

    from bench.data.events import Events
    from bench.tasks.churn.history import prepare
    from bench.tasks.churn.protocol import Protocol, known_kinds, label
    from bench.tasks.churn.rows import training

    user, day = _visits(rng)
    kind = np.array(["purchase", "visit"])[rng.integers(0, 2, len(day))]
    kind[(day > 112) & (rng.random(len(day)) < 0.5)] = LATE
    frame = pl.DataFrame({
        "user": np.char.mod("u%03d", user),
        "time": pl.Series((day * DAY).astype(np.int64) + FIRST_DAY * DAY).cast(pl.Datetime("us", "UTC")),
        "kind": kind,
        "value": np.where(kind == "visit", np.nan, rng.gamma(2.0, 10.0, len(day)).round(2)),
        "item": [None if at == 0 else f"i{at}" for at in rng.integers(0, 9, len(day))],
    })  # fmt: skip
    events = Events.build(frame, name="example", activity=("purchase", "visit", LATE))
    history, horizon = prepare(events), 28 * DAY
    *fit, test = ((FIRST_DAY + at) * DAY for at in (56, 84, 120))
    protocol, kinds = Protocol(horizon, True, False, tuple(fit), test, test), known_kinds(events, min(fit))
    parts = [label(history, at, protocol, 16, kinds) for at in fit]
    asked = label(history, test, protocol, 16, kinds).inputs
    return Example("churn", training(parts, None, 0), asked, {"horizon": 28.0, "loss": "bce"})


def _visits(rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw who comes when: user int [E] and day float [E] in [0, 150); rates differ, users leave, every eighth comes once."""
    rate = rng.gamma(1.0, 0.12, USERS) + 0.03
    leave = rng.exponential(90.0, USERS)
    count = 2 + rng.poisson(rate * 150)
    count[::8] = 1
    user = np.repeat(np.arange(USERS), count)
    first = rng.uniform(0, 50, USERS)
    day = first[user] + rng.uniform(0, 1, len(user)) * np.minimum(leave[user], 149 - first[user])
    day[np.r_[0, np.cumsum(count)[:-1]]] = first
    return user, day


def _forecasting(rng: np.random.Generator) -> Example:
    """Make six daily series: seasons and a trend, gaps, a constant, a short one; the cut-off to predict at comes H steps later."""
    whole = _panel(_weekly(rng, 6, STEPS + HORIZON), HORIZON)
    values = whole.values.copy()
    values[3] = 4.0
    mask = whole.mask.copy()
    mask[2] = rng.random(mask.shape[1]) > 0.2
    mask[4, :-20] = False
    whole = _panel(np.where(mask, values, np.nan), HORIZON)
    ctx = {"horizon": float(HORIZON), "loss": "quantile", "quantiles": LEVELS}
    return Example("forecasting", whole.ending(np.full(6, STEPS)), whole, ctx)


def _anomaly(rng: np.random.Generator) -> Example:
    """Make five daily series with a burst behind the prefix, gaps, a constant one, and one that begins late."""
    values = _weekly(rng, 5, PREFIX + SCORED)
    values[:, PREFIX + 10 : PREFIX + 14] += 30.0
    values[3] = 4.0
    values[2, rng.random(values.shape[1]) < 0.1] = np.nan
    values[4, :30] = np.nan
    whole = replace(_panel(values, 0), until=np.full(5, PREFIX))
    return Example("anomaly", whole.ending(whole.until), whole, {"horizon": 0.0, "loss": "reconstruction"})


def _weekly(rng: np.random.Generator, n: int, steps: int) -> Array:
    """Draw series with a week, a slow trend and noise, float64 [n, steps]."""
    step = np.arange(steps)
    week = rng.normal(0.0, 3.0, (n, SEASON))[:, step % SEASON]
    return np.asarray(20.0 + 5.0 * np.arange(n)[:, None] + 0.05 * step + week + rng.normal(0.0, 1.0, (n, steps)))


def _panel(values: Array, horizon: int) -> Panel:
    """Make a daily panel of values [N, T], NaN where missing."""
    complete, mask, start = filled(values)
    number = np.arange(values.shape[1] + horizon)
    time = (FIRST_DAY + number) * DAY
    return Panel(
        values=complete, mask=mask, start=start, until=np.full(len(values), values.shape[1]), time=time[None],
        known=calendar(time, number, SEASON, DAY)[None], freq="D", season=SEASON, horizon=horizon,
    )  # fmt: skip


def _next_event(rng: np.random.Generator) -> Example:
    """Make 48 users who go round a circle of 30 items, with leaps; every eighth has one event, and one asked row has none."""
    from bench.data.ranking import NextTrain

    items, count = 30, 2 + rng.poisson(14, USERS)
    count[::8] = 1
    offsets = np.r_[0, np.cumsum(count)].astype(np.int64)
    step = np.where(rng.random(offsets[-1]) < 0.7, 1, rng.integers(0, items, offsets[-1]))
    step[offsets[:-1]] = rng.integers(0, items, USERS)
    walk = np.cumsum(step)
    item = (walk - np.repeat(walk[offsets[:-1]] - step[offsets[:-1]], count)) % items
    item[rng.random(len(item)) < 0.05] = items  # not in the catalogue
    time = FIRST_DAY + np.concatenate([np.sort(rng.uniform(0, 90, n)) for n in count])
    fields = {"item": item.astype(np.int32), "kind": rng.integers(1, 3, len(item)).astype(np.int16), "time": time, "items": items}
    train = NextTrain(offsets=offsets, group=np.arange(USERS), until=FIRST_DAY + 90.0, **fields)
    asked = NextInputs(offsets=np.r_[offsets, offsets[-1]], group=np.arange(USERS + 1), **fields)
    return Example("next-event", train, asked, {"horizon": 9.0, "loss": "softmax"})
