"""Whether a node computes what the supervisor means: the same sources, libraries and GPUs."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.execute.cluster.messages import NodeFacts
from bench.execute.job_sources import plugin_digest
from bench.execute.jobs import bench_source
from bench.registry import discover

LIBRARIES = (
    "numpy", "scipy", "pandas", "polars", "scikit-learn", "lightgbm", "optuna", "torch", "safetensors", "tensorflow", "keras",
    "statsforecast", "implicit",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that the shipped models compute with; empty: it is not installed."""
    return {"python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}}


def plugin_digests() -> dict[str, str]:
    """Digest the sources of each installed model plugin; nothing of them is imported."""
    found = {name: source.target for name, source in discover().sources["bench.models"].items()}
    digests = {module: _digest(module) for module in set(found.values())}
    return {name: digests[module] for name, module in found.items()}


def difference(node: NodeFacts, first: NodeFacts | None) -> str:
    """Describe how a node differs from this machine, or in its GPUs from the first one that serves; empty: it does not."""
    if node.source != bench_source():
        return "its bench has other sources than the one here; install the same version on both"
    if words := _unequal(node.versions, versions()):
        return f"it has {words}; install the same versions on both"
    if words := _unequal(node.plugins, plugin_digests(), contents=False):
        return f"its plugins are others than those here: {words}; install the same versions on both"
    if first is not None and set(node.gpus) != set(first.gpus):
        theirs, ours = (", ".join(sorted(set(each.gpus))) or "no GPU" for each in (node, first))
        return f"it has {theirs}, node {first.name} has {ours}; run on nodes of one kind"
    return ""


def _unequal(theirs: Mapping[str, str], ours: Mapping[str, str], *, contents: bool = True) -> str:
    names = sorted(name for name in {*theirs, *ours} if theirs.get(name, "") != ours.get(name, ""))
    if not contents:
        return ", ".join(names)
    return ", ".join(f"{name} {theirs.get(name) or 'missing'} ({ours.get(name) or 'missing'} here)" for name in names)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _digest(module: str) -> str:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return "missing"
    return plugin_digest(Path(spec.origin)) if spec is not None and spec.origin else "missing"
