"""Two publishers at once, with kills: every finished run is there once, and a killed one not at all or as a whole."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from publish.kit import board_of, rows_of, tree, variant

from bench.publish import derive as deriving
from bench.publish.derive import derived_files, merged_rows
from bench.publish.package import package
from bench.publish.place import Published, state
from bench.publish.publish import publish, rebuild, upload
from bench.publish.store import Local, Store

ROUNDS = 12
"""Two of three have a kill; `tests/campaigns/publish.py` does more, with processes of their own and on S3."""


@pytest.fixture
def pair(made: Path, tmp_path: Path) -> list[Path]:
    """Give two runs on different data sets."""
    return [made, variant(made, tmp_path / "b", lambda row: {**row, "dataset": "other"})]


def right(place: Path) -> bool:
    """Say whether all derived files are those of what is committed."""
    store = Local(place)
    seen = state(store)
    files = derived_files(store, seen, merged_rows(store, seen))
    there = {n: c for n, c in tree(place).items() if not n.startswith(("runs/", "commits/")) and "/." not in n and not n.startswith(".")}
    return there == files


def test_of_two_runs_published_at_once_many_times_with_kills_every_finished_row_is_there_once(pair: list[Path], tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).parent / "rounds.py"), *map(str, pair), str(tmp_path), str(ROUNDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    rounds = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rounds) == ROUNDS
    ids = [package(run).run for run in pair]
    killed = unfinished = 0
    for number, one in enumerate(rounds):
        place = tmp_path / f"place-{number}"
        assert set(one["codes"]) <= {0, -9}, done.stderr[-2000:]
        killed += -9 in one["codes"]
        for run, code in zip(ids, one["codes"], strict=True):
            assert code or run in one["commits"]
            unfinished += run not in one["commits"]
        store = Local(place)
        rows = Counter((row["dataset"], row["model"], row["tuning"], row["seed"]) for row in merged_rows(store, state(store)).rows)
        assert set(rows.values()) <= {1}
        assert sum(rows.values()) == len(one["commits"]) * len(rows_of(pair[0]))
        for run in one["commits"]:
            manifest = Published(store, run).manifest()["files"]
            assert all(Published(store, run).file(name, manifest) for name in manifest)
    # some were killed, and some of these before they had committed, or the rounds would show nothing
    assert killed >= ROUNDS / 5
    assert unfinished > 0
    undisturbed = [n for n, one in enumerate(rounds) if one["codes"] == [0, 0]]
    assert undisturbed
    assert all(right(tmp_path / f"place-{n}") for n in undisturbed)
    _mended(pair, tmp_path, next(n for n, one in enumerate(rounds) if len(one["commits"]) < 2))


def _mended(pair: list[Path], folder: Path, number: int) -> None:
    """Publish again where one was killed: then it is as if nothing had happened."""
    for run in pair:
        publish(run, str(folder / f"place-{number}"))
    publish(pair[0], str(folder / "calm"))
    publish(pair[1], str(folder / "calm"))
    visible = {n: c for n, c in tree(folder / f"place-{number}").items() if "/." not in n and not n.startswith(".")}
    calm = tree(folder / "calm")
    assert visible.keys() == calm.keys()
    # which of both came first is another matter, and stands in their commits
    assert {name: c for name, c in visible.items() if not name.startswith("commits/")} == {
        name: c for name, c in calm.items() if not name.startswith("commits/")
    }


def test_a_publisher_that_wrote_an_older_board_last_looks_again_and_mends_it(
    pair: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    publish(pair[0], str(place))
    real, calls = deriving.derived_files, []

    def meanwhile(store: Store, *arguments: object) -> dict[str, bytes]:
        files = real(store, *arguments)
        calls.append(len(files))
        if len(calls) == 1:
            # the other one commits after we have listed, and before we have written
            upload(package(pair[1]), store)
        return files

    monkeypatch.setattr(deriving, "derived_files", meanwhile)
    rebuild(str(place))
    assert len(calls) == 2
    assert {row["dataset"] for row in board_of(place)} == {"retail-sim", "other"}
    assert right(place)


def test_of_many_writers_of_one_commit_one_wins(tmp_path: Path) -> None:
    store, won, start = Local(tmp_path / "place"), [], threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        if store.write_new("retractions/x.json", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [str(number).encode() for number in won] == [store.read("retractions/x.json")]
