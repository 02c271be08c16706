"""The cache: the log or series that an adapter has read and cleaned once are kept as Parquet beside their fingerprint.

An entry is found by everything that could change what is read: the adapter's name, version and source, the options,
and the place, size and times of each file. Whatever goes wrong with the cache costs time, never the result. What the
adapter said at INFO while it read (a guessed column, say) is kept too, as notes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import polars as pl

import bench.data.events
import bench.data.series
from bench.api import Dataset
from bench.data.events import Events
from bench.data.fingerprint import fingerprint
from bench.data.series import Series
from bench.errors import MORE_MEMORY, DataError, short_of_memory, suggest

LAYOUT = 2
"""Number of the layout of an entry; a new one leaves old entries unfound."""
ABOVE = 4
"""Folders above a source in which its companions are looked for: NAB's labels lie three above a series."""
GROUP = 1 << 22
"""Rows of a Parquet row group: each repeats the dictionary of users, so that small ones cost time and room."""
DATA, LABELS = "data.parquet", "labels.parquet"
UNFINISHED = ".unfinished-"
OURS = re.compile(r"[0-9a-f]{64}|\.unfinished-.*")

log = logging.getLogger("bench")


@dataclass(frozen=True)
class Cached:
    """What was read, its fingerprint, whether it came from the cache, and what the adapter said of it."""

    data: Events | Series
    fingerprint: str
    hit: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CacheEntry:
    """Describe one entry: what was read from where, as which form, how many rows (events or steps) and bytes."""

    key: str
    name: str
    form: str
    source: str
    rows: int
    bytes: int


def cache_folder() -> Path:
    """Return the folder of the cache: `BENCH_CACHE`, or the platform's own; it may not exist yet."""
    return Path(os.environ.get("BENCH_CACHE") or platformdirs.user_cache_dir("bench")) / "events"


def read_cached(adapter: Dataset, path: Path, options: Mapping[str, str]) -> Cached:
    """Read `path` through `adapter`, or from the cache where nothing has changed since; raise `DataError`."""
    stamps = _stamps(adapter, path)
    version = f"{adapter.name}/{adapter.version}"
    entry = cache_folder() / _key(adapter, path, options, stamps)
    found = load(entry) if entry.is_dir() else None
    if found is not None:
        return found
    with captured_notes() as notes, _in_one_line(path):
        data = adapter.read(path, options)
    cached = Cached(data, fingerprint(data, version), hit=False, notes=tuple(notes))
    if _stamps(adapter, path) == stamps:
        _store(entry, cached, path, adapter.detect(path) or "")
    else:
        log.warning("%s changed while it was read; it is not kept in the cache", path)
    return cached


@contextmanager
def _in_one_line(path: Path) -> Iterator[None]:
    """Turn what a library says of a file that it cannot read into `DataError`; a defect of an adapter stays one."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, _of_libraries()):
            raise
        words = " ".join(str(error).split())[:300] or type(error).__name__
        if short_of_memory(error):
            raise DataError(f"{path}: not enough memory to read it ({words}); {MORE_MEMORY}") from error
        raise DataError(f"{path}: cannot be read ({words}); is it whole, and of the form that the adapter reads?") from error


def _of_libraries() -> tuple[type[Exception], ...]:
    """List what polars, Arrow and the unpackers raise; they are imported only where something was raised."""
    import zipfile
    import zlib

    import pyarrow as pa

    return pl.exceptions.PolarsError, pa.ArrowException, zipfile.BadZipFile, zlib.error, EOFError, UnicodeError, MemoryError


@contextmanager
def captured_notes() -> Iterator[list[str]]:
    """Collect what is said at INFO on the logger `bench`: an adapter's guesses and choices belong beside its data."""
    said: list[str] = []

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.INFO:
                said.append(record.getMessage())

    handler, level = Notes(logging.INFO), log.level
    log.addHandler(handler)
    log.setLevel(min(log.getEffectiveLevel(), logging.INFO))
    try:
        yield said
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _raised(error: OSError) -> None:
    """Raise what `os.walk` would pass over: a folder that cannot be listed is not an empty one."""
    raise error


def source_files(path: Path) -> list[Path]:
    """List the files at or below `path`, sorted; raise `DataError` where there is none or nothing in them."""
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"no file or folder {path}; {suggest(path.name, siblings) if siblings else 'check the path'}")
    found = [Path(top) / name for top, _, names in os.walk(path, onerror=_raised) for name in names] if path.is_dir() else [path]
    files = sorted(f for f in found if f.is_file())
    if not files:
        raise DataError(f"folder {path} holds no file; give the folder that holds the data")
    if not any(f.stat().st_size for f in files):
        raise DataError(f"{path} is empty (0 bytes); copy or download it again")
    return files


def cache_entries() -> list[CacheEntry]:
    """List the entries; one that is damaged has no name."""
    folders = sorted(cache_folder().glob("*")) if cache_folder().is_dir() else []
    return [_described(f) for f in folders if OURS.fullmatch(f.name) and not f.name.startswith(UNFINISHED)]


def clear_cache() -> tuple[int, int]:
    """Remove all entries, and nothing that the cache has not written; return how many and their bytes."""
    entries = cache_entries()
    folders = sorted(cache_folder().glob("*")) if cache_folder().is_dir() else []
    for folder in folders:
        if folder.is_dir() and OURS.fullmatch(folder.name):
            shutil.rmtree(folder)
    return len(entries), sum(e.bytes for e in entries)


