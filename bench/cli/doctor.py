"""`bench doctor`: what this machine has, what is missing, and the command that mends it."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import typer

from bench.execute.machine import cores, memory_mb
from bench.execute.sandbox import WAYS, obstacle

EXTRA_LIBRARIES = {"torch": "torch", "tensorflow": "tensorflow", "keras": "tensorflow", "statsforecast": "stats"}
CORE_LIBRARIES = ("numpy", "polars", "pyarrow", "scipy", "scikit-learn", "lightgbm", "optuna", "pandas")


def examine(*, plugins: bool, as_json: bool) -> None:
    """Print versions, devices, folders and what plugins there are; `plugins`: each is loaded, and what is missing comes with its cure."""
    from bench.cli.lists import plugin_report, show_columns

    here, installed = machine(), libraries()
    rows = plugin_report() if plugins else []
    if as_json:
        typer.echo(json.dumps({"machine": here, "libraries": installed, "plugins": rows if plugins else installed_plugins()}))
        return
    for key, value in here.items():
        typer.echo(f"{key:10} {value}")
    typer.echo("")
    show_columns(installed)
    typer.echo("")
    if not plugins:
        counts = {kind: sum(p["kind"] == kind for p in installed_plugins()) for kind in ("model", "dataset")}
        broken = [p["name"] for p in installed_plugins() if p["status"] != "found"]
        typer.echo(f"{counts['model']} models and {counts['dataset']} adapters are installed; to load each: bench doctor --plugins")
        typer.echo(f"broken: {', '.join(broken)}; see bench list models" if broken else "none of them is broken by its name")
        return
    show_columns(rows)
    broken = [p["name"] for p in rows if p["status"] != "ok"]
    typer.echo(f"\n{len(broken)} plugins cannot run: {', '.join(broken)}" if broken else "\nall plugins can run")


def examine_cluster(address: str, *, as_json: bool) -> None:
    """Print what each node of a Ray cluster has, and why one would be left out; exit with 1 where none serves."""
    from bench.cli.lists import show_columns
    from bench.execute.cluster.survey import survey

    rows = survey(address)
    if as_json:
        typer.echo(json.dumps({"nodes": rows}))
    else:
        show_columns(rows)
    if not any(row["state"] == "serves" for row in rows):
        raise typer.Exit(1)


def examine_gpus() -> None:
    """Print what the GPUs are, how each network does there, and how many jobs one is best given; exit with 1 where a network fails."""
    from bench.runs.gpu_check import check_gpus

    for name, value in machine().items():
        typer.echo(f"{name:10} {value}")
    if not check_gpus(typer.echo):
        raise typer.Exit(1)


def installed_plugins() -> list[dict[str, str]]:
    """List the plugins that are installed, by name; nothing is imported."""
    from bench.registry import GROUPS, discover

    registry = discover()
    rows = [
        {"kind": group.removeprefix("bench.").removesuffix("s"), "name": name, "status": "found"}
        for group in GROUPS
        for name in registry.sources[group]
    ]
    return rows + [
        {"kind": group.removeprefix("bench.").removesuffix("s"), "name": name, "status": "broken"}
        for group in GROUPS
        for name in registry.broken[group]
    ]


def machine() -> dict[str, Any]:
    """Describe the machine and where `bench` keeps things."""
    import psutil

    import bench
    from bench.sources.cache import cache_folder

    cache = cache_folder().parent
    writable = os.access(next(p for p in (cache, *cache.parents) if p.exists()), os.W_OK)
    driver = Path("/proc/driver/nvidia/version")
    return {
        "bench": bench.__version__,
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "cores": cores(),
        "memory": f"{memory_mb() / 1024:.1f} GB, {psutil.virtual_memory().available / 1024**3:.1f} free",
        "gpu": driver.read_text().splitlines()[0] if driver.exists() else "no NVIDIA driver: models train on the CPU",
        "cache": f"{cache}" + ("" if writable else " (not writable: set BENCH_CACHE)"),
        "sandbox": confinement(),
    }


def confinement() -> str:
    """Describe how models can be confined here: by what, or why not."""
    found = {way: obstacle(way) for way in WAYS}
    if not any(found.values()):
        return f"models are confined by {next(iter(WAYS))}; {' and '.join(list(WAYS)[1:])} could too"
    able = [way for way, reason in found.items() if not reason]
    lacking = "; ".join(f"no {way}: {reason}" for way, reason in found.items() if reason)
    return f"{f'models are confined by {able[0]}' if able else 'models run unconfined, and could read your files'} ({lacking})"


def libraries() -> list[dict[str, Any]]:
    """List the libraries with their versions; a missing one with the command that installs it."""
    rows: list[dict[str, Any]] = []
    for name in (*CORE_LIBRARIES, *EXTRA_LIBRARIES):
        try:
            rows.append({"library": name, "version": version(name), "missing": ""})
        except PackageNotFoundError:
            extra = EXTRA_LIBRARIES.get(name)
            cure = f"pip install 'seqbench[{extra}]'" if extra else "pip install --force-reinstall seqbench"
            rows.append({"library": name, "version": "-", "missing": cure})
    return rows
