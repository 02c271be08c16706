"""With little memory every command ends in one line that says what to do, before a library can end the process or hang."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest
from cli.test_boundaries import finished, odd, walked

from bench.cli import invoke, memory
from bench.errors import BenchError
from bench.sources import cache

__all__ = ["finished"]
KINDS = {"address space": resource.RLIMIT_AS, "data": resource.RLIMIT_DATA}
RUN = ("run", "--task", "churn", "--profile", "smoke", "--trials", "1", "--quiet", "--model", "base-rate")


def limited(words: tuple[str, ...], kind: str, mb: float, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Give a command in a process of its own under a limit."""
    bound = int(mb * 2**20)
    return subprocess.run(
        [sys.executable, "-m", "bench", *words],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        preexec_fn=lambda: resource.setrlimit(KINDS[kind], (bound, bound)),
    )


def needed(kind: str) -> int:
    least = {"address space": memory.ADDRESSES, "data": memory.DATA}[kind]
    return least + memory.EACH_CORE * ((os.cpu_count() or 1) - 1)


@pytest.mark.parametrize("kind", KINDS)
def test_with_little_memory_every_command_is_refused_in_one_line(finished: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "here").mkdir()
    lines = walked(finished, tmp_path / "here", kind)
    assert odd(lines) == []
    assert {line["code"] for line in lines} == {2}
    assert all(f"MB of {kind} are left" in line["errors"] and "ulimit -" in line["errors"] for line in lines)
    assert list((tmp_path / "here").iterdir()) == [], "nothing is begun"


@pytest.mark.parametrize(
    ("kind", "mb"), [("address space", 80), ("address space", 400), ("address space", 1_200), ("data", 60), ("data", 200), ("data", 400)]
)
def test_a_run_with_little_memory_says_what_to_do_and_writes_nothing(finished: Path, tmp_path: Path, kind: str, mb: int) -> None:
    own = {"BENCH_CACHE": str(tmp_path / "cache"), "BENCH_CONFIG": str(tmp_path / "config")}
    ended = limited((*RUN, "--dataset", f"retail={finished / 'shop'}", "--out", str(tmp_path / "run")), kind, mb, own)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: not enough memory")
    assert ended.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_with_the_memory_that_is_asked_for_a_run_ends_well(finished: Path, tmp_path: Path, kind: str) -> None:
    own = {"BENCH_CACHE": str(tmp_path / "cache"), "BENCH_CONFIG": str(tmp_path / "config")}
    # a process that has begun holds a little of its own
    ended = limited((*RUN, "--dataset", f"retail={finished / 'shop'}", "--out", str(tmp_path / "run")), kind, needed(kind) + 40, own)
    assert ended.returncode == 0, ended.stderr


def test_help_asks_for_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "RESIDENT", 10**9)
    memory.refuse_shortage(["run", "--help"])
    memory.refuse_shortage([])
    with pytest.raises(BenchError, match="close other programs"):
        memory.refuse_shortage(["list", "models"])


def test_a_container_that_grants_too_little_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_in_groups", lambda: iter([2**30, 100 * 2**20]))
    with pytest.raises(BenchError, match=r"100 MB of the container's memory are left, bench needs 300 to start; raise its limit"):
        memory.refuse_shortage(["list", "models"])


def test_a_panic_of_a_library_for_lack_of_threads_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})

    def raised(_: list[str]) -> None:
        raise panic('could not spawn threads: kind: WouldBlock, message: "Resource temporarily unavailable"')

    monkeypatch.setattr(memory, "refuse_shortage", raised)
    assert invoke(["list", "models"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: not enough memory (could not spawn threads")
    assert error.count("\n") == 1


def test_data_that_does_not_fit_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="not enough memory to read it"), cache._in_one_line(tmp_path / "a.csv"):
        raise pl.exceptions.ComputeError("realloc of size 92288 failed")
