"""CUDA graphs of the training step: a small network's many kernels are started by one call (`torch.cuda.graph`).

A step is captured once for each shape of a batch, of which there are few (`bench.neural.resident.rounded`). What changes from
step to step (rows, learning rate, number of the step) lies in tensors that keep their place. Not measured: no GPU was at hand;
it is off unless `bench doctor --gpu` found that it gains on this kind of GPU, or BENCH_CUDA_GRAPHS=1 asks for it.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from bench.neural.switch import GRAPHS

WARM = 3
"""Steps of a shape that are taken as ever before it is captured: libraries choose their kernels, and gradients get their places."""
WAITS = "it waits for the device, as where shapes depend on values"
MOST = 64
"""Shapes that are captured at most; each holds memory."""
Learn: TypeAlias = Callable[..., Tensor]


class Recorder(Protocol):
    """What captures a step."""

    def warm(self, step: Callable[[], Tensor]) -> Tensor:
        """Take a step as ever, where a later one will be captured."""

    def rehearse(self, step: Callable[[], Tensor]) -> tuple[Tensor, str]:
        """Take the last such step and watch it; returns its result, and why it cannot be captured: empty where it seems that it can."""

    def capture(self, step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Record a step without taking it; returns what takes it, again and again, and the tensor that then holds its result."""


class CudaRecorder:
    """Capture on a stream of its own; all graphs share their memory, since one runs at a time."""

    def __init__(self, device: str) -> None:
        self.stream, self.pool = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()
        self.generator = torch.cuda.default_generators[self.stream.device.index]

    def warm(self, step: Callable[[], Tensor]) -> Tensor:
        """Take a step on that stream, after what came before and before what follows."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            loss = step()
        torch.cuda.current_stream().wait_stream(self.stream)
        return loss

    def rehearse(self, step: Callable[[], Tensor]) -> tuple[Tensor, str]:
        """Take a step and see whether it waits for the device, as where its shapes depend on values: no graph can."""
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                loss = self.warm(step)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return loss, next((WAITS for each in said if "synchronizing CUDA operation" in str(each.message)), "")

    def capture(self, step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Record a step.

        Where that fails, torch leaves its stream the current one, and the generator as if the capture went on: both are put back.
        """
        graph, current, state = torch.cuda.CUDAGraph(), torch.cuda.current_stream(), self.generator.clone_state()
        try:
            with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
                loss = step()
        except RuntimeError:
            torch.cuda.set_stream(current)
            self.generator.graphsafe_set_state(state)
            raise
        return graph.replay, loss


@dataclass
class _Kept:
    given: tuple[Tensor, ...]
    replay: Callable[[], None]
    loss: Tensor


class CapturedStep:
    """Take training steps; those of a shape that was seen often enough are replayed."""

    def __init__(self, learn: Learn, recorder: Recorder) -> None:
        self._learn, self._recorder = learn, recorder
        self._seen: Counter[Hashable] = Counter()
        self._kept: dict[Hashable, _Kept] = {}
        self.refused = ""
        """Why nothing is captured any more."""

    def __call__(self, *given: Tensor, constant: Hashable = None) -> Tensor:
        """Learn from one batch; `constant`: what else the step depends on and a graph would repeat."""
        key = (*((tuple(part.shape), part.dtype) for part in given), constant)
        self._seen[key] += 1
        full = len(self._kept) >= MOST and key not in self._kept
        if not self.refused and not full and self._seen[key] > WARM:
            if key not in self._kept:
                self._capture(key, given)
            if key in self._kept:
                return self._replayed(self._kept[key], given)
        if self._seen[key] != WARM or self.refused or full:
            return self._recorder.warm(lambda: self._learn(*given))
        loss, obstacle = self._recorder.rehearse(lambda: self._learn(*given))
        if obstacle:
            self._refuse(obstacle)
        return loss

    @property
    def shapes(self) -> int:
        """Return how many shapes were captured."""
        return len(self._kept)

    def _capture(self, key: Hashable, given: tuple[Tensor, ...]) -> None:
        own = tuple(part.clone() for part in given)
        try:
            replay, loss = self._recorder.capture(lambda: self._learn(*own))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._refuse(" ".join(str(error).split())[:300])
        else:
            self._kept[key] = _Kept(own, replay, loss)

    def _refuse(self, reason: str) -> None:
        self.refused = reason
        warnings.warn(f"the training step is not captured as a CUDA graph, and goes on without: {reason}", RuntimeWarning, stacklevel=4)

    @staticmethod
    def _replayed(kept: _Kept, given: tuple[Tensor, ...]) -> Tensor:
        for own, new in zip(kept.given, given, strict=True):
            own.copy_(new, non_blocking=True)
        kept.replay()
        return kept.loss.clone()  # the next replay writes over it


def wanted(device: str) -> bool:
    """Return whether steps on this device are to be captured; says so where they were asked for and cannot be."""
    asked = os.environ.get(GRAPHS, "0") == "1"
    if asked and not device.startswith("cuda"):
        warnings.warn(f"{GRAPHS}=1: there are no CUDA graphs on {device}; training goes on without", RuntimeWarning, stacklevel=2)
    return asked and device.startswith("cuda")
