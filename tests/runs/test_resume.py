"""Whatever ends a run, at whatever moment, the same command goes on and gives the board of an undisturbed run."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
import pytest
from execute.kit import PATIENCE, STEADY, bench_process, homed, lives, wait_until, write_plugin

VARY = r"created|.*_seconds|peak_memory_mb|workers|git_commit"
"""Columns that two equal runs may differ in."""

# Steady, and what the tests need to get hold of a fit: each leaves a note with the worker's number, some wait to be killed
MODELS = (
    STEADY.replace("import numpy as np\n", "import os, subprocess, time\nfrom pathlib import Path\n\nimport numpy as np\n")
    + """

class Noted(Steady):
    name = "noted"

    def fit(self, train, ctx):
        if notes := os.environ.get("TEST_NOTES"):
            job = f"{self.name}-{len(train)}-{ctx.seed}-{sorted(self.params.items())}"
            turn = len(list(Path(notes).iterdir()))
            first = not (note := Path(notes) / job).exists()
            note.write_text(str(os.getpid()))
            while turn >= int(os.environ.get("TEST_WAIT_FROM", 1000)) and not Path(os.environ["TEST_GATE"]).exists():
                time.sleep(0.01)
            while first and turn in map(int, os.environ.get("TEST_KILL", "").split()):
                (Path(notes) / "kill").with_suffix(f".{os.getpid()}").touch()
                time.sleep(0.01)
        super().fit(train, ctx)


class Brittle(Noted):
    name = "brittle"

    def fit(self, train, ctx):
        super().fit(train, ctx)
        if self.params["slope"] < 0:
            raise ValueError("a negative slope")


class Parent(Noted):
    name = "parent"
    deterministic = True

    def fit(self, train, ctx):
        children = [subprocess.Popen(["sleep", "600"], start_new_session=n) for n in (False, True)]
        super().fit(train, ctx)
        for child in children:
            child.kill()
            child.wait()
