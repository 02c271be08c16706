"""From `--dataset` words to logs: find the adapter, simulate or read, keep what was read in the cache."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.api import Dataset
from bench.cache import cache_folder, read_cached
from bench.errors import ConfigError, DataError, PluginError, suggest
from bench.events import Events
from bench.registry import Registry

log = logging.getLogger("bench")


@dataclass(frozen=True)
class Request:
    """Hold one data set as asked for: an adapter with a path, or with its simulator."""

    adapter: str
    path: Path | None


@dataclass(frozen=True)
class Loaded:
    """Hold one data set ready for a task."""

    name: str
    simulated: bool
    adapter: Dataset
    events: Events
    fingerprint: str


def requested(words: Sequence[str], source: str | None, registry: Registry) -> list[Request]:
    """Read `--dataset` words: ADAPTER=PATH, or ADAPTER for its simulator; none: every simulator.

    Raises `ConfigError` for unknown adapters, with the likely name.
    """
    known = registry.names("bench.datasets")
    if not words:
        return [Request(name, None) for name in known if name not in registry.broken["bench.datasets"] and _simulates(registry, name)]
    requests = []
    for word in words:
        adapter, equals, path = word.partition("=")
        if adapter not in known and not registry.files:
            raise ConfigError(f"unknown dataset {word!r}; {suggest(adapter, known)} (write ADAPTER=PATH for your own data)")
        given = path if equals else source
        if equals and not path:
            raise ConfigError(f"--dataset {word}: the path after '=' is empty; write {adapter}=PATH")
        requests.append(Request(adapter, Path(given).expanduser() if given else None))
    return requests


def loaded(request: Request, registry: Registry, options: Mapping[str, str], *, size: int, seed: int) -> Loaded:
    """Simulate or read one data set; raise `DataError` or `PluginError` with the cure."""
    adapter: Dataset = registry.dataset(request.adapter)
    for key in options:
        if key not in adapter.options:
            known = list(adapter.options)
            raise ConfigError(f"--set {request.adapter}.{key}: adapter {request.adapter!r} has no such option; {suggest(key, known)}")
    if request.path is None:
        path, simulated = simulation(adapter, size, seed), True
    else:
        path, simulated = request.path, False
        if path.exists() and adapter.detect(path) is None:
            log.debug("%s does not recognise %s by its head; reading says why", adapter.name, path)
    cached = read_cached(adapter, path, options)
    name = adapter.simulated_name if simulated else cached.events.name
    return Loaded(name, simulated, adapter, cached.events, cached.fingerprint)


def simulation(adapter: Dataset, size: int, seed: int) -> Path:
    """Give the folder of a simulated log, made once for each adapter version, size and seed."""
    if not adapter.simulated_name:
        raise ConfigError(f"adapter {adapter.name!r} has no simulator; write --dataset {adapter.name}=PATH")
    home = cache_folder().parent / "simulated"
    folder = home / f"{adapter.simulated_name}-{adapter.version}-{_digest(adapter)}-{size}-{seed}"
    if folder.is_dir():
        return folder
    try:
        home.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=home))
        adapter.simulate(unfinished, size, seed)
    except OSError as error:
        raise DataError(f"cannot write simulated data to {home} ({error.strerror}); set BENCH_CACHE to a folder with room") from error
    try:
        unfinished.rename(folder)
    except OSError:
        # another process was faster: its folder holds the same bytes
        shutil.rmtree(unfinished)
    return folder


def _digest(adapter: Dataset) -> str:
    from bench.cache import source_digest

    return source_digest(adapter)[:8]


def _simulates(registry: Registry, name: str) -> bool:
    """Say whether an adapter has a simulator; one that cannot be loaded is named and left out: nobody asked for it."""
    try:
        return bool(registry.dataset(name).simulated_name)
    except PluginError as error:
        log.warning("left out: dataset adapter %r: %s", name, error)
        return False
