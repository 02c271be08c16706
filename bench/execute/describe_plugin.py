"""Read what a plugin's models are, in a worker, away from the truth: metadata, spaces, sources, versions."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
from pathlib import Path
from typing import Any

from bench.execute.job_sources import closure, core_modules, plugin_digest, versions_of
from bench.registry import Source


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
    from bench.errors import PluginError
    from bench.execute.mean_of import KEY
    from bench.registry import needed

    space, default = model.space(), dict(model.default())
    if extra := [key for key in default if space and key not in space]:
        raise PluginError(f"model {name!r}: default() has {extra[0]!r}, which is not in space(); a constant belongs in the class")
    _as_json(name, "default()", default)
    if KEY in default:
        raise PluginError(f"model {name!r}: default() has {KEY!r}, which stands for a mean of configurations; rename it")
    for key, distribution in space.items():
        if key not in default:
            raise PluginError(f"model {name!r}: default() lacks {key!r}, which is in space()")
        if not distribution._contains(distribution.to_internal_repr(default[key])):  # noqa: SLF001 - optuna has no public test
            raise PluginError(f"model {name!r}: default() has {key}={default[key]!r}, outside {distribution}")
    if model.runtime not in {"none", "torch", "tensorflow"}:
        raise PluginError(f"model {name!r}: runtime {model.runtime!r} is unknown; use none, torch or tensorflow")
    choices = {task: own for task in sorted(model.tasks) if (own := _choices(name, model, task))}
    file = Path(inspect.getfile(model))
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
        "space": {k: _as_json(name, f"space()[{k!r}]", _space_text(d)) for k, d in space.items()},
        "default": default,
        "choices": choices,
        "source_hash": plugin_digest(file),
        "versions": versions_of(closure([file]), model.requires, model.runtime),
        "core_modules": core_modules(file),
        "insight": callable(getattr(model, "insight", None)),
        "gpus": 0 if missing else gpus(model.runtime),
    }


def _space_text(distribution: Any) -> str:
    """Write a distribution as optuna's own text; optuna is imported by whoever has one, a model without a space starts without."""
    from optuna.distributions import distribution_to_json

    return distribution_to_json(distribution)


def _choices(name: str, model: Any, task: str) -> dict[str, list[Any]]:
    """Read what a model's space has for one task alone; raise `PluginError` for a name of its own space, and for a choice of nothing."""
    from bench.errors import PluginError

    found = {key: list(values) for key, values in model.choices(task).items()}
    for key, values in found.items():
        _as_json(name, f"choices({task!r})[{key!r}]", values)
        if key in model.space() or not values:
            fault = "has no choice" if not values else "is in space() already; name it once"
            raise PluginError(f"model {name!r}: choices({task!r})[{key!r}] {fault}")
    return found


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
