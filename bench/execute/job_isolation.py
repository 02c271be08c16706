"""Keep jobs of one worker apart: undo what a job changed in the process, and see what it left running."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def restored() -> Iterator[None]:
    """Return back environment, working folder, streams, warning filters and numpy's error handling as they were."""
    import numpy as np

    environ, folder = dict(os.environ), os.getcwd()  # noqa: PTH109 - kept as text, to go back to
    streams = sys.stdout, sys.stderr
    try:
        with warnings.catch_warnings(), np.errstate():
            yield
    finally:
        sys.stdout, sys.stderr = streams
        os.environ.clear()
        os.environ.update(environ)
        with suppress(OSError):  # a job may have removed it; the supervisor then makes a new worker
            os.chdir(folder)


def left_behind() -> bool:
    """Return whether the next job would find threads or child processes of this one, or its streams closed."""
    if threading.active_count() > 1 or sys.stdout.closed or sys.stderr.closed:
        return True
    if not hasattr(os, "waitid"):
        return False
    try:
        # asks only whether there is a child at all: reaps none
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
