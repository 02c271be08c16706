"""Refuse to start where memory is too short for the libraries themselves: they would end the process, or hang, without a word.

A library in Rust that is refused memory aborts, and one that is refused a thread may wait for it for ever: neither can be caught.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.errors import BenchError
from bench.execute.machine import free_in_groups

STATUS = Path("/proc/self/status")
FREE = Path("/proc/meminfo")
MB = 1024**2
ADDRESSES = 1_700
"""MB of address space with which every command ends well on a small log; most of it is set aside by libraries and never used."""
DATA = 450
"""MB of writable memory, likewise."""
EACH_CORE = 20
"""MB of both for the threads that libraries start on each core beyond the first."""
RESIDENT = 300
"""MB of real memory."""
LIGHT = {"--help", "--version", "--install-completion", "--show-completion"}


def refuse_shortage(arguments: list[str]) -> None:
    """Raise `BenchError`, in one line, where a limit leaves a command too little memory to start."""
    if not arguments or LIGHT & set(arguments):
        return
    for room, needed, what, cure in _rooms():
        if room < needed:
            raise BenchError(f"not enough memory: {room:,.0f} MB of {what} are left, bench needs {needed:,} to start; {cure}")


def _rooms() -> Iterator[tuple[float, int, str, str]]:
    """Yield for each limit what is left in MB, what is needed, what it is of, and how it is raised."""
    status, more = _kilobytes(STATUS), EACH_CORE * ((os.cpu_count() or 1) - 1)
    for name, flag, used, least, what in (
        ("RLIMIT_AS", "v", "VmSize", ADDRESSES, "address space"),
        ("RLIMIT_DATA", "d", "VmData", DATA, "data"),
    ):
        limit = _limit(name)
        if limit is not None:
            # a process that has begun has set aside a part of it
            yield (limit - status.get(used, 0) * 1024) / MB, least + more, what, f"raise the limit with ulimit -{flag}"
    free = _kilobytes(FREE)
    if "MemAvailable" in free:
        yield (free["MemAvailable"] + free.get("SwapFree", 0)) / 1024, RESIDENT, "memory", "close other programs"
    for room in free_in_groups():
        yield room / MB, RESIDENT, "the container's memory", "raise its limit"


def _limit(name: str) -> int | None:
    """Return the limit that this process is under, in bytes; None where there is none."""
    try:
        import resource
    except ImportError:
        return None
    soft = resource.getrlimit(getattr(resource, name))[0]
    return None if soft == resource.RLIM_INFINITY else soft


def _kilobytes(path: Path) -> Mapping[str, int]:
    """Read `NAME: NUMBER kB` lines; nothing where there is no such file."""
    try:
        return {name: int(number) for name, number in re.findall(r"^(\w+):\s+(\d+) kB$", path.read_text(), re.MULTILINE)}
    except OSError:
        return {}
