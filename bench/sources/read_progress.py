"""How far the reading of a large source has come: adapters tell it, whoever waits may listen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Tell = Callable[[str, int, int], None]
"""(file, bytes read of it, its size)."""
_listeners: list[Tell] = []


def reading(file: Path, done: int, size: int) -> None:
    """Report that `done` of `size` bytes of a file are read, from any thread; costs nothing where nobody listens."""
    for tell in tuple(_listeners):
        tell(file.name, done, size)


@contextmanager
def forwarded_progress(tell: Tell) -> Iterator[None]:
    """Pass what adapters tell of their reading to `tell`, from whichever thread they read in."""
    _listeners.append(tell)
    try:
        yield
    finally:
        _listeners.remove(tell)
