"""Drive all cells to their end: hand jobs to free slots, score what comes back, write it to the ledger."""

from __future__ import annotations

import heapq
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import Array
from bench.tasks.base import Split, Task
from bench.tune.jobs import Job, Limits, Plugin, Result, job_key
from bench.tune.ledger import Ledger
from bench.tune.plan import Budget, Entry, Outcome, Plan, plan
from bench.tune.progress import CellDone, JobDone, JobReport, JobRetried, JobStarted, Listener, Tick
from bench.tune.slots import LocalExecutor

TICK = 1.0
LARGE = 2**26
"""Bytes of a prediction that is not read at once."""


@dataclass(frozen=True)
class Cell:
    """One model on one data set."""

    dataset: str
    split: Split
    plugin: Plugin
    device: str
    key_parts: Mapping[str, Any]
    """What every job key of this cell shares."""
    context: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name the cell for seeds and logs."""
        return f"{self.dataset}/{self.plugin.name}"

    def job(self, stage: Any, params: Mapping[str, Any], seed: int, number: int) -> Job:
        """Make the spec and key of one job."""
        parts = {**self.key_parts, "stage": stage, "split": self.split.stages[stage].digest, "params": dict(params), "seed": seed}
        return Job(self.name, self.plugin, stage, params, seed, job_key(parts), self.context, number, keep=stage == "final")


@dataclass
class _Active:
    cell: Cell
    steps: Plan
    order: int
    jobs: list[Job] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    seconds: float = 0.0


class Driver:
    """Hold the state of one run: which cells are active, which jobs wait, which run."""

    def __init__(self, task: Task, executor: LocalExecutor, ledger: Ledger, limits: Limits, budget: Budget, listen: Listener) -> None:
        self.task, self.executor, self.ledger = task, executor, ledger
        self.limits, self.budget, self.listen = limits, budget, listen
        self.outcomes: dict[str, Outcome] = {}
        self._ready: list[tuple[int, int, int, _Active, Job]] = []
        """A heap, see `_queue`."""
        self._running: dict[int, tuple[_Active, Job]] = {}
        self._retried: set[str] = set()
        self._tickets = self._queued = self._begun = 0

    def run(self, cells: Sequence[Cell]) -> dict[str, Outcome]:
        """Run all cells; return what became of each, by cell name."""
        for cell in cells:
            self._begin(cell)
        while self._ready or self._running:
            while self._ready and self.executor.idle():
                self._submit(*heapq.heappop(self._ready)[3:])
            answers = self.executor.collect(TICK)
            for answer in answers:
                self._take(answer.ticket, answer.message)
            if not answers:
                self.listen(Tick())
        return self.outcomes

    def _begin(self, cell: Cell) -> None:
        steps = plan(cell.plugin, self.budget, cell.job, name=cell.name, penalty=self.task.penalty)
        self._begun += 1
        active = _Active(cell, steps, self._begun)
        active.jobs = next(steps)
        self._schedule(active)

    def _schedule(self, active: _Active) -> None:
        """Queue the jobs that the plan asks for, reuse those in the ledger, and step on when all are there."""
        while True:
            new = {job.key: job for job in active.jobs if job.key not in active.entries}
            for key in new:
                entry = self.ledger.entries.get(key)
                if entry is not None and not entry.get("again") and self._still_there(entry):
                    active.entries[key] = entry
                    self._tell(active, entry, reused=True)
            missing = [job for key, job in new.items() if key not in active.entries]
            if missing:
                for job in missing:
                    self._queue(active, job)
                return
            try:
                active.jobs = active.steps.send([self._numbered(active, job) for job in active.jobs])
            except StopIteration as end:
                self._finish(active, end.value)
                return

    def _queue(self, active: _Active, job: Job) -> None:
        """Put a job in its place: the first of every cell before all others, then the searches, then the finals.

        The first ones tell early what a cell costs and whether it works. Cells are given in the order of their
        frameworks: turning round at the end of each pass leaves each worker with the framework that it has.
        """
        first = not active.entries and job is active.jobs[0]
        place = (0, active.order) if first else (1, -active.order) if job.stage == "search" else (2, active.order)
        self._queued += 1
        heapq.heappush(self._ready, (*place, self._queued, active, job))

    def _numbered(self, active: _Active, job: Job) -> Entry:
        # one fit may serve twice (the default was the best): each place keeps its own number
        return {**active.entries[job.key], "number": job.number}

    def _still_there(self, entry: Entry) -> bool:
        return entry["prediction"] is None or (self.ledger.folder / entry["prediction"]).is_file()

    def _submit(self, active: _Active, job: Job) -> None:
        self._tickets += 1
        self._running[self._tickets] = (active, job)
        message = {
            "do": "run",
            "source": job.plugin.source.as_dict(),
            "name": job.plugin.name,
            "digest": active.cell.split.stages[job.stage].digest,
            "params": dict(job.params),
            "seed": job.seed,
            "context": dict(job.context),
            "device": "cuda:0" if active.cell.device == "cuda" else "cpu",
        }
        stage = active.cell.split.stages[job.stage]
        final = job.stage == "final"
        self.executor.submit(self._tickets, message, self.limits, runtime=job.plugin.runtime, stage=stage, final=final)
        self.listen(JobStarted(active.cell.dataset, job.plugin.name, job.stage, job.number))

    def _take(self, ticket: int, message: Mapping[str, Any]) -> None:
        active, job = self._running[ticket]
        if message["event"] == "report":
            self.listen(JobReport(active.cell.dataset, job.plugin.name, message["step"], message["value"]))
            return
        del self._running[ticket]
        result = _result(message)
        if result.signal == signal.SIGKILL and job.key not in self._retried:
            self._retried.add(job.key)
            self._queue(active, job)
            self.listen(JobRetried(active.cell.dataset, job.plugin.name, result.reason))
            return
        entry = self._entry(active.cell, job, result)
        self.ledger.append(entry)
        if entry["log_tail"]:
            self.ledger.write_log(entry)
        active.entries[job.key] = entry
        self._tell(active, entry, reused=False)
        if all(wanted.key in active.entries for wanted in active.jobs):
            self._schedule(active)

    def _tell(self, active: _Active, entry: Entry, *, reused: bool) -> None:
        active.seconds += entry["fit_seconds"] + entry["predict_seconds"]
        self.listen(JobDone(active.cell.dataset, active.cell.plugin.name, entry, reused))

    def _entry(self, cell: Cell, job: Job, result: Result) -> dict[str, Any]:
        """Check and score a prediction, and make the ledger's line of it."""
        truth = cell.split.truths[job.stage]
        status, reason, value, kept, mean = result.status, result.reason, None, None, None
        if status == "ok" and result.prediction is not None:
            prediction, reason = _read(result.prediction)
            reason = reason or self.task.invalid(prediction, len(truth.y))
            status = "invalid" if reason else "ok"
            if status == "ok":
                mean = float(prediction.mean())
                # finals are scored once, at the end: nothing may be chosen by their value
                value = self.task.objective(truth, prediction) if job.stage == "search" else None
                kept = self._keep(job, result.prediction) if job.keep else None
        return {
            "key": job.key,
            "dataset": cell.dataset,
            "model": job.plugin.name,
            "task_id": cell.split.task_id,
            "stage": job.stage,
            "number": job.number,
            "params": dict(job.params),
            "seed": job.seed,
            "status": status,
            "reason": reason,
            "log_tail": result.log_tail,
            "value": value,
            "mean_prediction": mean,
            "prediction": kept,
            "fit_seconds": result.fit_seconds,
            "predict_seconds": result.predict_seconds,
            "peak_memory_mb": result.peak_memory_mb,
            "cut_short": result.cut_short,
            "device": cell.device,
            # killed from outside, twice, or the disk was full: no property of the model, so the next run tries again
            "again": result.again or result.signal == signal.SIGKILL,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def _keep(self, job: Job, prediction: Path) -> str:
        """Move a final's prediction into the run folder, on the disk before the ledger says so."""
        name = f"predictions/{job.key}.npy"
        target = self.ledger.folder / name
        target.parent.mkdir(exist_ok=True)
        partial = target.with_suffix(".part")
        with prediction.open("rb") as source, partial.open("wb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        partial.replace(target)
        return name

    def _finish(self, active: _Active, outcome: Outcome) -> None:
        cell = active.cell
        self.outcomes[cell.name] = outcome
        finals = list(outcome.finals.values()) or [outcome.valid]
        worst = next((e for e in finals if e["status"] != "ok"), finals[0])
        valid = (outcome.best or outcome.valid)["value"]
        self.listen(CellDone(cell.dataset, cell.plugin.name, worst["status"], worst["reason"], valid, active.seconds))


def _read(path: Path) -> tuple[Array, str]:
    try:
        # mapped where it is large: a prediction of the wrong shape must not fill the supervisor's memory
        large = path.stat().st_size > LARGE
        return np.load(path, mmap_mode="r" if large else None, allow_pickle=False), ""
    except (OSError, ValueError) as error:
        return np.zeros(0), f"the prediction cannot be read: {error}"


def _result(message: Mapping[str, Any]) -> Result:
    return Result(
        status=message["status"],
        reason=message.get("reason", ""),
        log_tail=message.get("log_tail", ""),
        fit_seconds=message.get("fit_seconds", 0.0),
        predict_seconds=message.get("predict_seconds", 0.0),
        peak_memory_mb=message.get("peak_memory_mb", 0.0),
        prediction=Path(message["prediction"]) if message.get("prediction") else None,
        cut_short=message.get("cut_short", False),
        signal=message.get("signal", 0),
        again=message.get("again", False),
    )
