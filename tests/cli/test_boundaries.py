"""At every boundary something is short or broken: each command ends as one line and an exit code, and loses nothing."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import bench
from bench.cli import invoke, of_a_library, of_the_system
from bench.publish.publish import publish

WALK = Path(__file__).with_name("walk.py")
BREAKS = {"empty": lambda _: b"", "junk": lambda _: b"PAR1\xff" * 40, "cut": lambda content: content[: len(content) * 2 // 3]}
READERS = (("board", "show"), ("report",), ("publish", "--to", "place"), ("predict", "--data", "shop"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a log, a finished run on it, and a place where it is published."""
    folder = tmp_path_factory.mktemp("boundaries")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(folder / "cache"))
        patch.setenv("BENCH_CONFIG", str(folder / "config"))
        assert invoke(["data", "simulate", "retail", str(folder / "shop"), "--size", "120"]) == 0
        models = ["base-rate", "recency"]
        bench.run("churn", datasets=[f"retail={folder / 'shop'}"], models=models, profile="smoke", trials=1, out=folder / "run")
        publish(folder / "run", str(folder / "place"))
    return folder


def walked(finished: Path, here: Path, condition: str, prefix: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Walk all commands in a process of its own, on copies of the run and the place."""
    copies = [shutil.copytree(finished / name, here.parent / name) for name in ("run", "place")]
    command = [*prefix, sys.executable, str(WALK), condition, *map(str, copies), str(finished / "shop"), str(here)]
    env = {**os.environ, "BENCH_CACHE": str(here.parent / "cache"), "BENCH_CONFIG": str(here.parent / "config")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def odd(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Choose the commands that did not end as they should: an exit code that is known, and on failure one line of error."""
    wrong = []
    for line in lines:
        errors = [each for each in line["errors"].splitlines() if each.startswith("error: ")]
        right = line["code"] in (0, 1, 2, 3) and not line["escaped"] and len(errors) == (line["code"] == 2)
        wrong += [] if right else [line]
    return wrong


def mounted(here: Path, options: str) -> tuple[str, ...]:
    """Return the words that start a command with a small disk of its own at a folder; skip where that is not allowed."""
    here.mkdir()
    words = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f'mount -t tmpfs -o {options} none "{here}" && exec "$@"', "sh")
    try:
        able = subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        able = False
    if not able:
        pytest.skip("no file system can be mounted here")
    return words


def test_with_few_descriptors_every_command_ends_in_one_line(finished: Path, tmp_path: Path) -> None:
    lines = walked(finished, tmp_path / "here", "descriptors")
    assert odd(lines) == []
    assert [line["command"][0] for line in lines if "too many open files" in line["errors"]], "there were enough for all"


@pytest.mark.parametrize("options", ["size=16k", "ro"], ids=["full", "read-only"])
def test_on_a_disk_that_is_full_or_read_only_every_command_ends_in_one_line(finished: Path, tmp_path: Path, options: str) -> None:
    lines = walked(finished, tmp_path / "here", "none", mounted(tmp_path / "here", options))
    assert odd(lines) == []
    said = {"size=16k": "No space left", "ro": "Read-only file system"}[options]
    told = [line["command"][0] for line in lines if said in line["errors"]]
    assert {"run", "predict", "board", "publish", "data", "plugin"} <= set(told), lines


@pytest.mark.parametrize(
    "name", ["leaderboard.parquet", "run.json", "predictions.parquet", "ledger.jsonl", "choices.parquet", "trials.parquet"]
)
def test_a_broken_file_of_a_run_is_one_line_wherever_it_is_read(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(finished)
    monkeypatch.setenv("BENCH_CACHE", str(finished / "cache"))
    monkeypatch.setenv("BENCH_CONFIG", str(finished / "config"))
    for kind, change in BREAKS.items():
        run = Path(shutil.copytree(finished / "run", tmp_path / kind))
        (run / name).write_bytes(change((run / name).read_bytes()))
        for command, *more in READERS[: 3 if name != "ledger.jsonl" else 4]:
            words = [command, *(more if command == "board" else []), str(run), *([] if command == "board" else more)]
            code = invoke([w if w != "place" else str(tmp_path / f"place {kind}") for w in words])
            errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
            assert (code, len(errors)) in {(0, 0), (2, 1)}, (kind, words, code, errors)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "not enough memory (MemoryError); close other programs, raise the limit or give less data"),
        (pa.ArrowMemoryError("malloc of size 64 failed"), "not enough memory (malloc of size 64 failed)"),
        (RuntimeError("can't start new thread"), "not enough memory (can't start new thread)"),
        (ImportError("x.so: failed to map segment from shared object"), "not enough memory (x.so: failed to map segment"),
        (ImportError("x.so: Too many open files"), "too many open files (x.so: Too many open files); raise the limit with ulimit -n"),
        (pl.exceptions.ComputeError("of\ntwo lines"), "a file cannot be read or written (of two lines); is it whole, and is there room?"),
        (pa.ArrowInvalid("no Parquet"), "a file cannot be read or written (no Parquet)"),
        (zipfile.BadZipFile("no zip"), "a file cannot be read or written (no zip)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_a_library_raises_is_one_line(error: Exception, words: str) -> None:
    found = of_a_library(error)
    assert found is not None
    assert found.startswith(words)
    assert "\n" not in found


def test_a_defect_of_ours_is_no_line() -> None:
    assert of_a_library(KeyError("x")) is None
    assert of_a_library(RuntimeError("other")) is None


def test_what_the_system_refuses_names_the_place_and_the_cure() -> None:
    assert of_the_system(OSError(errno.EMFILE, "Too many open files", "bench/cli/x.py")).startswith("too many open files; ")
    assert of_the_system(OSError(errno.ENOSPC, "No space left on device", "a/b")).startswith("a/b: No space left on device; ")


def test_a_simulation_that_does_not_fit_names_the_folder_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench_datasets.retail import Retail

    def full(_: Retail, folder: Path, *__: int) -> None:
        (folder / "half").write_text("x")
        # polars raises it so: with words, without a number
        raise OSError("No space left on device (os error 28)")

    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Retail, "simulate", full)
    assert invoke(["run", "--task", "churn", "--dataset", "retail", "--model", "base-rate", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert f"cannot write simulated data to {tmp_path / 'cache' / 'simulated'} (No space left on device" in error
    assert "None" not in error
    assert list((tmp_path / "cache" / "simulated").iterdir()) == []
