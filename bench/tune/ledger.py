"""The ledger: one JSON line for each finished job, appended, flushed and synced; everything else is derived from it."""

from __future__ import annotations

import json
import os
import re
from array import array
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from bench.errors import RunFolderError
from bench.tune.trials import Entry, compact

FORMAT = 2
"""Of an entry; raised whenever its fields, or what its key is made of, change their meaning."""


class Ledger:
    """A run folder's finished jobs by key; only one process at a time may open it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "ledger.jsonl"
        self.entries: dict[str, Entry] = {}
        self._lock: BinaryIO | None = None
        self._file: FileIO | None = None

    def __enter__(self) -> Self:
        """Take the folder's lock, read what is finished, cut off a torn last line; raise `RunFolderError` if held."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.folder)
            whole = read_entries(self.path, self.entries)
            self._refuse_other_format()
            self._file = self.path.open("ab", buffering=0)
            self._file.truncate(whole)
        except OSError as error:
            self._close()
            raise RunFolderError(f"run folder {self.folder}: {error.strerror or error}; choose another with --out DIR") from error
        except RunFolderError:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the files; the lock goes with them, also when the process is killed."""
        self._close()

    def append(self, entry: Entry) -> None:
        """Write one entry and wait until it is on the disk; raise `RunFolderError` where it cannot be (disk full)."""
        if self._file is None:
            raise RunFolderError("the ledger is not open")
        line = json.dumps(entry, sort_keys=True, allow_nan=False, default=_as_list).encode() + b"\n"
        try:
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            # what was written of the line is a torn last line: the next run cuts it off, as after a kill
            raise RunFolderError(
                f"{self.path}: {error.strerror}; what is finished is kept: make room and give the same command again"
            ) from error
        self.entries[entry["key"]] = compact(entry)

    def _refuse_other_format(self) -> None:
        formats = {entry.get("format", 1) for entry in self.entries.values()} - {FORMAT}
        if formats:
            raise RunFolderError(
                f"{self.path}: written by another version of bench (ledger format {formats.pop()}, this one has {FORMAT}); "
                "choose another --out DIR, or remove the folder to compute it anew"
            )

    def write_log(self, entry: Entry) -> None:
        """Append what a failed job printed last to its cell's log file."""
        path = self.folder / log_name(entry["dataset"], entry["model"])
        path.parent.mkdir(exist_ok=True)
        head = f"== {entry['stage']} {entry['number']}, seed {entry['seed']}: {entry['status']}: {entry['reason']}\n"
        with path.open("a", encoding="utf-8") as log:
            log.write(f"{head}{entry['log_tail'].rstrip()}\n\n")

    def _close(self) -> None:
        for file in (self._file, self._lock):
            if file is not None:
                file.close()


def _as_list(value: object) -> list[float]:
    """Return the numbers of a compact entry as a list; raise `TypeError` for what no entry holds."""
    if isinstance(value, array):
        return list(value)
    raise TypeError(f"a {type(value).__name__} in an entry")


def log_name(dataset: str, model: str) -> str:
    """Name a cell's log file within its run folder, with nothing in it that a file system could mind."""
    return f"logs/{re.sub(r'[^A-Za-z0-9_.-]', '_', f'{dataset}-{model}')}.txt"


def read_entries(path: Path, into: dict[str, Entry]) -> int:
    """Read whole lines into a dict by key, the later line winning; returns the length in bytes of what is whole."""
    if not path.exists():
        return 0
    whole = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                entry = json.loads(line)
                into[entry["key"]] = compact(entry)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise RunFolderError(f"{path}: line {number} is damaged ({error}); mend or remove it, or use another --out") from error
            whole += len(line)
    return whole


def _locked(folder: Path) -> BinaryIO:
    import fcntl

    file = (folder / "lock").open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().decode(errors="replace").strip() or "unknown"
        file.close()
        raise RunFolderError(f"run folder {folder} is in use by process {holder}; wait for it, or choose another with --out DIR") from error
    file.truncate(0)
    file.write(str(os.getpid()).encode())
    file.flush()
    return file
