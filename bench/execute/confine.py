"""Start a command in namespaces of its own: it sees the files that it is granted, its own processes and no network.

Standard library only: the executor runs this file as a script in a bare interpreter, with what is granted on its
standard input. Three processes: this one, which the executor watches; the first of the new process namespace, whose end
is the end of all in it; and the command.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH, PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 2, 1, 4, 38
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID = 442, -100, 0x8000, 1, 2
INSIDE = 1000
"""The user and group inside: any but 0, so that the command has no capability left."""
MOST_TASKS = 4096
FAILED = 113
"""Exit code where the namespaces cannot be had; the reason is on standard error."""

libc = ctypes.CDLL(None, use_errno=True)


class MountAttr(ctypes.Structure):
    """The argument of mount_setattr(2)."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd"))


def checked(result: int, what: str) -> None:
    """Raise `OSError` where a call of the C library has failed."""
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount(source: str, target: Path, kind: str, flags: int, data: str = "") -> None:
    """Mount a file system, or a part of one that is mounted."""
    words = source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode()
    checked(libc.mount(*words), f"mount {kind or 'bind'} on {target}")


def own_namespaces() -> None:
    """Leave those of the caller; its user stands inside for one without rights."""
    user, group = os.geteuid(), os.getegid()
    checked(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{INSIDE} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{INSIDE} {group} 1")


def build_root(root: Path, shown: list[str], hidden: list[str], writable: str, shared_mb: int) -> None:
    """Make a root of the files that are `shown`, read-only, without those that are `hidden` in them, and of one writable folder."""
    mount("none", Path("/"), "", MS_REC | MS_PRIVATE)
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=16m")
    marked = [(Path(p), True) for p in shown] + [(Path(p), False) for p in hidden if p not in shown]
    # the outer ones first: what is shown may lie in what is hidden, and the other way round
    for path, visible in sorted(marked, key=lambda each: len(each[0].parts)):
        target = root / str(path).lstrip("/")
        if visible:
            bind(path, target)
        elif target.is_dir():
            mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=16m")
        elif target.exists():
            mount("/dev/null", target, "", MS_BIND)
    slot, shm, old = root / writable.lstrip("/"), root / "dev/shm", root / ".old"
    for folder in (slot, shm, old, root / "proc"):
        folder.mkdir(parents=True, exist_ok=True)
    attributes = MountAttr(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, 0, 0)
    arguments = ctypes.c_char_p(os.fsencode(root)), ctypes.c_uint(AT_RECURSIVE), ctypes.byref(attributes)
    checked(libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, *arguments, ctypes.c_size_t(ctypes.sizeof(attributes))), "mount_setattr")
    mount(writable, slot, "", MS_BIND | MS_REC)
    mount("tmpfs", shm, "tmpfs", MS_NOSUID | MS_NODEV, f"mode=1777,size={shared_mb}m")


def bind(path: Path, target: Path) -> None:
    """Show a file or folder at the same place below the new root."""
    if path.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(str(path), target, "", MS_BIND | MS_REC)


def enter(root: Path) -> None:
    """Make the new root the only one, with a /proc of the new process namespace."""
    mount("proc", root / "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    os.chdir(root)
    checked(libc.pivot_root(b".", b".old"), "pivot_root")
    os.chdir("/")
    checked(libc.umount2(b"/.old", MNT_DETACH), "umount")


def first(granted: Mapping[str, Any], report: int) -> None:
    """Be the first process inside: set the stage, start the command, reap what it leaves, report how it ended."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    try:
        enter(Path(granted["root"]))
        os.chdir(granted["folder"])
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(FAILED)
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(report)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        largest = granted["file_mb"] * 1024**2
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # processes and threads of these namespaces alone; whoever started as root is bound by the watch outside
        resource.setrlimit(resource.RLIMIT_NPROC, (MOST_TASKS, MOST_TASKS))
        command = granted["command"]
        os.execv(command[0], command)  # noqa: S606 - what the executor asked for; no shell
    close(granted)
    # the command must not read in this process what it was not granted
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    while True:
        pid, status = os.wait()
        if pid == child:
            os.write(report, status.to_bytes(4, "little"))
            os._exit(0)


def close(granted: Mapping[str, Any]) -> None:
    """Close what is the command's alone: its end of a pipe must be the last one when it ends."""
    for descriptor in granted["handed"]:
        os.close(descriptor)


def main() -> None:
    """Start the command, and end as it ends."""
    granted = json.load(sys.stdin)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    try:
        own_namespaces()
        build_root(Path(granted["root"]), granted["shown"], granted["hidden"], granted["writable"], granted["shared_mb"])
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        sys.exit(FAILED)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        first(granted, writing)
    os.close(writing)
    close(granted)
    told = os.read(reading, 4)
    _, ended = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(int.from_bytes(told, "little") if told else ended)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in {signal.SIGKILL, signal.SIGSTOP} else None
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main()
