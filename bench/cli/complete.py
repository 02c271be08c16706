"""Names that a shell completes: after the last comma of what is typed."""

from __future__ import annotations

from collections.abc import Iterable


def models(incomplete: str) -> list[str]:
    """Complete names of installed models."""
    from bench.registry import discover

    return _matching(incomplete, discover().names("bench.models"))


def datasets(incomplete: str) -> list[str]:
    """Complete adapters and registered data sets."""
    from bench.registry import discover
    from bench.sources.registered import registered

    return _matching(incomplete, [*discover().names("bench.datasets"), *registered()])


def tasks(incomplete: str) -> list[str]:
    """Complete tasks."""
    from bench.tasks.lookup import NAMES

    return _matching(incomplete, NAMES)


def profiles(incomplete: str) -> list[str]:
    """Complete profiles."""
    from bench.tasks.profiles import PROFILES

    return _matching(incomplete, PROFILES)


def metrics(incomplete: str) -> list[str]:
    """Complete the metrics that may rank a board of some task."""
    from bench.tasks.lookup import NAMES, task_named

    proper = (level for name in NAMES for level in task_named(name).proper.values())
    return _matching(incomplete, dict.fromkeys(metric for level in proper for metric in level))


def samplers(incomplete: str) -> list[str]:
    """Complete the core's sampler and installed ones."""
    from bench.registry import discover

    return _matching(incomplete, ["tpe", *discover().names("bench.samplers")])


def _matching(incomplete: str, names: Iterable[str]) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in names if name.startswith(last)]
