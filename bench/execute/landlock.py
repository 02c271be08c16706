"""Start a command under Landlock: where there can be no namespaces, it still reads and writes only the files that it is granted.

Standard library only: the executor runs this file as a script in a bare interpreter, with what is granted on its standard
input. Unlike in namespaces, the command sees which processes there are and keeps the network, but TCP where the kernel can
refuse it; the memory and the environment of processes outside are closed to it (landlock(7)).
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import stat
import sys
from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""System calls, of the same numbers on every architecture."""
PATH_BENEATH, ASK_VERSION = 1, 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
LEAST = 3
"""The first version that can refuse to truncate a file."""
FILES = {3: (1 << 15) - 1, 4: (1 << 15) - 1}
"""Version -> accesses to files that it can refuse; later ones refuse ioctl(2) on devices too."""
TCP, SCOPED = 3, 3
"""Binding and connecting (from version 4), signals and abstract sockets to others (from version 6)."""
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
"""Accesses that a rule on what is no folder may name."""
PROC = ("self", "cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "sys", "uptime", "version")
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
FAILED = 113
"""Exit code where a command cannot be confined; the reason is on standard error."""

libc = ctypes.CDLL(None, use_errno=True)


class Ruleset(ctypes.Structure):
    """The argument of landlock_create_ruleset(2)."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ("files", "network", "scoped"))


class Beneath(ctypes.Structure):
    """The argument of landlock_add_rule(2)."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def called(number: int, *arguments: object) -> int:
    """Make a system call; raise `OSError` where it fails."""
    result: int = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"landlock: {os.strerror(code)}")
    return result


def version() -> int:
    """Return the kernel's version of Landlock; raise `OSError` where it has none, or one that is too old."""
    found = called(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(ASK_VERSION))
    if found < LEAST:
        raise OSError(f"landlock: version {found}, at least {LEAST} is needed")
    return found


def restrict(listed: Iterable[str], readable: Iterable[str], devices: Iterable[str], writable: Iterable[str]) -> None:
    """Refuse this process, and all that it starts, every file but these; of folders that are `listed`, names alone are shown."""
    known = version()
    every = FILES.get(known, (1 << 16) - 1)
    rules = Ruleset(every, TCP if known >= 4 else 0, SCOPED if known >= 6 else 0)
    size = 8 if known < 4 else 16 if known < 6 else 24
    ruleset = called(CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0))
    reading = EXECUTE | READ_FILE | READ_DIR
    granted = ((listed, READ_DIR), (readable, reading), (devices, reading | WRITE_FILE | (every & IOCTL_DEV)), (writable, every))
    for paths, access in granted:
        for path in paths:
            allow(ruleset, path, access)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    called(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)


def allow(ruleset: int, path: str, access: int) -> None:
    """Allow accesses to a path and all beneath it; one that is not there needs no rule."""
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    own = access if stat.S_ISDIR(os.fstat(parent).st_mode) else access & OF_FILES
    rule = Beneath(own, parent)
    try:
        called(ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(parent)


def main() -> None:
    """Become the command, confined."""
    granted = json.load(sys.stdin)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    proc = [f"/proc/{name}" for name in PROC]
    devices = [path for path in granted["shown"] if path.startswith("/dev/")]
    try:
        os.chdir(granted["folder"])
        restrict(granted["listed"], [*proc, *(path for path in granted["shown"] if path not in devices)], devices, [granted["writable"]])
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        sys.exit(FAILED)
    largest = granted["file_mb"] * 1024**2
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    command = granted["command"]
    os.execv(command[0], command)  # noqa: S606 - what the executor asked for; no shell


if __name__ == "__main__":
    main()
