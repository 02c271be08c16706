"""A real Ray cluster of two nodes on this machine: what the tests of `execute/test_cluster.py` ask of a transport that can be cut."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ray = pytest.importorskip("ray", reason="ray is not installed; it comes with the extra ray")
pytest.importorskip("cryptography", reason="cryptography is not installed; it comes with the extra ray")

from execute.kit import (  # noqa: E402
    bench_process,
    cell_of,
    described,
    drive,
    executor_in,
    homed,
    model_text,
    steady,
    tiny_split,
    wait_until,
    write_plugin,
)
from execute.test_cluster import lines  # noqa: E402
from execute.test_isolation import holds  # noqa: E402

from bench.cli import invoke  # noqa: E402
from bench.execute.cluster.executor import ClusterExecutor  # noqa: E402
from bench.execute.cluster.on_ray import AgentOptions, ray_executor  # noqa: E402
from bench.tune.plan import Budget  # noqa: E402

STORE = 80 * 1024**2
MARK = os.urandom(64)
"""Put into the object store in the open: who looks there finds it."""
HOSTILE = """
found = []
places = [Path("/proc/self/environ"), Path("/proc/self/cmdline")]
# whatever comes and goes there meanwhile
for folder, _, names in os.walk(Path.cwd().parent):
    places += [Path(folder, name) for name in names]
for link in Path("/proc").glob("[0-9]*/fd/*"):
    try:
        # the store's file has no name any more, but whoever has it open still shows it
        places += [link] if "plasma" in os.readlink(link) else []
    except OSError:
        continue
for path in places:
    try:
        found.append(path.read_bytes().replace(bytes(256), b""))
    except OSError:
        continue
Path({notes!r}).write_bytes(b"".join(found))
"""


@dataclass
class Two:
    """Hold a cluster of two nodes, and a run there that lost one of them and got another."""

    cluster: Any
    address: str


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "node_name": "north", "object_store_memory": STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1, node_name="south", object_store_memory=STORE)
    yield Two(cluster, str(cluster.address))
    cluster.shutdown()


def connected(two: Two, told: list[str]) -> ClusterExecutor:
    executor = ray_executor(two.address, AgentOptions(1, "cpu", "off"), lambda words, _: told.append(words))
    executor.await_nodes(120.0)
    wait_until(lambda: bool(executor.collect(0.1)) or executor.workers == 2, "both nodes serve", 120.0)
    return executor


def test_a_run_that_loses_a_node_and_gets_another_writes_the_ledger_of_a_local_run(two: Two, tmp_path: Path) -> None:
    own, budget, told = tiny_split(), Budget(trials=8, seeds=2), list[str]()
    with executor_in(tmp_path / "slots") as local:
        (plugin,) = described(local, [steady(tmp_path)])
        here = drive(local, tmp_path / "here", [cell_of(plugin, own)], budget=budget)
    executor, ends = connected(two, told), [0]

    def disturb(event: object) -> None:
        ends[0] += type(event).__name__ == "JobDone"
        if ends[0] == 2 and len(two.cluster.worker_nodes) == 1:
            two.cluster.remove_node(next(iter(two.cluster.worker_nodes)), allow_graceful=False)
            two.cluster.add_node(num_cpus=1, node_name="east", object_store_memory=STORE)
            ends[0] += 1
        if ends[0] == 5:
            wait_until(lambda: bool(executor.collect(0.1)) or "east" in executor.nodes, "the new node serves", 120.0)
            ends[0] += 1

    try:
        (plugin,) = described(executor, [steady(tmp_path)])
        there = drive(executor, tmp_path / "there", [cell_of(plugin, own)], budget=budget, listen=disturb)
        assert sorted(executor.nodes) == ["east", "north"]
    finally:
        executor.close()
    assert lines(here.entries) == lines(there.entries)
    assert any(words.startswith("node south died") for words in told)
    assert [words for words in told if "joined" in words][-1] == "node east joined with 1 slot"
    wait_until(lambda: not homed(tmp_path), "no worker is left")


def test_a_hostile_plugin_finds_neither_truth_nor_address_nor_key(two: Two, tmp_path: Path) -> None:
    own, notes = tiny_split(), tmp_path / "notes"
    text = model_text(fit=HOSTILE.format(notes=str(notes)))
    hostile = write_plugin(tmp_path, "hostile", text, classes="Odd")
    executor = ray_executor(two.address, AgentOptions(1, "cpu", "off"), lambda *_: None)
    executor.await_nodes(120.0)
    key = executor._transport._key
    planted = ray.put(np.frombuffer(MARK * 4096, np.uint8))
    try:
        (plugin,) = described(executor, [hostile])
        done = drive(executor, tmp_path / "run", [cell_of(plugin, own)])
    finally:
        executor.close()
    assert {entry["status"] for entry in done.entries.values()} == {"ok"}
    seen = notes.read_bytes()
    assert MARK in seen, "the hunt itself is broken: it must see into the object store"
    assert planted is not None
    for truth in own.truths.values():
        assert not holds(seen, truth.y)
    assert not holds(seen, own.stages["search"].train.y), "what travels is encrypted"
    assert key not in seen
    assert two.address.encode() not in seen
    assert b"PYTHONHASHSEED=0" in seen, "its own environment is in it"
    assert not re.search(rb"RAY_[A-Z_]+=", seen)


def test_a_supervisor_that_is_told_to_end_says_how_to_go_on(two: Two, tmp_path: Path) -> None:
    words = [
        "run",
        "--task",
        "churn",
        "--dataset",
        "retail",
        "--model",
        "base-rate",
        "--model",
        "rfm-logit",
        "--profile",
        "smoke",
        "--trials",
    ]
    words += ["400", "--quiet", "--executor", "ray", "--address", two.address, "--out", str(tmp_path / "run")]
    started = bench_process(words, {"BENCH_CACHE": str(tmp_path / "cache")})
    ledger = tmp_path / "run" / "ledger.jsonl"
    wait_until(lambda: started.poll() is not None or (ledger.exists() and ledger.stat().st_size > 0), "a job has ended", 240.0)
    started.terminate()
    _, errors = started.communicate(timeout=120.0)
    assert started.returncode == 130, errors
    assert "finished jobs are kept in" in errors
    assert "logging.cc" not in errors, "no stack of Ray's own"


def test_the_doctor_says_what_each_node_has(two: Two, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["doctor", "--address", two.address]) == 0
    out = capsys.readouterr().out
    assert "north" in out
    assert out.count("serves") == 2
