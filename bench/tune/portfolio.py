"""Configurations that did well on other logs: the first that a search tries after the author's default.

A zero-shot portfolio as of TabRepo (Salinas and Erickson 2023): the same configurations were scored on many logs, and those
are chosen, one after the other, that together come nearest to the best of each log. The log at hand is left out by its
fingerprint: nothing is known of it that its own validation does not say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from bench.data.ragged import Array

FILE = Path(__file__).with_name("portfolio.json")
"""Written by `tests/benchmarks/bench_portfolio.py`, which says on what."""
SIZE = 3
"""Configurations after the default: with it they fill the first batch."""


class Log(TypedDict):
    """The scores of all configurations on one log."""

    data: str
    fingerprint: str
    gains: Sequence[float | None]
    """Advantage over the default on validation, in the task's metric; None where a fit failed."""
    errors: Sequence[float | None]
    """Their standard errors."""


class Scored(TypedDict):
    """One model's configurations, the default first, and the logs that they were scored on."""

    space: str
    """Digest of the search space: a portfolio of another space is none."""
    params: Sequence[Mapping[str, Any]]
    logs: Sequence[Log]


def space_digest(space: Mapping[str, str]) -> str:
    """Hash a search space (parameter -> distribution as JSON)."""
    return hashlib.sha256(json.dumps(dict(space), sort_keys=True).encode()).hexdigest()[:16]


def portfolio(task: str, model: str, space: Mapping[str, str], fingerprint: str) -> tuple[Mapping[str, Any], ...]:
    """Return up to `SIZE` configurations for a model, the most promising first, learned from all logs but this one.

    Empty where the model has none for this task, or has another search space than when it was scored.
    """
    scored = _stored_portfolio().get(task, {}).get(model)
    if scored is None or scored["space"] != space_digest(space):
        return ()
    logs = [log for log in scored["logs"] if log["fingerprint"] != fingerprint]
    return tuple(scored["params"][at] for at in chosen(utilities(logs), SIZE)) if logs else ()


def utilities(logs: Sequence[Log]) -> Array:
    """Return how good each configuration is on each log, float64 [L, C]: 0 is the default or worse, 1 the best of the log.

    Each log weighs the same, however far its configurations lie apart. A log on which none is better has only zeros.
    """
    gains = np.array([[-np.inf if g is None else g for g in log["gains"]] for log in logs], np.float64)
    gains = np.maximum(gains, 0.0)
    top = gains.max(axis=1, keepdims=True)
    return np.asarray(np.divide(gains, top, out=np.zeros_like(gains), where=top > 0))


def chosen(utility: Array, size: int) -> list[int]:
    """Choose columns greedily: each time the one that raises the mean over logs of the best chosen so far the most.

    The default, column 0, always stands, with utility 0. Ends early where no other column raises the mean.
    """
    best = utility[:, 0].copy()
    found: list[int] = []
    while len(found) < size:
        means = np.maximum(best[:, None], utility).mean(axis=0)
        at = int(means.argmax())
        if means[at] <= best.mean():
            break
        found.append(at)
        best = np.maximum(best, utility[:, at])
    return found


@cache
def _stored_portfolio() -> Mapping[str, Mapping[str, Scored]]:
    known: Mapping[str, Mapping[str, Scored]] = json.loads(FILE.read_text())
    return known
