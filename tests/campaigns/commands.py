"""Start `bench` again and again at little cost: from a process that has imported what a run imports, by a fork of it.

A fork has a session, an environment and files of its own, as a command given in a shell has; what it starts, it starts anew.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Self

MODULES = (
    *("scipy.stats", "optuna", "pandas", "pydantic", "pyarrow.parquet", "rich", "bench_datasets.retail"),
    *("bench.board.drift", "bench.board.families", "bench.board.text", "bench.runs.runner", "bench.report.site"),
    *("bench.cli.app", "bench.cli.progress", "bench.cli.run", "bench.cli.summary", "bench.cli.view"),
)
# a shell starts what goes on in the background with INT ignored, and so would be all that it starts
BEGIN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from bench.cli import main; main()"
STUCK = -1000
"""Told in place of an exit code."""


class Command:
    """One `bench` that was started: its number, how it ended, what it said."""

    def __init__(self, pid: int, errors: Path, server: Server | None = None, process: subprocess.Popen[bytes] | None = None) -> None:
        self.pid, self._errors, self._server, self._process = pid, errors, server, process
        self._code: int | None = None

    def code(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        if self._code is None and self._process is not None:
            self._code = self._process.poll()
        elif self._code is None and self._server is not None:
            self._code = self._server.ask({"end of": self.pid})
        return self._code

    def send(self, number: int) -> bool:
        """Send a signal; says whether the command was there to take it."""
        if self.code() is not None:
            return False
        # it is waited for by us alone: until then its number is nobody else's
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False

    def finish(self, patience: float) -> tuple[int, str]:
        """Wait for the end; return the exit code and stderr. One that is stuck is killed, and told by the code `STUCK`."""
        until = time.monotonic() + patience
        while self.code() is None:
            if time.monotonic() > until:
                os.killpg(self.pid, signal.SIGKILL)
                return STUCK, self._errors.read_text(errors="replace")
            time.sleep(0.005)
        return self.code() or 0, self._errors.read_text(errors="replace")


class Server:
    """The process that forks: it has imported everything, and started no thread."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, question: Mapping[str, Any]) -> Any:
        """Ask for a fork, or for the end of one."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("a server has both pipes")
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, words: Sequence[str], environment: Mapping[str, str], errors: Path) -> Command:
        """Begin a command in a fork."""
        return Command(self.ask({"words": list(words), "environment": dict(environment), "errors": str(errors)}), errors, self)

    def __enter__(self) -> Self:
        """Serve until the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it; forks that run go on."""
        self._process.communicate()


def fresh(words: Sequence[str], environment: Mapping[str, str], errors: Path) -> Command:
    """Begin a command in an interpreter of its own, from its first import on."""
    with errors.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", BEGIN, *words],
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=stream,
            start_new_session=True,
        )
    return Command(process.pid, errors, process=process)


def serve() -> dict[str, Any]:
    """Answer questions until there are no more; returns in a fork, with what it is to do."""
    for name in MODULES:
        importlib.import_module(name)
    # which modules a job runs is read from the sources; it is kept, and no thread is started for it
    from bench.execute.job_sources import BENCH, imports_of

    for source in BENCH.rglob("*.py"):
        imports_of(source)
    for line in sys.stdin:
        question = json.loads(line)
        if "end of" in question:
            ended, status = os.waitpid(question["end of"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if ended else None
        else:
            answer = os.fork()
            if answer == 0:
                return question
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    sys.exit(0)


def become(words: Sequence[str], environment: Mapping[str, str], errors: str) -> NoReturn:
    """Do in a fork what a command does."""
    os.setsid()
    nothing, said = os.open(os.devnull, os.O_RDWR), os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for theirs, ours in ((nothing, 0), (nothing, 1), (said, 2)):
        os.dup2(theirs, ours)
    os.environ.update(environment)
    tempfile.tempdir, sys.argv = None, ["bench", *words]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from bench.cli import invoke

    sys.exit(invoke(list(words)))


if __name__ == "__main__":
    become(**serve())
