"""What is known of a run while it runs: a state that events change and the clock ages. It draws and writes nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from bench.board.metrics import label_of
from bench.runs.run_events import CellDone, DataReady, Event, JobDone, JobReport, JobRetried, JobStarted, NodesChanged, RunReady
from bench.tasks.base import is_unseen

DONE_ROOM = 12
"""Lines that finished cells may have in a live view; of a run with more cells, how each ended is said above it."""


@dataclass(frozen=True)
class Running:
    """A job that a worker has."""

    stage: str
    number: int
    since: float


@dataclass
class CellState:
    """One model on one data set: where it stands."""

    dataset: str
    model: str
    trials: int = 0
    """Validation fits that the budget allows."""
    seeds: int = 1
    higher: bool = True
    """A higher score is better."""
    word: str = "waiting"
    """waiting, search, final, done or failed."""
    status: str = ""
    """How it ended: ok, or the word for what went wrong."""
    reason: str = ""
    best: float | None = None
    best_trial: int | None = None
    searched: int = 0
    failed_trials: int = 0
    finals: int = 0
    reused: int = 0
    step: int | None = None
    """The training step that the model reported last."""
    begun: bool = False
    """Trial 0 is known."""
    ended: float | None = None
    running: list[Running] = field(default_factory=list)
    search_seconds: float = 0.0
    final_seconds: float = 0.0
    closed: bool = False
    """The search is over: no trial comes after those counted."""
    total: float | None = None

    @property
    def finished(self) -> bool:
        """Return whether nothing more is to come."""
        return self.word in {"done", "failed"}

    @property
    def current_word(self) -> str:
        """Return the word for where it stands now: a cell that has begun and has no worker waits too."""
        return "waiting" if self.word in {"search", "final"} and not self.running else self.word

    @property
    def jobs(self) -> int:
        """Return the number of jobs that ended."""
        return self.searched + self.finals

    @property
    def expected_finals(self) -> int:
        """Return the number of final fits to expect; where the default won (or nothing did), tuned and default are one.

        A deterministic model needs one seed, which is not known here: then it is done before this count is reached.
        """
        once = self.best_trial in {None, 0} and (self.closed or self.trials <= 1)
        return max(self.seeds * (1 if once else 2), self.finals, 1)

    @property
    def expected_jobs(self) -> int:
        """Return the number of jobs to expect in all."""
        return max(self.searched if self.closed else self.trials, self.searched, 1) + self.expected_finals

    @property
    def open(self) -> int:
        """Return the number of jobs to come, at least."""
        return 0 if self.finished else max(self.expected_jobs - self.jobs, 1)

    def seconds(self, now: float) -> float:
        """Sum worker seconds: of the jobs that ended, and so far of those that run."""
        if self.total is not None:
            return self.total
        return self.search_seconds + self.final_seconds + sum(max(now - job.since, 0.0) for job in self.running)

    def work(self, now: float) -> float:
        """Estimate the worker seconds to come from the mean of the jobs that ended; 0 before the first and after the last."""
        if self.finished or not self.jobs:
            return 0.0
        mean = (self.search_seconds + self.final_seconds) / self.jobs
        means = {
            "search": self.search_seconds / self.searched if self.searched else mean,
            "final": self.final_seconds / self.finals if self.finals else mean,
        }
        left = {"final": self.expected_finals - self.finals, "search": self.expected_jobs - self.expected_finals - self.searched}
        spent = sum(min(max(now - job.since, 0.0), means.get(job.stage, mean)) for job in self.running)
        return max(sum(n * means[stage] for stage, n in left.items()) - spent, 0.0)

    def seconds_left(self, now: float) -> float | None:
        """Estimate the seconds until it ends, with the workers it has now; None where that cannot be told."""
        if self.finished or not self.begun:
            return None
        return self.work(now) / max(len(self.running), 1)

    def start(self, event: JobStarted, now: float) -> None:
        """Take in that a job has a worker."""
        self.running.append(Running(event.stage, event.number, now))
        self._reach(event.stage)

    def end(self, event: JobDone) -> None:
        """Take in how a job ended."""
        entry = event.entry
        stage, number = entry.get("stage", "search"), entry.get("number", 0)
        spent = _amount(entry.get("fit_seconds")) + _amount(entry.get("predict_seconds"))
        self._reach(stage)
        self.reused += event.reused
        if not event.reused:
            self._release(stage, number)
        if stage == "final":
            self.finals += 1
            self.final_seconds += spent
            return
        self.searched += 1
        self.search_seconds += spent
        self.begun = self.begun or number == 0
        ok = entry.get("status") == "ok"
        self.failed_trials += entry.get("status") not in {"ok", "pruned"}
        value = _score(entry.get("value"))
        if ok and value is not None and not is_unseen(stage) and self._better(value, number):
            self.best, self.best_trial = value, number

    def _better(self, value: float, number: int) -> bool:
        if self.best is None or self.best_trial is None:
            return True
        sign = -1 if self.higher else 1
        return (sign * value, number) < (sign * self.best, self.best_trial)

    def retry(self) -> None:
        """Take in that a job lost its worker: the event does not say which, so the longest running."""
        del self.running[:1]

    def finish(self, event: CellDone, now: float) -> None:
        """Take in the outcome."""
        self.word = "done" if event.status == "ok" else "failed"
        self.status, self.reason, self.ended, self.begun = event.status, event.reason, now, True
        valid = _score(event.valid)
        self.best = self.best if valid is None else valid
        self.total = _amount(event.seconds)
        self.running.clear()

    def _reach(self, stage: str) -> None:
        if stage == "final":
            self.closed = True
        if not self.finished and self.word != "final":
            self.word = "final" if stage == "final" else "search"

    def _release(self, stage: str, number: int) -> None:
        for job in [j for j in self.running if (j.stage, j.number) == (stage, number)][:1]:
            self.running.remove(job)


@dataclass
class RunState:
    """All cells of a run, in the order in which the runner named them."""

    started: float
    ready: RunReady | None = None
    nodes: int = 0
    """Of a cluster; 0: the run is on this machine alone."""
    workers: int = 1
    metric: str = "score"
    """How the score on validation is called."""
    higher: bool = True
    cells: dict[tuple[str, str], CellState] = field(default_factory=dict)
    ends_elsewhere: bool = False
    """How each cell ended is said elsewhere, and stays there: a view need not show those that ended."""

    def take(self, event: Event, now: float) -> None:
        """Change with an event that came at `now`."""
        if isinstance(event, DataReady):
            self.metric, self.higher = label_of(event.metric), event.higher
        elif isinstance(event, RunReady):
            self.ready = event
            self.workers = event.workers
            for dataset, model in event.cells:
                self.cells[dataset, model] = CellState(dataset, model, event.trials, event.finals, self.higher)
        elif isinstance(event, NodesChanged):
            self.nodes, self.workers = len(event.nodes), sum(event.nodes.values())
        elif isinstance(event, JobStarted):
            self._of(event).start(event, now)
        elif isinstance(event, JobReport):
            self._of(event).step = event.step
        elif isinstance(event, JobDone):
            self._of(event).end(event)
        elif isinstance(event, JobRetried):
            self._of(event).retry()
        elif isinstance(event, CellDone):
            self._of(event).finish(event, now)

    def _of(self, event: JobStarted | JobReport | JobDone | JobRetried | CellDone) -> CellState:
        key = event.dataset, event.model
        if key not in self.cells:
            trials, seeds = (self.ready.trials, self.ready.finals) if self.ready else (1, 1)
            self.cells[key] = CellState(*key, trials, seeds, self.higher)
        return self.cells[key]

    @property
    def finished(self) -> list[CellState]:
        """List the cells that ended, the latest first."""
        return sorted((c for c in self.cells.values() if c.finished), key=lambda c: -(c.ended or 0.0))

    @property
    def fraction(self) -> float:
        """Return the share of the jobs that ended, in [0, 1]; 1 only at the end."""
        done = sum(c.jobs for c in self.cells.values())
        left = sum(c.open for c in self.cells.values())
        return done / (done + left) if left else 1.0

    def label(self, cell: CellState) -> str:
        """Name a cell: by its model alone where there is one data set."""
        return cell.model if len({c.dataset for c in self.cells.values()}) == 1 else f"{cell.dataset}/{cell.model}"

    def at_least(self, now: float) -> float:
        """Estimate the seconds left for the cells of which trial 0 is known."""
        open_cells = [c for c in self.cells.values() if not c.finished and c.begun]
        jobs = sum(c.open for c in open_cells)
        return math.fsum(c.work(now) for c in open_cells) / max(min(self.workers, jobs), 1)

    def seconds_left(self, now: float) -> float | None:
        """Estimate the seconds left; None until trial 0 of every cell is known."""
        return self.at_least(now) if all(c.begun for c in self.cells.values()) else None


def remaining(run: RunState, now: float) -> str:
    """State in words how long the run still takes, as far as that is known."""
    left, known = run.seconds_left(now), run.at_least(now)
    if left is not None:
        return f"left ~{clock(left)}"
    return "estimating" if known < 1 else f"estimating, over {clock(known)} left"


def clock(seconds: float, *, padded: bool = False) -> str:
    """Format a duration: `0:12`, `3:02`, `1:02:03`; padded `03:02`."""
    whole = int(max(seconds, 0.0))
    hours, rest = divmod(whole, 3600)
    minutes = f"{rest // 60:02d}" if hours or padded else f"{rest // 60}"
    return f"{f'{hours}:' if hours else ''}{minutes}:{rest % 60:02d}"


def _amount(x: Any) -> float:
    """Read an amount; what is none counts as nothing."""
    return float(x) if isinstance(x, int | float) and math.isfinite(x) and x > 0 else 0.0


def _score(x: Any) -> float | None:
    return float(x) if isinstance(x, int | float) and math.isfinite(x) else None
