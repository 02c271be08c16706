"""A small seeded log and small series for the checks of a task, and what the log was like had it gone another way.

Letters for shapes: U users, E events.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from bench.data.events import Events
from bench.data.panel import DAY
from bench.data.ragged import Array
from bench.data.series import Series

USERS, ITEMS, DAYS = 240, 12, 240
FIRST_DAY = 19_723
"""Days from 1970 to 2024-01-01."""
SEED = 7


def example_events() -> Events:
    """Draw a shop's log: users who come at rates of their own and leave, items in a circle, two kinds, gamma values."""
    rng = np.random.default_rng(SEED)
    rate, leave = rng.gamma(2.0, 0.06, USERS) + 0.02, rng.exponential(260.0, USERS) + 20.0
    first = rng.uniform(0, 60, USERS)
    count = 3 + rng.poisson(rate * np.minimum(leave, DAYS - first))
    user = np.repeat(np.arange(USERS), count)
    day = first[user] + rng.uniform(0, 1, len(user)) * np.minimum(leave, DAYS - 1 - first)[user]
    order = np.lexsort((day, user))
    user, day = user[order], day[order]
    walk = np.cumsum(np.where(rng.random(len(user)) < 0.6, 1, rng.integers(0, ITEMS, len(user))))
    frame = pl.DataFrame({
        "user": np.char.mod("u%03d", user),
        "time": pl.Series((day * DAY).astype(np.int64) + FIRST_DAY * DAY).cast(pl.Datetime("us", "UTC")),
        "kind": np.array(["order", "visit"])[rng.integers(0, 2, len(user))],
        "value": rng.gamma(2.0, 10.0, len(user)).round(2),
        "item": np.char.mod("i%02d", (walk + user) % ITEMS),
    })  # fmt: skip
    return Events.build(frame, name="example", activity=("order", "visit"))


def example_series() -> Series:
    """Draw eight daily series of 240 steps: a week, noise, and a labelled burst in the last quarter of each."""
    rng = np.random.default_rng(SEED)
    step = np.arange(DAYS)
    time = pl.Series((FIRST_DAY + step) * DAY).cast(pl.Datetime("us", "UTC"))
    parts = []
    for n in range(8):
        begin = int(rng.integers(190, 225))
        label = ((step >= begin) & (step < begin + 6)).astype(np.int8)
        value = 20.0 + 3.0 * np.sin(2 * np.pi * step / 7) + rng.normal(0.0, 1.0, DAYS) + 9.0 * label
        parts.append(pl.DataFrame({"series": f"s{n}", "time": time, "value": value, "label": label}))
    return Series.build(pl.concat(parts), name="example")


def rebuilt(events: Events, frame: pl.DataFrame) -> Events:
    """Make a log of other rows."""
    plain = frame.with_columns(pl.col("user", "kind", "item").cast(pl.String))
    return Events.build(plain, name=events.name, activity=events.activity, horizon=events.horizon)


def shuffled(data: Events | Series) -> Events | Series:
    """Bring the rows into another order, those of one user, time and kind excepted: their order is the log's own."""
    if isinstance(data, Series):
        mixed = data.frame.sample(fraction=1.0, shuffle=True, seed=SEED).with_columns(pl.col("series").cast(pl.String))
        return replace(data, frame=Series.build(mixed, name=data.name).frame)
    key = pl.struct("user", "time", "kind").hash(SEED)
    return rebuilt(data, data.frame.sort(key, maintain_order=True))


def changed_after(events: Events, moment: int) -> Events:
    """Change every event later than `moment`: other users, kinds, items and values; times stay, so that the log's end does."""
    later = events.frame["time"].to_physical().to_numpy() > moment
    rng, frame = np.random.default_rng(SEED), events.frame.with_columns(pl.col("user", "kind", "item").cast(pl.String))
    columns = {name: _dealt(frame[name], later, rng) for name in ("user", "kind", "item")}
    value = np.where(later, 3.0 * np.nan_to_num(frame["value"].to_numpy()) + 17.0, frame["value"].to_numpy())
    return rebuilt(events, frame.with_columns(value=pl.Series(value), **columns))


def deleted_after(events: Events, moment: int) -> Events:
    """Delete every second event later than `moment`, but none of the last time, which says where the log ends."""
    time = events.frame["time"].to_physical().to_numpy()
    odd = np.cumsum(time > moment) % 2 == 1
    return rebuilt(events, events.frame.filter(pl.Series((time <= moment) | odd | (time == time.max()))))


def _dealt(column: pl.Series, later: Array, rng: np.random.Generator) -> pl.Series:
    """Deal the later values of a column anew."""
    values = column.to_numpy().copy()
    values[later] = rng.permutation(values[later])
    return pl.Series(column.name, values.tolist(), dtype=pl.String)
