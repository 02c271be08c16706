"""The executor of a cluster: chooses a node and a slot for each request, keeps what comes back, and outlives its nodes."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from bench.data.payload import Payload
from bench.errors import ConfigError
from bench.execute.cluster.messages import Ended, Files, NextPart, NodeFacts, Order, Predicted, Step, Submission, read_files, write_files
from bench.execute.cluster.node_check import difference
from bench.execute.executor import Handed
from bench.execute.jobs import Limits
from bench.execute.messages import Answer, Apply, Call, Done, Fit, Request, Result
from bench.execute.slot import SlotState, owner_of

KEPT_BYTES = 1 << 30
"""Of stages that an agent keeps, so that they need not be sent again."""


@dataclass(frozen=True)
class Died:
    """A node is gone."""

    reason: str


class Transport(Protocol):
    """Carries messages to agents: at most one step of each is under way."""

    def arrived(self) -> Sequence[NodeFacts]:
        """Return the nodes whose agents have started since the last call."""
        ...

    def starting(self) -> int:
        """Return the number of agents that have not answered yet."""
        ...

    def begin(self, node: str, orders: Sequence[Order]) -> None:
        """Begin a step of a node's agent."""
        ...

    def ended(self, timeout: float) -> Sequence[tuple[str, Step | Died]]:
        """Return the steps that ended, as soon as there is one, at the latest after `timeout` seconds; and the nodes that are gone."""
        ...

    def dismiss(self, node: str) -> None:
        """End a node's agent."""
        ...

    def close(self) -> None:
        """End all agents."""
        ...


@dataclass
class Task:
    """A request under way on a node."""

    slot: int
    later: list[Payload] = field(default_factory=list)
    """Parts of the stage that were not sent yet."""
    parts: list[dict[str, Path]] = field(default_factory=list)


@dataclass
class Node:
    """What the supervisor knows of a node; its slots are those of the last step, and what was submitted since."""

    facts: NodeFacts
    slots: list[SlotState]
    orders: list[Order] = field(default_factory=list)
    """To be sent with the next step."""
    stepping: bool = False
    tasks: dict[int, Task] = field(default_factory=dict)
    """By ticket."""
    stages: dict[str, int] = field(default_factory=dict)
    """Stages that its agent keeps, and their bytes; the one used last stands last."""

    def free(self) -> list[int]:
        """Return the slots that wait for work."""
        return [at for at, slot in enumerate(self.slots) if not slot.busy]


