"""A job's share of a GPU's memory: the framework that it computes with refuses to hold more."""

from __future__ import annotations

import importlib
from typing import Any


def limit_gpu_memory(runtime: str, most_mb: float) -> None:
    """Let a framework of this process hold at most so much of the GPU that it sees; 0: it is not bounded.

    TensorFlow takes a bound only before it has touched the GPU: the first job of a process sets it, and a job with another
    bound needs a new process.
    """
    if not most_mb:
        return
    if runtime == "torch":
        cuda: Any = importlib.import_module("torch").cuda
        if cuda.device_count():
            cuda.set_per_process_memory_fraction(min(most_mb * 1024**2 / cuda.get_device_properties(0).total_memory, 1.0), 0)
    elif runtime == "tensorflow":
        config: Any = importlib.import_module("tensorflow").config
        for gpu in config.list_physical_devices("GPU")[:1]:
            if not config.get_logical_device_configuration(gpu):
                config.set_logical_device_configuration(gpu, [config.LogicalDeviceConfiguration(memory_limit=int(most_mb))])
