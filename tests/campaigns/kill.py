"""A run is killed again and again, at any moment, and given again until it ends: its board must be that of an undisturbed run.

    python tests/campaigns/kill.py --kills 1000 --out FILE --scratch FOLDER

Killed are the supervisor, a worker or the guardian of both, with TERM, INT or KILL, once or twice, after a time, when a file is
written or when the ledger has grown; a fifth of the commands begin in an interpreter of their own, the others are forks of one
that has imported everything. Survived: the same rows, the same files and the same ledger but for times as without a kill, no
process and no temporary file left, no traceback. Found: a worker was ended by a signal other than KILL, which the rows or trials
say. Lost: anything else. Only signals that reached a living process count as kills.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
from campaigns import campaign
from campaigns.commands import Command, Server, fresh
from campaigns.kill_checks import command_of, differing, left, phase, told, told_as_rows
from execute.kit import steady

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
CASES = {
    "churn": ("base-rate", "steady"),
    "forecasting": ("seasonal-naive", "window-average"),
    "anomaly": ("rolling-mean", "random"),
    "next-event": ("popular", "recent-popular"),
}
OPTIONS = {"anomaly": ("--set", "family=injected"), "churn": ("--plugin", "steady.py")}
PATIENCE = 300
"""Seconds after which a run counts as stuck."""
MOST_KILLS = 6
TARGETS = ("supervisor",) * 6 + ("worker",) * 3 + ("guardian",)
FILES = (
    "lock",
    "run.json",
    "valid",
    "predictions",
    "models",
    "leaderboard.part",
    "leaderboard.parquet",
    "trials.parquet",
    "predictions.parquet",
    "figures.json",
    "report",
)
"""Moments: when one of these, within the run folder, is written."""


@dataclass(frozen=True)
class Moment:
    """When to kill: after a `share` of the seconds that a run takes, at `bytes` of ledger beyond those that are there, or when a file
    is `written`; `late`: seconds after that."""

    kind: str
    value: Any
    late: float

    def __str__(self) -> str:
        return f"{self.late:.3f} s after {self.value} {self.kind}"


@dataclass
class Place:
    """Where a round's run lies, and how it is started."""

    folder: Path
    scratch: Path
    task: str
    workers: int
    server: Server
    usual: float = 5.0
    """Seconds that the last undisturbed run took: how busy the machine is."""
    more: tuple[str, ...] = ()
    """Further options."""
    starts: int = 0

    def start(self, *, alone: bool) -> Command:
        """Begin the run, or go on with it, with a folder of its own for temporary files; `alone`: in an interpreter of its own."""
        (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
        words = ["run", "--task", self.task, "--profile", "smoke", "--quiet", "--out", str(self.folder / "run"), "--trials", "2"]
        words += ["--workers", str(self.workers), "--dataset", "retail", *OPTIONS.get(self.task, ()), *self.more]
        words = [str(self.scratch / word) if word.endswith(".py") else word for word in words]
        words += [word for model in CASES[self.task] for word in ("--model", model)]
        environment = {"TMPDIR": str(self.folder / "tmp"), "BENCH_CACHE": str(self.scratch / "cache"), "BENCH_CONFIG": str(self.scratch)}
        self.starts += 1
        errors = self.folder / f"errors-{self.starts}.txt"
        return fresh(words, environment, errors) if alone else self.server.start(words, environment, errors)


def calm(scratch: Path, task: str, server: Server) -> Path:
    """Return the folder of the undisturbed run of a task, which is made once."""
    place = Place(scratch / f"plain-{task}", scratch, task, 1, server)
    if not (place.folder / "run" / "run.json").exists() or not (place.folder / "run" / "report").exists():
        assert place.start(alone=False).finish(PATIENCE)[0] == 0, "the undisturbed run failed"
    return place.folder / "run"


def rounds(scratch: Path, server: Server) -> campaign.Round:
    """Return the rounds; the undisturbed run of each task is made once."""
    usual = [5.0]
    scratch.mkdir(exist_ok=True)
    steady(scratch)

    def play(draw: random.Random) -> dict[str, Any]:
        task, workers, target = draw.choice(list(CASES)), draw.choice((1, 2)), draw.choice(TARGETS)
        plain = calm(scratch, task, server)
        place = Place(scratch / f"{draw.getrandbits(48):012x}", scratch, task, workers, server, usual[0])
        kills: list[dict[str, str]] = []
        words, began = disturbed(place, target, draw, kills), time.time()
        words = words or told(place.start(alone=False).finish(PATIENCE), killed=False)
        usual[0] = time.time() - began
        words = words or left(place.folder) or differing(plain, place.folder / "run")
        # a worker that is ended by another signal than KILL is a row that says so; KILL is the machine's, and tried again
        named = words.startswith("other ") and target == "worker" and told_as_rows(place.folder / "run")
        end = "found" if named else "lost" if words else "survived"
        if end != "lost":
            shutil.rmtree(place.folder)
        return {"kind": f"{task}, {target}", "workers": workers, "kills": kills, "end": end, "words": words, "folder": str(place.folder)}

    return play


def disturbed(place: Place, target: str, draw: random.Random, kills: list[dict[str, str]]) -> str:
    """Start and kill several times, noting in `kills` what was hit; return what is wrong, or nothing."""
    command, began = None, 0.0
    for _ in range(draw.randrange(1, MOST_KILLS + 1)):
        alone, moment, number, twice = draw.random() < 1 / 5, drawn(draw), draw.choice(SIGNALS), draw.random() < 0.15
        if command is None:
            began = time.time()
            command = place.start(alone=alone)
        wait_for(moment, place, command)
        at = phase(place.folder / "run", began)
        if hit(command, target, number, place.folder):
            how = "alone" if alone else "fork"
            kills.append({"signal": number.name, "to": target, "in": at, "when": str(moment), "how": how})
            if twice and target == "supervisor":
                time.sleep(draw.uniform(0.0, 0.3))
                if command.send(number):
                    kills.append({"signal": number.name, "to": target, "in": at, "when": "again", "how": how})
        # what loses a worker, or its guardian, goes on
        if target == "supervisor" or command.code() is not None:
            words = told(command.finish(PATIENCE), killed=target == "supervisor")
            if words or target != "supervisor":
                return f"{words} ({kills[-1:]})" if words else ""
            command = None
    return "" if command is None else told(command.finish(PATIENCE), killed=False)


def drawn(draw: random.Random) -> Moment:
    """Draw a moment."""
    late = draw.choice((0.0, draw.uniform(0.0, 0.05)))
    kind = draw.choice(("share", "share", "bytes", "written"))
    if kind == "share":
        return Moment(kind, round(draw.uniform(0.0, 1.4), 3), 0.0)
    return Moment(kind, draw.randrange(1, 10_000) if kind == "bytes" else draw.choice(FILES), late)


def wait_for(moment: Moment, place: Place, command: Command) -> None:
    """Wait until the moment has come or the run has ended."""
    run, began = place.folder / "run", time.time()
    until = began + PATIENCE
    ledger = run / "ledger.jsonl"
    before = ledger.stat().st_size if ledger.exists() else 0
    while time.time() < until and command.code() is None:
        if moment.kind == "share" and time.time() - began >= moment.value * place.usual:
            break
        if moment.kind == "bytes" and ledger.exists() and ledger.stat().st_size >= before + moment.value:
            break
        with contextlib.suppress(OSError):
            if moment.kind == "written" and (run / moment.value).stat().st_mtime >= began:
                break
        time.sleep(0.002)
    time.sleep(moment.late)


def hit(command: Command, target: str, number: int, folder: Path) -> bool:
    """Send the signal to the supervisor, or to one of what it has started; says whether there was one to take it."""
    if target == "supervisor":
        return command.send(number)
    until = time.monotonic() + PATIENCE
    while command.code() is None and time.monotonic() < until:
        with contextlib.suppress(psutil.Error):
            # the last is the innermost: of a confined worker the one that works
            if chosen := guardians(folder) if target == "guardian" else psutil.Process(command.pid).children(recursive=True):
                chosen[-1].send_signal(number)
                return True
        time.sleep(0.002)
    return False


def guardians(folder: Path) -> list[psutil.Process]:
    """Find the guardians of a run: they are no children of its supervisor."""
    return [p for p in psutil.process_iter() if "process_tree" in (words := " ".join(command_of(p))) and str(folder) in words]


def counted(found: Iterable[Mapping[str, Any]]) -> str:
    """Count the kills by what was hit, where in the run, and by which signal."""
    kills = [kill for line in found for kill in line["kills"]]
    counts = Counter((kill["to"], kill["in"], kill["signal"]) for kill in kills)
    lines = [f"{number:5d}  {' '.join(at)}" for at, number in sorted(counts.items())]
    return "\n".join([f"kills: {len(kills)}", *lines]) + "\n"


def main() -> None:
    """Play rounds until there are kills enough, and print the tables."""
    given = campaign.arguments(__doc__, kills=1_000)
    found, number = list[dict[str, Any]](), 0
    with Server() as server:
        play = rounds(given.scratch.resolve(), server)
        while sum(len(line["kills"]) for line in found) < given.kills:
            number += 10
            found = campaign.run(play, number, seed=given.seed, out=given.out)
    campaign.tell(found)
    sys.stdout.write(counted(found))


if __name__ == "__main__":
    main()
