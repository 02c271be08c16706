"""What a run tells while it runs: small frozen events, and a listener that takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from bench.tune.trials import Entry


@dataclass(frozen=True)
class Reading:
    """A large file is being read."""

    file: str
    done: int
    size: int
    """Bytes."""

    def words(self) -> str:
        """Return how far it is."""
        share = f"{100 * self.done // self.size} % of " if 0 < self.done <= self.size else ""
        return f"reading {self.file}, {share}{max(self.done, self.size) / 1e6:,.0f} MB"


@dataclass(frozen=True)
class Notice:
    """Something about the run as a whole that the user should know, in one line."""

    words: str


@dataclass(frozen=True)
class DataReady:
    """A data set is read and split."""

    dataset: str
    task_id: str
    words: tuple[str, ...]
    metric: str = "roc_auc"
    """Ranks, and steers the search on validation."""
    higher: bool = True


@dataclass(frozen=True)
class RunReady:
    """All cells are known."""

    cells: tuple[tuple[str, str], ...]
    """(data set, model)."""
    trials: int
    finals: int
    workers: int
    profile: str
    folder: str
    words: tuple[str, ...] = ()
    """What is to be known before it starts: how the time is shared, what it may cost."""


@dataclass(frozen=True)
class JobStarted:
    """A job was handed to a worker."""

    dataset: str
    model: str
    stage: str
    number: int


@dataclass(frozen=True)
class JobReport:
    """A model said how its training goes."""

    dataset: str
    model: str
    step: int
    value: float


@dataclass(frozen=True)
class JobDone:
    """A job ended; `entry` is its ledger line, `reused` says that it was there before."""

    dataset: str
    model: str
    entry: Entry
    reused: bool


@dataclass(frozen=True)
class JobRetried:
    """A worker was killed from outside; its job runs again."""

    dataset: str
    model: str
    reason: str


@dataclass(frozen=True)
class CellDone:
    """A cell is finished; status is ok, or the word for what went wrong."""

    dataset: str
    model: str
    status: str
    reason: str
    valid: float | None
    seconds: float


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True)
class NodesChanged(Notice):
    """A node of the cluster has joined or is gone."""

    nodes: Mapping[str, int]
    """Node -> its slots."""


Event: TypeAlias = Reading | Notice | NodesChanged | DataReady | RunReady | JobStarted | JobReport | JobDone | JobRetried | CellDone | Tick
Listener: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Take an event and say nothing."""
