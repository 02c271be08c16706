"""Let two publishers loose on one place, again and again, killing some of them; print what each round left.

Run as a process of its own: it forks, which a process with threads must not.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from bench.publish.publish import publish


def child(run: Path, place: Path) -> int:
    """Publish in a forked process; give its id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            publish(run, str(place))
            code = 0
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> int:
    """Wait for a process; give its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def one_round(runs: list[Path], place: Path, draw: random.Random, longest: float) -> dict[str, object]:
    """Publish both runs at once; in two rounds of three one of them is killed at some moment."""
    pids = [child(run, place) for run in runs]
    if draw.random() < 2 / 3:
        time.sleep(draw.uniform(0, longest))
        os.kill(pids[draw.randrange(2)], signal.SIGKILL)
    codes = [ended(pid) for pid in pids]
    left = sorted(file.stem for file in (place / "commits").glob("*.json"))
    return {"codes": codes, "commits": left}


def main(first: str, second: str, folder: str, rounds: str) -> None:
    """Measure how long a publication takes, then do the rounds, each in a place of its own."""
    os.fsync = lambda _: None  # processes are killed here, the power is not cut
    runs, draw = [Path(first), Path(second)], random.Random(0)
    began = time.monotonic()
    assert [ended(child(run, Path(folder) / "warm")) for run in runs] == [0, 0]
    longest = time.monotonic() - began
    for number in range(int(rounds)):
        found = one_round(runs, Path(folder) / f"place-{number}", draw, longest)
        sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
