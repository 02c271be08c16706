"""What the nodes of a cluster have and lack, seen by starting an agent on each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from bench.execute.cluster.messages import NodeFacts
from bench.execute.cluster.node_check import difference
from bench.execute.cluster.on_ray import START_SECONDS, AgentOptions, RayTransport

SHOWN = ("python", "torch", "tensorflow")
"""Versions that are listed in any case; others are named where they differ."""


def survey(address: str | None) -> list[dict[str, str]]:
    """Describe each node of a Ray cluster that has CPUs, a row each; raise `ConfigError` where there is no cluster."""
    transport, found = RayTransport(address, AgentOptions(None, "auto", "auto")), list[NodeFacts]()
    try:
        until = time.monotonic() + START_SECONDS
        found += transport.arrived()
        while transport.starting() and time.monotonic() < until:
            time.sleep(0.05)
            found += transport.arrived()
        silent = [name for name in transport.names() if name not in {facts.name for facts in found}]
    finally:
        transport.close()
    late = f"its agent did not start within {START_SECONDS:g} s"
    return [*described(found), *({"node": name, "slots": "0", "state": late} for name in silent)]


def described(found: Sequence[NodeFacts]) -> list[dict[str, str]]:
    """Describe what each node has, and whether it serves; the first that does is what the GPUs of others are compared with."""
    rows, first = [], None
    for facts in found:
        reason = facts.reason or difference(facts, first)
        first = first or (None if reason else facts)
        rows.append(
            {
                "node": facts.name,
                "slots": str(facts.slots),
                "gpus": ", ".join(f"{n} x {name}" for name, n in sorted(Counter(facts.gpus).items())) or "none",
                "confined": "yes" if facts.confined else "no",
                **{name: facts.versions.get(name) or "-" for name in SHOWN},
                "state": f"left out: {reason}" if reason else "serves",
            }
        )
    return rows
