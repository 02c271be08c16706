"""From `--dataset` words to data: find the adapter, simulate or read, keep what was read in the cache."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.api import LAW, SIMULATION, Dataset
from bench.data.events import Events
from bench.data.names import as_name
from bench.data.series import Series
from bench.errors import ConfigError, DataError, PluginError, suggest
from bench.registry import Registry
from bench.sources.cache import cache_folder, read_cached, write_atomically
from bench.sources.registered import Registered, registered

log = logging.getLogger("bench")


@dataclass(frozen=True)
class Request:
    """One data set as asked for: an adapter with a path, or with its simulator; a registered one has a name."""

    adapter: str
    path: Path | None
    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of the adapter that were registered; those of the run win."""


@dataclass(frozen=True)
class Loaded:
    """One data set ready for a task."""

    name: str
    simulated: bool
    adapter: Dataset
    data: Events | Series
    fingerprint: str
    notes: tuple[str, ...] = ()
    """What the adapter said of its reading: guessed columns, the unit of times."""

    @property
    def events(self) -> Events:
        """Return the event log; raise `DataError` where the data set holds series."""
        if not isinstance(self.data, Events):
            raise DataError(f"data set {self.name!r} holds series; churn needs an event log, one row an event with user and time")
        return self.data


def requested(words: Sequence[str], source: str | None, registry: Registry, *, holds: Sequence[str] = ("events",)) -> list[Request]:
    """Read `--dataset` words: ADAPTER=PATH, ADAPTER for its simulator, or a registered name.

    Without words: every simulator, and the registered sets that hold what the task can use. Raises `ConfigError` for
    unknown names, with the likely one.
    """
    named = registered()
    if words:
        return [_requested(word, source, registry, named) for word in words]
    known = [n for n in registry.names("bench.datasets") if n not in registry.broken["bench.datasets"]]
    simulated = [Request(name, None) for name in known if _simulates(registry, name)]
    return simulated + [
        _registered_request(name, found) for name, found in named.items() if found.holds in holds and _is_there(name, found)
    ]


def _requested(word: str, source: str | None, registry: Registry, named: Mapping[str, Registered]) -> Request:
    adapter, equals, path = word.partition("=")
    adapters = registry.names("bench.datasets")
    if not equals and word in named and word not in adapters:
        if source is not None:
            raise ConfigError(f"--source {source}: data set {word!r} is registered with its own path; leave --source out")
        return _registered_request(word, named[word])
    if adapter not in adapters and not registry.files:
        raise ConfigError(f"unknown dataset {word!r}; {suggest(adapter, [*adapters, *named])} (write ADAPTER=PATH for your own data)")
    if equals and not path:
        raise ConfigError(f"--dataset {word}: the path after '=' is empty; write {adapter}=PATH")
    given = path if equals else source
    return Request(adapter, Path(given).expanduser() if given else None)


def _registered_request(name: str, found: Registered) -> Request:
    return Request(found.adapter, Path(found.path), name, found.options)


def _is_there(name: str, found: Registered) -> bool:
    """Return whether a registered set can still be read; one that is gone is named and left out: nobody asked for it."""
    if Path(found.path).exists():
        return True
    log.warning("left out: data set %r: no file or folder %s; put it back, or bench data add --remove %s", name, found.path, name)
    return False


def loaded(request: Request, registry: Registry, options: Mapping[str, str], *, size: int, seed: int) -> Loaded:
    """Simulate or read one data set; raise `DataError` or `PluginError` with the cure."""
    adapter: Dataset = registry.dataset(request.adapter)
    refuse_options(adapter, options)
    if request.path is None:
        path, simulated = simulation(adapter, size, seed), True
    else:
        path, simulated = request.path, False
        if path.exists() and adapter.detect(path) is None:
            log.debug("%s does not recognise %s by its head; reading says why", adapter.name, path)
    cached = read_cached(adapter, path, {**request.options, **options})
    # a file may be called anything; what it names is shown, published and typed again
    name = request.name or (adapter.simulated_name if simulated else as_name(cached.data.name))
    simulated = simulated or cached.data.name == adapter.simulated_name  # a simulator's folder that was given by its path
    data = _with_law(_with_incidents(cached.data, path), path)
    data = replace(data, once=adapter.card.once) if isinstance(data, Events) else data
    return Loaded(name, simulated, adapter, data, cached.fingerprint, cached.notes)


