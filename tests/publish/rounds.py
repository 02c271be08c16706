"""Let two publishers loose on one place, again and again, killing some of them; print what each round left.

Run as a process of its own: it forks, which a process with threads must not.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.publish.publish import publish
from bench.publish.store import Local


def child(run: Path, place: Path, last: int = 0, told: Path | None = None) -> int:
    """Publish in a forked process; give its id. `last`: it is killed as it writes its so-manieth file; `told`: where it counts them."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            counted = count_files(last)
            publish(run, str(place))
            if told is not None:
                told.write_text(str(counted[0]))
            code = 0
        finally:
            os._exit(code)
    return pid


def count_files(last: int) -> list[int]:
    """Count the files that are written to a place from now on, and end this process between the content of one and its name."""
    counted, shipped = [0], Local._partial

    @contextmanager
    def partial(self: Local, name: str, content: bytes) -> Iterator[Path]:
        with shipped(self, name, content) as path:
            counted[0] += 1
            if counted[0] == last:
                os.kill(os.getpid(), signal.SIGKILL)
            yield path

    Local._partial = partial  # type: ignore[method-assign,assignment]
    return counted


def ended(pid: int) -> int:
    """Wait for a process; give its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def one_round(runs: list[Path], place: Path, lasts: list[int]) -> dict[str, object]:
    """Publish both runs at once; `lasts`: at which file each is killed, 0: at none."""
    codes = [ended(pid) for pid in [child(run, place, last) for run, last in zip(runs, lasts, strict=True)]]
    left = sorted(file.stem for file in (place / "commits").glob("*.json"))
    return {"codes": codes, "commits": left}


def main(first: str, second: str, folder: str, rounds: str) -> None:
    """Count the files of a publication, then do the rounds, each in a place of its own.

    In two rounds of three one publisher is killed, every other time before all files of its run are there.
    """
    os.fsync = lambda _: None  # processes are killed here, the power is not cut
    runs, draw, told = [Path(first), Path(second)], random.Random(0), Path(folder) / "files"
    assert ended(child(runs[0], Path(folder) / "warm", told=told)) == 0
    before, all_ = sum(1 for _ in (Path(folder) / "warm" / "runs").glob("*/**/*.*")), int(told.read_text())
    for number in range(int(rounds)):
        lasts = [0, 0]
        if number % 3:
            lasts[draw.randrange(2)] = draw.randint(1, before if number % 2 else all_)
        sys.stdout.write(json.dumps(one_round(runs, Path(folder) / f"place-{number}", lasts)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