class ClusterExecutor:
    """Run requests in the slots of all nodes that a transport reaches."""

    def __init__(self, transport: Transport, scratch: Path, tell: Callable[[str, Mapping[str, int]], None]) -> None:
        """Keep results in `scratch`; `tell` is called with a sentence and the slots of each node whenever these change."""
        self._transport, self._scratch, self._tell = transport, scratch, tell
        self.nodes: dict[str, Node] = {}
        self._lost: list[Done] = []

    @property
    def confined(self) -> bool:
        """Return whether workers see nothing but what they need."""
        return bool(self.nodes) and all(node.facts.confined for node in self.nodes.values())

    @property
    def workers(self) -> int:
        """Return the number of slots of all nodes."""
        return sum(len(node.slots) for node in self.nodes.values())

    def idle(self) -> int:
        """Return the number of slots that wait for work."""
        return sum(len(node.free()) for node in self.nodes.values())

    def await_nodes(self, seconds: float) -> list[str]:
        """Wait until all nodes that are there have started, or `seconds` have passed; return why some are left out.

        Raises `ConfigError` where none can serve.
        """
        until, refused = time.monotonic() + seconds, self._welcome()
        while self._transport.starting() and time.monotonic() < until:
            time.sleep(0.05)
            refused += self._welcome()
        if not self.nodes:
            why = "; ".join(refused) or "no node with a free CPU has started an agent"
            raise ConfigError(f"no node of the cluster can serve: {why}; see bench doctor --address")
        return refused

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
        """Hand a request to the free slot that suits best, of all nodes; return whether its worker is a new one."""
        digest, owner = stage.digest if stage else "", owner_of(request)
        free = [(node, at) for node in self.nodes.values() for at in node.free()]
        # of equals the node that has the stage, then the one with most free slots: work is spread
        node, at = min(
            free,
            key=lambda each: (
                *each[0].slots[each[1]].distance(runtime, owner, digest, final=final),
                digest not in each[0].stages,
                -len(each[0].free()),
            ),
        )
        slot = node.slots[at]
        new = fresh or not slot.started or not slot.suits(runtime, owner, final=final)
        knows = final or (slot.knows_validation and not new)
        node.slots[at] = SlotState(True, True, runtime, owner, (digest,) if digest else slot.stages, knows)
        payloads = [payload or Payload(b"") for payload in stage.payloads] if stage else []
        node.tasks[ticket] = Task(at, payloads[1:])
        sent, forget = self._stage(node, digest, payloads)
        node.orders.append(
            Submission(
                ticket, request, limits, runtime, final, fresh, digest, len(payloads), sent, _plugin(request), _saved(request), forget
            )
        )
        return new

    def collect(self, timeout: float) -> list[Answer]:
        """Step the nodes that have work, and return what they answer; nodes that have joined or died are told of."""
        until = time.monotonic() + timeout
        while True:
            for words in self._welcome():
                self._say(words)
            self._step()
            answers: list[Answer] = [*self._lost]
            self._lost.clear()
            wait = 0.0 if answers else max(until - time.monotonic(), 0.0)
            for name, step in self._transport.ended(wait):
                answers += self._died(name, step.reason) if isinstance(step, Died) else self._stepped(name, step)
            if answers or time.monotonic() >= until:
                return answers

    def close(self) -> None:
        """End all agents and remove what they have answered."""
        self._transport.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _welcome(self) -> list[str]:
        """Take in the nodes that have joined; return why some are left out."""
        refused = []
        for facts in self._transport.arrived():
            first = next(iter(self.nodes.values()), None)
            reason = facts.reason or difference(facts, first.facts if first else None)
            if reason:
                self._transport.dismiss(facts.name)
                refused.append(f"node {facts.name} is left out: {reason}")
                continue
            self.nodes[facts.name] = Node(facts, [SlotState()] * facts.slots)
            self._say(f"node {facts.name} joined with {_several(facts.slots, 'slot')}")
        return refused

    def _step(self) -> None:
        for name, node in self.nodes.items():
            if not node.stepping and (node.orders or node.tasks):
                node.stepping, orders, node.orders = True, node.orders, []
                self._transport.begin(name, orders)

    def _stepped(self, name: str, step: Step) -> list[Answer]:
        node = self.nodes.get(name)
        if node is None:
            return []
        node.stepping = False
        answers: list[Answer] = []
        for answer in step.answers:
            if isinstance(answer, Predicted):
                task = node.tasks[answer.ticket]
                self._store(answer.ticket, task, answer.arrays)
                node.orders.append(NextPart(answer.ticket, task.later.pop(0).to_bytes()))
            elif isinstance(answer, Ended):
                answers.append(self._ended(node, answer))
            else:
                answers.append(answer)
        # what was submitted while the step went on is not in its report
        waiting = {node.tasks[order.ticket].slot for order in node.orders if isinstance(order, Submission)}
        node.slots = [old if at in waiting else new for at, (old, new) in enumerate(zip(node.slots, step.slots, strict=True))]
        return answers

    def _ended(self, node: Node, answer: Ended) -> Done:
        task = node.tasks.pop(answer.ticket)
        if answer.last is not None:
            self._store(answer.ticket, task, answer.last)
        model = self._home(answer.ticket) / "model"
        if answer.model is not None:
            model.mkdir(parents=True)
            write_files(model, answer.model)
        result = replace(answer.result, parts=tuple(task.parts), model=model if answer.model is not None else None)
        return Done(answer.ticket, result, answer.described)

    def _store(self, ticket: int, task: Task, arrays: Files) -> None:
        folder, number = self._home(ticket), len(task.parts)
        folder.mkdir(parents=True, exist_ok=True)
        files = {name: folder / f"part-{number}.{name}.npy" for name in arrays}
        for name, content in arrays.items():
            files[name].write_bytes(content)
        task.parts.append(files)

    def _home(self, ticket: int) -> Path:
        return self._scratch / str(ticket)

    def _died(self, name: str, reason: str) -> list[Answer]:
        """Answer for what ran on a node that is gone: the jobs were killed from outside."""
        node = self.nodes.pop(name, None)
        if node is None:
            return []
        left = "" if self.nodes else "; none is left: waiting for one to join"
        self._say(f"node {name} died ({reason}) with {_several(len(node.tasks), 'job')} under way{left}")
        for ticket in node.tasks:
            shutil.rmtree(self._home(ticket), ignore_errors=True)
        words = Result("crash", f"node {name} died", signal=signal.SIGKILL)
        return [Done(ticket, words) for ticket in node.tasks]

    def _stage(self, node: Node, digest: str, payloads: Sequence[Payload]) -> tuple[bytes | None, tuple[str, ...]]:
        """Return the first payload where the agent lacks it, and the stages that it need not keep any longer."""
        if not digest:
            return None, ()
        lacks = digest not in node.stages
        node.stages.pop(digest, None)
        node.stages[digest] = payloads[0].size
        forget = []
        while sum(node.stages.values()) > KEPT_BYTES and len(node.stages) > 1:
            forget.append(next(iter(node.stages)))
            del node.stages[forget[-1]]
        return payloads[0].to_bytes() if lacks else None, tuple(forget)

    def _say(self, words: str) -> None:
        self._tell(words, {name: len(node.slots) for name, node in self.nodes.items()})


def _plugin(request: Request) -> Files:
    if isinstance(request, Call) or not request.source.is_file:
        return {}
    path = Path(request.source.target)
    return {path.name: path.read_bytes()}


def _saved(request: Request) -> Files:
    return read_files(Path(request.saved)) if isinstance(request, Fit | Apply) and request.saved else {}


def _several(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
