"""What a container's limits leave of the machine."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from bench.execute import machine


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a process that lies in the group /outer/inner of a machine with 16 cores."""
    (tmp_path / "fs" / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "own").write_text("0::/outer/inner\n")
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(machine, "OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    return tmp_path / "fs"


def test_without_limits_the_hardware_counts(groups: Path) -> None:
    (groups / "outer" / "cpu.max").write_text("max 100000\n")
    (groups / "outer" / "memory.max").write_text("max\n")
    assert machine.cores() == 16
    assert machine.memory_mb() == psutil.virtual_memory().total / 1024**2


def test_the_tightest_of_the_groups_limits_counts(groups: Path) -> None:
    (groups / "outer" / "cpu.max").write_text("250000 100000\n")
    (groups / "outer" / "inner" / "cpu.max").write_text("400000 100000\n")
    (groups / "outer" / "memory.max").write_text(f"{4 * 2**30}\n")
    (groups / "outer" / "inner" / "memory.max").write_text(f"{3 * 2**20}\n")
    assert machine.cores() == 2
    assert machine.memory_mb() == 3


def test_a_container_that_sees_its_own_group_as_the_root_is_limited_too(groups: Path) -> None:
    (groups.parent / "own").write_text("0::/\n")
    (groups / "cpu.max").write_text("50000 100000\n")
    assert machine.cores() == 1, "half a core is still one worker"


def test_a_limit_above_what_there_is_changes_nothing_and_neither_do_broken_or_older_groups(groups: Path) -> None:
    (groups / "outer" / "memory.max").write_text(f"{2**62}\n")
    (groups / "outer" / "cpu.max").write_text("nonsense\n")
    assert machine.cores() == 16
    assert machine.memory_mb() == psutil.virtual_memory().total / 1024**2
    (groups.parent / "own").write_text("4:memory:/docker\n")
    assert machine.cores() == 16


def test_what_a_group_still_grants_counts_kept_files_as_free(groups: Path) -> None:
    (groups / "outer" / "memory.max").write_text("max\n")
    for name, content in (("max", "1000"), ("current", "700"), ("stat", "anon 300\nactive_file 150\ninactive_file 50\n")):
        (groups / "outer" / "inner" / f"memory.{name}").write_text(content)
    assert list(machine.free_in_groups()) == [500]
