"""The guardian outlives whoever started it, also where that one's children are killed with it, as Ray does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from execute.kit import wait_until

from bench.execute.process_tree import Guardian

DIES = """
import os, signal, subprocess, sys
from pathlib import Path
from bench.execute.process_tree import Guardian, children_of

guardian = Guardian(Path(sys.argv[1]))
for child in children_of().get(os.getpid(), []):
    os.kill(child, signal.SIGKILL)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_where_the_children_of_a_supervisor_are_killed_with_it_its_folder_is_removed(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    (scratch / "slot-0").mkdir(parents=True)
    assert subprocess.run([sys.executable, "-c", DIES, str(scratch)], check=False).returncode == -9
    wait_until(lambda: not scratch.exists(), "the guardian cleans up")


def test_a_guardian_that_is_closed_has_ended(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    guardian = Guardian(tmp_path / "scratch")
    mine = [pid for pid in map(int, (p.name for p in Path("/proc").iterdir() if p.name.isdigit())) if str(tmp_path) in command(pid)]
    assert len(mine) == 1
    guardian.close()
    assert not (tmp_path / "scratch").exists()
    assert command(mine[0]) == ""
    guardian.close()


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


TRIES = """
import time

from bench.execute import sandbox


def run(*words, **more):
    print("tried", flush=True)
    time.sleep(600)


sandbox.subprocess.run = run
sandbox.obstacle("namespaces")
"""


def test_who_is_killed_while_the_sandbox_is_tried_leaves_no_folder(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", TRIES], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "tried\n"
        assert [folder.name[:6] for folder in tmp_path.iterdir()] == ["bench-"]
        process.kill()
    wait_until(lambda: not list(tmp_path.iterdir()), "the guardian cleans up")


def test_the_folder_is_gone_at_the_close_where_the_guardian_was_killed_before(tmp_path: Path) -> None:
    guardian = Guardian(tmp_path / "scratch")
    (tmp_path / "scratch" / "slot").mkdir()
    (killed,) = [pid for pid in map(int, (p.name for p in Path("/proc").iterdir() if p.name.isdigit())) if str(tmp_path) in command(pid)]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: command(killed) == "", "the guardian has ended")
    assert (tmp_path / "scratch").exists(), "nobody has removed it yet"
    guardian.close()
    assert not (tmp_path / "scratch").exists()
