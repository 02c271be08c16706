"""What a worker lives in: the environment that it is given, and the memory that it is seen to use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from bench.execute.process_tree import descendants
from bench.neural.switch import GRAPHS

LEFT_OUT = (
    "BENCH_",
    # a cluster's address and token
    "RAY_",
    "PWD",
    "OLDPWD",
    "HOME",
    "TMPDIR",
    "XDG_",
    "OMP_",
    "CUDA_VISIBLE_DEVICES",
    # folders that libraries write to: they lie outside the worker's own, where nothing may be written
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    "KERAS_HOME",
    "MPLCONFIGDIR",
    "NUMBA_CACHE_DIR",
)
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "POLARS_MAX_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def environment(folder: Path, device: str, *, graphs: bool = False) -> dict[str, str]:
    """Make a worker's environment: one thread, its own folders, only its own GPU, and no word of the user's data.

    `graphs`: training steps are captured as CUDA graphs.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(LEFT_OUT)}
    own = {"HOME": "home", "XDG_CACHE_HOME": "cache", "TMPDIR": "tmp"}
    return {
        **kept,
        **{name: str(folder / sub) for name, sub in own.items()},
        **dict.fromkeys(THREADS, "1"),
        "CUDA_VISIBLE_DEVICES": _visible(device),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYTHONHASHSEED": "0",
        # what a worker that is killed said last is kept, and in the order in which it was said
        "PYTHONUNBUFFERED": "1",
        **({GRAPHS: "1"} if graphs else {}),
    }


def _visible(device: str) -> str:
    """Choose the one GPU that a worker sees, counted within those that the user's environment shows us; empty: none."""
    if not device.startswith("cuda"):
        return ""
    number = int(device.partition(":")[2] or 0)
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return str(number)
    shown = [n for n in given.split(",") if n]
    return shown[number] if number < len(shown) else ""


def resident_mb(processes: Sequence[int]) -> float:
    """Sum the resident memory of processes: quick, shared pages counted for each."""
    import psutil

    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += psutil.Process(process).memory_info().rss
    return total / 1024**2


def shared_once_mb(pid: int) -> float:
    """Measure a tree's memory, pages that forked children share counted once: slow, asked only when the sum is too much."""
    import psutil

    total = 0
    for process in descendants(pid):
        with contextlib.suppress(psutil.Error):
            memory = psutil.Process(process).memory_full_info()
            total += getattr(memory, "pss", memory.rss)
    return total / 1024**2
