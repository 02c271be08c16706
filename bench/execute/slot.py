"""One slot of the local executor: its folders, its worker's process, and the request under way."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path

from bench.data.payload import Payload
from bench.execute.gpus import Load
from bench.execute.jobs import Limits
from bench.execute.messages import Apply, Call, Fit, Request
from bench.execute.placement import Place
from bench.execute.process_tree import children_of
from bench.execute.sandbox import Sandbox
from bench.execute.worker_env import environment

LOG_TAIL = 4_000
FOLDERS = ("home", "cache", "tmp", "work")


@dataclass(frozen=True)
class SlotState:
    """What the choice of a slot depends on."""

    busy: bool = False
    started: bool = False
    """It has a worker."""
    runtime: str = "none"
    owner: str = ""
    stages: tuple[str, ...] = ()
    knows_validation: bool = False

    def suits(self, runtime: str, owner: str, *, final: bool) -> bool:
        """Return whether its worker, if it has one, may take such a request."""
        own = runtime in {self.runtime, "any"} and owner == self.owner
        return not self.started or (own and (final or not self.knows_validation))

    def distance(self, runtime: str, owner: str, digest: str, *, final: bool) -> tuple[bool, ...]:
        """Order free slots for a request: first a worker that suits, has run the like and has the stage already."""
        unsuited = not self.suits(runtime, owner, final=final)
        return unsuited, not self.started, self.knows_validation != final, digest not in self.stages


@dataclass
class Slot:
    """One worker process and the job that it runs."""

    folder: Path
    place: Place = field(default_factory=Place)
    runtime: str = "none"
    process: subprocess.Popen[bytes] | None = None
    connection: Connection | None = None
    stages: list[str] = field(default_factory=list)
    knows_validation: bool = False
    """It has run a final fit, whose training labels are the truth of every search job on that data."""
    ticket: int | None = None
    predicts: bool = False
    """The request leaves predictions behind."""
    later: list[Payload | None] = field(default_factory=list)
    """Parts of the stage that the worker has not been handed yet; None: it comes when asked for."""
    parts: list[dict[str, Path]] = field(default_factory=list)
    """What it predicted and we have taken: for each part the files by name."""
    sealed: dict[Path, str] = field(default_factory=dict)
    """The files of the parts before the last, and their digests: the worker lives on and knows their truth."""
    limits: Limits | None = None
    began: float = 0.0
    deadline: float = 0.0
    peak_mb: float = 0.0
    gpu_loads: list[Load] = field(default_factory=list)
    """What its GPU was seen to do while the request ran."""
    log_from: int = 0
    owner: str = ""
    """The source of the plugin that the worker is for; empty: it is for all that are shipped."""
    shipped: bool = False
    """Whether the plugin that it works for is the project's own."""
    inner: int | None = None
    """The number of the worker itself, where a confined one is not the process that was started."""
    tree_checked: float = 0.0

    @property
    def log(self) -> Path:
        """Name the file that takes what the worker prints."""
        return self.folder / "log.txt"

    def state(self) -> SlotState:
        """Return what the choice of a slot depends on."""
        busy, started = self.ticket is not None, self.process is not None
        return SlotState(busy, started, self.runtime, self.owner, tuple(self.stages), self.knows_validation)

    def sound(self) -> bool:
        """Return whether a waiting worker can go on: it lives, and no job has removed its folders."""
        alive = self.process is not None and self.process.poll() is None
        return alive and self.log.is_file() and all((self.folder / name).is_dir() for name in FOLDERS)

    def tail(self) -> str:
        """Return what the request has printed last."""
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(max(self.log_from, self.log.stat().st_size - LOG_TAIL))
            return log.read(LOG_TAIL).decode(errors="replace")
        return ""

    def worker_pid(self) -> int:
        """Return the number of the worker: of a confined one, the child of the first process in its namespaces."""
        if self.process is None:
            raise RuntimeError("a slot that is watched has a process")
        if self.inner is None:
            tree = children_of()
            first = tree.get(self.process.pid, [])
            below = tree.get(min(first), []) if first else []
            self.inner = min(below, default=None)
        return self.process.pid if self.inner is None else self.inner


def owner_of(request: Request) -> str:
    """Return the source whose worker must be its own; shipped plugins share theirs."""
    if isinstance(request, Call) or request.source.shipped:
        return ""
    return request.source.target


def request_of(request: Request, slot: Slot) -> Request:
    """Hand a worker a copy of a saved model: the run folder is none of its business."""
    if not isinstance(request, Fit | Apply) or not request.saved:
        return request
    copy = slot.folder / "work" / "saved"
    shutil.copytree(request.saved, copy)
    return replace(request, saved=str(copy))


def start(slot: Slot, request: Request, sandbox: Sandbox | None, root: Path) -> None:
    """Start a slot's worker in empty folders; a confined one sees the plugin's file, and writes to the slot alone."""
    fresh_folder(slot.folder)
    for name in FOLDERS:
        (slot.folder / name).mkdir(exist_ok=True)
    ours, theirs = socket.socketpair()
    with slot.log.open("ab") as log, theirs:
        # -P: what a plugin writes into its working folder must not be imported by the next
        command = [sys.executable, "-P", "-m", "bench.execute.worker", str(theirs.fileno())]
        slot.process = subprocess.Popen(
            sandbox.command() if sandbox else command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.PIPE if sandbox else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=slot.folder / "work",
            env=environment(slot.folder, slot.place.device, graphs=slot.place.graphs),
            start_new_session=True,
        )
        if sandbox and slot.process.stdin is not None:
            root.mkdir(parents=True, exist_ok=True)
            own = [Path(path) for path in _shown(request)]
            granted = sandbox.granted(command, root, slot.folder, slot.folder / "work", own, [theirs.fileno()])
            with contextlib.suppress(BrokenPipeError), slot.process.stdin as stdin:
                stdin.write(granted)
    slot.connection, slot.owner = Connection(ours.detach()), owner_of(request)
    if sandbox is None or sandbox.way == "landlock":
        slot.inner = slot.process.pid


def _shown(request: Request) -> tuple[str, ...]:
    """Return the files that a request's worker may read: its plugin's, if that is one file."""
    if isinstance(request, Call):
        return request.shown
    return (request.source.target,) if request.source.is_file else ()


def folder_bytes(folder: Path) -> int:
    """Sum what the files of a folder take on the disk; what is removed meanwhile takes nothing, holes in a file neither."""
    total, queue = 0, [str(folder)]
    while queue:
        with contextlib.suppress(OSError), os.scandir(queue.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    queue += [entry.path] if entry.is_dir(follow_symlinks=False) else []
    return total


def fresh_folder(folder: Path) -> Path:
    """Make a folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def emptied(folder: Path) -> None:
    """Remove what the last job wrote; the folder itself stays, it is the worker's working folder."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
