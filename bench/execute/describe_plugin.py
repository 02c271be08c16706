"""Read what a plugin's models are, in a worker, away from the truth: metadata, spaces, sources, versions."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
import os
import sys
from pathlib import Path
from typing import Any

from bench.registry import Source

FRAMEWORKS = ("numpy", "scipy", "sklearn", "lightgbm", "statsmodels", "statsforecast", "torch", "tensorflow", "keras")


def describe(source: Source, name: str) -> dict[str, Any]:
    """Read metadata and spaces of a plugin's models; a file tells its own names, an entry point must offer `name`."""
    from bench.errors import PluginError, suggest
    from bench.registry import load, models

    found = models(source)
    if not source.is_file and name not in found:
        raise PluginError(f"{source.origin()} offers no model {name!r}; {suggest(name, list(found))}")
    wanted = found if source.is_file else {name: found[name]}
    datasets = [d.name for batch in load(source).hook.bench_datasets() for d in batch] if source.is_file else []
    return {"status": "ok", "models": [metadata(n, m) for n, m in wanted.items()], "datasets": datasets}


def metadata(name: str, model: Any) -> dict[str, Any]:
    """Describe one model class ready for JSON; raise `PluginError` where space, default and runtime do not fit together."""
    from optuna.distributions import distribution_to_json

    from bench.errors import PluginError
    from bench.registry import needed

    space, default = model.space(), dict(model.default())
    if extra := [key for key in default if space and key not in space]:
        raise PluginError(f"model {name!r}: default() has {extra[0]!r}, which is not in space(); a constant belongs in the class")
    _as_json(name, "default()", default)
    for key, distribution in space.items():
        if key not in default:
            raise PluginError(f"model {name!r}: default() lacks {key!r}, which is in space()")
        if not distribution._contains(distribution.to_internal_repr(default[key])):  # noqa: SLF001 - optuna has no public test
            raise PluginError(f"model {name!r}: default() has {key}={default[key]!r}, outside {distribution}")
    if model.runtime not in {"none", "torch", "tensorflow"}:
        raise PluginError(f"model {name!r}: runtime {model.runtime!r} is unknown; use none, torch or tensorflow")
    missing = [module for module in model.requires if importlib.util.find_spec(module) is None]
    return {
        "name": name,
        "status": "skipped" if missing else "ok",
        "reason": needed(missing[0]) if missing else "",
        "tasks": sorted(model.tasks),
        "runtime": model.runtime,
        "version": str(model.version),
        "deterministic": bool(model.deterministic),
        "causal": bool(model.causal),
        "local": bool(model.local),
        "space": {k: _as_json(name, f"space()[{k!r}]", distribution_to_json(d)) for k, d in space.items()},
        "default": default,
        "source_hash": source_hash(inspect.getfile(model)),
        "versions": {**versions(), **{module: _version(module) for module in model.requires if module not in missing}},
        "gpus": 0 if missing else gpus(model.runtime),
    }


def gpus(runtime: str) -> int:
    """Return the number of GPUs that a framework sees here; none is imported where the process was shown no GPU."""
    if runtime == "none" or os.environ.get("CUDA_VISIBLE_DEVICES", "0") in {"", "-1"}:
        return 0
    try:
        framework: Any = importlib.import_module(runtime)
    except ImportError:  # its models say so themselves
        return 0
    return int(framework.cuda.device_count()) if runtime == "torch" else len(framework.config.list_physical_devices("GPU"))


def _as_json(name: str, where: str, value: Any) -> Any:
    """Pass on what JSON can hold, a distribution's own text included; the ledger keeps nothing else."""
    from bench.errors import PluginError

    try:
        json.dumps(json.loads(value) if isinstance(value, str) else value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PluginError(f"model {name!r}: {where} must hold numbers, text, booleans or None ({error})") from error
    return value


def versions() -> dict[str, str]:
    """Return the versions of Python and of the frameworks that are loaded here."""
    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python, **{n: str(getattr(sys.modules[n], "__version__", "?")) for n in FRAMEWORKS if n in sys.modules}}


def _version(module: str) -> str:
    """Return the version of an installed module that is not imported yet."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(module)
    except PackageNotFoundError:
        return "?"


def source_hash(path: str) -> str:
    """Hash a plugin's file and, transitively, the modules of its own package that it imports."""
    from bench.execute.jobs import source_digest

    queue, seen = [Path(path).resolve()], set()
    while queue:
        file = queue.pop()
        if file not in seen:
            seen.add(file)
            queue += _siblings(file)
    return source_digest(sorted(seen), Path(path).resolve().parent)


def _siblings(file: Path) -> list[Path]:
    """List the files of the same top-level package that a file imports."""
    folder, package = file.parent, ""
    while (folder / "__init__.py").exists():
        folder, package = folder.parent, f"{folder.name}.{package}" if package else folder.name
    top = package.partition(".")[0]
    if not top:
        return []
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            names += [base, *[f"{base}.{alias.name}" for alias in node.names]]
    within = {n for n in names if n.partition(".")[0] == top}
    stems = [folder.joinpath(*n.split(".")) for n in within]
    return [p for s in stems for p in (s.with_suffix(".py"), s / "__init__.py") if p.is_file()]
