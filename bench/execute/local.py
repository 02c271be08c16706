"""The local executor: one worker process a slot, watched from outside for time and memory, replaced when it breaks.

A slot's HOME, cache, temporary and working folders are empty ones of its own; its environment names neither the
user's cache nor any source of data. Inputs travel over the pipe, predictions come back as files.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from bench.data.payload import Payload
from bench.execute.executor import Handed
from bench.execute.gpus import load
from bench.execute.jobs import Limits
from bench.execute.messages import Answer, Awaiting, Call, Done, Ending, Note, Order, Report, Request, Result, StageData
from bench.execute.placement import Place
from bench.execute.prediction_files import broken, seals
from bench.execute.process_tree import Guardian, descendants, kill_homed, kill_tree
from bench.execute.sandbox import Sandbox
from bench.execute.slot import Slot, emptied, folder_bytes, fresh_folder, owner_of, request_of, start
from bench.execute.worker_env import resident_mb, shared_once_mb

LOG_BYTES = 64 * 1024**2
"""Most that one job may print."""
WATCH_SECONDS = 0.1
SCRATCH_BYTES = 16 * 1024**3
"""Most that the files of one job may take together."""
PROCESSES = 256
"""Most that one job may have running at once."""
KEPT_BYTES = 1 << 29
"""Most that a stage may take for a worker to keep it beside the copy that a job is given."""
STARTING_SECONDS = 60.0
"""Given to a new worker, beyond the job's own limit, to start and import before the job's clock runs."""


class LocalExecutor:
    """Run requests in `workers` processes of this machine; `submit` when `idle`, then `collect` answers."""

    def __init__(self, workers: int, device: str, scratch: Path, sandbox: Sandbox | None = None, places: Sequence[Place] = ()) -> None:
        """Make so many slots on one device; or, with `places`, one for each of these."""
        self._guardian = Guardian(scratch)
        self._scratch, self._sandbox = scratch, sandbox
        self.slots = [Slot(scratch / f"slot-{n}", place) for n, place in enumerate(places or [Place(device)] * workers)]

    @property
    def confined(self) -> bool:
        """Return whether workers see nothing but what they need."""
        return self._sandbox is not None

    @property
    def workers(self) -> int:
        """Return the number of slots."""
        return len(self.slots)

    def idle(self) -> int:
        """Return the number of slots that wait for work."""
        return sum(slot.ticket is None for slot in self.slots)

    def submit(
        self,
        ticket: int,
        request: Request,
        limits: Limits,
        *,
        runtime: str,
        stage: Handed | None = None,
        final: bool = False,
        fresh: bool = False,
    ) -> bool:
        """Hand a request to a free slot, preferring a worker that has this runtime and stage; says whether it is a new one.

        Runtime `any` takes any worker (to describe a plugin of which nothing is known yet); `fresh` wants a new one.
        A search job never gets a worker that has run a `final` one: a plugin could have kept those labels.
        """
        digest = stage.digest if stage else ""
        slot, new = self._choose(runtime, digest, request, final=final, fresh=fresh)
        slot.knows_validation |= final
        slot.shipped = not isinstance(request, Call) and request.source.shipped
        slot.predicts = stage is not None
        slot.later, slot.parts, slot.sealed = list(stage.payloads[1:]) if stage else [], [], {}
        slot.ticket, slot.limits, slot.peak_mb, slot.gpu_loads, slot.began = ticket, limits, 0.0, [], time.monotonic()
        # a job says when its clock starts; a description is all import
        slot.deadline = slot.began + limits.seconds + (STARTING_SECONDS if stage else 0.0)
        slot.log_from = slot.log.stat().st_size
        out = fresh_folder(slot.folder / "out")
        emptied(slot.folder / "work")
        if slot.connection is None:
            raise RuntimeError("a started slot has a connection")
        # a worker that died a moment ago: its end of the pipe is closed, and the watch will say so
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if stage and digest not in slot.stages:
                self._send_stage(slot, slot.connection, digest, stage.payloads[0])
            bound = 0.0 if limits.alone else slot.place.share_mb
            slot.connection.send(Order(request_of(request, slot), digest, str(out), limits.seconds, 1 + len(slot.later), bound))
        return new

    def _choose(self, runtime: str, digest: str, request: Request, *, final: bool, fresh: bool) -> tuple[Slot, bool]:
        """Choose a free slot with a worker that suits, starting one where there is none; says whether it is new."""
        free, owner = [slot for slot in self.slots if slot.ticket is None], owner_of(request)

        slot = min(free, key=lambda s: s.state().distance(runtime, owner, digest, final=final))
        if slot.process is not None and (fresh or not slot.state().suits(runtime, owner, final=final) or not slot.sound()):
            self._end(slot)
        new = slot.process is None
        if new:
            self._start(slot, runtime, request)
        return slot, new

    def collect(self, timeout: float) -> list[Answer]:
        """Wait until something is answered or `timeout` seconds have passed; enforce the limits meanwhile."""
        until = time.monotonic() + timeout
        while True:
            answers = list(self._poll(min(WATCH_SECONDS, max(until - time.monotonic(), 0.0))))
            if answers or time.monotonic() >= until or self.idle() == len(self.slots):
                return answers

    def close(self) -> None:
        """End all workers and remove their folders."""
        for slot in self.slots:
            self._end(slot)
        self._guardian.close()

    def _poll(self, timeout: float) -> Iterator[Answer]:
        busy = {slot.connection: slot for slot in self.slots if slot.ticket is not None and slot.connection is not None}
        ready = wait(list(busy), timeout)
        for connection, slot in busy.items():
            if connection in ready:
                yield from self._receive(slot)
            else:
                yield from self._watched(slot)

    def _receive(self, slot: Slot) -> Iterator[Answer]:
        if slot.connection is None or slot.ticket is None:
            return
        try:
            message = json.loads(slot.connection.recv_bytes())
        except (EOFError, OSError, ValueError):
            yield self._broken(slot)
            return
        try:
            yield from self._handle_message(slot, slot.ticket, message)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # the plugin shares the worker's process, and may write to its pipe what it likes
            yield self._killed(slot, "failed", f"its worker's message cannot be read ({type(error).__name__}: {error})")

    def _handle_message(self, slot: Slot, ticket: int, message: Mapping[str, Any]) -> Iterator[Answer]:
        match message["event"]:
            case "start" if slot.limits is not None:
                # from here on the job's own clock runs: imports are not charged to it
                slot.began = time.monotonic()
                slot.deadline = slot.began + slot.limits.seconds
            case "predicted":
                yield from self._hand_over(slot)
            case "report":
                yield Report(ticket, int(message["step"]), float(message["value"]))
            case "note" if slot.limits is not None:
                # each step that is told of has the limit for itself
                slot.deadline = time.monotonic() + slot.limits.seconds
                yield Note(ticket, dict(message["content"]))
            case _:
                yield self._done(slot, Ending.read(message))

    def _hand_over(self, slot: Slot) -> Iterator[Answer]:
        """Take what was predicted for one part, and only then hand over the next, which holds its truth."""
        try:
            # a copy: what the worker writes into its own file from now on changes nothing
            slot.sealed |= seals(self._take(slot, shutil.copyfile))
        except OSError as error:
            yield self._killed(slot, "failed", f"a prediction could not be stored: {error.strerror}; make room and run again", again=True)
            return
        if slot.later and slot.ticket is not None:
            payload = slot.later.pop(0)
            if payload is None:
                yield Awaiting(slot.ticket, slot.parts[-1])
            else:
                self.hand_over(slot.ticket, payload)

    def _send_stage(self, slot: Slot, connection: Connection, digest: str, payload: Payload | None) -> None:
        """Send a worker training data and the first part; of large ones it keeps no copy, and gets them anew with each job."""
        payload = payload or Payload(b"")
        once = payload.size > KEPT_BYTES
        connection.send(StageData(digest, payload.head, payload.sizes, once))
        payload.send_buffers(connection.fileno())
        slot.stages = [] if once else [digest]

    def hand_over(self, ticket: int, payload: Payload) -> None:
        """Send a worker the next part of its stage; one that has ended meanwhile needs it no more."""
        for slot in self.slots:
            if slot.ticket == ticket and slot.connection is not None:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    slot.connection.send_bytes(payload.to_bytes())

    def _take(self, slot: Slot, take: Callable[[Path, Path], object]) -> list[Path]:
        """Bring the files of the latest part out of the worker's folder; say where they are now."""
        taken, number = self._scratch / "taken" / str(slot.ticket), len(slot.parts)
        taken.mkdir(parents=True, exist_ok=True)
        files = [f for f in sorted((slot.folder / "out").glob(f"part-{number}.*.npy")) if f.is_file()]
        for file in files:
            take(file, taken / file.name)
        slot.parts.append({file.name.split(".")[1]: taken / file.name for file in files})
        return [taken / file.name for file in files]

    def _take_model(self, slot: Slot) -> None:
        """Bring the folder that a model wrote out of the worker's reach."""
        saved = slot.folder / "out" / "model"
        if saved.is_dir() and not saved.is_symlink():
            saved.replace(self._scratch / "taken" / str(slot.ticket) / "model")

    def _done(self, slot: Slot, ending: Ending) -> Done:
        # a worker that was handed a later part knows the truth of those before it, which the next job is asked for: where its
        # plugin is not known to keep nothing, it does no other job
        knows, result = bool(slot.parts) and not slot.shipped, ending.result
        sample_gpu_load(slot)  # its framework still holds what it has held: nearly the peak
        if result.status == "ok" and slot.predicts:
            self._take(slot, Path.replace)
            self._take_model(slot)
        model = self._scratch / "taken" / str(slot.ticket) / "model"
        result = replace(
            result,
            fit_seconds=result.fit_seconds if ending.timed else time.monotonic() - slot.began,
            log_tail="" if result.status in {"ok", "pruned"} else slot.tail(),
            peak_memory_mb=max(result.peak_memory_mb, slot.peak_mb),
            parts=tuple(slot.parts),
            model=model if model.is_dir() else None,
            **on_gpu(slot),
        )
        ticket, slot.ticket = slot.ticket, None
        slot.runtime = (*ending.loaded, "none")[0] if slot.runtime == "any" else slot.runtime
        # two frameworks in one process, a device that has faulted, something left running: the next job gets a new process
        foreign = len(ending.loaded) > 1 or (ending.loaded and slot.runtime not in ending.loaded)
        # nor does one that was alone take another: what it may hold of the GPU is not bounded
        alone = slot.limits is not None and slot.limits.alone
        if knows or ending.spoilt or foreign or alone:
            self._end(slot)
        if broken(slot.sealed):
            reason = "a forecast was changed after it had been stored"
            result = replace(result, status="failed", reason=reason, parts=(), log_tail=result.log_tail or slot.tail())
        return Done(-1 if ticket is None else ticket, result, ending.described)

    def _watched(self, slot: Slot) -> Iterator[Answer]:
        if slot.limits is None or slot.process is None:
            return
        now = time.monotonic()
        if slot.process.poll() is not None:
            # a child that the job forked may hold our pipe open: its end alone does not tell of the worker's
            yield self._broken(slot)
            return
        if slot.log.stat().st_size - slot.log_from > LOG_BYTES:
            yield self._killed(slot, "failed", f"printed more than {LOG_BYTES // 1024**2} MB; let it print less")
            return
        if now > slot.deadline:
            yield self._killed(slot, "timeout", f"ran longer than {slot.limits.seconds:g} s; raise --job-seconds or give less data")
            return
        whole_tree = now - slot.tree_checked > 10 * WATCH_SECONDS
        # to find all that it started the system is asked for each of its processes: once a second, and once for both questions
        processes = descendants(slot.worker_pid()) if whole_tree else [slot.worker_pid()]
        if whole_tree and (reason := _excess(slot, len(processes))):
            yield self._killed(slot, "failed", reason)
            return
        used = resident_mb(processes)
        slot.tree_checked = now if whole_tree else slot.tree_checked
        if whole_tree:
            sample_gpu_load(slot)
        if whole_tree and used > slot.limits.memory_mb:
            used = shared_once_mb(slot.worker_pid())
        slot.peak_mb = max(slot.peak_mb, used)
        if used > slot.limits.memory_mb:
            limit = slot.limits.memory_mb / 1024
            yield self._killed(slot, "oom", f"{used / 1024:.1f} GB resident, limit {limit:.1f}; raise --job-memory or lower --workers")

    def _killed(self, slot: Slot, status: str, reason: str, *, signal: int = 0, again: bool = False) -> Done:
        """End a worker from outside; what the request it ran comes to."""
        seconds, ticket = time.monotonic() - slot.began, slot.ticket
        self._end(slot)
        seen = on_gpu(slot)
        result = Result(status, reason, slot.tail(), seconds, peak_memory_mb=slot.peak_mb, signal=signal, again=again, **seen)
        return Done(-1 if ticket is None else ticket, result)

    def _broken(self, slot: Slot) -> Done:
        """Describe how a worker ended that hung up in the middle of a job."""
        code = 0
        if slot.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = slot.process.wait(timeout=2.0)
        ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended itself with exit code {code}"
        return self._killed(slot, "crash", f"the worker {ended}", signal=max(-code, 0))

    def _start(self, slot: Slot, runtime: str, request: Request) -> None:
        start(slot, request, self._sandbox, self._scratch / "roots" / slot.folder.name)
        if slot.process is not None:
            self._guardian.tell(slot.process.pid, alive=True)
        # `any` becomes what the worker turns out to have loaded
        slot.runtime, slot.stages = runtime, []

    def _end(self, slot: Slot) -> None:
        if slot.process is not None:
            # a worker that has ended by itself has been waited for: its number may be another's by now
            if slot.process.poll() is None:
                kill_tree(slot.process.pid)
                slot.process.wait()
            kill_homed(str(slot.folder / "home"))
            self._guardian.tell(slot.process.pid, alive=False)
        if slot.connection is not None:
            slot.connection.close()
        slot.process, slot.connection, slot.stages, slot.ticket, slot.inner = None, None, [], None, None
        slot.knows_validation = False


