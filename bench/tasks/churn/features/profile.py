"""What: values, hours, weekdays, kinds and items of a user's past."""

from __future__ import annotations

import numpy as np

from bench.data.feature_names import HOURS, KIND_SLOTS, WEEKDAYS, WINDOWS
from bench.data.ragged import Array
from bench.tasks.churn.features.past import Past, entropy, extreme, ratio
from bench.tasks.churn.prepared import DAY, Items

HOUR = DAY // 24
MONDAY = 3
"""Weekday of 1970-01-01, a Thursday, counted from Monday."""


def values(past: Past) -> dict[str, Array]:
    """Describe the values of steps, float64 [N] each."""
    steps = np.diff(past.offsets)
    mean = ratio(past.sum(past.value), steps)
    deviation = np.sqrt(ratio(past.sum((past.value - mean[past.row]) ** 2), steps))
    lately = (past.quarter < WINDOWS["h"]).astype(np.float64)
    last = past.of_step(past.value, past.last)
    return {
        "value_std": deviation,
        "value_cv": ratio(deviation, np.abs(mean)),
        "value_min": extreme(past.value, past.offsets, largest=False),
        "value_max": extreme(past.value, past.offsets, largest=True),
        "value_last": last,
        "value_last_to_mean": ratio(last, mean),
        "value_h_to_mean": ratio(ratio(past.sum(past.value * lately), past.sum(lately)), mean),
    }


def calendar(past: Past) -> dict[str, Array]:
    """Compute shares of the hours and weekdays, and their entropies, float64 [N] each."""
    hours = past.by(past.time // HOUR % 24, 24, past.count)
    weekdays = past.by((past.time // DAY + MONDAY) % 7, 7, past.count)
    total = weekdays.sum(axis=1)
    blocks = hours.reshape(len(past), len(HOURS), -1).sum(axis=2)
    return {
        **{f"hours_{name}": ratio(blocks[:, k], total) for k, name in enumerate(HOURS)},
        "hour_entropy": entropy(hours) / np.log(24),
        **{name: ratio(weekdays[:, k], total) for k, name in enumerate(WEEKDAYS)},
        "weekday_entropy": entropy(weekdays) / np.log(7),
    }


def kinds(past: Past, code: Array, known: int, *, is_active: Array) -> dict[str, Array]:
    """Describe the kinds of all steps, active or not; `code` int [E] below `known`, 0 unknown; `is_active` bool [E]."""
    lately = past.count * (past.quarter < WINDOWS["h"])
    ever, late = past.by(code, known, past.count), past.by(code, known, lately)  # [N, known]
    other, total = past.count * ~is_active, ever.sum(axis=1)
    slots = {k: k if k < known else None for k in range(1, KIND_SLOTS + 1)}
    none = np.zeros(len(past))
    return {
        "kinds": (ever > 0).sum(axis=1),
        "kind_entropy": entropy(ever),
        "other_h": past.sum(lately * ~is_active),
        "other_share": ratio(past.sum(other), total),
        **{f"kind_{k}_h": none if at is None else late[:, at] for k, at in slots.items()},
        **{f"kind_{k}_share": none if at is None else ratio(ever[:, at], total) for k, at in slots.items()},
    }


def items(past: Past, log: Items | None) -> dict[str, Array]:
    """Count different items and repeats in all steps, float64 [N] each; 0 where the log names no items."""
    if log is None:
        return dict.fromkeys(("items", "items_new_h", "items_new_share_h", "item_repeats"), np.zeros(len(past)))
    new, named = log.new[past.at].astype(np.float64), log.named[past.at].astype(np.float64)
    lately = past.quarter < WINDOWS["h"]
    different, late = past.sum(new), past.sum(new * lately)
    return {
        "items": different,
        "items_new_h": late,
        "items_new_share_h": ratio(late, past.sum(named * lately)),
        "item_repeats": ratio(past.sum(named - new), past.sum(named)),
    }
