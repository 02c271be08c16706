"""Raise alarms that a person would look at: few, merged across short gaps, within a budget also where the level drifts.

A step stands out where its score exceeds the limit of its entity's prefix, and also that of the scores just before it: a
series that has changed for good raises one alarm and not one a step. Nothing after a step moves its limit, so the same
alarms would have been raised on the day. Letters for shapes: T steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.data.ragged import Array
from bench.metrics.anomaly import LARGEST, threshold
from bench.metrics.areas import segments

BUDGET = 0.01
"""Share of the steps that alarms may fill, the prefix counted among them."""
PIECES = 50
"""Times that the rolling limit is set anew over the length of a prefix."""
WEEK = 7 * 86_400_000_000


@dataclass(frozen=True)
class Rule:
    """When steps that stand out are an alarm."""

    gap: int
    """Most steps between two that are one alarm."""
    least: int
    """Fewest steps of an alarm that stand out."""
    hold: int
    """Steps after which what lasts becomes the usual."""
    budget: float = BUDGET

    @classmethod
    def of(cls, buffer: int) -> Rule:
        """Take gap, duration and patience from the widest buffer of VUS: a half, a twentieth and the whole of it."""
        return cls(buffer // 2, max(buffer // 20, 1), buffer)


def limits(score: Array, learnt: int, rule: Rule) -> Array:
    """Return the limit of each step, float64 [T]: of the prefix, the first `learnt` steps, or of as many later ones, if higher.

    These end `rule.hold` steps before it. Both are exceeded by the budget's share of their scores; without a prefix no
    step stands out.
    """
    if not learnt:
        return np.full(len(score), np.inf)
    found = np.full(len(score), threshold(score[:learnt], rule.budget))
    stride = max(learnt // PIECES, 1)
    for at in range(learnt + rule.hold, len(score), stride):
        end = at - rule.hold
        found[at : at + stride] = max(found[0], threshold(score[end - learnt : end], rule.budget))
    return found


def raised(score: Array, learnt: int, rule: Rule) -> Array:
    """Mark the steps of alarms after the prefix, bool [T]: those that stand out, merged across gaps, the short ones left out.

    A step may stand out while those of the alarms so far, with the gaps that they bridge, are fewer than the budget's share of
    all steps up to it: one limit alone, of 1 % of the prefix, is exceeded by several per cent of later steps where series change
    (`tests/benchmarks/bench_alarms.py`).
    """
    with np.errstate(over="ignore"):
        excess = np.minimum(score - limits(score, learnt, rule), LARGEST)
    excess[:learnt] = 0
    out = within_budget(excess, rule)
    found = np.zeros(len(score), bool)
    for begin, end in merged(out, rule.gap):
        if int(out[begin:end].sum()) >= rule.least:
            found[begin:end] = True
    return found


def within_budget(excess: Array, rule: Rule) -> Array:
    """Keep the steps that stand out and that the budget of the steps up to each pays for, bool [T].

    `excess`: float64 [T], how far a score lies above its limit; it stands out where that is above 0. Beside the budget there
    is one alarm of the least length, which a short series could not pay, and another one each time a step stands out more
    than twice as much as any before: what is worst so far is never left out. A bridged gap costs its steps; a run that is
    too short for an alarm costs nothing.
    """
    found = np.zeros(len(excess), bool)
    spent, own, steps, last = 0, 0, 0, -1  # on alarms that are over; on the present run; its marked steps; the last of them
    beside, largest = 0.0, 0.0
    for at in np.flatnonzero(excess > 0).tolist():
        gap = at - last - 1
        if last < 0 or gap > rule.gap:
            spent, own, steps, gap = spent + (own if steps >= rule.least else 0), 0, 0, 0
        used, paid = spent + (own if steps >= rule.least else 0), rule.budget * (at + 1)
        if excess[at] / 2 > largest:
            beside = max(beside, used - paid) + rule.least
        largest = max(largest, float(excess[at]))
        if used < paid + beside:
            own, steps, found[at], last = own + gap + 1, steps + 1, True, at
    return found


def merged(out: Array, gap: int) -> list[tuple[int, int]]:
    """List the runs of marked steps, bool [T], as [begin, end), those at most `gap` steps apart as one."""
    first, last = segments(out)
    runs: list[tuple[int, int]] = []
    for begin, end in zip(first.tolist(), (last + 1).tolist(), strict=True):
        if runs and begin - runs[-1][1] <= gap:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((begin, end))
    return runs


def summary(labels: Sequence[Array], alarms: Sequence[Array], step: int) -> dict[str, float | int | None]:
    """Report what a person would make of the alarms of several entities, bool [T] each, beside their labels.

    `step`: microseconds of a step, 0 where the data has no time. Precision is the share of alarms that meet a labelled
    window, recall the share of windows that are met, delay the median number of steps from a window's begin to its alarm.
    """
    windows = met = right = total = steps = 0
    delays: list[int] = []
    for y, alarm in zip(labels, alarms, strict=True):
        begin, last = segments(y)
        first, end = segments(alarm)
        total, windows, steps = total + len(first), windows + len(begin), steps + len(y)
        right += sum(bool(y[a : b + 1].any()) for a, b in zip(first, end, strict=True))
        late = [int(np.argmax(alarm[a : b + 1])) for a, b in zip(begin, last, strict=True) if alarm[a : b + 1].any()]
        met, delays = met + len(late), delays + late
    weeks = steps * step / WEEK
    return {
        "alarms": total,
        "precision": right / total if total else None,
        "recall": met / windows if windows else None,
        "delay": float(np.median(delays)) if delays else None,
        "share": sum(int(a.sum()) for a in alarms) / steps if steps else None,
        "alarms_a_week": total / weeks if weeks else None,
    }
