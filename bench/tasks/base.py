"""What the runner asks of a task: a split whose inputs and truth lie apart, checks, an objective, scores."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol

from bench.api import Array
from bench.events import Events
from bench.profiles import Profile

StageName = Literal["search", "final"]


@dataclass(frozen=True)
class Stage:
    """Hold all that a worker may see of one stage: training data with labels, and inputs without."""

    train: Any
    inputs: Any

    @cached_property
    def payload(self) -> bytes:
        """Pickle the stage for a worker's pipe; it never touches a disk, where another job could look for it."""
        return pickle.dumps((self.train, self.inputs), protocol=5)

    @cached_property
    def digest(self) -> str:
        """Fingerprint the payload: part of each job's key."""
        return hashlib.sha256(self.payload).hexdigest()


@dataclass(frozen=True)
class Truth:
    """Hold what is scored against; it stays in the supervisor."""

    y: Array
    """int8 [N]."""
    group: Array
    """int64 [N]: the user of each row, the unit of resampling."""


@dataclass(frozen=True)
class Split:
    """Hold a task on one data set: two stages, and the truth of each kept apart from them."""

    task_id: str
    stages: Mapping[StageName, Stage]
    truths: Mapping[StageName, Truth] = field(repr=False)
    facts: Mapping[str, Any]
    """What the report tells: horizon, cut-offs, base rates, sizes."""
    notes: tuple[str, ...] = ()
    """Sentences for the user: chosen defaults, caps, drift."""
    flags: tuple[str, ...] = ()
    reason: str = ""
    """Why nothing can be scored here (one class only); empty: it can."""


class Task(Protocol):
    """The task's side of the runner."""

    name: ClassVar[str]
    metric: ClassVar[str]
    """Ranks, and steers the search on validation."""
    reference: ClassVar[str]
    penalty: ClassVar[float]
    """The objective that a failed trial is told."""
    options: ClassVar[Mapping[str, str]]
    """Keys that `--set` takes for this task, with a line of help."""

    def split(self, events: Events, options: Mapping[str, str], profile: Profile, seed: int) -> Split:
        """Cut the log into stages; raise `ProtocolError` where the rules do not allow it."""

    def invalid(self, prediction: Array, rows: int) -> str:
        """Say what is wrong with a prediction; empty: nothing."""

    def objective(self, truth: Truth, prediction: Array) -> float:
        """Score a prediction for the search; higher is better."""
