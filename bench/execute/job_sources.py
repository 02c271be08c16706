"""Which sources a job runs, found without importing them: they, and the versions of what they import, enter its key.

A comment elsewhere, in the report for instance, must not compute a finished job anew; a changed task must.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ENGINE = ("bench.execute.worker", "bench.execute.local", "bench.runs.check_prediction")
"""What every job passes through, from its start to the check of what it predicted."""
UNUSED = frozenset({"bench", "optuna"})
"""Whose versions no fit depends on: the core is hashed itself, and optuna declares spaces."""
OTHERWISE = {"sklearn": "scikit-learn"}
"""Module -> its distribution, where their names differ."""
RUNTIMES = {"none": (), "torch": ("torch",), "tensorflow": ("tensorflow", "keras")}

BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Fields of a node that hold statements, or what holds them."""
NEW_STATEMENT = re.compile(rb"^[^\s)\]}#]", re.MULTILINE)


@cache
def imports_of(file: Path) -> frozenset[str]:
    """Return the modules that a file imports at any place of it, by absolute name; a name from a module counts as one."""
    package = ".".join(_package(file))
    names: set[str] = set()
    for node in _import_statements(_parsed(file.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def _parsed(source: bytes) -> ast.Module:
    """Parse a source up to the first line of a new statement after the word `import` last stands in it: no more is asked of it.

    Parsing is most of what a run's digests cost. Cut within a statement, the first part is no source by itself: then all is parsed.
    """
    after = NEW_STATEMENT.search(source, source.rfind(b"import") + 1)
    if after:
        with suppress(SyntaxError):
            return ast.parse(source[: after.start()])
    return ast.parse(source)


def _import_statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Find imports among statements, at any depth; expressions, which are most of a tree, hold none."""
    for name in BLOCKS:
        for node in getattr(tree, name, ()):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield node
            else:
                yield from _import_statements(node)


def closure(files: Iterable[Path]) -> list[Path]:
    """Return files and all that they import, transitively, of their own packages; sorted."""
    queue, seen = [file.resolve() for file in files], set[Path]()
    while queue:
        file = queue.pop()
        if file not in seen:
            seen.add(file)
            queue += _siblings(file)
    return sorted(seen)


def digest_of(files: Iterable[Path], root: Path) -> str:
    """Hash files by name and content."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(root) if path.is_relative_to(root) else path.name).encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def plugin_digest(file: Path) -> str:
    """Hash a plugin's file and, transitively, the modules of its own package that it imports."""
    return digest_of(closure([file]), file.resolve().parent)


def core_modules(file: Path) -> tuple[str, ...]:
    """Return the modules of bench that a plugin's own sources import; sorted."""
    return tuple(sorted({name for source in closure([file]) for name in imports_of(source) if _core_file(name)}))


def job_digest(task: str, modules: Sequence[str] = ()) -> str:
    """Hash the sources of bench that a job runs: the engine, its task (the module that defines it), and what its plugin imports."""
    return _job_digest(task, tuple(modules))


@cache
def _job_digest(task: str, modules: tuple[str, ...]) -> str:
    spec = importlib.util.find_spec(task)
    home = [Path(spec.origin)] if spec is not None and spec.origin else []
    names = {*ENGINE, *modules, *(name for file in home for name in core_modules(file))}
    return digest_of(closure([*home, *(path for name in names if (path := _core_file(name)))]), BENCH)


def versions_of(files: Iterable[Path], requires: Iterable[str], runtime: str) -> dict[str, str]:
    """Return the versions of Python and of the libraries that sources import or a plugin declares, by module.

    What happens to be loaded in this process, by a plugin before this one, says nothing about this one.
    """
    wanted = {name.partition(".")[0] for file in files for name in imports_of(file)} | set(requires) | set(RUNTIMES[runtime])
    python = ".".join(map(str, sys.version_info[:3]))
    own = {_package(file)[0] for file in files if _package(file)}
    found = {name: _version(name) for name in sorted(wanted - own - UNUSED - sys.stdlib_module_names)}
    return {"python": python, **{name: version for name, version in found.items() if version}}


def _version(module: str) -> str:
    """Return the version of the distribution that brings a module; empty where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(OTHERWISE.get(module, module))
    except PackageNotFoundError:
        # slow, it reads what every distribution holds
        return "+".join(version(name) for name in sorted(set(_distributions().get(module, ()))))


@cache
def _distributions() -> Mapping[str, Collection[str]]:
    from importlib.metadata import packages_distributions

    return packages_distributions()


def _package(file: Path) -> tuple[str, ...]:
    """Return the names of the packages that a file lies in, outermost first."""
    names: list[str] = []
    folder = file.parent
    while (folder / "__init__.py").exists():
        names.insert(0, folder.name)
        folder = folder.parent
    return tuple(names)


def _siblings(file: Path) -> list[Path]:
    """List the files of the same top-level package that a file imports."""
    package = _package(file)
    if not package:
        return []
    root = file.parents[len(package)]
    stems = [root.joinpath(*name.split(".")) for name in imports_of(file) if name.partition(".")[0] == package[0]]
    # `import bench` names the public API, which imports on demand; it does not run all of bench
    return [p for s in stems if s != BENCH for p in (s.with_suffix(".py"), s / "__init__.py") if p.is_file()]


def _core_file(name: str) -> Path | None:
    """Return the file of a module of bench; None: it is none."""
    if name.partition(".")[0] != BENCH.name or name == BENCH.name:
        return BENCH / "api.py" if name == BENCH.name else None
    stem = BENCH.parent.joinpath(*name.split("."))
    return next((p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file()), None)
