"""A run is killed again and again, at any moment, and given again until it ends: its board must be that of an undisturbed run.

Killed are the supervisor or a worker, with TERM, INT or KILL, after a time, when a file appears or when the ledger has grown.
Survived: the same rows as without a kill, no process left, no traceback. Found: a worker was ended by a signal other than
KILL, and its row says so. Lost: anything else.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import polars as pl
import psutil
from campaigns import campaign

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
CASES = {
    "churn": ["--dataset", "retail", "--model", "base-rate", "--model", "rfm-logit", "--trials", "3"],
    "forecasting": [
        "--dataset",
        "retail",
        "--model",
        "seasonal-naive",
        "--model",
        "climatology",
        "--model",
        "window-average",
        "--trials",
        "3",
    ],
    "anomaly": ["--dataset", "retail", "--model", "rolling-mean", "--model", "random", "--trials", "3", "--set", "family=injected"],
}
PATIENCE = 300
"""Seconds after which a run counts as stuck."""
MOST_KILLS = 3
SCORES = ("task", "dataset", "model", "tuning", "seed", "status", "rank", "roc_auc", "log_loss", "mase", "sql", "vus_pr", "valid_score")


def rounds(scratch: Path) -> campaign.Round:
    """Return the rounds; the undisturbed run of each task is made once."""
    plain: dict[str, pl.DataFrame] = {}

    def play(draw: random.Random) -> dict[str, Any]:
        task, workers = draw.choice(list(CASES)), draw.choice((1, 2))
        if task not in plain:
            folder = scratch / f"plain-{task}"
            if not (folder / "run" / "leaderboard.parquet").exists():
                assert finish(start(folder, scratch, task, 1))[0] in (0, 1), "the undisturbed run failed"
            plain[task] = scores(folder)
        folder = scratch / f"{draw.getrandbits(48):012x}"
        moments, words = [], ""
        for _ in range(draw.randrange(1, MOST_KILLS + 1)):
            process = start(folder, scratch, task, workers)
            moment, target, number = drawn(draw)
            moments.append(f"{signal.Signals(number).name} to {target} {moment}")
            wait_for(moment, folder, process)
            hit(process, target, number)
            words = words or told(finish(process), killed=target == "supervisor")
            if target == "worker" and number == signal.SIGKILL:
                break
        words = words or told(finish(start(folder, scratch, task, workers)), killed=False) or differing(plain[task], folder)
        words = words or left(folder)
        # a worker that is ended by another signal than KILL is a row that says so; KILL is the machine's, and tried again
        named = words.startswith("other rows") and told_as_rows(folder)
        end = "found" if named else "lost" if words else "survived"
        if end != "lost":
            shutil.rmtree(folder)
        return {"kind": task, "workers": workers, "moments": moments, "end": end, "words": words, "folder": str(folder)}

    return play


def start(folder: Path, scratch: Path, task: str, workers: int) -> subprocess.Popen[str]:
    """Begin the run, or go on with it, in a session of its own, with a folder of its own for temporary files."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    # a shell starts what goes on in the background with INT ignored, and so would be all that it starts
    begin = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from bench.cli import main; main()"
    words = [sys.executable, "-c", begin, "run", "--task", task, "--profile", "smoke", "--quiet", "--out", str(folder / "run")]
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "BENCH_CACHE": str(scratch / "cache"), "BENCH_CONFIG": str(scratch)}
    command = [*words, "--workers", str(workers), *CASES[task]]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def drawn(draw: random.Random) -> tuple[str, str, int]:
    """Draw a moment, what is killed, and by which signal."""
    moment = draw.choice(
        (f"after {draw.uniform(0, 12):.2f} s", f"at {draw.randrange(6_000)} bytes of ledger", "at run.json", "at predictions")
    )
    return moment, draw.choice(("supervisor", "supervisor", "worker")), draw.choice(SIGNALS)


def wait_for(moment: str, folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the moment has come or the run has ended."""
    began = time.monotonic()
    run = folder / "run"
    while process.poll() is None and time.monotonic() - began < PATIENCE:
        kind, value = moment.split(maxsplit=1)[0], moment.split()[1]
        if kind == "after" and time.monotonic() - began >= float(value):
            return
        if "bytes" in moment and (run / "ledger.jsonl").exists() and (run / "ledger.jsonl").stat().st_size >= int(value):
            return
        if kind == "at" and not value.isdigit() and (run / value).exists():
            return
        time.sleep(0.01)


def hit(process: subprocess.Popen[str], target: str, number: int) -> None:
    """Send the signal to the supervisor, or to one of its own children."""
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        if target == "supervisor":
            process.send_signal(number)
            return
        children = psutil.Process(process.pid).children(recursive=True)
        if children:
            children[-1].send_signal(number)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end; return the exit code and stderr. One that is stuck is ended, and told by code -1000."""
    try:
        _, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return -1000, ""
    return process.returncode, errors


def told(ended: tuple[int, str], *, killed: bool) -> str:
    """Describe what is wrong with how a run ended; empty: nothing."""
    code, errors = ended
    if "Traceback" in errors:
        return f"a traceback: {errors.strip().splitlines()[-1][:200]}"
    if code == -1000:
        return f"stuck for {PATIENCE} s"
    usual = {0, 1, 130, 143, -signal.SIGTERM, -signal.SIGINT, -signal.SIGKILL} if killed else {0, 1}
    return "" if code in usual else f"exit code {code}: {errors.strip()[-200:]}"


def scores(folder: Path) -> pl.DataFrame:
    """Read what a run found, without what time and machine change."""
    frame = pl.read_parquet(folder / "run" / "leaderboard.parquet")
    return frame.select(name for name in SCORES if name in frame.columns)


def differing(plain: pl.DataFrame, folder: Path) -> str:
    """Compare the rows with those of the undisturbed run."""
    found = scores(folder)
    return "" if found.equals(plain) else f"other rows than without a kill: {len(found)} for {len(plain)}"


def told_as_rows(folder: Path) -> bool:
    """Return whether some row says that its worker was ended from outside."""
    frame = pl.read_parquet(folder / "run" / "leaderboard.parquet")
    return not frame.filter(pl.col("reason").str.contains("ended by SIG", literal=True)).is_empty()


def left(folder: Path) -> str:
    """Find processes of the run that are left."""
    time.sleep(0.5)
    mark = str(folder / "run")
    alive = [p.pid for p in psutil.process_iter() if _is_of(p, mark)]
    return f"processes left: {alive}" if alive else ""


def _is_of(process: psutil.Process, mark: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return mark in " ".join(process.cmdline()) or process.environ().get("TMPDIR", "").startswith(mark[: -len("run")])
    return False


if __name__ == "__main__":
    campaign.by_hand(rounds, __doc__)
