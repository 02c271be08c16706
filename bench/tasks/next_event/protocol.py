"""Where the log is cut, and which items may be ranked: both fixed by time, never by what lies behind a cut-off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from bench.data.durations import parse_duration, show_duration
from bench.data.ragged import Array
from bench.errors import ConfigError, ProtocolError
from bench.tasks.next_event.log import TARGETS, Log

DAY = 86_400_000_000
LAST = 0.1
"""Share of the events that the test holds, unless a horizon is given."""
SUPPORT = 5
"""Events that an item needs before the first cut-off, unless told otherwise."""
CHOICES = {"asked": ("successive", "last"), "repeats": ("counted", "filtered"), "target": TARGETS}


@dataclass(frozen=True)
class Protocol:
    """The choices of one split; times in microseconds."""

    valid: int
    """Validation cut-off: nothing later counts for the catalogue."""
    test: int
    end: int
    """The day after the last event."""
    target: str = "item"
    asked: str = "successive"
    support: int = SUPPORT
    once: bool = False
    """Repeats are filtered: a user takes an item once."""

    @property
    def horizon(self) -> str:
        """Write the horizon, H: the length of the test, and of the validation before it."""
        return show_duration(self.end - self.test)

    def task_id(self, caps: str) -> str:
        """Spell the choices."""
        repeats = "filtered" if self.once else "counted"
        return (
            f"next-event/v1/target={self.target}/asked={self.asked}/h={self.horizon}/support={self.support}/repeats={repeats}"
            f"/catalogue=full/{caps}"
        )


@dataclass(frozen=True)
class Catalogue:
    """What is ranked: the items with enough events before the first cut-off, the most frequent first."""

    code: Array
    """int32 [I]: code of each item in the log."""
    number: Array
    """int32 [codes]: number of each code; I where it is not in the catalogue."""
    names: tuple[str, ...]
    """Name of each item, I of them."""
    kind: Array
    """int16 [kinds]: number of each kind of event, from 1; 0 stands for those first seen later."""
    kinds: tuple[str, ...]
    """Name of each kind, the first for all that are unknown."""

    def __len__(self) -> int:
        """Return the number of items, I."""
        return len(self.code)


def choose(log: Log, options: Mapping[str, str], target: str, name: str, *, once: bool) -> Protocol:
    """Cut the log: the test is its last tenth, or the last `horizon` days; validation as long before it."""
    for key, words in CHOICES.items():
        if options.get(key, words[0]) not in words:
            raise ConfigError(f"{key}={options[key]!r} is unknown; give {' or '.join(words)}")
    end = (int(log.time.max()) // DAY + 1) * DAY
    if "horizon" in options:
        test = end - parse_duration(options["horizon"], name="horizon")
    else:
        at = int((1.0 - LAST) * len(log.time))
        test = int(np.partition(log.time, at)[at]) // DAY * DAY
    valid, first = 2 * test - end, int(log.time.min())
    if test >= end or valid <= first:
        raise ProtocolError(
            f"{name}: {day(first)} to {day(end)} leaves no history before a validation and a test of {show_duration(end - test)}"
            " each; give a shorter horizon (--set horizon=1d) or a longer log"
        )
    filtered = options.get("repeats", "filtered" if once else "counted") == "filtered" and target == "item"
    return Protocol(valid, test, end, target, options.get("asked", "successive"), _support(options), filtered)


def _support(options: Mapping[str, str]) -> int:
    text = options.get("support", str(SUPPORT))
    if not text.isdigit() or not int(text):
        raise ConfigError(f"support={text!r} is no number of events; give 1 or more")
    return int(text)


def catalogue(log: Log, protocol: Protocol, name: str) -> Catalogue:
    """List what is ranked, by the events before the validation cut-off alone; of equal counts the first by name.

    Kinds need no support. Raises `ProtocolError` where fewer than two are left.
    """
    early = log.time < protocol.valid
    count = np.bincount(log.code[early], minlength=len(log.names))
    order = np.argsort(-count, kind="stable")
    code = order[count[order] >= (1 if protocol.target == "kind" else protocol.support)].astype(np.int32)
    if len(code) < 2:
        raise ProtocolError(
            f"{name}: {len(code)} {protocol.target}s have {protocol.support} events before {day(protocol.valid)}, two are needed;"
            " give --set support=1 or another horizon"
        )
    number = np.full(len(log.names), len(code), np.int32)
    number[code] = np.arange(len(code), dtype=np.int32)
    seen = np.unique(log.kind[early])
    kind = np.zeros(len(log.kinds), np.int16)
    kind[seen] = np.arange(1, len(seen) + 1)
    return Catalogue(code, number, tuple(log.names[c] for c in code), kind, ("?", *(log.kinds[k] for k in seen)))


def day(microseconds: int) -> str:
    """Write a time as its UTC day."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).date().isoformat()
