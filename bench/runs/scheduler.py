"""Drive all cells to their end: hand jobs to free slots, score what comes back, write it to the ledger."""

from __future__ import annotations

import heapq
import shutil
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.execute.executor import Executor
from bench.execute.jobs import Job, Limits, trial_seed
from bench.execute.mean_of import fitted
from bench.execute.messages import Answer, Done, Report, Result
from bench.execute.prediction_files import keep_folder, read_prediction, stored_digest, write_prediction
from bench.runs import cost
from bench.runs.cell import Cell
from bench.runs.check_prediction import CheckedPrediction, score_validation, validate_prediction
from bench.runs.final_predictions import adjusted
from bench.runs.outcomes import Outcomes
from bench.runs.run_events import CellDone, JobDone, JobReport, JobRetried, JobStarted, Listener, Notice, Tick
from bench.tasks.base import Prediction, Task, is_unseen
from bench.tune.ledger import FORMAT, Ledger
from bench.tune.plan import Budget, Outcome, Plan, plan
from bench.tune.trials import Entry

TICK = 1.0
LONG = 20.0
"""Seconds from which a final fit does not wait for those of its framework."""


@dataclass(eq=False)
class _Active:
    """One cell on its way."""

    cell: Cell
    steps: Plan
    order: int
    jobs: list[Job] = field(default_factory=list)
    known: dict[str, Job] = field(default_factory=dict)
    """Every job so far by its key: one may have to be run again for a prediction that was removed."""
    waiting: set[str] = field(default_factory=set)
    """Keys of the jobs that are on their way."""
    refitted: set[str] = field(default_factory=set)
    """Keys of those that were run again for a prediction."""
    entries: dict[str, Entry] = field(default_factory=dict)
    seconds: float = 0.0


