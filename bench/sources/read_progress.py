"""How far the reading of a large source has come: adapters tell it, whoever waits may listen."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger("bench.sources.read_progress")

Tell = Callable[[str, int, int], None]
"""(file, bytes read of it, its size)."""


def reading(file: Path, done: int, size: int) -> None:
    """Report that `done` of `size` bytes of a file are read; costs nothing where nobody listens."""
    log.debug("reading %s: %d of %d bytes", file.name, done, size)


class _Relay(logging.Handler):
    def __init__(self, tell: Tell) -> None:
        super().__init__(logging.DEBUG)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record's numbers on."""
        if isinstance(record.args, tuple):
            file, done, size = record.args
            self._tell(str(file), int(str(done)), int(str(size)))


@contextmanager
def forwarded_progress(tell: Tell) -> Iterator[None]:
    """Pass what adapters tell of their reading to `tell`, from whichever thread they read in."""
    relay, level, passed_on = _Relay(tell), log.level, log.propagate
    log.addHandler(relay)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(relay)
        log.setLevel(level)
        log.propagate = passed_on
