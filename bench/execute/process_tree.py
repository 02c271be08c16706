"""Kill process trees, and a guardian that does so when its supervisor is gone.

Standard library only: the guardian runs this file as a script in a bare interpreter that starts in milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PROC = Path("/proc")
PR_SET_CHILD_SUBREAPER = 36


def children_of() -> dict[int, list[int]]:
    """Map every process to its children, read from /proc (empty where there is none)."""
    tree: dict[int, list[int]] = {}
    for entry in PROC.iterdir() if PROC.is_dir() else ():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # the command's name, in brackets, may hold spaces and brackets of its own
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                tree.setdefault(parent, []).append(int(entry.name))
    return tree


def descendants(pid: int) -> list[int]:
    """List a process and all that it started, itself first."""
    tree, found, queue = children_of(), [], [pid]
    while queue:
        found.append(queue.pop())
        queue += tree.get(found[-1], [])
    return found


def kill_tree(pid: int) -> None:
    """Kill a process and all its descendants, also those that left its process group.

    The root is stopped first and killed last: while it lives, orphans are handed to it (see `shield`) and stay findable.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGSTOP)
    for _ in range(20):
        below = descendants(pid)[1:]
        alive = [p for p in below if not _is_zombie(p)]
        for child in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        if not alive:
            break
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def kill_homed(home: str) -> None:
    """Kill all processes that were started with a HOME that begins so: orphans of a worker that is gone are found by it.

    Once their worker is dead, nothing but the environment tells whose the processes were that left its session.
    """
    mark = b"\0HOME=" + os.fsencode(home)
    for _ in range(20):
        found = [pid for pid in _all() if mark in b"\0" + _environment(pid)]
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return
        time.sleep(0.005)


def shield() -> None:
    """Make this worker easy to end: it adopts its orphans, and is the kernel's first victim when memory runs out.

    Linux only; elsewhere the guardian and the process group do what they can.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


class Guardian:
    """A tiny process that ends all workers, and removes the scratch folder, when the supervisor is gone.

    It is nobody's child: what Ray starts kills its own children when it ends, and they could not clean up any more.
    """

    def __init__(self, scratch: Path) -> None:
        """Start it, and make the folder, unless it is there: made before, it would stay where the supervisor is killed in between."""
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._scratch = scratch
        # what was started has forked the guardian, and ends
        self._process.wait()
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)

    def tell(self, pid: int, *, alive: bool) -> None:
        """Name a worker to watch over, or one that has ended."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(f"{'+' if alive else '-'}{pid}\n".encode())
                self._process.stdin.flush()

    def close(self) -> None:
        """End the guardian, and wait for its end; what it still knows of is killed, and the scratch folder is gone."""
        if self._process.stdin is not None and self._process.stdout is not None and not self._process.stdout.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            with self._process.stdout as until_its_end:
                until_its_end.read()
        # it may have been killed before
        shutil.rmtree(self._scratch, ignore_errors=True)


def scratch_folder() -> Path:
    """Name a new temporary folder, which a `Guardian` makes."""
    import tempfile  # not of the guardian, which is to start at once

    return Path(tempfile.gettempdir()) / f"bench-{os.urandom(8).hex()}"


def guard(scratch: Path) -> None:
    """Read worker ids until the supervisor's end of the pipe closes, then kill what is left."""
    alive: set[int] = set()
    for line in sys.stdin:
        (alive.add if line[0] == "+" else alive.discard)(int(line[1:]))
    for pid in alive:
        kill_tree(pid)
    kill_homed(f"{scratch}{os.sep}")
    shutil.rmtree(scratch, ignore_errors=True)


def _all() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()] if PROC.is_dir() else []


def _environment(pid: int) -> bytes:
    """Read the environment that a process was started with; empty for a zombie, and where it is another user's."""
    try:
        return (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return b""


def _is_zombie(pid: int) -> bool:
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


if __name__ == "__main__" and os.fork() == 0:
    guard(Path(sys.argv[1]))
