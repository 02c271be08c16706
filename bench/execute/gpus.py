"""What NVIDIA's management library says of the GPUs of this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass

from bench.execute.devices import DRIVER


@dataclass(frozen=True)
class Gpu:
    """One GPU that this process may use."""

    name: str
    memory_mb: float


def gpus() -> tuple[Gpu, ...]:
    """List the GPUs that this process may use, in the order in which frameworks count them; none without a driver."""
    if not DRIVER.exists():
        return ()
    import pynvml

    pynvml.nvmlInit()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(n) for n in range(pynvml.nvmlDeviceGetCount())]
        found = [Gpu(str(pynvml.nvmlDeviceGetName(h)), pynvml.nvmlDeviceGetMemoryInfo(h).total / 1024**2) for h in handles]
    finally:
        pynvml.nvmlShutdown()
    return tuple(found[n] for n in shown(len(found)))


def shown(count: int) -> list[int]:
    """Return which of `count` GPUs the user's environment shows us, by number; those named by their id are counted from 0."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return list(range(count))
    words = [word for word in given.split(",") if word]
    numbers = [int(word) if word.isdigit() else at for at, word in enumerate(words)]
    return [n for n in numbers if 0 <= n < count]
