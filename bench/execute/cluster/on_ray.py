"""Ray as what it is used for here: it starts an agent on each node and carries encrypted messages to it, nothing else.

Facts of Ray that this rests on (2.60): an actor's tasks are not tried again with `max_task_retries=0`; a call that hangs has no
time limit of its own, so silence is watched here; an actor ends when the driver that made it does.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, ConfigError
from bench.execute.cluster.agent import Agent
from bench.execute.cluster.encryption import Cipher
from bench.execute.cluster.executor import ClusterExecutor, Died
from bench.execute.cluster.messages import NodeFacts, Order, Step
from bench.execute.cluster.node_check import plugin_digests, versions
from bench.execute.devices import resolved
from bench.execute.gpus import gpus
from bench.execute.jobs import bench_source
from bench.execute.local import LocalExecutor
from bench.execute.machine import memory_mb
from bench.execute.placement import placed
from bench.execute.sandbox import chosen
from bench.registry import needed

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

START_SECONDS = 180.0
"""Given to the agents to start, as long as one is starting: on a busy node, or from a slow disk, imports take minutes."""
STEP_SECONDS = 0.2
"""Longest that an agent waits for something to tell before it answers: new work reaches it at the next step."""
LOOK_SECONDS = 2.0
"""Between two looks at which nodes there are."""
SILENT_SECONDS = 300.0
"""After which an agent that does not answer counts as dead."""
CLOSING_SECONDS = 10.0
ANSWER_SECONDS = 10.0
"""Given to the head's address to take a connection."""
MOST_AGENTS = 3
"""Started on one node, one after the other, where they die and the node does not."""


@dataclass(frozen=True)
class AgentOptions:
    """What each agent is told; it travels as plain values, since a node may have another version of this class."""

    workers: int | None
    """Slots of a node; None: one for each CPU that Ray counts there."""
    device: str
    sandbox: str
    hidden: tuple[str, ...] = ()
    """Folders that no worker may see, where they exist on the node too."""
    memory_mb: float | None = None
    """Bound on a job; None: half of the node's memory, shared by its slots."""
    jobs_per_gpu: int | None = None
    """Slots that share a GPU; None: as many as its memory suggests."""


class Host:
    """The actor: makes the agent of its node, and keeps all that is said encrypted."""

    def __init__(self, key: bytes, slots: int, options: Mapping[str, Any]) -> None:
        self._cipher, self._slots, self._options = Cipher(key), slots, options
        self._agent: Agent | None = None

    def hello(self) -> dict[str, Any]:
        """Start the local executor; return the fields of `NodeFacts`, all plain."""
        about: dict[str, Any] = {"source": bench_source(), "versions": versions(), "plugins": plugin_digests()}
        about |= {"gpus": tuple(gpu.name for gpu in gpus()), "slots": self._slots, "confined": False, "reason": ""}
        try:
            # Ray's own folder, with its sockets, stands beside what is the user's
            hidden = [*map(Path, self._options["hidden"]), _ray_folder()]
            sandbox = chosen(self._options["sandbox"], hidden)
            device, workers, each = (self._options[name] for name in ("device", "workers", "jobs_per_gpu"))
            places = placed(resolved(device), workers, each, gpus(), self._slots)
        except BenchError as error:
            return {**about, "reason": str(error)}
        scratch = Path(tempfile.mkdtemp(prefix="bench-"))
        executor = LocalExecutor(len(places), "cpu", scratch, sandbox, places)
        self._agent = Agent(executor, scratch / "agent", self._options["memory_mb"] or memory_mb() / 2 / len(places))
        return {**about, "slots": len(places), "confined": executor.confined}

    def step(self, orders: list[bytes]) -> list[bytes]:
        """Decrypt orders, take a step, encrypt its answers."""
        if self._agent is None:
            raise RuntimeError("the agent was not started")
        step = self._agent.step(self._cipher.decrypt(orders, "orders"), STEP_SECONDS)
        return self._cipher.encrypt(step, "answers")

    def close(self) -> None:
        """End the workers."""
        if self._agent is not None:
            self._agent.close()


def _ray_folder() -> Path:
    import ray

    return Path(ray.get_runtime_context().get_temp_dir())


@dataclass
class Handle:
    """An agent, and what was asked of it."""

    node_id: str
    name: str
    actor: ActorHandle
    hello: ObjectRef | None
    step: ObjectRef | None = None
    began: float = field(default_factory=time.monotonic)


