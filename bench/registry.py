"""Find plugins by name without importing them; load one, alone, when it is asked for.

Three ways in, one code path: an entry point of an installed distribution, a single file (`--plugin`), a folder of
files (`--plugins-dir`). A plugin that cannot be found or loaded is kept with its reason and stops nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.data.names import LONGEST, RULE, is_name
from bench.errors import ConfigError, PluginError, suggest

if TYPE_CHECKING:
    from importlib.metadata import Distribution

Group = Literal["bench.models", "bench.datasets", "bench.tasks", "bench.samplers"]
GROUPS: tuple[Group, ...] = ("bench.models", "bench.datasets", "bench.tasks", "bench.samplers")
DISTRIBUTION = "seqbench"
"""The project's own."""
RESERVED = frozenset({"ensemble", "mean-of-3", "oracle"})
"""Names that boards keep for rows of their own: no model may have them."""


@dataclass(frozen=True)
class Source:
    """Describe where a plugin's code lies: a module of a distribution, or a file."""

    name: str
    """Entry-point name; for a file its stem."""
    target: str
    """Module path, or the file's absolute path."""
    distribution: str = ""
    version: str = ""
    is_file: bool = False

    @property
    def shipped(self) -> bool:
        """Return whether the code is the project's own: it is known to keep nothing from one job to the next."""
        return not self.is_file and self.distribution == DISTRIBUTION

    def origin(self) -> str:
        """Name the plugin's origin for people."""
        return self.target if self.is_file else f"{self.distribution} ({self.target})"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, as a worker is sent them."""
        return asdict(self)


@dataclass(frozen=True)
class Registry:
    """What was found; built once by the command line and passed on."""

    sources: Mapping[Group, Mapping[str, Source]]
    files: tuple[Source, ...] = ()
    broken: Mapping[Group, Mapping[str, str]] = field(default_factory=lambda: {g: {} for g in GROUPS})

    def names(self, group: Group) -> list[str]:
        """List the entry-point names of a group, the broken ones included, sorted."""
        return sorted({*self.sources[group], *self.broken[group]})

    def dataset(self, name: str) -> Any:
        """Load one dataset adapter and make it; raise `PluginError` with the cure."""
        group: Group = "bench.datasets"
        if name in self.broken[group]:
            raise PluginError(f"dataset adapter {name!r}: {self.broken[group][name]}")
        for source in (*([self.sources[group][name]] if name in self.sources[group] else []), *self.files):
            offered = _offered(source, "bench_datasets")
            if name in offered:
                return offered[name]()
        raise ConfigError(f"unknown dataset adapter {name!r}; {suggest(name, self.names(group))}")

    def tasks(self) -> list[str]:
        """List the names of the tasks, those of files included: files are loaded to learn them."""
        return sorted({*self.names("bench.tasks"), *(name for source in self.files for name in _offered_or_none(source, "bench_tasks"))})

    def task(self, name: str) -> Any:
        """Load one task and make it; raise `PluginError` with the cure, `ConfigError` for a name that is unknown."""
        group: Group = "bench.tasks"
        if name in self.broken[group]:
            raise PluginError(f"task {name!r}: {self.broken[group][name]}")
        from bench.tasks.lookup import remember

        known = self.sources[group]
        for source in [known[name]] if name in known else self.files:
            offered = _offered(source, "bench_tasks")
            if name in offered:
                task = _checked_task(offered[name], source)
                if source.is_file:
                    remember(task)
                return task()
        raise ConfigError(f"unknown task {name!r}; {suggest(name, self.tasks())}")

    def sampler(self, name: str) -> Any:
        """Load one sampler and make it; raise `PluginError` with the cure, `ConfigError` for a name that is unknown."""
        group: Group = "bench.samplers"
        if name in self.broken[group]:
            raise PluginError(f"sampler {name!r}: {self.broken[group][name]}")
        known = self.sources[group]
        for source in [known[name]] if name in known else self.files:
            offered = _offered(source, "bench_samplers")
            if name in offered:
                return offered[name]()
        raise ConfigError(f"unknown sampler {name!r}; {suggest(name, ['tpe', *self.names(group)])}")


def _checked_task(task: Any, source: Source) -> Any:
    if not isinstance(task, type):
        raise PluginError(f"plugin {source.name!r} ({source.origin()}) offers a task {task!r}, which is no class")
    from bench.tasks.base import Task

    wanted = [*Task.__annotations__, *(name for name, value in vars(Task).items() if callable(value) and not name.startswith("_"))]
    if lacking := [name for name in wanted if not hasattr(task, name)]:
        raise PluginError(f"plugin {source.name!r} ({source.origin()}): task {task.__name__} lacks {', '.join(lacking)}; see bench.Task")
    return task


def discover(files: Iterable[str | Path] = (), folders: Iterable[str | Path] = ()) -> Registry:
    """Find entry points, plugin files and folders of them; import nothing.

    Two distributions that claim one name are both left out, and the reason names them. A file or folder that does not
    exist raises `ConfigError`.
    """
    from importlib.metadata import entry_points

    sources: dict[Group, dict[str, Source]] = {}
    broken: dict[Group, dict[str, str]] = {}
    points, origin = entry_points(), cache(_origin)
    for group in GROUPS:
        claims: dict[str, list[Source]] = {}
        for point in points.select(group=group):
            claims.setdefault(point.name, []).append(Source(point.name, point.value.partition(":")[0], *origin(point.dist)))
        sources[group] = {name: claim[0] for name, claim in claims.items() if len(claim) == 1}
        broken[group] = {name: _clash(name, claim) for name, claim in claims.items() if len(claim) > 1}
    return Registry(sources, tuple(_files(files, folders)), broken)


def _origin(distribution: Distribution | None) -> tuple[str, str]:
    """Return the name and version of a distribution; its metadata is parsed anew each time that one is asked for."""
    return (distribution.name, distribution.version) if distribution else ("?", "?")


def load(source: Source) -> Any:
    """Import one plugin's module and check its hooks; raise `PluginError` that names plugin, hook and cure."""
    import pluggy

    from bench import hookspecs

    module = _import(source)
    manager = pluggy.PluginManager("bench")
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, name=source.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        known = [n for n in vars(hookspecs) if n.startswith("bench_")]
        words = " ".join(str(error).split())
        raise PluginError(f"plugin {source.name!r} ({source.origin()}): {words}; hooks are {', '.join(known)}") from error
    if not manager.get_hookcallers(module):
        raise PluginError(
            f"plugin {source.name!r} ({source.origin()}) implements no hook; "
            "add a function bench_models, bench_datasets, bench_tasks or bench_samplers decorated with @bench.hookimpl"
        )
    return manager


