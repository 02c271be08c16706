"""Show how a run goes, on stderr: a live view on a terminal, plain lines elsewhere, nothing with `--quiet` or `--json`."""

from __future__ import annotations

import os
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from bench.board.numbers import clean, plain, seconds
from bench.cli.summary import log_file
from bench.cli.view import DONE_ROOM, RunState, clock, remaining
from bench.runs.run_events import CellDone, DataReady, Event, JobRetried, NodesChanged, Notice, Reading, RunReady

if TYPE_CHECKING:
    from rich.text import Text

HEARTBEAT = 60.0
"""Seconds of silence after which plain progress says that it is alive."""
READING = 5.0
"""Seconds between the lines that plain progress spends on a large file."""
OFF = {"", "0", "false", "no"}
"""Values that switch a variable such as CI off."""


class Progress:
    """Take events and keep the state of the run; show nothing."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self.run = RunState(now())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave the display as it stands."""

    def __call__(self, event: Event) -> None:
        """Take an event."""
        self.run.take(event, self.now())

    def _about(self, event: RunReady) -> str:
        cells = _several(len(event.cells), "cell")
        budget = f"{cells} x {_several(event.trials, 'trial')}, {self._slots()}"
        return f"{budget}; profile {clean(event.profile)}; in {clean(event.folder)}"

    def _noticed(self, event: Notice) -> str:
        return f"{clean(event.words)}; {self._slots()}" if isinstance(event, NodesChanged) else clean(event.words)

    def _slots(self) -> str:
        """Count the workers, on a cluster those of all nodes."""
        workers = _several(self.run.workers, "worker")
        return f"{workers} on {_several(self.run.nodes, 'node')}" if self.run.nodes else workers

    def _label(self, event: CellDone | JobRetried) -> str:
        return clean(self.run.label(self.run.cells[event.dataset, event.model]))

    def _stamp(self) -> str:
        elapsed = clock(self.now() - self.run.started, padded=True)
        return f"{elapsed} {len(self.run.finished)}/{len(self.run.cells)}"

    def _outcome(self, event: CellDone) -> str:
        status = clean(event.status)
        if event.status != "ok":
            return f"{self._label(event)} failed" + (f" {status}" if status != "failed" else "") + f": {clean(event.reason)}"
        cell = self.run.cells[event.dataset, event.model]
        score = "" if cell.best is None else f"valid {self.run.metric} {plain(cell.best)} "
        reused = ", reused" if cell.reused and cell.reused == cell.jobs else ""
        return f"{self._label(event)} ok {score}{seconds(cell.total)} s{reused}"