class RayTransport:
    """Start an agent on each node of a Ray cluster that has CPUs, and carry messages to it."""

    def __init__(self, address: str | None, options: AgentOptions) -> None:
        """Connect; raise `ConfigError` where there is no ray, or no cluster at `address` (None: one that runs on this machine)."""
        self._ray = connected(address)
        self._options, self._key = options, Cipher.new_key()
        self._cipher = Cipher(self._key)
        self._handles: dict[str, Handle] = {}
        self._agents: dict[str, int] = {}
        """Node id -> agents that were started there."""
        self._looked = 0.0
        self._gone: list[tuple[str, Died]] = []

    def arrived(self) -> list[NodeFacts]:
        """Return the nodes whose agents have started since the last call."""
        self._discover_nodes()
        found = []
        for handle in list(self._handles.values()):
            if handle.hello is not None and self._ready([handle.hello], 0.0):
                ref, handle.hello = handle.hello, None
                found.append(self._node_facts(handle, ref))
        return found

    def names(self) -> list[str]:
        """Name the nodes on which an agent was started."""
        return list(self._handles)

    def starting(self) -> int:
        """Return the number of agents that have not answered yet."""
        return sum(handle.hello is not None for handle in self._handles.values())

    def begin(self, node: str, orders: Sequence[Order]) -> None:
        """Begin a step of a node's agent."""
        handle = self._handles[node]
        handle.step, handle.began = handle.actor.step.remote(self._cipher.encrypt(list(orders), "orders")), time.monotonic()

    def ended(self, timeout: float) -> list[tuple[str, Step | Died]]:
        """Return the steps that ended, as soon as there is one, and the nodes that are gone."""
        gone, self._gone = self._gone, []
        refs = {handle.step: handle for handle in self._handles.values() if handle.step is not None}
        if not refs:
            time.sleep(0.0 if gone else min(timeout, LOOK_SECONDS / 4))
            return [*gone]
        done = self._ready(list(refs), 0.0 if gone else min(timeout, LOOK_SECONDS))
        found: list[tuple[str, Step | Died]] = [*gone, *(self._answer(refs[ref], ref) for ref in done)]
        for ref, handle in refs.items():
            if ref not in done and time.monotonic() - handle.began > SILENT_SECONDS:
                self.dismiss(handle.name)
                found.append((handle.name, Died(f"no answer for {SILENT_SECONDS:g} s")))
        return found

    def dismiss(self, node: str) -> None:
        """End a node's agent; none is started there again."""
        handle = self._handles.pop(node)
        self._agents[handle.node_id] = MOST_AGENTS
        self._ray.kill(handle.actor)

    def close(self) -> None:
        """End all agents, and the connection."""
        closing = [handle.actor.close.remote() for handle in self._handles.values()]
        if closing:
            self._ray.wait(closing, num_returns=len(closing), timeout=CLOSING_SECONDS)
        for node in list(self._handles):
            self.dismiss(node)
        self._ray.shutdown()

    def _discover_nodes(self) -> None:
        """See which nodes there are; start agents on new ones, and tell of those that went while nothing was asked of them."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        alive = {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}
        for name, handle in list(self._handles.items()):
            if handle.node_id not in alive and handle.step is None:
                del self._handles[name]
                self._gone.append((name, Died("Ray lost it")))
        serving = {handle.node_id for handle in self._handles.values()}
        for node_id, node in alive.items():
            cpus = int(node["Resources"].get("CPU", 0))
            if cpus and node_id not in serving and self._agents.get(node_id, 0) < MOST_AGENTS:
                self._agents[node_id] = self._agents.get(node_id, 0) + 1
                self._start(node_id, node, cpus)

    def _start(self, node_id: str, node: Mapping[str, Any], cpus: int) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        given = node["NodeName"] if node["NodeName"] != node["NodeManagerAddress"] else node["NodeManagerHostname"]
        name = given if given not in self._handles else f"{given}-{node_id[:6]}"
        slots = self._options.workers or cpus
        gpus = node["Resources"].get("GPU", 0) if self._options.device != "cpu" else 0
        actor = (
            self._ray.remote(Host)
            .options(
                num_cpus=min(slots, cpus),
                num_gpus=gpus,
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
            )
            .remote(self._key, slots, vars(self._options))
        )
        self._handles[name] = Handle(node_id, name, actor, actor.hello.remote())

    def _node_facts(self, handle: Handle, ref: ObjectRef) -> NodeFacts:
        try:
            return NodeFacts(name=handle.name, **self._ray.get(ref))
        except (self._ray.exceptions.RayError, TypeError) as error:
            nothing: dict[str, Any] = {"source": "", "versions": {}, "plugins": {}, "gpus": (), "slots": 0, "confined": False}
            return NodeFacts(handle.name, **nothing, reason=f"its agent cannot be started ({_last_line(error)})")

    def _answer(self, handle: Handle, ref: ObjectRef) -> tuple[str, Step | Died]:
        handle.step = None
        try:
            return handle.name, self._cipher.decrypt(self._ray.get(ref), "answers")
        except self._ray.exceptions.RayError as error:
            self._handles.pop(handle.name, None)
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(handle.actor)
            return handle.name, Died(_last_line(error))

    def _ready(self, refs: list[ObjectRef], timeout: float) -> list[ObjectRef]:
        done, _ = self._ray.wait(refs, num_returns=1, timeout=timeout)
        if done and len(refs) > 1:
            done, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0.0)
        return list(done)


def connected(address: str | None) -> Any:
    """Connect to a cluster and return the module `ray`; raise `ConfigError` where either is missing."""
    try:
        import ray
    except ImportError:
        raise ConfigError(f"--executor ray: {needed('ray')}") from None
    _refuse_silent(address)
    try:
        with _own_signals():
            ray.init(address or "auto", log_to_driver=False, logging_level="ERROR", configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = f"at {address}" if address else "on this machine"
        cure = "start one with ray start --head, and give its HOST:PORT as --address"
        raise ConfigError(f"--executor ray: no Ray cluster answers {where} ({_last_line(error)}); {cure}") from None
    return ray


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep what TERM and INT do: Ray's handlers print a stack and end the process before it can say how to go on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: it was not set from Python, and cannot be set again from here
            if handler is not None:
                signal.signal(number, handler)


def _refuse_silent(address: str | None) -> None:
    """Raise `ConfigError` where nobody listens at HOST:PORT: Ray would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        cure = "start one with ray start --head, and give its HOST:PORT as --address"
        raise ConfigError(f"--executor ray: no Ray cluster answers at {address} ({error}); {cure}") from None


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1][:200]


def ray_executor(address: str | None, options: AgentOptions, tell: Callable[[str, Mapping[str, int]], None]) -> ClusterExecutor:
    """Make an executor on the nodes of a Ray cluster, whose agents are starting; raise `ConfigError` where there is none."""
    return ClusterExecutor(RayTransport(address, options), Path(tempfile.mkdtemp(prefix="bench-")), tell)
