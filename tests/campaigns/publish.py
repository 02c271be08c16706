"""Two publishers send two runs to one place at once, a folder or a local S3, and one or both are killed at some moment.

Survived: both runs are committed, whole and once. Found: one was cut off; readers do not know of it, and the same command
given again makes the place what it is without a kill. Lost: anything else.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # in place of this file's folder: there `publish` is this file
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from campaigns import campaign
from publish.kit import rows_of, variant

import bench
from bench.publish.derive import merged_rows
from bench.publish.package import package
from bench.publish.place import Published, state
from bench.publish.publish import publish
from bench.publish.store import open_store
from bench.publish.verify import verify
from bench.registry import discover

PATIENCE = 300
STARTING = 1.0
"""Seconds that a process takes to begin, or more: a moment to kill is drawn within what a publication takes."""
COMMAND = "import sys; from bench.cli import main; main()"
BUCKET = "campaign"


def runs(scratch: Path) -> list[Path]:
    """Make two runs on different data sets, once for all rounds."""
    one, other = scratch / "one", scratch / "other"
    if not other.exists():
        bench.run("churn", datasets=["retail"], models=["base-rate", "rfm-logit", "recency"], profile="smoke", trials=2, out=one)
        variant(one, other, lambda row: {**row, "dataset": "other", "created": row["created"] - timedelta(hours=1)}, days=0)
    return [one, other]


def server() -> Any:
    """Start a local S3 with one bucket, whose address stands in the environment; None where its libraries are not installed."""
    try:
        import s3fs
        from moto.server import ThreadedMotoServer
    except ImportError:
        return None
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    os.environ.update(AWS_ACCESS_KEY_ID="campaign", AWS_SECRET_ACCESS_KEY="campaign", AWS_DEFAULT_REGION="us-east-1")
    os.environ["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
    s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"]).mkdir(BUCKET)
    return running


def rounds(scratch: Path, kinds: tuple[str, ...] = ("folder", "s3")) -> campaign.Round:
    """Return the rounds; how long an undisturbed publication takes is measured first, for each kind of place."""
    pair, able = runs(scratch), [kind for kind in kinds if kind != "s3" or server() is not None]
    calm, longest = {}, {}
    for kind in able:
        place = named(kind, scratch, f"calm-{random.getrandbits(48):012x}")
        began = time.monotonic()
        for run in pair:
            publish(run, place)
        longest[kind], calm[kind] = STARTING + time.monotonic() - began, contents(place)

    def play(draw: random.Random) -> dict[str, Any]:
        kind = draw.choice(able)
        place = named(kind, scratch, f"{draw.getrandbits(48):012x}-{os.getpid()}")
        codes = two(pair, place, draw, longest[kind])
        words = told(pair, place, codes) or mended(pair, place, calm[kind])
        if kind == "folder" and not words:
            shutil.rmtree(place)
        return {"kind": kind, "codes": codes, "end": "lost" if words else "found" if any(codes) else "survived", "words": words}

    return play


def named(kind: str, scratch: Path, name: str) -> str:
    return f"s3://{BUCKET}/{name}" if kind == "s3" else str(scratch / name)


def started(run: Path, place: str) -> subprocess.Popen[bytes]:
    """Begin to publish, in a process of its own."""
    command = [sys.executable, "-c", COMMAND, "publish", str(run), "--to", place]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def two(pair: list[Path], place: str, draw: random.Random, longest: float) -> list[int]:
    """Publish both at once; in four rounds of five one or both are killed."""
    processes = [started(run, place) for run in pair]
    for process in draw.sample(processes, draw.choice((0, 1, 1, 1, 2))):
        time.sleep(draw.uniform(0, longest / 2))
        process.send_signal(draw.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
    codes = []
    for process in processes:
        _, errors = process.communicate(timeout=PATIENCE)
        codes.append(-1000 if b"Traceback" in errors else process.returncode)
    return codes


def told(pair: list[Path], place: str, codes: list[int]) -> str:
    """Describe what is wrong after a round; empty: nothing."""
    if set(codes) - {0, -signal.SIGKILL, -signal.SIGTERM, 130, 143}:
        return f"exit codes {codes}"
    store = open_store(place)
    seen = state(store)
    ids = [package(run).run for run in pair]
    lacking = [run for run, code in zip(ids, codes, strict=True) if code == 0 and run not in seen.committed]
    if lacking or set(seen.committed) - set(ids):
        return f"committed are {seen.committed}, of {ids} with codes {codes}"
    for run in seen.committed:
        files = Published(store, run).manifest()["files"]
        for name in files:
            Published(store, run).file(name, files)
    counted = Counter((row["dataset"], row["model"], row["tuning"], row["seed"]) for row in merged_rows(store, seen).rows)
    each = len(rows_of(pair[0]))
    return "" if counted.total() == len(counted) == each * len(seen.committed) else f"{counted.total()} rows, {len(counted)} cells"


def mended(pair: list[Path], place: str, calm: dict[str, bytes]) -> str:
    """Publish both again; the place must be what it is where nobody was killed."""
    for run in pair:
        publish(run, place)
    found = contents(place)
    if {n: c for n, c in found.items() if not n.startswith("commits/")} != {n: c for n, c in calm.items() if not n.startswith("commits/")}:
        return f"other files: {sorted(set(found) ^ set(calm))[:5]}"
    failures = verify(place, discover()).failures
    return failures[0] if failures else ""


def contents(place: str) -> dict[str, bytes]:
    """Read every file of a place by its name."""
    store = open_store(place)
    names = [name for folder in ("runs", "commits", "site", "assets") for name in store.tree(folder)]
    return {name: store.read(name) for name in (*names, "board.parquet", "board.json", "index.html")}


if __name__ == "__main__":
    campaign.by_hand(rounds, __doc__)