def _excess(slot: Slot, processes: int) -> str:
    """Describe what a job has too much of, seen from outside: processes, or bytes in its folders; empty: nothing."""
    if processes > PROCESSES:
        return f"had more than {PROCESSES} processes at once; let it start fewer"
    if folder_bytes(slot.folder) > SCRATCH_BYTES:
        return f"wrote more than {SCRATCH_BYTES / 1024**3:.0f} GB of files; let it write less"
    return ""


def sample_gpu_load(slot: Slot) -> None:
    """Note what the slot's GPU, if it has one, is seen to do now."""
    if slot.place.number is not None and slot.process is not None:
        seen = load(slot.place.number, descendants(slot.worker_pid()))
        slot.gpu_loads += [] if seen is None else [seen]


def on_gpu(slot: Slot) -> dict[str, Any]:
    """Return the fields of a `Result` that tell of the slot's GPU and of what was seen there; none where it has none.

    It is looked at each second and at the end: the peak is the highest that was seen.
    """
    if slot.place.number is None:
        return {}
    held = [seen.memory_mb for seen in slot.gpu_loads if seen.memory_mb is not None]
    busy = [seen.utilisation for seen in slot.gpu_loads]
    return {
        "gpu": slot.place.name,
        "gpu_memory_mb": slot.place.memory_mb or None,
        "gpu_peak_mb": max(held, default=None),
        "gpu_utilisation": sum(busy) / len(busy) if busy else None,
    }
