"""Which device a run computes on: what `auto` means, and whether a GPU that was asked for is there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.errors import ConfigError
from bench.execute.jobs import Plugin

DRIVER = Path("/proc/driver/nvidia/version")
"""Where NVIDIA's driver, once loaded, tells its version."""


def resolved(asked: str) -> str:
    """Resolve `auto`: all GPUs where the machine has NVIDIA's driver."""
    if asked != "auto":
        return asked
    return "cuda" if DRIVER.exists() else "cpu"


def refuse_blind(plugins: Iterable[Plugin], device: str) -> None:
    """Raise `ConfigError` where a framework that would train on the GPU asked for, `cuda` or `cuda:N,M`, sees none."""
    blind: dict[str, list[str]] = {}
    for plugin in plugins:
        if plugin.status == "ok" and plugin.runtime != "none" and not plugin.gpus:
            blind.setdefault(plugin.runtime, []).append(plugin.name)
    if blind:
        who = "; ".join(f"{runtime}, which {', '.join(names)} would train with, sees no such GPU" for runtime, names in blind.items())
        raise ConfigError(f"--device {device}: {who}; use --device cpu or auto, or see bench doctor")
