"""The ledger: one JSON line for each finished job, appended, flushed and synced; everything else is derived from it."""

from __future__ import annotations

import json
import os
import re
from array import array
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from bench.errors import RunFolderError
from bench.tune.trials import Entry, compact

FORMAT = 2
"""Of an entry; raised whenever its fields, or what its key is made of, change their meaning."""


class Entries(Mapping[str, Entry]):
    """A ledger's entries by key: where each line begins is kept, the line itself is read when it is asked for.

    What a run keeps in memory does then not grow with all that it has finished. The order is that of the keys' first lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begins: dict[str, int] = {}
        """Key -> the byte at which its latest line begins."""
        self._file: BinaryIO | None = None

    def __getitem__(self, key: str) -> Entry:
        """Read an entry; raise `RunFolderError` where its line is no longer what was read, or written, before."""
        begin = self._begins[key]
        if self._file is None:
            self._file = self.path.open("rb")
        self._file.seek(begin)
        try:
            entry = _parsed(self._file.readline())
        except ValueError as error:
            raise RunFolderError(f"{self.path}: changed while it was open ({error}); mend it, or use another --out") from error
        if entry["key"] != key:
            raise RunFolderError(f"{self.path}: changed while it was open (another key at byte {begin}); mend it, or use another --out")
        return entry

    def __contains__(self, key: object) -> bool:
        """Return whether there is an entry, without reading it."""
        return key in self._begins

    def __iter__(self) -> Iterator[str]:
        """List the keys."""
        return iter(self._begins)

    def __len__(self) -> int:
        """Count the keys."""
        return len(self._begins)

    def add(self, key: str, begin: int) -> None:
        """Note where the line of an entry begins; it takes the place of an earlier one with its key."""
        self._begins[key] = begin

    def close(self) -> None:
        """Close the file, if it was read; it is opened again where another entry is asked for."""
        if self._file is not None:
            self._file.close()
        self._file = None


class Ledger:
    """A run folder's finished jobs by key; only one process at a time may open it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "ledger.jsonl"
        self.entries = Entries(self.path)
        self._lock: BinaryIO | None = None
        self._file: FileIO | None = None

    def __enter__(self) -> Self:
        """Take the folder's lock, read what is finished, cut off a torn last line; raise `RunFolderError` if held."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.folder)
            whole = self._index()
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
        begin = self._file.seek(0, os.SEEK_END)
        try:
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            # what was written of the line is a torn last line: the next run cuts it off, as after a kill
            raise RunFolderError(
                f"{self.path}: {error.strerror}; what is finished is kept: make room and give the same command again"
            ) from error
        self.entries.add(entry["key"], begin)

    def _index(self) -> int:
        """Read every line once, note where each begins, and refuse other formats; return the length in bytes of what is whole."""
        whole = 0
        others: dict[str, int] = {}
        for begin, whole, entry in read_lines(self.path):  # noqa: B007 - the last one's end is returned
            self.entries.add(entry["key"], begin)
            others.pop(entry["key"], None)
            if entry.get("format", 1) != FORMAT:
                others[entry["key"]] = entry.get("format", 1)
        if others:
            raise RunFolderError(
                f"{self.path}: written by another version of bench (ledger format {next(iter(others.values()))}, this one has {FORMAT}); "
                "choose another --out DIR, or remove the folder to compute it anew"
            )
        return whole

    def write_log(self, entry: Entry) -> None:
        """Append what a failed job printed last to its cell's log file."""
        path = self.folder / log_name(entry["dataset"], entry["model"])
        path.parent.mkdir(exist_ok=True)
        head = f"== {entry['stage']} {entry['number']}, seed {entry['seed']}: {entry['status']}: {entry['reason']}\n"
        with path.open("a", encoding="utf-8") as log:
            log.write(f"{head}{entry['log_tail'].rstrip()}\n\n")

    def _close(self) -> None:
        self.entries.close()
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


def read_lines(path: Path) -> Iterator[tuple[int, int, Entry]]:
    """Read the whole lines of a ledger one by one: where each begins and ends, in bytes, and its entry.

    Of two lines with one key the later counts. What is no entry ends in a `RunFolderError` that names its line; a last line
    without an end is left out: it was torn.
    """
    if not path.exists():
        return
    begin = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                entry = _parsed(line)
            except ValueError as error:
                raise RunFolderError(f"{path}: line {number} is damaged ({error}); mend or remove it, or use another --out") from error
            yield begin, begin + len(line), entry
            begin += len(line)


def _parsed(line: bytes) -> Entry:
    """Make an entry of a line; raise `ValueError` where it is none."""
    try:
        entry = compact(json.loads(line))
        hash(entry["key"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(error) from error
    return entry


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
