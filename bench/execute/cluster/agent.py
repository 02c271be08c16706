"""The agent of a node: a local executor that is asked step by step, in bytes; it knows nothing of the network between."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.data.payload import Payload
from bench.execute.cluster.messages import (
    AgentAnswer,
    Ended,
    Files,
    NextPart,
    Order,
    Predicted,
    Step,
    Submission,
    read_files,
    without_paths,
    write_files,
)
from bench.execute.jobs import Limits
from bench.execute.local import LocalExecutor
from bench.execute.messages import Answer, Apply, Awaiting, Call, Done, Fit, Request


@dataclass(frozen=True)
class PartialStage:
    """A stage of which only training data and the first part are here."""

    digest: str
    payloads: tuple[Payload | None, ...]


class Agent:
    """Serve a supervisor on another machine with a local executor of this one."""

    def __init__(self, executor: LocalExecutor, folder: Path, memory_mb: float | None) -> None:
        """Keep plugins and saved models in `folder`; `memory_mb`: bound on each job, None: it comes with the job."""
        self._executor, self._folder, self._memory_mb = executor, folder, memory_mb
        self._stages: dict[str, Payload] = {}
        self._sent: dict[int, int] = {}
        """Ticket -> parts whose predictions were sent."""

    def step(self, orders: Sequence[Order], seconds: float) -> Step:
        """Take orders, then wait at most so long for something to tell."""
        for order in orders:
            if isinstance(order, NextPart):
                self._executor.hand_over(order.ticket, Payload.from_bytes(order.payload))
            else:
                self._submit(order)
        answers = tuple(self._bytes(answer) for answer in self._executor.collect(seconds))
        return Step(answers, tuple(slot.state() for slot in self._executor.slots))

    def close(self) -> None:
        """End all workers and remove what was kept."""
        self._executor.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _submit(self, order: Submission) -> None:
        for digest in order.forget:
            self._stages.pop(digest, None)
        if order.stage is not None:
            self._stages[order.digest] = Payload.from_bytes(order.stage)
        self._sent[order.ticket] = 0
        stage = PartialStage(order.digest, (self._stages[order.digest], *[None] * (order.parts - 1))) if order.digest else None
        request, limits = self._localised(order), self._with_own_memory(order.limits)
        self._executor.submit(order.ticket, request, limits, runtime=order.runtime, stage=stage, final=order.final, fresh=order.fresh)

    def _with_own_memory(self, limits: Limits) -> Limits:
        return limits if self._memory_mb is None else replace(limits, memory_mb=self._memory_mb)

    def _localised(self, order: Submission) -> Request:
        """Write down the plugin and the saved model that came as bytes, and name their places on this machine."""
        request = order.request
        if isinstance(request, Call):
            return request
        if order.plugin:
            home = self._folder / "plugins" / _digest(order.plugin)
            write_files(home, order.plugin)
            request = replace(request, source=replace(request.source, target=str(home / next(iter(order.plugin)))))
        if isinstance(request, Fit | Apply) and request.saved:
            saved = self._folder / "saved" / str(order.ticket)
            write_files(saved, order.saved)
            request = replace(request, saved=str(saved))
        return request

    def _bytes(self, answer: Answer) -> AgentAnswer:
        """Replace paths by what stands there."""
        if isinstance(answer, Awaiting):
            self._sent[answer.ticket] += 1
            return Predicted(answer.ticket, _read(answer.files))
        if not isinstance(answer, Done):
            return answer
        result = answer.result
        unsent = result.parts[self._sent.pop(answer.ticket, 0) :]
        model = read_files(result.model) if result.model else None
        last = _read(unsent[-1]) if unsent else None
        for folder in {file.parent for part in result.parts for file in part.values()} | ({result.model} if result.model else set()):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self._folder / "saved" / str(answer.ticket), ignore_errors=True)
        return Ended(answer.ticket, without_paths(result), answer.described, last, model)


def _read(files: Mapping[str, Path]) -> dict[str, bytes]:
    return {name: file.read_bytes() for name, file in files.items()}


def _digest(files: Files) -> str:
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()[:16]
