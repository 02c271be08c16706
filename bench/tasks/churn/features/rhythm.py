"""When: gaps between active days, the silence now among them, streaks, and the first week. Letters: D active days, G gaps."""

from __future__ import annotations

import numpy as np

from bench.data.ragged import Array
from bench.tasks.churn.features.past import Past, extreme, ratio
from bench.tasks.churn.prepared import DAY

WEEK = 7 * DAY
QUANTILES = {"gap_min": 0.0, "gap_q25": 0.25, "gap_median": 0.5, "gap_q75": 0.75, "gap_q90": 0.9, "gap_max": 1.0}


def rhythm(past: Past, cutoff: int, horizon: int) -> dict[str, Array]:
    """Compute the columns of `RHYTHM`, float64 [N] each."""
    at = np.flatnonzero(past.new_days())  # [D]
    day, user = past.time[at] // DAY, past.row[at]
    own = user[1:] == user[:-1]
    gap, owner = np.diff(day)[own], user[1:][own]  # [G]
    silence = np.where(past.some, (cutoff - past.of_step(past.time, past.last)) / DAY, 0.0)
    return {**gaps(gap, owner, silence, horizon / DAY), **streaks(past, at, day, user), **first_week(past)}


def gaps(gap: Array, owner: Array, silence: Array, horizon: float) -> dict[str, Array]:
    """Describe gaps in days, int64 [G] of users [G], oldest first, and the silence [N] beside them."""
    n = len(silence)
    number = np.bincount(owner, minlength=n)
    offsets = np.r_[0, np.cumsum(number)]
    mean = ratio(np.bincount(owner, gap, n), number)
    deviation = np.sqrt(ratio(np.bincount(owner, (gap - mean[owner]) ** 2, n), number))
    found = _quantiles(gap, owner, offsets)
    late = (offsets[1:][owner] - np.arange(len(gap))) <= 3  # the three latest of each
    recent = ratio(np.bincount(owner, gap * late, n), np.bincount(owner, late, n))
    compared = {name: np.where(number > 0, by, horizon) for name, by in (("mean", mean), *_named(found))}
    return {
        **found,
        "gap_last": _from_end(gap, offsets, 1),
        "gap_before_last": _from_end(gap, offsets, 2),
        "gap_cv": ratio(deviation, mean),
        "gap_trend": ratio(recent, mean),
        **{f"silence_to_{name}": ratio(silence, by) for name, by in compared.items()},
        "silence_z": np.where(number > 0, (silence - mean) / np.maximum(deviation, 1.0), 0.0),
        "silence_rank": ratio(np.bincount(owner, gap <= silence[owner], n), number),
    }


def _named(found: dict[str, Array]) -> tuple[tuple[str, Array], ...]:
    return ("median", found["gap_median"]), ("max", found["gap_max"])


def _quantiles(gap: Array, owner: Array, offsets: Array) -> dict[str, Array]:
    """Find quantiles of each user's gaps, the lower of two neighbours: float64 [N] each; 0 without a gap."""
    ordered = np.sort((owner << 32) | gap) & 0xFFFFFFFF  # by user, then by gap
    number = np.diff(offsets)
    out = {}
    for name, level in QUANTILES.items():
        at = offsets[:-1] + np.floor(level * np.maximum(number - 1, 0)).astype(np.int64)
        out[name] = np.where(number > 0, np.append(ordered, 0)[np.minimum(at, len(ordered))], 0.0)
    return out


def _from_end(gap: Array, offsets: Array, back: int) -> Array:
    """Return the gap that is `back` from each user's last, float64 [N]; 0 where there are fewer."""
    at = offsets[1:] - back
    known = at >= offsets[:-1]
    return np.where(known, np.append(gap, 0)[np.where(known, at, len(gap))], 0.0)


def streaks(past: Past, at: Array, day: Array, user: Array) -> dict[str, Array]:
    """Describe days in a row and the events on a day; `at` [D]: the first step of each `day` of a `user`."""
    n = len(past)
    new_run = np.ones(len(day), bool)
    new_run[1:] = (np.diff(day) != 1) | (user[1:] != user[:-1])
    start = np.flatnonzero(new_run)
    length = np.diff(np.append(start, len(day)))
    runs = np.r_[0, np.cumsum(np.bincount(user[start], minlength=n))]  # [N + 1]
    on_day = np.add.reduceat(past.count, at) if len(at) else np.zeros(0)
    days = np.r_[0, np.cumsum(np.bincount(user, minlength=n))]
    return {
        "streak_longest": extreme(length, runs, largest=True),
        "streak_last": _from_end(length, runs, 1),
        "events_per_day": ratio(np.bincount(user, on_day, n), np.diff(days)),
        "events_most_day": extreme(on_day, days, largest=True),
        "events_last_day": _from_end(on_day, days, 1),
    }


def first_week(past: Past) -> dict[str, Array]:
    """Sum up each user's first seven days."""
    early = past.time < past.of_step(past.time, past.first)[past.row] + WEEK
    events = past.sum(past.count * early)
    return {
        "first_week_events": events,
        "first_week_days": past.sum((past.new_days() & early).astype(np.float64)),
        "first_week_value": past.sum(past.value * early),
        "first_week_share": ratio(events, past.sum(past.count)),
    }
