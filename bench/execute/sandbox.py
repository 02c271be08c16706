"""What a confined worker is granted: the interpreter, the libraries, its plugin, its slot; nothing of the user's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.errors import ConfigError
from bench.execute import confine

MODES = ("auto", "on", "off")
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

    def command(self) -> list[str]:
        """Return the command that starts another one confined; what is granted goes to its standard input."""
        return [sys.executable, "-I", "-S", confine.__file__]

    def granted(self, command: Sequence[str], root: Path, slot: Path, folder: Path, shown: Iterable[Path], handed: Sequence[int]) -> bytes:
        """Describe what a command is granted: `shown` beside what every worker needs, and `slot` to write to."""
        granted = {
            "command": list(command),
            "root": str(root),
            "shown": [str(p) for p in dict.fromkeys((*needed(), *_given(), *shown)) if p.exists()],
            "hidden": [str(p) for p in dict.fromkeys(each for h in (Path.home(), *self.hidden) for each in (h.absolute(), h.resolve()))],
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


def _given() -> list[Path]:
    """Return what can be imported besides for `PYTHONPATH`, which a worker inherits."""
    return [each for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry for each in _importable(Path(entry).absolute())]


def _importable(entry: Path) -> list[Path]:
    """Return what can be imported from an entry of the path: of a checkout the packages and modules, not what lies beside them."""
    if not entry.is_dir() or entry.name in {"site-packages", "dist-packages"} or entry.is_relative_to(sys.base_prefix):
        return [entry]
    packages = [init.parent for init in entry.glob("*/__init__.py")]
    return sorted([*packages, *entry.glob("*.py"), *entry.glob("*.so"), *entry.glob("*.dist-info")])


@cache
def obstacle() -> str:
    """Try a sandbox once; return in one line why there can be none here, or an empty string."""
    if not sys.platform.startswith("linux"):
        return f"namespaces are Linux's, this is {sys.platform}"
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        root, slot = Path(name) / "root", Path(name) / "slot"
        root.mkdir()
        slot.mkdir()
        sandbox = Sandbox()
        granted = sandbox.granted(["/bin/true"], root, slot, slot, (), ())
        try:
            done = subprocess.run(sandbox.command(), input=granted, capture_output=True, timeout=PROBE_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"it cannot be started ({error})"
    words = done.stderr.decode(errors="replace").strip().splitlines()
    return "" if done.returncode == 0 else (words or [f"exit code {done.returncode}"])[-1]


def chosen(mode: str, hidden: Iterable[Path] = ()) -> Sandbox | None:
    """Return the sandbox that `--sandbox` asks for; None: workers run unconfined. Raise `ConfigError` where `on` cannot be had."""
    if mode == "off":
        return None
    if reason := obstacle():
        if mode == "on":
            raise ConfigError(f"--sandbox on: workers cannot be confined here ({reason}); use --sandbox auto, or allow user namespaces")
        return None
    return Sandbox(tuple(hidden))