def models(source: Source) -> dict[str, Any]:
    """Load the model classes that a plugin offers, by name; raise `PluginError` on duplicates and wrong types."""
    from bench.api import Model

    offered = _offered(source, "bench_models")
    for name, model in offered.items():
        if name in RESERVED:
            raise PluginError(f"plugin {source.name!r} ({source.origin()}) offers a model {name!r}, {reserved_name_hint(name)}")
        if not (isinstance(model, type) and issubclass(model, Model)):
            raise PluginError(f"plugin {source.name!r} offers {name!r}, which is no subclass of bench.Model")
    return offered


def reserved_name_hint(name: str) -> str:
    """Explain why a reserved name cannot be had: the end of a message."""
    return f"a name that boards keep for a row of their own; choose another, such as my-{name}"


def _offered(source: Source, hook: str) -> dict[str, Any]:
    manager = load(source)
    found: dict[str, Any] = {}
    for batch in getattr(manager.hook, hook)():
        if not isinstance(batch, list | tuple):
            raise PluginError(f"plugin {source.name!r}: {hook} returned {type(batch).__name__}, expected a list of classes")
        for item in batch:
            name = getattr(item, "name", None)
            if not isinstance(name, str) or not name:
                raise PluginError(f"plugin {source.name!r}: {hook} returned {item!r}, which has no name")
            if not is_name(name):
                raise PluginError(f"plugin {source.name!r}: {hook} returned a name, {name[:LONGEST]!r}, that is none; use {RULE}")
            if name in found:
                raise PluginError(f"plugin {source.name!r} offers the name {name!r} twice")
            found[name] = item
    return found


def _offered_or_none(source: Source, hook: str) -> dict[str, Any]:
    try:
        return _offered(source, hook)
    except PluginError:
        return {}


def _import(source: Source) -> Any:
    import importlib

    try:
        return _import_file(Path(source.target)) if source.is_file else importlib.import_module(source.target)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "bench":
            raise PluginError(f"plugin {source.name!r} ({source.origin()}): bench has no module {error.name!r}") from error
        raise MissingDependencyError(_missing(source, error)) from error
    except (Exception, SystemExit) as error:
        raise PluginError(f"plugin {source.name!r} ({source.origin()}) fails at import: {type(error).__name__}: {error}") from error


def _import_file(path: Path) -> Any:
    import importlib.util
    import sys

    name = _module_name(path)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module_name(path: Path) -> str:
    """Name the module of a file: readable, and never that of another file (`my-model.py` and `my_model.py` are two)."""
    import hashlib

    readable = "".join(c if c.isalnum() else "_" for c in path.stem)
    return f"bench_file_{readable}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"


class MissingDependencyError(PluginError):
    """Report a plugin whose library is not installed: skipped, with the command that installs it."""


EXTRAS = {
    "torch": "torch",
    "safetensors": "torch",
    "tensorflow": "tensorflow",
    "keras": "tensorflow",
    "statsforecast": "stats",
    "implicit": "als",
    "s3fs": "s3",
    "ray": "ray",
    "cryptography": "ray",
}
"""Top-level module -> the extra that brings it."""


def _missing(source: Source, error: ModuleNotFoundError) -> str:
    top = (error.name or "?").partition(".")[0]
    if not source.is_file and source.target.partition(".")[0] == top:
        return f"plugin {source.name!r} names module {source.target!r}, which is not installed; reinstall {source.distribution}"
    return needed(top)


def needed(module: str) -> str:
    """State that a module is missing and what brings it."""
    what = f"'seqbench[{EXTRAS[module]}]'" if module in EXTRAS else module
    return f"needs {module}, which is not installed: pip install {what}"


def _clash(name: str, claims: list[Source]) -> str:
    claims = sorted(claims, key=lambda c: c.distribution)
    both = " and ".join(f"{c.distribution} {c.version} ({c.target})" for c in claims)
    return f"two distributions offer the name {name!r}: {both}; uninstall one (pip uninstall {claims[-1].distribution})"


def _files(files: Iterable[str | Path], folders: Iterable[str | Path]) -> Iterable[Source]:
    paths = [Path(f) for f in files]
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise ConfigError(f"--plugins-dir {folder}: no such folder")
        paths += sorted(p for p in folder.glob("*.py") if not p.name.startswith("_"))
    for path in paths:
        if not path.is_file():
            raise ConfigError(f"--plugin {path}: no such file")
        yield Source(path.stem, str(path.resolve()), is_file=True)