"""
)


class Place:
    """One test's folders, and the command that runs in them."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.run, self.scratch, self.notes = folder, folder / "run", folder / "scratch", folder / "notes"
        self.started: list[subprocess.Popen] = []
        for each in (self.scratch, self.notes):
            each.mkdir(parents=True)
        plugin = write_plugin(folder, "models", MODELS, classes="Noted, Brittle, Parent")
        self.env = {"TMPDIR": str(self.scratch), "BENCH_CACHE": str(cache), "TEST_GATE": str(folder / "gate")}
        self.command = [
            "run",
            "--task",
            "churn",
            "--dataset",
            "retail",
            "--plugin",
            str(plugin),
            "--profile",
            "smoke",
            # its models leave notes for the tests outside of their slot
            "--sandbox",
            "off",
            "--out",
            str(self.run),
        ]
        self.command += [word for name in ("noted", "brittle", "parent") for word in ("--model", name)]

    def start(self, *more: str, trials: int = 6, seeds: int = 2, workers: int = 2, **env: str) -> subprocess.Popen:
        words = ["--trials", str(trials), "--seeds", str(seeds), "--workers", str(workers), "--quiet", *more]
        self.started.append(bench_process([*self.command, *words], {**self.env, **env}, start_new_session=True))
        return self.started[-1]

    def finish(self, **more: object) -> tuple[str, str]:
        process = self.start(**more)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
        return out, err

    def close(self) -> None:
        """End what a failed test has left running."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def lines(self) -> int:
        return self.ledger().count(b"\n")

    def ledger(self) -> bytes:
        return (self.run / "ledger.jsonl").read_bytes() if (self.run / "ledger.jsonl").exists() else b""

    def board(self) -> Mapping[str, list]:
        """Give leaderboard and trials without the columns that may vary."""
        board, trials = (pl.read_parquet(self.run / f"{name}.parquet").drop(pl.col(f"^({VARY})$")) for name in ("leaderboard", "trials"))
        return {"board": board.rows(named=True), "trials": trials.rows(named=True)}

    def clean(self) -> bool:
        """Say whether no worker, child or scratch folder is left."""
        return not homed(self.scratch) and not list(self.scratch.glob("bench-*"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulated")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Place:
    place = Place(tmp_path_factory.mktemp("undisturbed"), cache)
    place.finish(workers=1)
    return place


@pytest.fixture
def place(tmp_path: Path, cache: Path) -> Iterator[Place]:
    place = Place(tmp_path / "place", cache)
    yield place
    place.close()


def test_the_undisturbed_run_is_worth_comparing_with(undisturbed: Place) -> None:
    board = undisturbed.board()
    assert {row["status"] for row in board["board"]} == {"ok"}
    assert {row["status"] for row in board["trials"] if row["model"] == "brittle"} == {"ok", "failed"}
    assert len(board["trials"]) == 12, "of six fits four explore, and two confirm the best beside the default"
    assert len({row["value"] for row in board["trials"]}) > 3
    assert undisturbed.clean()


def kill_at(place: Place, fits: int, lines: int, delay: float) -> None:
    """Kill a run after so many more lines, or when it has come to a fit that waits: it never gets to its end."""
    process = place.start(workers=1 + lines % 2, TEST_NOTES=str(place.notes), TEST_WAIT_FROM=str(fits))
    goal = place.lines() + lines

    def reached() -> bool:
        notes, grown = list(place.notes.iterdir()), place.lines() >= goal
        # a fit that is done again finds its own note among them, so they are as many as `fits` when it waits
        if not grown and len(notes) < fits:
            return False
        running = homed(place.scratch)
        return bool(running) and (grown or any(int(note.read_text() or 0) in running for note in notes))

    wait_until(lambda: process.poll() is not None or reached(), "jobs are done")
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay)
    ours = homed(place.scratch)
    process.kill()
    _, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, err
    wait_until(lambda: not any(map(lives, ours)), "all workers and their children are gone")
    wait_until(place.clean, "the scratch folder is removed")


def test_a_supervisor_killed_at_many_moments_ends_with_the_board_of_an_undisturbed_run(place: Place, undisturbed: Place) -> None:
    draw = random.Random(5)
    jobs = undisturbed.lines()
    for n in range(8):
        # the first is killed before any job is done: while plugins are described and data read
        kill_at(place, min(3 * n + 4, jobs - 1), draw.choice([1, 1, 2, 3]) if n else 0, draw.choice([0.0, 0.005, 0.02, 0.1]))
    assert place.lines() > 5, "the kills must have come in the middle of the run"
    place.finish()
    assert place.board() == undisturbed.board()
    entries = [json.loads(line) for line in place.ledger().splitlines()]
    assert len({e["key"] for e in entries}) == len(entries) == jobs, "no job was written twice, none left out"


def test_workers_killed_in_the_middle_of_jobs_change_nothing(place: Place, undisturbed: Place) -> None:
    process = place.start(TEST_NOTES=str(place.notes), TEST_KILL="0 1 5 9 14")
    killed: set[int] = set()
    while process.poll() is None:
        for mark in place.notes.glob("kill.*"):
            pid = int(mark.suffix[1:])
            mark.unlink(missing_ok=True)
            if pid not in killed and lives(pid):
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert len(killed) >= 3
    assert place.board() == undisturbed.board()
    assert place.clean()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_is_finished_says_how_to_go_on_and_leaves_nothing_running(
    place: Place, undisturbed: Place, number: int
) -> None:
    process = place.start(TEST_NOTES=str(place.notes), TEST_WAIT_FROM="5")
    wait_until(lambda: place.lines() >= 4 and len(list(place.notes.iterdir())) >= 6, "two fits wait after a few jobs are done")
    ours = homed(place.scratch)
    assert len(ours) >= 2
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    kept = place.lines()
    assert re.search(
        rf"stopped; {kept} finished jobs are kept in {re.escape(str(place.run))}\nto go on: bench run --task churn .*--seeds 2", err
    )
    assert place.ledger().endswith(b"\n")
    assert not any(map(lives, ours))
    assert place.clean()
    before = place.ledger()
    place.finish()
    assert place.ledger().startswith(before)
    assert place.board() == undisturbed.board()


def test_two_runs_on_one_folder_are_refused_and_the_first_goes_on(place: Place, undisturbed: Place) -> None:
    first = place.start(TEST_NOTES=str(place.notes), TEST_WAIT_FROM="3")
    wait_until(lambda: len(list(place.notes.iterdir())) >= 4, "a fit waits")
    second = place.start()
    out, err = second.communicate(timeout=PATIENCE)
    assert (second.returncode, out) == (2, "")
    refused = [line for line in err.splitlines() if line.startswith("error: ")]
    assert refused == [f"error: run folder {place.run} is in use by process {first.pid}; wait for it, or choose another with --out DIR"]
    (place.folder / "gate").touch()
    _, err = first.communicate(timeout=PATIENCE)
    assert first.returncode == 0, err
    assert place.board() == undisturbed.board()
    assert place.clean()


def test_a_finished_run_starts_no_job_again_and_more_trials_reuse_what_is_there(place: Place, undisturbed: Place) -> None:
    place.finish(trials=3, TEST_NOTES=str(place.notes))
    few, fits = place.ledger(), set(place.notes.iterdir())
    board = place.board()
    for note in fits:
        note.unlink()
    place.finish(trials=3, TEST_NOTES=str(place.notes))
    assert place.ledger() == few
    assert list(place.notes.iterdir()) == []
    assert place.board() == board
    place.finish(TEST_NOTES=str(place.notes))
    again = {note.name for note in place.notes.iterdir()} & {note.name for note in fits}
    assert again == set(), "what was fitted before is not fitted again"
    assert place.ledger().startswith(few)
    assert place.board() == undisturbed.board()
    lines = place.lines()
    # combined and calibrated predictions are made of these
    fitted = sorted(file for file in (place.run / "predictions").glob("*.npz") if "-" not in file.name)
    for lost in fitted[:2]:
        lost.unlink()
    place.finish()
    assert place.lines() == lines + 2, "an entry whose prediction is lost is computed again"
    assert place.board() == undisturbed.board()
