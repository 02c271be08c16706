"""What models say of themselves, read off their source: tasks and libraries, for lists that import no plugin."""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.registry import EXTRAS, Source

BRINGS = {"torch": "torch", "tensorflow": "tensorflow"}
"""Runtime -> the extra that brings it."""


@dataclass(frozen=True)
class Declared:
    """What a class says of itself in plain literals."""

    tasks: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()


def _tasks(target: str, node: ast.ClassDef) -> tuple[str, ...] | None:
    """Return the tasks that a class names, or the keys of the table of its module from which they are made."""
    written = _literal(node, "tasks")
    if written is not None:
        return tuple(map(str, written))
    value, tree = _assigned(node.body, "tasks"), _tree(target)
    if tree is None or not isinstance(value, ast.Call) or not value.args or not isinstance(value.args[0], ast.Name):
        return None
    table = _assigned(tree.body, value.args[0].id)
    return tuple(str(key.value) for key in table.keys if isinstance(key, ast.Constant)) if isinstance(table, ast.Dict) else None


def declared_models(source: Source) -> dict[str, Declared]:
    """Read the models of a plugin's source by name; what is computed rather than written is not known."""
    tree = _tree(source.target)
    found = {}
    for node in tree.body if tree else []:
        if isinstance(node, ast.ClassDef) and isinstance(name := _literal(node, "name"), str):
            facts = _facts(source.target, node.name)
            needs = [BRINGS.get(str(facts.get("runtime", "")), ""), *(EXTRAS.get(str(m), str(m)) for m in facts.get("requires", ()))]
            found[name] = Declared(tuple(sorted(facts.get("tasks", ()))), tuple(dict.fromkeys(filter(None, needs))))
    return found


def _facts(target: str, name: str, depth: int = 0) -> dict[str, Any]:
    """Gather the class attributes of a class and of those that it inherits from, as far as they are written down."""
    tree = _tree(target)
    node = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name), None) if tree else None
    if node is None or depth > 8:
        return {}
    found: dict[str, Any] = {}
    for base in reversed(node.bases):
        if isinstance(base, ast.Name):
            found |= _facts(_home(target, base.id), base.id, depth + 1)
    own = {"tasks": _tasks(target, node), "runtime": _literal(node, "runtime"), "requires": _literal(node, "requires")}
    return found | {key: value for key, value in own.items() if value is not None}


def _home(target: str, name: str) -> str:
    """Find the module that a name of a module comes from: itself, or the one that it is imported from."""
    tree = _tree(target)
    for node in tree.body if tree else []:
        if isinstance(node, ast.ImportFrom) and any((alias.asname or alias.name) == name for alias in node.names):
            package = target.rpartition(".")[0]
            return f"{package}.{node.module}" if node.level else str(node.module)
    return target


def _literal(node: ast.ClassDef, name: str) -> Any:
    """Return the literal that a class attribute is set to; None where there is none."""
    value = _assigned(node.body, name)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "frozenset" and value.args:
        value = value.args[0]
    try:
        return None if value is None else ast.literal_eval(value)
    except (ValueError, TypeError):
        return None


def _assigned(body: list[ast.stmt], name: str) -> ast.expr | None:
    """Find the expression that a name is set to in a class's or a module's body."""
    for line in body:
        if isinstance(line, ast.Assign | ast.AnnAssign):
            targets = line.targets if isinstance(line, ast.Assign) else [line.target]
            if any(isinstance(t, ast.Name) and t.id == name for t in targets):
                return line.value
    return None


@cache
def _tree(target: str) -> ast.Module | None:
    """Parse a module's source, or a file's; None where there is none to read."""
    try:
        if target.endswith(".py"):
            return ast.parse(Path(target).read_text("utf-8"))
        spec = importlib.util.find_spec(target)
        return ast.parse(Path(spec.origin).read_text("utf-8")) if spec is not None and spec.origin else None
    except (ImportError, OSError, SyntaxError, ValueError):
        return None
