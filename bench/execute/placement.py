"""Which slot computes where: slots are dealt over the GPUs in turn, and those of one GPU share its memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.errors import ConfigError
from bench.execute.gpus import Gpu

JOB_MB = 4096.0
"""Memory that one job on a GPU is meant to have, at least: the shipped networks need a tenth of it."""
FEWEST, MOST = 4, 8
"""Jobs on a GPU at once, unless told otherwise: small networks leave most of it idle, and each job is fed by a core."""
KEPT = 0.1
"""Share of a GPU's free memory that no job is given: each process holds some outside of its framework's sight."""


@dataclass(frozen=True)
class Place:
    """Where a slot's worker computes."""

    device: str = "cpu"
    """cpu, or cuda:N for the N-th GPU that the user shows us."""
    name: str = ""
    """Of the GPU; empty: none, or not known."""
    memory_mb: float = 0.0
    """Of the whole GPU."""
    share_mb: float = 0.0
    """Most that a job may hold of it beside others; 0: it is not bounded."""
    graphs: bool = False
    """Training steps are captured as CUDA graphs."""

    @property
    def number(self) -> int | None:
        """Return the number of the GPU; None: there is none."""
        kind, _, number = self.device.partition(":")
        return int(number or 0) if kind == "cuda" else None


def placed(device: str, workers: int | None, per_gpu: int | None, found: Sequence[Gpu], cores: int) -> list[Place]:
    """Deal slots: one a core without a GPU, else `per_gpu` on each; raise `ConfigError` for more workers than that.

    `device`: cpu, cuda (all GPUs), cuda:N or cuda:N,M; `found`: the GPUs that there are; none where the driver does not tell.
    """
    numbers = chosen(device, len(found))
    if not numbers:
        return [Place()] * (workers or cores)
    each = [found[n] if n < len(found) else Gpu("", 0.0) for n in numbers]
    if workers and per_gpu and workers > per_gpu * len(numbers):
        raise ConfigError(
            f"--workers {workers} are more than {per_gpu} on each of {_gpus(len(numbers))}; raise --jobs-per-gpu or lower --workers"
        )
    at_once = per_gpu or min(usual(gpu, cores // len(numbers)) for gpu in each)
    slots = workers or at_once * len(numbers)
    beside = -(-slots // len(numbers))
    dealt = [(numbers[n % len(numbers)], each[n % len(numbers)]) for n in range(slots)]
    return [Place(f"cuda:{n}", gpu.name, gpu.memory_mb, gpu.free_mb * (1 - KEPT) / beside) for n, gpu in dealt]


def chosen(device: str, count: int) -> list[int]:
    """Return the numbers of the GPUs that `device` names, of `count`; all for `cuda`, or the first where nobody knows how many."""
    kind, _, numbers = device.partition(":")
    if kind != "cuda":
        return []
    asked = [int(number) for number in numbers.split(",")] if numbers else list(range(max(count, 1)))
    if count and max(asked) >= count:
        raise ConfigError(f"--device {device}: there is no GPU {max(asked)}; {_gpus(count)} can be seen, counted from 0")
    return list(dict.fromkeys(asked))


def usual(gpu: Gpu, cores: int) -> int:
    """Return how many jobs a GPU is given at once: as its free memory and its cores allow, 4 to 8, fewer where cores are few."""
    by_memory = max(FEWEST, min(MOST, int(gpu.free_mb // JOB_MB)))
    return max(1, min(by_memory, cores))


def _gpus(count: int) -> str:
    return f"{count} GPU{'s' * (count != 1)}"
