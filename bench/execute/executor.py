"""What runs requests: the protocol that the local executor and those of other machines meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bench.data.payload import Payload
from bench.execute.jobs import Limits
from bench.execute.messages import Answer, Done, Request, Result


class Handed(Protocol):
    """A stage as a worker gets it."""

    @property
    def digest(self) -> str:
        """Name its content."""
        ...

    @property
    def payloads(self) -> Sequence[Payload | None]:
        """Return training data and first part, then each later part; None: it is sent when it is asked for."""
        ...


class Executor(Protocol):
    """Takes requests while it has idle slots, and answers them in any order."""

    @property
    def confined(self) -> bool:
        """Return whether workers see nothing but what they need."""
        ...

    @property
    def workers(self) -> int:
        """Return the number of slots."""
        ...

    def idle(self) -> int:
        """Return the number of slots that wait for work."""
        ...

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
        """Hand a request to an idle slot; return whether its worker is a new one.

        `runtime`: the framework that the worker may have loaded, or `any`; `final`: the stage's training data are the truth
        of search jobs, which must never run in that worker again; `fresh`: only a new worker will do.
        """
        ...

    def collect(self, timeout: float) -> Sequence[Answer]:
        """Return what was answered: as soon as there is something, at the latest after `timeout` seconds."""
        ...

    def close(self) -> None:
        """End all workers and remove their folders."""
        ...


def wait_for(executor: Executor, ticket: int) -> Result:
    """Wait until the request with this ticket, the only one under way, has ended."""
    while True:
        for answer in executor.collect(1.0):
            if isinstance(answer, Done) and answer.ticket == ticket:
                return answer.result
