"""What a confined worker is granted: the interpreter, the libraries, its plugin, its slot; nothing of the user's.

Namespaces hide everything else; where the system refuses them, Landlock forbids it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.errors import ConfigError
from bench.execute import confine, landlock
from bench.execute.process_tree import Guardian, scratch_folder

MODES = ("auto", "on", "off")
WAYS = {"namespaces": confine.__file__, "landlock": landlock.__file__}
"""Ways to confine a worker, the better first, and the script that does it."""
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store", "/sys")
# no /etc/shadow: a run as root may read what root owns
ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "timezone", "nsswitch.conf", "passwd", "group", "alternatives", "fonts")
DEVICES = ("null", "zero", "full", "random", "urandom")
GPUS = ("nvidia*", "dri", "kfd")
FILE_MB = 8192
"""Largest file that a job may write."""
SHARED_MB = 1024
"""Memory behind /dev/shm."""
PROBE_SECONDS = 30.0


@dataclass(frozen=True)
class Sandbox:
    """Confine workers, and keep what is the user's out of their sight even where it lies beside a library."""

    hidden: tuple[Path, ...] = ()
    way: str = "namespaces"

    def command(self) -> list[str]:
        """Return the command that starts another one confined; what is granted goes to its standard input."""
        return [sys.executable, "-I", "-S", WAYS[self.way]]

    def granted(self, command: Sequence[str], root: Path, slot: Path, folder: Path, shown: Iterable[Path], handed: Sequence[int]) -> bytes:
        """Describe what a command is granted: `shown` beside what every worker needs, and `slot` to write to."""
        visible = [p for p in dict.fromkeys((*needed(), *_pythonpath_entries(), *shown)) if p.exists()]
        hidden = list(dict.fromkeys(each for h in (Path.home(), *self.hidden) for each in (h.absolute(), h.resolve())))
        if self.way == "landlock":
            # it can only allow: of a folder that holds what is hidden, all beside it
            visible = [part for p in visible for part in _beside(p, [h for h in hidden if h not in visible and h.is_relative_to(p)])]
        granted = {
            "command": list(command),
            "root": str(root),
            "shown": [str(p) for p in visible],
            # imports look for names in every folder of the path
            "listed": [entry for entry in (*sys.path, *os.environ.get("PYTHONPATH", "").split(os.pathsep)) if entry],
            "hidden": [str(p) for p in hidden],
            "writable": str(slot),
            "folder": str(folder),
            "handed": list(handed),
            "file_mb": FILE_MB,
            "shared_mb": SHARED_MB,
        }
        return json.dumps(granted).encode()


@cache
def needed() -> tuple[Path, ...]:
    """Return the files that any worker needs: the system's libraries, the interpreter, all that can be imported, devices."""
    interpreter: list[str | Path] = [sys.prefix, sys.base_prefix, sys.exec_prefix, Path(sys.executable).resolve().parent]
    importable = [each for entry in sys.path if entry for each in _importable(Path(entry))]
    devices = [Path("/dev") / name for name in DEVICES] + [found for name in GPUS for found in sorted(Path("/dev").glob(name))]
    given: list[str | Path] = [*SYSTEM, *(f"/etc/{name}" for name in ETC), *interpreter, *importable, *devices]
    every = [each for p in given for each in (Path(p).absolute(), Path(p).resolve())]
    return tuple(dict.fromkeys(p for p in every if p.exists() and p != Path("/")))


def _pythonpath_entries() -> list[Path]:
    """Return what can be imported besides for `PYTHONPATH`, which a worker inherits."""
    return [each for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry for each in _importable(Path(entry).absolute())]


def _importable(entry: Path) -> list[Path]:
    """Return what can be imported from an entry of the path: of a checkout the packages and modules, not what lies beside them."""
    if not entry.is_dir() or entry.name in {"site-packages", "dist-packages"} or entry.is_relative_to(sys.base_prefix):
        return [entry]
    packages = [init.parent for init in entry.glob("*/__init__.py")]
    return sorted([*packages, *entry.glob("*.py"), *entry.glob("*.so"), *entry.glob("*.dist-info")])


def _beside(path: Path, hidden: list[Path]) -> list[Path]:
    """Return a path, or where hidden ones lie in it, all in it that lies beside them."""
    if not hidden:
        return [path]
    if path in hidden or not path.is_dir():
        return []
    return [part for inner in sorted(path.iterdir()) for part in _beside(inner, [h for h in hidden if h.is_relative_to(inner)])]


@cache
def obstacle(way: str) -> str:
    """Try a sandbox once; return in one line why there can be none here, or an empty string."""
    if not sys.platform.startswith("linux"):
        return f"{way} are Linux's, this is {sys.platform}"
    scratch = scratch_folder()
    guardian = Guardian(scratch)
    try:
        root, slot = scratch / "root", scratch / "slot"
        root.mkdir()
        slot.mkdir()
        sandbox = Sandbox(way=way)
        granted = sandbox.granted(["/bin/true"], root, slot, slot, (), ())
        done = subprocess.run(sandbox.command(), input=granted, capture_output=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"it cannot be started ({error})"
    finally:
        guardian.close()
    words = done.stderr.decode(errors="replace").strip().splitlines()
    return "" if done.returncode == 0 else (words or [f"exit code {done.returncode}"])[-1]


def chosen(mode: str, hidden: Iterable[Path] = ()) -> Sandbox | None:
    """Return the sandbox that `--sandbox` asks for; None: workers run unconfined. Raise `ConfigError` where `on` cannot be had."""
    if mode not in MODES:
        raise ConfigError(f"--sandbox {mode!r} is unknown; use {', '.join(MODES)}")
    if mode == "off":
        return None
    for way in WAYS:
        if not obstacle(way):
            return Sandbox(tuple(hidden), way)
    if mode == "on":
        raise ConfigError(
            f"--sandbox on: workers cannot be confined here ({obstacle('namespaces')}); use --sandbox auto, or allow user namespaces"
        )
    return None


def words_of(sandbox: Sandbox | None, mode: str) -> str:
    """Describe in one line what confinement lacks that was left to this machine; empty: nothing."""
    reason = obstacle("namespaces") if sandbox is None or sandbox.way != "namespaces" else ""
    if sandbox is None and mode == "auto":
        return f"models run unconfined, and could read your files: no sandbox can be had here ({reason})"
    if sandbox is not None and sandbox.way == "landlock":
        return f"models are confined by Landlock, which leaves them the network but TCP: there are no namespaces here ({reason})"
    return ""
