# ruff: noqa: ARG001 - all that do something to a stretch take the same arguments
"""Simulated anomaly boards whose labels are known, as labelled series: what no injection of a search makes is among them.

Users of the simulators' logs, counted by day, metrics of machines (a step of five minutes, a season or none) and sensors of
several channels. What is anomalous is of one sort a board. Letters for shapes: N series, T steps, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from bench.data.series import Series
from bench.registry import discover
from bench.sources.load import loaded, requested
from bench.tasks.anomaly import entities
from bench.tasks.anomaly.plan import injected, spliced
from bench.tasks.anomaly.task import Anomaly
from bench.tasks.base import Split
from bench.tasks.profiles import profile

LOGS = ("retail", "netflix", "social")
USERS = 12
SERIES = 8
MIXED = 3


@dataclass(frozen=True)
class Board:
    """A board that is made when it is asked for."""

    name: str
    world: str
    """log, metric or sensor."""
    sort: str
    """What is anomalous."""
    make: Callable[[], Split]


def boards(seed: int) -> Iterator[Board]:
    """Yield all boards of a seed: several of all sorts mixed, as a person's labels are, then one of each."""
    for number in range(MIXED):
        for world, make in (("metric", _metric), ("sensor", _sensor)):
            yield Board(f"{world}-mixed{number}-{seed}", world, "mixed", partial(make, f"mixed{number}", seed))
        yield Board(f"{LOGS[number]}-mixed-{seed}", "log", "mixed", partial(_log, LOGS[number], "mixed", seed))
    for world, make, sorts in (("sensor", _sensor, SENSORS_DO), ("metric", _metric, METRICS_DO)):
        for sort in sorts:
            yield Board(f"{world}-{sort}-{seed}", world, sort, partial(make, sort, seed))
    for sort in ("injected", "spliced", *USERS_DO):
        for log in LOGS:
            yield Board(f"{log}-{sort}-{seed}", "log", sort, partial(_log, log, sort, seed))


def _chosen(sort: str, does: Mapping[str, Callable[..., Any]], rng: Any) -> Callable[..., Any]:
    """Return what a sort does; of all mixed, one of them at random."""
    return does[sort] if sort in does else does[rng.choice(list(does))]


# What users do: counts x [L] of a stretch, all counts of the user [T] before it, and a generator, to new counts [L].
def _stops(x: Any, past: Any, rng: Any) -> Any:
    return np.where(rng.random(len(x)) < 0.1, x, 0)


def _out_of_rhythm(x: Any, past: Any, rng: Any) -> Any:
    return past[-len(x) - 3 :][: len(x)]


def _regular(x: Any, past: Any, rng: Any) -> Any:
    gap = int(rng.integers(2, 5))
    return np.where(np.arange(len(x)) % gap == 0, max(round(float(past.mean() * gap)), 1), 0)


