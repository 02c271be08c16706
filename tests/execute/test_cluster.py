"""The executor of a cluster, without a network: agents in this process behind a transport that a test can cut.

What travels is encrypted and decrypted as on a real cluster. `tests/cluster` asks the same of Ray.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cryptography", reason="cryptography is not installed; it comes with the extra ray")
from cryptography.exceptions import InvalidTag
from execute.kit import cell_of, described, drive, executor_in, homed, odd, steady, tiny_split
from execute.test_parts import MIXED, forecaster, same, stored
from execute.test_parts import drive as drive_forecasts
from tasks.forecast_kit import noise, series, split

from bench.data.payload import Payload
from bench.errors import ConfigError
from bench.execute.cluster.agent import Agent
from bench.execute.cluster.encryption import PIECE, Cipher
from bench.execute.cluster.executor import ClusterExecutor, Died
from bench.execute.cluster.messages import NodeFacts, Order, Step, Submission, write_files
from bench.execute.cluster.node_check import difference, plugin_digests, versions
from bench.execute.jobs import bench_source
from bench.execute.local import LocalExecutor
from bench.execute.worker_env import environment
from bench.tune.plan import Budget

FACTS = NodeFacts("?", bench_source(), versions(), plugin_digests(), (), 1, confined=False)


@dataclass
class Wires:
    """A transport whose nodes come and go when a test says so."""

    folder: Path
    agents: dict[str, Agent] = field(default_factory=dict)
    coming: list[NodeFacts] = field(default_factory=list)
    orders: dict[str, list[bytes]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    heard: list[tuple[str, Order]] = field(default_factory=list)
    cipher: Cipher = field(default_factory=lambda: Cipher(Cipher.new_key()))
    die_at: str = ""
    """The node that dies when it is next handed a request."""

    def join(self, name: str, slots: int = 1, **other: object) -> None:
        home = self.folder / name
        home.mkdir(parents=True)
        self.agents[name] = Agent(LocalExecutor(slots, "cpu", home), home / "agent", None)
        self.coming.append(replace(FACTS, name=name, slots=slots, **other))

    def cut(self, name: str) -> None:
        self.agents.pop(name).close()
        self.orders.pop(name, None)
        self.gone.append(name)

    def arrived(self) -> list[NodeFacts]:
        coming, self.coming = self.coming, []
        return coming

    def starting(self) -> int:
        return 0

    def begin(self, node: str, orders: Sequence[Order]) -> None:
        assert node not in self.orders, "one step of a node at a time"
        self.heard += [(node, order) for order in orders]
        self.orders[node] = self.cipher.encrypt(list(orders), "orders")
        if node == self.die_at and any(isinstance(order, Submission) for order in orders):
            self.die_at = ""
            self.cut(node)

    def ended(self, timeout: float) -> list[tuple[str, Step | Died]]:
        found: list[tuple[str, Step | Died]] = [(name, Died("cut")) for name in self.gone]
        self.gone.clear()
        for name in list(self.orders):
            step = self.agents[name].step(self.cipher.decrypt(self.orders.pop(name), "orders"), 0.02)
            found.append((name, self.cipher.decrypt(self.cipher.encrypt(step, "answers"), "answers")))
        return found

    def dismiss(self, node: str) -> None:
        self.agents.pop(node).close()

    def close(self) -> None:
        for agent in self.agents.values():
            agent.close()


@contextmanager
def cluster(folder: Path, **nodes: int) -> Iterator[tuple[ClusterExecutor, Wires, list[str]]]:
    """Run with nodes of so many slots; gives the executor, its transport and what it tells."""
    told: list[str] = []
    wires = Wires(folder / "nodes")
    for name, slots in nodes.items():
        wires.join(name, slots)
    scratch = folder / "supervisor"
    scratch.mkdir()
    executor = ClusterExecutor(wires, scratch, lambda words, nodes: told.append(f"{words}; {dict(nodes)}"))
    executor.await_nodes(0.0)
    try:
        yield executor, wires, told
    finally:
        executor.close()
    assert homed(folder) == [], "no worker of any node is left"
    assert not scratch.exists()


KEPT = ("status", "reason", "value", "values", "flags", "params", "seed", "number", "stage", "model", "digests", "again")


def lines(entries: Mapping[str, Mapping]) -> dict[str, dict]:
    """Return what a ledger says, but for times, by key."""
    return {key: {name: entry[name] for name in KEPT} for key, entry in entries.items()}


def test_two_nodes_write_the_ledger_of_a_local_run(tmp_path: Path) -> None:
    own, budget = tiny_split(), Budget(trials=6, seeds=2)
    with executor_in(tmp_path / "slots") as local:
        (plugin,) = described(local, [steady(tmp_path)])
        here = drive(local, tmp_path / "here", [cell_of(plugin, own)], budget=budget)
    with cluster(tmp_path, north=1, south=1) as (executor, wires, _):
        (plugin,) = described(executor, [steady(tmp_path)])
        there = drive(executor, tmp_path / "there", [cell_of(plugin, own)], budget=budget)
        assert {node for node, _ in wires.heard} == {"north", "south"}
    assert lines(here.entries) == lines(there.entries)
    assert {entry["status"] for entry in there.entries.values()} == {"ok"}
    saved = sorted(p.relative_to(tmp_path / "there" / "models") for p in (tmp_path / "there" / "models").rglob("*"))
    assert saved == sorted(p.relative_to(tmp_path / "here" / "models") for p in (tmp_path / "here" / "models").rglob("*"))
    assert saved


def test_later_parts_come_one_by_one_and_the_forecasts_are_those_of_a_local_run(tmp_path: Path) -> None:
    own = split(series(noise(9, 100)), windows=3)
    path = forecaster(tmp_path, "mixed", predict=MIXED)
    with executor_in(tmp_path / "slots") as local:
        here = drive_forecasts(local, tmp_path / "run", described(local, [path]), own)
    (tmp_path / "there").mkdir()
    with cluster(tmp_path / "there", north=1, south=1) as (executor, wires, _):
        there = drive_forecasts(executor, tmp_path / "there" / "run", described(executor, [path]), own)
        submitted = [order for _, order in wires.heard if isinstance(order, Submission) and order.digest]
        later = own.stages["final"].payloads[1:]
        assert len(later) == 2
        for payload in later:
            held = [order for order in submitted if payload.head in (order.stage or b"")]
            assert held == [], "no later part travels with the stage"
        assert [Payload.from_bytes(order.payload) for _, order in wires.heard if not isinstance(order, Submission)] == list(later)
    assert same(here.of("tiny", "mixed"), there.of("tiny", "mixed"))
    for mine, theirs in zip(stored(tmp_path, here, "mixed"), stored(tmp_path / "there", there, "mixed"), strict=True):
        assert {n: a.tobytes() for n, a in mine.items()} == {n: a.tobytes() for n, a in theirs.items()}


def test_a_node_that_dies_costs_its_job_one_more_start_and_nothing_else(tmp_path: Path) -> None:
    own, budget = tiny_split(), Budget(trials=6, seeds=1)
    with cluster(tmp_path, north=1, south=1) as (executor, wires, told):
        (plugin,) = described(executor, [steady(tmp_path)])
        wires.die_at = "south"
        done = drive(executor, tmp_path / "run", [cell_of(plugin, own)], budget=budget)
        assert list(executor.nodes) == ["north"]
    assert {entry["status"] for entry in done.entries.values()} == {"ok"}
    retried = [event for event in done.events if type(event).__name__ == "JobRetried"]
    assert [event.reason for event in retried] == ["node south died"]
    assert told[-1] == "node south died (cut) with 1 job under way; {'north': 1}"


def test_a_job_that_two_nodes_die_of_is_a_row_that_the_next_run_tries_again(tmp_path: Path) -> None:
    own = tiny_split()
    with cluster(tmp_path, north=1, south=1, east=1) as (executor, wires, _):
        (plugin,) = described(executor, [steady(tmp_path)])
        begin, deaths = wires.begin, []

        def deadly(node: str, orders: Sequence[Order]) -> None:
            if any(isinstance(order, Submission) and order.digest for order in orders) and len(deaths) < 2:
                deaths.append(node)
                wires.die_at = node
            begin(node, orders)

        wires.begin = deadly
        done = drive(executor, tmp_path / "run", [cell_of(plugin, own)])
    entry = done.of("tiny", "steady")
    assert (entry["status"], entry["again"]) == ("crash", True)
    assert entry["reason"] == f"node {deaths[1]} died"


def test_a_node_that_joins_is_used(tmp_path: Path) -> None:
    own = tiny_split()
    with cluster(tmp_path, north=1) as (executor, wires, told):
        plugins = described(executor, [steady(tmp_path, name) for name in ("steady",)])
        wires.join("later", 2)
        drive(executor, tmp_path / "run", [cell_of(plugins[0], own)], budget=Budget(trials=4, seeds=1))
        assert executor.workers == 3
        assert "later" in {node for node, order in wires.heard if isinstance(order, Submission)}
    assert told[-1] == "node later joined with 2 slots; {'north': 1, 'later': 2}"


OTHERS = {
    "source": ({"source": "other"}, "its bench has other sources than the one here"),
    "version": ({"versions": {**FACTS.versions, "numpy": "1.0"}}, r"it has numpy 1.0 \("),
    "missing": ({"versions": {**FACTS.versions, "scipy": ""}}, r"it has scipy missing \("),
    "plugin": ({"plugins": {**FACTS.plugins, "lstm": "other"}}, "its plugins are others than those here: lstm"),
    "gpu": ({"gpus": ("H100",)}, "it has H100, node north has no GPU"),
    "reason": ({"reason": "workers cannot be confined"}, "workers cannot be confined"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_node_that_would_compute_something_else_is_left_out_by_name(tmp_path: Path, name: str) -> None:
    other, words = OTHERS[name]
    with cluster(tmp_path, north=1) as (executor, wires, told):
        wires.join("south", 1, **other)
        executor.collect(0.0)
        assert list(executor.nodes) == ["north"]
        assert "south" not in wires.agents, "its agent is ended"
    assert told[-1].startswith("node south is left out: ")
    assert re.search(words, told[-1])


def test_where_no_node_can_serve_the_run_ends_in_one_line(tmp_path: Path) -> None:
    wires = Wires(tmp_path / "nodes")
    wires.join("south", 1, source="other")
    executor = ClusterExecutor(wires, tmp_path / "supervisor", lambda *_: None)
    with pytest.raises(ConfigError, match="no node of the cluster can serve: node south is left out: its bench has other sources"):
        executor.await_nodes(0.0)
    executor.close()


def test_equal_nodes_do_not_differ() -> None:
    assert difference(FACTS, None) == difference(FACTS, FACTS) == ""


def test_a_stage_is_sent_to_a_node_once_and_jobs_go_where_it_is(tmp_path: Path) -> None:
    own, other = tiny_split(0), tiny_split(1)
    with cluster(tmp_path, north=1, south=1) as (executor, wires, _):
        (plugin,) = described(executor, [steady(tmp_path)])
        cells = [cell_of(plugin, own, "own"), cell_of(plugin, other, "other")]
        drive(executor, tmp_path / "run", cells, budget=Budget(trials=8, seeds=2))
        sent = [(node, order.digest) for node, order in wires.heard if isinstance(order, Submission) and order.stage is not None]
        assert len(sent) == len(set(sent)), "no stage is sent to a node twice"
        assert len(sent) <= 8


def test_a_search_never_gets_a_worker_that_has_seen_the_validation_labels(tmp_path: Path) -> None:
    note = f"open({str(tmp_path / 'notes')!r}, 'a').write(f'{{os.getpid()}} {{len(train)}}\\n')"
    own = tiny_split()
    with cluster(tmp_path, north=1, south=1) as (executor, _, _):
        plugins = described(executor, [odd(tmp_path, name, fit=note) for name in ("one", "two")])
        for plugin in plugins:
            drive(executor, tmp_path / plugin.name, [cell_of(plugin, own)], budget=Budget(trials=1, seeds=2))
    seen: dict[str, int] = {}
    for line in (tmp_path / "notes").read_text().splitlines():
        pid, rows = line.split()
        assert int(rows) >= seen.get(pid, 0), "after a final fit, whose rows are more, no search"
        seen[pid] = int(rows)


def test_what_was_encrypted_for_one_use_or_key_or_place_is_refused_for_another() -> None:
    cipher = Cipher(Cipher.new_key())
    message = {"truth": np.arange(1000)}
    pieces = cipher.encrypt(message, "orders")
    assert (cipher.decrypt(pieces, "orders")["truth"] == message["truth"]).all()
    assert message["truth"].tobytes() not in b"".join(pieces)
    for wrong in (lambda: cipher.decrypt(pieces, "answers"), lambda: Cipher(Cipher.new_key()).decrypt(pieces, "orders")):
        with pytest.raises(InvalidTag):
            wrong()


def test_large_messages_are_encrypted_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.execute.cluster.encryption.PIECE", 1000)
    assert PIECE > 1000
    cipher, message = Cipher(Cipher.new_key()), bytes(range(256)) * 20
    pieces = cipher.encrypt(message, "orders")
    assert len(pieces) == 6
    assert cipher.decrypt(pieces, "orders") == message
    with pytest.raises(InvalidTag):
        cipher.decrypt([pieces[1], pieces[0], *pieces[2:]], "orders")


def test_no_word_of_a_cluster_reaches_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_RAYLET_PID", "RAY_JOB_ID"):
        monkeypatch.setenv(name, "secret")
    assert not [name for name, value in environment(tmp_path, "cpu").items() if "RAY" in name or value == "secret"]


def test_a_file_that_would_leave_its_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leads out"):
        write_files(tmp_path / "model", {"../escaped": b""})
    assert not (tmp_path / "escaped").exists()