class Driver:
    """The state of one run: which cells are active, which jobs wait, which run."""

    def __init__(self, task: Task, executor: Executor, ledger: Ledger, limits: Limits, budget: Budget, listen: Listener) -> None:
        self.task, self.executor, self.ledger = task, executor, ledger
        self.limits, self.budget, self.listen = limits, budget, listen
        self.outcomes = Outcomes(ledger.folder)
        self._ready: list[tuple[int, float, int, int, _Active, Job, int]] = []
        """A heap, see `place_of`."""
        self._running: dict[int, tuple[_Active, Job, int]] = {}
        self._chunks: dict[str, dict[int, Result]] = {}
        """Job key -> chunk -> how it ended."""
        self._retried: set[tuple[str, int]] = set()
        self._anew: set[str] = set()
        """Keys of means that failed with a configuration that was taken over: all are fitted."""
        self._alone: list[tuple[_Active, Job, int]] = []
        """Jobs for which a shared GPU was too small: each is run again when no other runs."""
        self._tickets = self._queued = self._begun = 0
        self._open: list[_Active] = []
        """Cells under way: of those that have ended nothing stays in memory."""
        self._estimated = False

    def run(self, cells: Sequence[Cell]) -> Mapping[str, Outcome]:
        """Run all cells; return what became of each, by cell name."""
        for cell in cells:
            self._begin(cell)
        while self._ready or self._running or self._alone:
            while self._ready and self.executor.idle():
                self._submit(*heapq.heappop(self._ready)[4:])
            if self._alone and not self._running and not self._ready and self.executor.idle():
                self._submit(*self._alone.pop(0), alone=True)
            answers = self.executor.collect(TICK)
            for answer in answers:
                self._take(answer)
            if not answers:
                self.listen(Tick())
        return self.outcomes

    def begun(self, cell: Cell) -> bool:
        """Return whether the ledger holds a cell's first fit: what else it holds of the cell is then of this very run."""
        first = cell.job(cell.split.validations[0], cell.plugin.default, trial_seed(self.budget.base, 0), 0)
        return first.key in self.ledger.entries

    def stored(self, cells: Iterable[Cell]) -> dict[str, list[cost.Spent]]:
        """List what the ledger's fits of each cell took, by the cell's name, those of other limits or versions included."""
        names = {(cell.dataset, cell.plugin.name): cell.name for cell in cells}
        found: dict[str, list[cost.Spent]] = {name: [] for name in names.values()}
        for entry in self.ledger.entries.values() if found else ():
            name = names.get((entry["dataset"], entry["model"]))
            if name is not None and _fitted(entry):
                found[name].append(cost.spent(entry))
        return found

    def _begin(self, cell: Cell) -> None:
        steps = plan(cell.plugin, self.budget, cell.job, replace(cell.scope, averages=self.task.blends))
        self._begun += 1
        active = _Active(cell, steps, self._begun)
        self._open.append(active)
        active.jobs = next(steps)
        self._schedule(active)

    def _schedule(self, active: _Active) -> None:
        """Queue the jobs that the plan asks for, reuse those in the ledger, and step on when all are there."""
        while True:
            active.known |= {job.key: job for job in active.jobs}
            new = {job.key: job for job in active.jobs if job.key not in active.entries}
            for key, job in new.items():
                entry = self.ledger.entries.get(key)
                if entry is not None and not entry.get("again") and self._still_there(entry):
                    active.entries[key] = entry
                    if not job.of:
                        self._announce(active, entry, reused=True)
            lacking = [job for key, job in new.items() if key not in active.entries]
            missing = {need.key: need for job in lacking for need in (self._averaged(active, job) if job.of else [job])}
            if missing:
                active.waiting = set(missing)
                for job in missing.values():
                    for chunk in range(len(active.cell.stages(job))):
                        self._queue(active, job, chunk)
                return
            try:
                active.jobs = active.steps.send([self._numbered(active, job) for job in active.jobs])
            except StopIteration as end:
                self._finish(active, end.value)
                return

    def _queue(self, active: _Active, job: Job, chunk: int) -> None:
        first = not active.entries and job is active.jobs[0]
        place = place_of(active.order, first=first, final=knows_validation(job), seconds=self._expected(active, job))
        self._queued += 1
        heapq.heappush(self._ready, (*place, self._queued, active, job, chunk))

    def _expected(self, active: _Active, job: Job) -> float:
        """Return what one chunk of a job is expected to take, by the cell's fits so far; 0 where there is none."""
        each = cost.seconds_of_a_fit(cost.spent(entry) for entry in active.entries.values() if _fitted(entry))
        return (each or 0.0) * fitted(job.params) / len(active.cell.stages(job))

    def _numbered(self, active: _Active, job: Job) -> Entry:
        # one fit may serve twice (the default was the best): each place keeps its own number
        return {**active.entries[job.key], "number": job.number}

    def _still_there(self, entry: Entry) -> bool:
        """Return whether the files of an entry are as they were stored; those that are not are said, and made anew."""
        for name, digest in entry.get("digests", {}).items():
            path = self.ledger.folder / name
            # of the predictions on validation most are removed when their cell ends
            if name.startswith("valid/") and not path.exists():
                continue
            if stored_digest(path) != digest:
                what = "is not what was stored there" if path.exists() else "is gone"
                self.listen(Notice(f"{name} {what}: {entry['model']} is fitted again on {entry['dataset']}"))
                return False
        return True

    def _submit(self, active: _Active, job: Job, chunk: int, *, alone: bool = False) -> None:
        failed = next((r for r in self._chunks.get(job.key, {}).values() if r.status != "ok"), None)
        if failed is not None:
            # one chunk's failure is the job's: the others need not run
            self._chunk_done(active, job, chunk, replace(failed, fit_seconds=0.0, predict_seconds=0.0))
            return
        self._tickets += 1
        self._running[self._tickets] = (active, job, chunk)
        stage = active.cell.stages(job)[chunk]
        request, final = active.cell.request(job, self._saved(active, job)), knows_validation(job)
        # the labels that a plugin is asked for may have stayed in a worker that has fitted the other half of the users
        fresh = alone or (is_unseen(job.stage) and not job.plugin.source.shipped)
        limits = replace(active.cell.bounds(job, self.limits), alone=alone)
        self.executor.submit(self._tickets, request, limits, runtime=job.plugin.runtime, stage=stage, final=final, fresh=fresh)
        if chunk == 0:
            self.listen(JobStarted(active.cell.dataset, job.plugin.name, job.stage, job.number))

    def _taken_over(self, active: _Active, job: Job) -> tuple[int, Entry] | None:
        return None if job.key in self._anew else active.cell.taken_over(job, active.entries.values())

    def _saved(self, active: _Active, job: Job) -> tuple[int, str]:
        """Return which configuration of a mean is taken over, and the folder that it is saved in."""
        taken = self._taken_over(active, job)
        return (taken[0], str((self.ledger.folder / str(taken[1]["saved"])).resolve())) if taken else (0, "")

    def _take(self, answer: Answer) -> None:
        active, job, chunk = self._running[answer.ticket]
        if isinstance(answer, Report):
            self.listen(JobReport(active.cell.dataset, job.plugin.name, answer.step, answer.value))
        elif isinstance(answer, Done):
            del self._running[answer.ticket]
            result = answer.result
            if result.gpu_full and (job.key, chunk) not in self._retried:
                self._retried.add((job.key, chunk))
                self._alone.append((active, job, chunk))
                self.listen(JobRetried(active.cell.dataset, job.plugin.name, "its GPU was full; it is run once more, alone"))
                return
            if result.signal == signal.SIGKILL and (job.key, chunk) not in self._retried:
                self._retried.add((job.key, chunk))
                self._queue(active, job, chunk)
                self.listen(JobRetried(active.cell.dataset, job.plugin.name, result.reason))
                return
            if result.status == "failed" and self._taken_over(active, job):
                self._anew.add(job.key)
                self._queue(active, job, chunk)
                words = f"its mean is fitted whole: with the saved default it failed ({result.reason})"
                self.listen(JobRetried(active.cell.dataset, job.plugin.name, words))
                return
            self._chunk_done(active, job, chunk, result)

    def _chunk_done(self, active: _Active, job: Job, chunk: int, result: Result) -> None:
        done = self._chunks.setdefault(job.key, {})
        done[chunk] = result
        if len(done) == len(active.cell.stages(job)):
            self._end(active, job, [result for _, result in sorted(self._chunks.pop(job.key).items())])

    def _end(self, active: _Active, job: Job, results: Sequence[Result]) -> None:
        """Write down how a job ended, all chunks of it, and go on with its cell."""
        entry = self._with_taken_over(active, job, self._entry(active.cell, job, results))
        self.ledger.append(entry)
        for folder in {file.parent for result in results for part in result.parts for file in part.values()}:
            shutil.rmtree(folder, ignore_errors=True)
        if entry["log_tail"]:
            self.ledger.write_log(entry)
        active.entries[job.key] = self.ledger.entries[job.key]
        self._announce(active, entry, reused=False)
        active.waiting.discard(job.key)
        if not active.waiting:
            self._schedule(active)
        self._estimate()

    def _estimate(self) -> None:
        """Report once, when every cell has its first trial, what is still to come."""
        if self._estimated or not all(active.entries for active in self._open):
            return
        self._estimated = True
        cells = [active.cell for active in self._open]
        done = {active.cell.name: [cost.spent(e) for e in active.entries.values() if _fitted(e)] for active in self._open}
        if words := cost.after_first_trials(cost.estimate(cells, self.budget, done, {}), self.executor.workers):
            self.listen(Notice(words))

    def _averaged(self, active: _Active, job: Job) -> list[Job]:
        """Average predictions on validation and score the mean; return the jobs whose predictions are gone, to be run again."""
        files = {key: self.ledger.folder / "valid" / f"{key}.npz" for key in job.of}
        lost = [key for key, file in files.items() if not file.is_file()]
        gone = [active.known[key] for key in lost if key not in active.refitted]
        active.refitted |= {again.key for again in gone}
        for again in gone:
            active.entries.pop(again.key, None)
        if not gone:
            entry = self._mean(active, job, [files[key] for key in job.of]) if not lost else self._no_mean(active, job, lost[0])
            self.ledger.append(entry)
            active.entries[job.key] = self.ledger.entries[job.key]
        return gone

    def _mean(self, active: _Active, job: Job, files: Sequence[Path]) -> Entry:
        split = active.cell.split
        mean = self.task.averaged(split, job.stage, [read_prediction(file) for file in files])
        verdict = score_validation(self.task, split, job.stage, mean)
        return self._line(active.cell, job, Result("ok"), verdict, self._keep(job, mean.prediction, None))

    def _no_mean(self, active: _Active, job: Job, key: str) -> Entry:
        """Explain why there is no mean: a fit that had worked failed when it was run again; the next run tries once more."""
        failed = active.entries[key]
        verdict = CheckedPrediction("failed", f"a configuration could not be fitted again: {failed['status']}: {failed['reason']}")
        return self._line(active.cell, job, Result("failed", again=True), verdict, {})

    def _announce(self, active: _Active, entry: Entry, *, reused: bool) -> None:
        active.seconds += entry["fit_seconds"] + entry["predict_seconds"] - entry.get("taken_over", 0.0)
        self.listen(JobDone(active.cell.dataset, active.cell.plugin.name, entry, reused))

    def _entry(self, cell: Cell, job: Job, results: Sequence[Result]) -> Entry:
        """Check and score a prediction, and make the ledger's line of it."""
        result = Result.joined(results)
        verdict = CheckedPrediction(result.status, result.reason)
        if result.status == "pruned" and len(result.losses) not in {rung.epoch for rung in job.rungs}:
            verdict = CheckedPrediction("invalid", "the fit says that it was stopped at a rung where it has none")
        if result.status == "ok":
            verdict = validate_prediction(self.task, cell.split, job.stage, results, causal=job.plugin.causal)
        kept = self._keep(job, verdict.finished.prediction, results[0].model) if verdict.finished is not None else {}
        return self._line(cell, job, result, verdict, kept)

    def _with_taken_over(self, active: _Active, job: Job, entry: Entry) -> Entry:
        """Add what a configuration that was taken over had cost: a row's seconds are those of all that it is made of."""
        taken = self._taken_over(active, job)
        if taken is None:
            return entry
        over = taken[1]["fit_seconds"]
        return {**entry, "fit_seconds": entry["fit_seconds"] + over, "taken_over": over}

    def _line(self, cell: Cell, job: Job, result: Result, verdict: CheckedPrediction, kept: Mapping[str, Any]) -> Entry:
        return {
            "format": FORMAT,
            "key": job.key,
            "dataset": cell.dataset,
            "model": job.plugin.name,
            "task_id": cell.split.task_id,
            "stage": job.stage,
            "number": job.number,
            "params": dict(job.params),
            "seed": job.seed,
            **verdict.columns(),
            "confined": self.executor.confined or job.plugin.source.shipped,
            "log_tail": result.log_tail,
            "prediction": kept.get("prediction"),
            "saved": kept.get("saved"),
            "digests": kept.get("digests", {}),
            "unsaved": result.unsaved,
            "fit_seconds": result.fit_seconds,
            "predict_seconds": result.predict_seconds,
            "peak_memory_mb": result.peak_memory_mb,
            "cut_short": result.cut_short,
            **({"losses": list(result.losses), "epochs": result.epochs} if result.losses and not cell.local(job) else {}),
            "curve": [list(point) for point in result.curve],
            "device": cell.device,
            **(_of_gpu(result) if cell.device == "cuda" else {}),
            # killed from outside, twice, or the disk was full: no property of the model, so the next run tries again
            "again": result.again or result.signal == signal.SIGKILL,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def _keep(self, job: Job, prediction: Prediction, model: Path | None) -> dict[str, Any]:
        """Bring a prediction, and the model of a final fit, into the run folder: on the disk before the ledger says so.

        Predictions on validation serve the ensemble; when their cell ends, all but the best are removed.
        """
        name = f"{'predictions' if job.keep else 'valid'}/{job.key}.npz"
        write_prediction(self.ledger.folder / name, prediction)
        kept: dict[str, Any] = {"prediction": name} if job.keep else {}
        if job.keep and model is not None:
            kept["saved"] = f"models/{job.key}"
            keep_folder(model, self.ledger.folder / kept["saved"])
        stored = [name, *([kept["saved"]] if "saved" in kept else [])]
        return {**kept, "digests": {each: stored_digest(self.ledger.folder / each) for each in stored}}

    def _finish(self, active: _Active, outcome: Outcome) -> None:
        cell = active.cell
        outcome = adjusted(self.task, cell.split, outcome, self.ledger.folder)
        self.outcomes.add(cell.name, outcome)
        self._open.remove(active)
        second = () if outcome.second is None else (outcome.second,)
        best = {key for entry in (*outcome.best.values(), *second, outcome.valid) for key in entry["validations"].values()}
        unseen = {key for key, job in active.known.items() if is_unseen(job.stage)}
        for key in {key for trial in outcome.trials for key in trial["validations"].values()} - best | unseen:
            (self.ledger.folder / "valid" / f"{key}.npz").unlink(missing_ok=True)
        finals = list(outcome.finals.values()) or [outcome.valid]
        worst = next((e for e in finals if e["status"] != "ok"), finals[0])
        valid = next(iter(outcome.best.values()), outcome.valid)["value"]
        self.listen(CellDone(cell.dataset, cell.plugin.name, worst["status"], worst["reason"], valid, active.seconds))


def knows_validation(job: Job) -> bool:
    """Return whether a job learns from labels that a search is scored by: a final fit, and one that unseen users are asked by."""
    return job.stage == "final" or is_unseen(job.stage)


def place_of(order: int, *, first: bool, final: bool, seconds: float) -> tuple[int, float, int]:
    """Return where a job stands in the queue: the first of every cell before all others, then the searches, then the finals.

    The first ones tell early what a cell costs and whether it works. Cells are given in the order of their frameworks:
    turning round at the end of each pass leaves each worker with the framework that it has. Finals, and what else knows the
    labels of validations, wait for all searches: a worker that ran one searches no more. Those of `LONG` or more come
    before the others, the longest first, lest one of them is alone at the end: to change the framework takes less.
    """
    if first:
        return 0, 0.0, order
    return (2, -seconds if seconds >= LONG else 0.0, order) if final else (1, 0.0, -order)


def _fitted(entry: Entry) -> bool:
    """Return whether an entry is of a fit, not of a mean of predictions that costs nothing."""
    return entry["fit_seconds"] + entry["predict_seconds"] > 0


def _of_gpu(result: Result) -> Entry:
    """Return what a ledger's line tells of the GPU that a job ran on."""
    return {
        "gpu": result.gpu,
        "gpu_memory_mb": result.gpu_memory_mb,
        "gpu_peak_mb": result.gpu_peak_mb,
        "gpu_utilisation": result.gpu_utilisation,
    }