def _bunched(x: Any, past: Any, rng: Any) -> Any:
    found = np.zeros(len(x))
    np.add.at(found, rng.integers(0, len(x), max(len(x) // 5, 1)), max(past.mean(), 1) * 5)
    return np.round(found)


USERS_DO: Mapping[str, Callable[..., Any]] = {
    "stops": _stops, "out-of-rhythm": _out_of_rhythm, "regular": _regular, "bunched": _bunched,
}  # fmt: skip


def _log(log: str, sort: str, seed: int) -> Split:
    registry, caps = discover((), ()), profile("medium" if seed % 2 else "short")
    (request,) = requested((log,), None, registry, holds=("events", "series"))
    data = loaded(request, registry, {}, size=caps.users, seed=seed)
    clean = entities.from_log(data.data, {"users": "60"}, profile("short"), simulated=data.simulated, among=None)
    rng = np.random.default_rng([seed, *sort.encode()])
    if sort not in {"injected", "spliced"}:
        values, labels = clean.values.copy(), np.zeros(clean.values.shape, bool)
        for n in range(len(values)):
            if not np.isfinite(values[n]).all():
                continue
            for begin in _places(rng, int(clean.until[n]), values.shape[1], 14, 2):
                end = begin + int(rng.integers(5, 15))
                values[n, begin:end] = _chosen(sort, USERS_DO, rng)(values[n, begin:end], values[n, :begin], rng)
                labels[n, begin:end] = True
    else:
        marked = (injected if sort == "injected" else spliced)(clean, seed, None)
        values, labels = marked.values, marked.labels
    anomalous = np.flatnonzero(labels.any(axis=1))
    rows = rng.permutation(anomalous)[:USERS]
    return _split(log, values[rows, None], labels[rows], clean.time[0], {"prefix": ".5", "season": "7", "buffer": "7"}, seed)


def _places(rng: Any, low: int, high: int, longest: int, most: int) -> list[int]:
    """Choose begins at least two lengths apart."""
    room = (high - low) // most
    return [low + k * room + int(rng.integers(0, max(room - longest, 1))) for k in range(most) if room > longest]


def _noise(rng: Any, steps: int, rho: float) -> Any:
    from scipy.signal import lfilter

    return lfilter([np.sqrt(1 - rho**2)], [1, -rho], rng.normal(size=steps))


def _background(rng: Any, steps: int, season: int) -> Any:
    """Make what a machine's metric, or a topic's count of messages, usually looks like, [T]."""
    t, kind = np.arange(steps), rng.integers(0, 5)
    daily = np.sin(2 * np.pi * t / season + rng.uniform(0, 6)) + 0.4 * np.sin(4 * np.pi * t / season + rng.uniform(0, 6))
    if kind == 0:
        return 10 + 3 * daily + _noise(rng, steps, 0.7)
    if kind == 1:
        return 5 + _noise(rng, steps, 0.95) + np.where(rng.random(steps) < 0.01, rng.exponential(6, steps), 0)
    if kind == 2:
        return rng.poisson(np.exp(1.2 + 0.5 * daily + 0.6 * _noise(rng, steps, 0.8))).astype(float)
    if kind == 3:
        regime = np.cumsum(rng.random(steps) < 0.01) % 2
        return 20 + 15 * regime + rng.normal(0, 1, steps)
    return 2 + 0.05 * rng.normal(size=steps) + np.where(np.arange(steps) % 36 < 3, 1.0, 0.0) * rng.uniform(0.8, 1.2, steps)


def _spikes(x: Any, s: float, rng: Any) -> Any:
    return x + np.where(rng.random(len(x)) < 0.05, 6 * s * rng.choice((-1, 1)), 0)


def _level(x: Any, s: float, rng: Any) -> Any:
    return x + s * rng.uniform(1, 4) * rng.choice((-1, 1))


def _wider(x: Any, s: float, rng: Any) -> Any:
    return x + s * rng.uniform(1, 2) * rng.normal(size=len(x))


def _still(x: Any, s: float, rng: Any) -> Any:
    return np.full(len(x), x[0]) + 0.02 * s * rng.normal(size=len(x))


def _slow(x: Any, s: float, rng: Any) -> Any:
    return np.interp(np.arange(len(x)) / 2, np.arange(len(x)), x)


def _mixed_up(x: Any, s: float, rng: Any) -> Any:
    return rng.permutation(x)


def _oscillates(x: Any, s: float, rng: Any) -> Any:
    return x + 1.5 * s * np.sin(2 * np.pi * np.arange(len(x)) / rng.integers(6, 30))


def _dips(x: Any, s: float, rng: Any) -> Any:
    return np.where(np.arange(len(x)) % 20 < 8, x - 3 * s, x)


METRICS_DO: Mapping[str, Callable[..., Any]] = {
    "spikes": _spikes, "level": _level, "wider": _wider, "still": _still, "slow": _slow, "mixed-up": _mixed_up,
    "oscillates": _oscillates, "dips": _dips,
}  # fmt: skip


def _metric(sort: str, seed: int, steps: int = 3000, season: int = 288) -> Split:
    rng = np.random.default_rng([seed, *sort.encode()])
    values, labels = np.zeros((SERIES, 1, steps)), np.zeros((SERIES, steps), bool)
    for n in range(SERIES):
        x = _background(rng, steps, season)
        for begin in _places(rng, steps // 4, steps - 200, 200, 2):
            end = begin + int(rng.integers(20, 160))
            x[begin:end] = _chosen(sort, METRICS_DO, rng)(x[begin:end], float(x[: steps // 4].std()), rng)
            middle, width = (begin + end) // 2, 75  # people mark a window around what they have seen
            labels[n, min(begin, middle - width) : max(end, middle + width)] = True
        values[n, 0] = x
    time = np.arange(steps) * 300_000_000
    return _split(f"metric-{sort}", values, labels, time, {}, seed)


def _unlinked(x: Any, s: Any, rng: Any) -> Any:
    c = rng.integers(0, len(x))
    return np.where(np.arange(len(x))[:, None] == c, rng.permutation(x[c])[None], x)


def _shifted_channels(x: Any, s: Any, rng: Any) -> Any:
    return x + (rng.random(len(x)) < 0.5)[:, None] * (s * rng.uniform(-2, 2, len(s)))[:, None]


def _rough(x: Any, s: Any, rng: Any) -> Any:
    return x + (rng.random(len(x)) < 0.5)[:, None] * s[:, None] * rng.normal(size=x.shape)


def _creeping(x: Any, s: Any, rng: Any) -> Any:
    return x + (s * rng.uniform(-3, 3, len(s)))[:, None] * np.linspace(0, 1, x.shape[1])


SENSORS_DO: Mapping[str, Callable[..., Any]] = {
    "unlinked": _unlinked, "shifted": _shifted_channels, "rough": _rough, "creeping": _creeping,
}  # fmt: skip


def _sensor(sort: str, seed: int, steps: int = 1000, channels: int = 4) -> Split:
    rng = np.random.default_rng([seed, *sort.encode()])
    values, labels = np.zeros((SERIES, channels, steps)), np.zeros((SERIES, steps), bool)
    scale, mixing = rng.lognormal(0, 1, channels), rng.normal(size=(channels, 3))
    for n in range(SERIES):
        period = rng.integers(20, 120)
        hidden = np.stack([_noise(rng, steps, 0.97), _noise(rng, steps, 0.8), np.sin(2 * np.pi * np.arange(steps) / period)])
        x = scale[:, None] * (mixing @ hidden + 0.3 * rng.normal(size=(channels, steps)))
        begin = int(rng.integers(450, 600))
        end = begin + int(rng.integers(200, 380))
        x[:, begin:end] = _chosen(sort, SENSORS_DO, rng)(x[:, begin:end], x[:, : steps // 4].std(axis=1), rng)
        values[n], labels[n, begin:end] = x, True
    return _split(f"sensor-{sort}", values, labels, np.arange(steps) * 1_000_000, {}, seed)


def _split(name: str, values: Any, labels: Any, time: Any, options: Mapping[str, str], seed: int) -> Split:
    """Cut series [N, C, T] with labels [N, T] as those of a source."""
    frames = []
    for n, (own, marks) in enumerate(zip(values, labels, strict=True)):
        known = np.isfinite(own).all(axis=0)
        frame = {"series": [f"{n:03d}"] * int(known.sum()), "time": time[known], "value": own[0, known], "label": marks[known]}
        if len(own) > 1:
            frame |= {f"channel:{c}": one[known] for c, one in enumerate(own)}
        frames.append(pl.DataFrame(frame))
    table = pl.concat(frames).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
    series = Series.build(table, name=name)
    return Anomaly().splits(series, {"family": "labelled", **options}, profile("short"), seed, simulated=False)[0]
