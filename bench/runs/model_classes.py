"""A model class from a notebook or a script as a plugin file: workers load plugins from files, never from the caller's memory.

The file holds the class and what it needs of its module: the statements that bind the names it uses, and theirs in turn. So
a script's own call of `bench.run` is not run again in the worker.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.api import Model
from bench.errors import ConfigError
from bench.sources.cache import cache_folder, write_atomically

HOOK = """

import bench as _bench


@_bench.hookimpl
def bench_models():
    return [{name}]
"""


def plugin_file(model: type[Model]) -> Path:
    """Write the plugin of a model class into the cache, named by its content; raise `ConfigError` where it has no source."""
    name = getattr(model, "name", None)
    if not isinstance(name, str) or not name:
        raise ConfigError(f"models: class {model.__name__} has no name; add a line such as: name = {model.__name__.lower()!r}")
    text = _importing(model) if _installed(model) else _standalone_source(model)
    text += HOOK.format(name=model.__name__)
    home = cache_folder().parent / "plugins"
    file = home / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.py"
    write_atomically(file, text.encode())
    return file


def _installed(model: type[Model]) -> bool:
    """Return whether a worker can import the class's module by its name: it lies among the installed packages."""
    import sysconfig

    file = getattr(sys.modules.get(model.__module__), "__file__", None) or ""
    return any(Path(file).is_relative_to(sysconfig.get_path(kind)) for kind in ("purelib", "platlib"))


def _importing(model: type[Model]) -> str:
    return f'"""The model {model.__name__} of {model.__module__}."""\n\nfrom {model.__module__} import {model.__name__}\n'


def _standalone_source(model: type[Model]) -> str:
    """Return the class and the statements of its module that it needs, in their order."""
    statements = list(_statements(model))
    last: dict[str, int] = {}
    for at, node in enumerate(statements):
        last |= dict.fromkeys(_bound_names(node), at)
    if model.__name__ not in last:
        raise ConfigError(f"models: the source of class {model.__name__} cannot be found; save it in a file and give plugins=[FILE]")
    needed: set[int] = set()
    wanted = [model.__name__]
    while wanted:
        at = last.get(wanted.pop(), -1)
        if at >= 0 and at not in needed:
            needed.add(at)
            wanted += [n.id for n in ast.walk(statements[at]) if isinstance(n, ast.Name)]
    future = "from __future__ import annotations"
    return "\n\n".join([future, *(ast.unparse(statements[at]) for at in sorted(needed))]) + "\n"


def _statements(model: type[Model]) -> Iterator[ast.stmt]:
    """Read the top-level statements of the module that a class is of."""
    for text in _texts(model):
        # what a notebook's cell holds besides Python (magics, shell commands) is no statement
        plain = "\n".join(line for line in text.splitlines() if not line.startswith(("%", "!", "?")))
        try:
            yield from ast.parse(plain).body
        except SyntaxError:
            continue


def _texts(model: type[Model]) -> list[str]:
    module: Any = sys.modules.get(model.__module__)
    cells = getattr(module, "In", None)
    if isinstance(cells, list):
        return [str(cell) for cell in cells]
    try:
        return [inspect.getsource(module)]
    except (OSError, TypeError):
        return []


def _bound_names(node: ast.stmt) -> Iterator[str]:
    """List the names that a top-level statement binds; `if __name__ == ...` and the like bind none that a model needs."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))
    elif isinstance(node, ast.Try | ast.If):
        yield from (name for inner in node.body if not isinstance(node, ast.If) or _checks_types(node) for name in _bound_names(inner))


def _checks_types(node: ast.If) -> bool:
    return "TYPE_CHECKING" in {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}
