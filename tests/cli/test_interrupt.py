"""Ctrl-C ends a run wherever it comes, also while an object is being deleted, where Python would only tell of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from bench.cli.run import interrupt


class Deleted:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def handled() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, interrupt)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("handled")
def test_ctrl_c_while_an_object_is_deleted_comes_a_moment_later() -> None:
    def strike() -> None:
        Deleted()
        threading.Event().wait(60)

    with pytest.raises(KeyboardInterrupt):
        strike()


@pytest.mark.usefixtures("handled")
def test_ctrl_c_anywhere_else_comes_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
