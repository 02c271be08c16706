"""Check a plugin in a process that may hang, crash or eat all memory: each costs one check, and the tool goes on."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.errors import ConfigError
from bench.execute.process_tree import Guardian, kill_homed, kill_tree
from bench.execute.worker_env import environment, resident_mb
from bench.registry import Group, Source
from bench.testing.verdicts import Verdict

SECONDS = 120.0
"""Longest that one check may take, and longest that a plugin may take to load."""
MEMORY_MB = 8192.0
POLL = 0.5
LOADED = "it can be loaded"
FOLDERS = ("home", "cache", "tmp", "work")


def check(source: Source, groups: tuple[Group, ...], task: str = "", *, seconds: float = SECONDS) -> Iterator[Verdict]:
    """Run all checks of the models and adapters that a plugin offers, each as it ends.

    Raises `ConfigError` where the plugin does not serve `task`.
    """
    done: list[tuple[str, str, str]] = []
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        ended = False
        while not ended:
            asked = {"source": source.as_dict(), "groups": groups, "task": task, "done": done}
            with Child(Path(name) / str(len(done)), seconds) as child:
                child.ask(asked)
                for verdict in child.verdicts(source):
                    done.append((verdict.plugin, verdict.task, verdict.check))
                    yield verdict
                ended = child.ended


@dataclass
class Child:
    """One checking process; `with` starts it and ends it with all that it started."""

    folder: Path
    seconds: float
    ended: bool = False
    """There is nothing left to check."""
    at: tuple[str, str, str] | None = None
    """The check that is running."""
    process: subprocess.Popen[bytes] = field(init=False)
    connection: Connection = field(init=False)
    guardian: Guardian = field(init=False)

    def __enter__(self) -> Self:
        for name in FOLDERS:
            (self.folder / name).mkdir(parents=True)
        ours, theirs = socket.socketpair()
        with theirs, (self.folder / "log.txt").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "bench.testing.run", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder / "work",
                env=environment(self.folder, "cpu"),
                start_new_session=True,
            )
        self.guardian = Guardian(self.folder)
        self.guardian.tell(self.process.pid, alive=True)
        self.connection = Connection(ours.detach())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            kill_tree(self.process.pid)
            self.process.wait()
        kill_homed(str(self.folder / "home"))
        self.guardian.tell(self.process.pid, alive=False)
        self.connection.close()
        self.guardian.close()

    def ask(self, message: Mapping[str, Any]) -> None:
        """Describe what to check."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has ended already, and the next reading says so
            self.connection.send_bytes(json.dumps(message).encode())

    def verdicts(self, source: Source) -> Iterator[Verdict]:
        """Return verdicts until all checks are done, or one of them had to be ended from outside; then that one's."""
        while not self.ended:
            message = self._heard()
            match message["event"]:
                case "begin":
                    self.at = tuple(message["key"])
                case "verdict":
                    self.at = None
                    yield Verdict(**{k: v for k, v in message.items() if k != "event"})
                case "unloaded" if message["why"] == "argument":
                    raise ConfigError(message["reason"])
                case "unloaded":
                    self.ended = True
                    yield Verdict(source.name, "", LOADED, "skipped" if message["why"] == "missing" else "failed", message["reason"])
                case "broken":
                    # nothing was running: the next process would end there too
                    self.ended = self.at is None
                    yield Verdict(*(self.at or (source.name, "", LOADED)), "failed", message["reason"])
                    return
                case _:
                    self.ended = True

    def _heard(self) -> dict[str, Any]:
        """Wait for a message; what breaks the process, or a limit, comes as one that is `broken`."""
        until = time.monotonic() + self.seconds
        try:
            while not self.connection.poll(POLL):
                if time.monotonic() > until:
                    return self._broken(f"ran longer than {self.seconds:g} s")
                if (used := resident_mb(self.process.pid, whole_tree=True)) > MEMORY_MB:
                    return self._broken(f"{used / 1024:.1f} GB resident, limit {MEMORY_MB / 1024:.0f}")
                if self.process.poll() is not None and not self.connection.poll(0):
                    return self._broken(self._how())
            found: dict[str, Any] = json.loads(self.connection.recv_bytes())
        except (EOFError, OSError, ValueError):
            return self._broken(self._how())
        return found

    def _broken(self, reason: str) -> dict[str, Any]:
        return {"event": "broken", "reason": reason}

    def _how(self) -> str:
        """Describe how the process ended that hung up."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self.process.wait(timeout=2.0)
            return (
                f"the process was ended by {signal.Signals(-code).name}" if code < 0 else f"the process ended itself with exit code {code}"
            )
        return "the process hung up"