def _stamps(adapter: Dataset, path: Path) -> list[tuple[str, int, int, int]]:
    """Return (relative name, size, mtime, ctime) of each file below `path`, and of the adapter's companions around it."""
    near = (path, *path.resolve().parents[:ABOVE])
    beside = [folder / name for folder in near for name in adapter.companions if (folder / name).is_file()]
    stats = [(os.path.relpath(f, path), f.stat()) for f in (*source_files(path), *beside)]
    return [(name, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in stats]


def _key(adapter: Dataset, path: Path, options: Mapping[str, str], stamps: list[tuple[str, int, int, int]]) -> str:
    parts = {
        "layout": LAYOUT,
        "adapter": [adapter.name, adapter.version],
        "source": source_digest(adapter),
        "options": sorted(options.items()),
        "path": str(path.resolve()),
        "files": stamps,
    }
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def source_digest(adapter: Dataset) -> str:
    """Digest the code that reads: the adapter's module, its package's other modules (its helpers), and the contracts'."""
    module = sys.modules[type(adapter).__module__]
    own = Path(getattr(module, "__file__", None) or os.devnull)
    # a single file given as a plugin has no package: its neighbours are strangers
    files = sorted(own.parent.glob("*.py")) if getattr(module, "__package__", "") else [own]
    digest = hashlib.sha256()
    for file in [*files, Path(bench.data.events.__file__), Path(bench.data.series.__file__)]:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def load(entry: Path) -> Cached | None:
    """Read an entry; None, with a warning, where it is damaged."""
    try:
        meta = json.loads((entry / "meta.json").read_text("utf-8"))
        tables = {name: _table(entry / name, digest) for name, digest in meta["tables"].items()}
        return Cached(_data(meta, tables), str(meta["fingerprint"]), hit=True, notes=tuple(meta["notes"]))
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        log.warning("cache entry %s is damaged (%s); the source is read again", entry, error)
        return None


def _table(file: Path, digest: str) -> pl.DataFrame:
    if _file_digest(file) != digest:
        raise ValueError(f"{file.name} is not what was written")
    return pl.read_parquet(file)


def _data(meta: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> Events | Series:
    """Put together what `_parts` took apart; it was validated when it was made."""
    if meta["holds"] == "series":
        windows = {name: tuple((start, end) for start, end in pairs) for name, pairs in meta["windows"].items()}
        return Series(tables[DATA], meta["name"], meta["rows_read"], dict(meta["cleaning"]), windows)
    activity, cleaning = tuple(meta["activity"]), dict(meta["cleaning"])
    return Events(tables[DATA], meta["name"], activity, meta["rows_read"], cleaning, tables.get(LABELS), meta["horizon"])


def _parts(data: Events | Series) -> tuple[dict[str, pl.DataFrame], dict[str, Any]]:
    """Take data apart into (tables by file name, the rest as JSON)."""
    shared: dict[str, Any] = {"name": data.name, "rows_read": data.rows_read, "cleaning": dict(data.cleaning), "rows": len(data)}
    if isinstance(data, Series):
        return {DATA: data.frame}, shared | {"holds": "series", "windows": dict(data.windows)}
    tables = {DATA: data.frame} | ({} if data.labels is None else {LABELS: data.labels})
    return tables, shared | {"holds": "events", "activity": list(data.activity), "horizon": data.horizon}


def _store(entry: Path, cached: Cached, path: Path, form: str) -> None:
    """Write an entry beside its place and move it there in one step, so that no reader ever sees half of it."""
    unfinished = None
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=entry.parent))
        tables, meta = _parts(cached.data)
        for name, table in tables.items():
            table.write_parquet(unfinished / name, row_group_size=GROUP)
        meta |= {
            "tables": {name: _file_digest(unfinished / name) for name in tables},
            "fingerprint": cached.fingerprint,
            "notes": cached.notes,
            "source": str(path.resolve()),
            "form": form,
        }
        (unfinished / "meta.json").write_text(json.dumps(meta, indent=1), "utf-8")
        shutil.rmtree(entry, ignore_errors=True)  # only a damaged one can be here
        unfinished.rename(entry)
    except (OSError, pl.exceptions.PolarsError) as error:
        log.warning("cannot keep %s in the cache folder %s (%s); set BENCH_CACHE to one with room", path, entry.parent, error)
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)


def _file_digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _described(entry: Path) -> CacheEntry:
    size = sum(f.stat().st_size for f in entry.rglob("*") if f.is_file())
    try:
        meta = json.loads((entry / "meta.json").read_text("utf-8"))
        return CacheEntry(entry.name, meta["name"], meta["form"], meta["source"], meta["rows"], size)
    except (OSError, ValueError, KeyError, TypeError):
        return CacheEntry(entry.name, "", "", "", 0, size)


def write_atomically(file: Path, content: bytes) -> None:
    """Write a file into the cache, whole or not at all; raise `DataError` where there is no room."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=file.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(partial).replace(file)
    except OSError as error:
        raise DataError(f"cannot write {file} ({error.strerror}); set BENCH_CACHE to a folder with room") from error
