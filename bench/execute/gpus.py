"""The GPUs of this machine, as NVIDIA's management library knows them: names, memory, and how busy each is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from bench.execute.devices import DRIVER


@dataclass(frozen=True)
class Gpu:
    """One GPU that this process may use."""

    name: str
    memory_mb: float
    free_mb: float = 0.0


@dataclass(frozen=True)
class Load:
    """What a GPU is seen to do at one moment."""

    utilisation: float
    """Percent of the last moments in which it computed, for whomever."""
    memory_mb: float | None
    """Held by the processes that were asked about; None: the driver does not tell (in a container it may not)."""


def gpus() -> tuple[Gpu, ...]:
    """List the GPUs that this process may use, in the order in which frameworks count them; none without a driver."""
    if not DRIVER.exists():
        return ()
    with _library() as nvml:
        handles = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount())]
        found = [_gpu(nvml, handle) for handle in handles]
    return tuple(found[n] for n in visible_gpus(len(found)))


def load(number: int, pids: Collection[int]) -> Load | None:
    """Look at the GPU of this number, counted as `gpus` does, and at what so many processes hold of it; None without a driver."""
    if not DRIVER.exists():
        return None
    with _library() as nvml:
        at = visible_gpus(nvml.nvmlDeviceGetCount())
        if number >= len(at):
            return None
        handle = nvml.nvmlDeviceGetHandleByIndex(at[number])
        busy = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        known = {p.pid: p.usedGpuMemory for p in nvml.nvmlDeviceGetComputeRunningProcesses(handle)}
    held = [known[pid] for pid in pids if known.get(pid) is not None]
    return Load(busy, sum(held) / 1024**2 if held else None)


@contextlib.contextmanager
def _library() -> Iterator[Any]:
    import pynvml

    pynvml.nvmlInit()
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _gpu(nvml: Any, handle: Any) -> Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(str(nvml.nvmlDeviceGetName(handle)), memory.total / 1024**2, memory.free / 1024**2)


def visible_gpus(count: int) -> list[int]:
    """Return which of `count` GPUs the user's environment shows us, by number; those named by their id are counted from 0."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return list(range(count))
    words = [word for word in given.split(",") if word]
    numbers = [int(word) if word.isdigit() else at for at, word in enumerate(words)]
    return [n for n in numbers if 0 <= n < count]
