"""What this process may use of the machine: the limits of its container (cgroup v2) count as much as the hardware."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def cores() -> int:
    """Return the number of cores that this process may use, at least 1."""
    hardware = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([hardware, *_quotas()])))


def memory_mb() -> float:
    """Return the memory that this process may use, in MB."""
    import psutil

    return min([psutil.virtual_memory().total, *_memory_limits()]) / 1024**2


def _quotas() -> Iterator[float]:
    """Return the cores' worth of time that each group grants: `QUOTA PERIOD`, or `max`."""
    for words in _settings("cpu.max"):
        if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]):
            yield int(words[0]) / int(words[1])


def _memory_limits() -> Iterator[int]:
    for words in _settings("memory.max"):
        if words[0].isdigit():
            yield int(words[0])


def free_in_groups() -> Iterator[int]:
    """Yield how many bytes each group with a bound still grants; what it keeps of files can be given up, and counts as free."""
    for folder in _groups():
        try:
            bound, used = (folder / "memory.max").read_text().strip(), int((folder / "memory.current").read_text())
            kept = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):
            continue
        if bound.isdigit():
            yield int(bound) - used + int(kept.get("active_file", 0)) + int(kept.get("inactive_file", 0))


def _settings(name: str) -> Iterator[list[str]]:
    """Read a setting of this process's group and of all groups that it lies in; none where there is no cgroup v2."""
    for folder in _groups():
        try:
            words = (folder / name).read_text().split()
        except OSError:
            continue
        if words:
            yield words


def _groups() -> Iterator[Path]:
    """Yield the folders of this process's group and of all groups that it lies in; none where there is no cgroup v2."""
    try:
        lines = OWN_CGROUP.read_text().splitlines()
    except OSError:
        return
    path = next((line[3:] for line in lines if line.startswith("0::")), "")
    group = CGROUPS / path.lstrip("/")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(CGROUPS):
            return
        yield folder