class PlainProgress(Progress):
    """Write whole lines, each once, without a single control character: for pipes, logs, CI and notebooks."""

    def __init__(self, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(now)
        self._stream = stream
        self._spoken = now()

    def __call__(self, event: Event) -> None:
        """Take an event and write its line, if it has one."""
        super().__call__(event)
        if isinstance(event, DataReady):
            words = "; ".join(clean(word) for word in event.words)
            self._say(f"{clean(event.task_id)}  {clean(event.dataset)}: {words}")
        elif isinstance(event, RunReady):
            self._say(self._about(event))
            for words in event.words:
                self._say(clean(words))
        elif isinstance(event, CellDone):
            self._say(f"{self._stamp()} {self._outcome(event)}")
        elif isinstance(event, JobRetried):
            self._say(f"{self._stamp()} {self._label(event)} runs a job again: {clean(event.reason)}")
        elif isinstance(event, Notice):
            self._say(self._noticed(event))
        elif isinstance(event, Reading):
            if self.now() - self._spoken >= READING:
                self._say(clean(event.words()))
        elif self.run.ready and self.now() - self._spoken >= HEARTBEAT:
            self._say(f"{self._stamp()} {self._heartbeat()}")

    def _say(self, text: str) -> None:
        self._spoken = self.now()
        self._stream.write(text + "\n")
        self._stream.flush()

    def _heartbeat(self) -> str:
        active = [clean(self.run.label(c)) for c in self.run.cells.values() if c.running]
        running = f"; running: {', '.join(active)}" if active else ""
        return f"{int(100 * self.run.fraction)} %, {remaining(self.run, self.now())}{running}"


class LiveProgress(Progress):
    """Draw a live view at the bottom of a terminal; what is said once stands above it.

    Of more cells than the view has room for, how each ended is said above it too, and stays readable.
    """

    def __init__(self, stream: TextIO, environ: Mapping[str, str], now: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(now)
        self._lock = threading.Lock()
        self._logs: dict[tuple[str, str], str] = {}
        self._said_task = ""
        self._reading = ""
        # whether to draw is settled, whatever FORCE_COLOR says; which colours there are is left to rich
        self._console = Console(file=stream, force_terminal=True, force_interactive=True, _environ=environ, highlight=False)
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            vertical_overflow="crop",
            # the table that follows belongs to stdout; warnings on stderr are moved above the view
            redirect_stdout=False,
            redirect_stderr=stream is sys.stderr,
        )

    def __enter__(self) -> Self:
        """Start to draw."""
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Draw once more and leave the view on the screen; nothing stays of a run that did not begin."""
        self._live.transient = self.run.ready is None
        self._live.stop()
        if self.run.ready and error is None:
            self._console.line()

    def __call__(self, event: Event) -> None:
        """Take an event; the view follows at its own pace."""
        with self._lock:
            super().__call__(event)
        if isinstance(event, Reading):
            self._reading = event.words()
        elif isinstance(event, DataReady):
            self._reading = ""
            self._introduce(event)
        elif isinstance(event, RunReady):
            self._say(self._about(event))
            for words in event.words:
                self._say(clean(words))
            self.run.ends_elsewhere = len(event.cells) > DONE_ROOM
        elif isinstance(event, CellDone) and self.run.ready:
            log = log_file(Path(self.run.ready.folder), event.dataset, event.model)
            self._logs |= {(event.dataset, event.model): log} if log else {}
            if self.run.ends_elsewhere:
                style = "green" if event.status == "ok" else "red"
                self._say(f"{self._stamp()} {self._outcome(event)}{f'; {log}' if log else ''}", style)
        elif isinstance(event, JobRetried):
            self._say(f"{self._label(event)} runs a job again: {clean(event.reason)}")
        elif isinstance(event, Notice):
            self._say(self._noticed(event))

    def _introduce(self, event: DataReady) -> None:
        if event.task_id != self._said_task:
            self._said_task = event.task_id
            self._say(clean(event.task_id), "bold")
        first, *others = [clean(word) for word in event.words] or [""]
        self._say(f"{clean(event.dataset)}: {first}")
        for words in others:
            self._say(words, indent="  ")

    def _say(self, text: str, style: str = "", indent: str = "") -> None:
        """Print whole lines above the view; a word longer than the screen is left to the terminal, to be copied whole."""
        from rich.text import Text

        wrapped = textwrap.wrap(
            text, self._width(), initial_indent=indent, subsequent_indent=indent or "  ", break_long_words=False, break_on_hyphens=False
        )
        self._console.print(Text("\n".join(wrapped), style=style), soft_wrap=True)

    def _width(self) -> int:
        # the last column stays free: some terminals wrap as soon as it is written
        return max(self._console.width - 1, 1)

    def _draw(self) -> Text:
        from rich.text import Text

        from bench.cli.frame import frame

        view = Text(no_wrap=True, overflow="ignore", end="")
        with self._lock:
            if self.run.ready is None:
                words = clean(self._reading) or "reading data and plugins"
                return view.append(f"{words}  {clock(self.now() - self.run.started)}"[: self._width()], "dim")
            lines = frame(self.run, self.now(), self._width(), self._console.height - 1, self._logs)
        for at, line in enumerate(lines):
            view.append("\n" if at else "")
            for text, style in line:
                view.append(text, style)
        return view


def choose(
    stream: TextIO, *, quiet: bool, json: bool, environ: Mapping[str, str] = os.environ, now: Callable[[], float] = time.monotonic
) -> Progress:
    """Choose how a run is shown; the result is a listener and a context manager.

    Live only on a terminal that can move its cursor, outside CI, and where NO_PROGRESS is not set. Colour is another
    question: NO_COLOR and FORCE_COLOR change the live view's colours and nothing else.
    """
    if quiet or json:
        return Progress(now)
    able = stream.isatty() and environ.get("TERM", "").lower() not in {"dumb", "unknown"}
    if able and not any(environ.get(name, "").lower() not in OFF for name in ("CI", "NO_PROGRESS")):
        return LiveProgress(stream, environ, now)
    return PlainProgress(stream, now)


@contextmanager
def show_reading(stream: TextIO, *, quiet: bool) -> Iterator[None]:
    """Show how far the reading of large files is, while the body reads."""
    from bench.sources.read_progress import forwarded_progress

    with choose(stream, quiet=quiet, json=False) as listen, forwarded_progress(lambda *far: listen(Reading(*far))):
        yield


def _several(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