def _with_incidents(data: Events | Series, path: Path) -> Events | Series:
    """Read the incidents that a simulator wrote beside its log."""
    from bench.sources.incident_files import NAME, read_incidents

    if not isinstance(data, Events) or not (path / NAME).is_file() or not (path / SIMULATION).is_file():
        return data
    return replace(data, incidents=read_incidents(path / NAME))


def _with_law(data: Events | Series, path: Path) -> Events | Series:
    """State where the law lies that a simulator wrote beside its log; it is read by who needs it."""
    if not isinstance(data, Events) or not (path / LAW).is_file() or not (path / SIMULATION).is_file():
        return data
    return replace(data, law=path / LAW)


def refuse_options(adapter: Dataset, options: Mapping[str, str]) -> None:
    """Raise `ConfigError` for an option that the adapter does not know, with the likely one."""
    for key in options:
        if key not in adapter.options:
            known = list(adapter.options)
            raise ConfigError(f"--set {adapter.name}.{key}: adapter {adapter.name!r} has no such option; {suggest(key, known)}")


def simulation(adapter: Dataset, size: int, seed: int) -> Path:
    """Return the folder of a simulated log, made once for each adapter version, size and seed."""
    if not adapter.simulated_name:
        raise ConfigError(f"adapter {adapter.name!r} has no simulator; write --dataset {adapter.name}=PATH")
    home = cache_folder().parent / "simulated"
    folder = home / f"{adapter.simulated_name}-{adapter.version}-{_digest(adapter)}-{size}-{seed}"
    if folder.is_dir():
        return folder
    with contextlib.ExitStack() as stack:
        try:
            home.mkdir(parents=True, exist_ok=True)
            unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=home))
            # what is whole has another name by then
            stack.callback(shutil.rmtree, unfinished, ignore_errors=True)
            adapter.simulate(unfinished, size, seed)
        except OSError as error:
            # polars tells of a full disk in its own words, without a number
            words = error.strerror or " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"cannot write simulated data to {home} ({words}); set BENCH_CACHE to a folder with room") from error
        with contextlib.suppress(OSError):
            # where it fails another process was faster: its folder holds the same bytes
            unfinished.rename(folder)
    return folder


FRAMES = "frames"
"""Folder of the frames that were given, in the cache."""
LONG = ({"unique_id", "ds", "y"}, {"item_id", "timestamp", "target"})
"""Columns by which a frame is known as series: Nixtla's and AutoGluon's names."""


def holds_series(frame: Any) -> bool:
    """Return whether a frame holds series in the long form, rather than an event log."""
    # pandas and polars call them columns, Arrow column_names (its columns are the arrays)
    frame = with_index(frame)
    columns = set(map(str, frame.column_names if hasattr(frame, "column_names") else getattr(frame, "columns", ())))
    return any(names <= columns for names in LONG)


def with_index(frame: Any) -> Any:
    """Return a pandas frame with its index as columns where that has names (the time often stands there); any other as it is."""
    names = getattr(getattr(frame, "index", None), "names", ())
    return frame.reset_index() if hasattr(frame, "reset_index") and any(name is not None for name in names) else frame


def cache_frame(frame: Any, name: str = "data") -> Path:
    """Write a frame (pandas, polars, lazy too, Arrow) to a Parquet file in a folder named by its content.

    The same frame is found there again; boards are titled by `name`.
    """
    import hashlib

    import polars as pl

    try:
        frame = with_index(frame)
        table = frame.collect() if isinstance(frame, pl.LazyFrame) else frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(frame)
        content = io.BytesIO()
        table.rechunk().write_parquet(content)
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise DataError(f"data is a {type(frame).__name__} that cannot be kept as Parquet ({error}); give a file or a frame") from error
    file = cache_folder().parent / FRAMES / hashlib.sha256(content.getvalue()).hexdigest()[:12] / f"{name}.parquet"
    if not file.exists():
        write_atomically(file, content.getvalue())
    return file


def _digest(adapter: Dataset) -> str:
    from bench.sources.cache import source_digest

    return source_digest(adapter)[:8]


def _simulates(registry: Registry, name: str) -> bool:
    """Return whether an adapter has a simulator; one that cannot be loaded is named and left out: nobody asked for it."""
    try:
        return bool(registry.dataset(name).simulated_name)
    except PluginError as error:
        log.warning("left out: dataset adapter %r: %s", name, error)
        return False
