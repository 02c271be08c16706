"""The one torch training loop: losses, steps and averaged weights for `bench.neural.training`.

Sizes, loss and network come from outside. A network may learn by an objective of its own (`Objective`); when to stop is
decided by the task's loss all the same.

Letters for shapes: N rows, n rows of a batch, T steps, F features, O outputs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from bench.api import Array, Context
from bench.neural.batches import Rows, batches
from bench.neural.graphs import CapturedStep, CudaRecorder, Recorder, wanted
from bench.neural.resident import Resident, resident, sent
from bench.neural.training import WIDE, Training, average_rate

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def bce(raw: Tensor, target: Tensor, _: Tensor) -> Tensor:
    """Sum the cross-entropy of logits over the rows; `raw`, `target`: [n, O]."""
    return F.binary_cross_entropy_with_logits(raw, target, reduction="sum") / target.shape[1]


def pinball(raw: Tensor, target: Tensor, levels: Tensor) -> Tensor:
    """Sum over rows twice the mean quantile loss of the steps that were observed (Koenker and Bassett 1978).

    `raw`: [n, H Q], `target`: [n, H] with NaN where unknown, `levels`: [Q].
    """
    departure = (target.nan_to_num()[..., None] - raw.view(*target.shape, -1)) * 2  # [n, H, Q]
    return observed(torch.maximum(levels * departure, (levels - 1) * departure).mean(2), target)


def huber(raw: Tensor, target: Tensor, _: Tensor) -> Tensor:
    """Sum over rows the mean Huber loss of the steps that were observed; `raw`, `target`: [n, O], NaN where unknown."""
    return observed(F.smooth_l1_loss(raw, target.nan_to_num(), reduction="none"), target)


def observed(loss: Tensor, target: Tensor) -> Tensor:
    """Average over the steps with a target, then sum over rows; [n, H] each."""
    there = ~target.isnan()
    return ((loss * there).sum(1) / there.sum(1).clamp(min=1)).sum()


def own(raw: Tensor, _: Tensor, __: Tensor) -> Tensor:
    """Sum the losses that the network has computed itself, [n, 1]."""
    return raw.sum()


LOSSES: Mapping[str, Loss] = {"own": own, "bce": bce, "pinball": pinball, "huber": huber}
"""Losses by the name that a task's encoder gives: (raw [n, O], target, levels [Q]) -> a sum over rows."""

BF16_PARAMETERS = 1_000_000
"""Networks from this size on compute in bf16 on a GPU that has it; a guess, not measured."""


@runtime_checkable
class Objective(Protocol):
    """A network that learns by more than the task's loss of its outputs, such as a lower bound on a likelihood."""

    def objective(self, x: Tensor, length: Tensor, target: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Sum over rows what is to fall; `x`: [n, T, F], `target`: [n, ...], `loss`: the task's, of (raw [n, O], target)."""


class Weights:
    """A network's weights as the optimiser sees them: on a CPU as one vector, of which each is a view.

    Clipping, the optimiser and the average then take one operation each, where a small network's many layers cost more
    than its matrices. On a GPU they stay as they are: cuDNN keeps those of a recurrent layer in a buffer of its own.
    """

    def __init__(self, net: nn.Module) -> None:
        self._own = [p for p in net.parameters() if p.requires_grad]
        flat = {(p.device.type, p.dtype) for p in self._own} == {("cpu", torch.float32)}
        self.tensors = [_as_views(self._own)] if flat else self._own

    def forget_gradients(self) -> None:
        """Put all gradients to 0, in place."""
        for tensor in self.tensors:
            if tensor.grad is not None:
                tensor.grad.zero_()

    def release(self) -> None:
        """Copy each weight into memory of its own again, and drop its gradient."""
        for own in self._own:
            own.grad = None
            own.data = own.data.clone()


def _as_views(weights: Sequence[nn.Parameter]) -> nn.Parameter:
    """Make one vector of weights and of their gradients; each becomes a view."""
    sizes = [p.numel() for p in weights]
    whole = nn.Parameter(torch.cat([p.detach().flatten() for p in weights]))
    whole.grad = torch.zeros_like(whole)
    for own, now, gradient in zip(weights, whole.detach().split(sizes), whole.grad.split(sizes), strict=True):
        own.data, own.grad = now.view_as(own), gradient.view_as(own)
    return whole


class Average:
    """Follow weights by an exponential moving average (Polyak and Juditsky 1992, as a decaying mean)."""

    def __init__(self, weights: Sequence[Tensor], *, captured: bool = False) -> None:
        """Follow from here on; `captured`: in a CUDA graph, where the number of the step must be a tensor."""
        self.followed = [w.detach() for w in weights]
        self.weights = [w.clone() for w in self.followed]
        self.steps: Any = torch.zeros((), device=self.weights[0].device) if captured else 0

    def follow(self) -> None:
        """Move a little towards the weights after a step."""
        self.steps += 1
        rate = average_rate(self.steps, later if isinstance(self.steps, Tensor) else max)
        for mean, now in zip(self.weights, self.followed, strict=True):
            mean.lerp_(now, rate)

    def swap(self) -> None:
        """Exchange the averaged weights with the network's own, in place."""
        for mean, now in zip(self.weights, self.followed, strict=True):
            held = now.clone()
            now.copy_(mean)
            mean.copy_(held)


def later(least: float, rate: Tensor) -> Tensor:
    """Return the larger of a number and a tensor."""
    return rate.clamp(min=least)


class Adam(torch.optim.Adam):
    """torch's Adam without what tells a compiler of it, which nobody here asks for.

    That imports the compiler with the first optimiser of a process, and takes as long as importing all of torch.
    """

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


@dataclass
class Loop(Training):
    """Train one torch network."""

    recorder: Recorder | None = None
    """What captures training steps; None: a CUDA graph does where that is switched on, and else nothing does."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.net.to(self.ctx.device)
        self.own = Weights(self.net)
        if self.recorder is None and wanted(self.ctx.device):
            self.recorder = CudaRecorder(self.ctx.device)
        self.captured: CapturedStep | None = None
        self.mean = Average(self.own.tensors, captured=self.recorder is not None)
        self.levels = sent(np.asarray(self.recipe.levels, np.float32), self.ctx.device)
        self.objective = self.net.objective if isinstance(self.net, Objective) else None

    def run(self, fit: Rows, held: Rows | None) -> int:
        """Train as every network is trained, on rows that lie where it computes."""
        device = self.ctx.device
        epochs = super().run(resident(fit, device), held if held is None else resident(held, device))
        self.own.release()
        return epochs

    def optimiser(self) -> torch.optim.Optimizer:
        """Make the optimiser; in a CUDA graph the learning rate is a tensor."""
        if self.recorder is None:
            return Adam(self.own.tensors, lr=self.recipe.lr, fused=True)
        rate = torch.tensor(self.recipe.lr, device=self.ctx.device)
        return Adam(self.own.tensors, lr=rate, fused=True, capturable=True)

    def set_rate(self, optimiser: torch.optim.Optimizer, rate: float) -> None:
        """Set the learning rate of the steps to come."""
        for group in optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def step(self, rows: Rows, batch: Array, optimiser: torch.optim.Optimizer) -> Tensor:
        """Learn from one batch; small ones, of rare lengths, weigh less, so that each row weighs the same."""
        if not self.net.training:
            self.net.train()
        given = self.given(rows, batch)
        if self.recorder is None:
            return self.moved(*given, optimiser=optimiser)
        if self.captured is None:
            self.captured = CapturedStep(partial(self.moved, optimiser=optimiser), self.recorder)
        return self.captured(*given, constant=self.size)

    def moved(self, x: Tensor, length: Tensor, target: Tensor, *, optimiser: torch.optim.Optimizer) -> Tensor:
        """Move the weights by one batch and return its loss; all that changes from step to step is a tensor, but for `size`."""
        loss = self.lost(x, length, target)
        self.own.forget_gradients()
        (loss / self.size).backward()
        nn.utils.clip_grad_norm_(self.own.tensors, self.recipe.clip)
        optimiser.step()
        self.mean.follow()
        return loss.detach()

    def given(self, rows: Rows, batch: Array) -> tuple[Tensor, Tensor, Tensor]:
        """Return a batch on the device: x [n, T, F], length [n], target [n, ...]."""
        device = self.ctx.device
        target = rows.targets(batch) if isinstance(rows, Resident) else sent(rows.target[batch], device)
        return *padded_batch(rows, batch, device), target

    def learnt(self, rows: Rows, batch: Array) -> Tensor:
        """Sum over rows what is to fall."""
        return self.lost(*self.given(rows, batch))

    def lost(self, x: Tensor, length: Tensor, target: Tensor) -> Tensor:
        """Sum over rows what is to fall: the network's own objective, or the task's loss of its outputs."""
        if self.objective is None:
            return self.loss(raw_outputs(self.net, x, length), target)
        loss: Tensor = self.objective(x, length, target, self.loss)
        return loss

    def loss(self, raw: Tensor, target: Tensor) -> Tensor:
        """Sum the task's loss over rows; `raw`: [n, O]."""
        return LOSSES[self.recipe.loss](raw, target, self.levels)

    def loss_sum(self, held: Rows) -> float:
        """Sum the task's loss over rows, without learning."""
        raw = outputs(self.net, held, self.ctx)
        return self.loss(sent(raw, self.ctx.device), sent(held.target, self.ctx.device)).item()

    def swap(self) -> None:
        """Exchange the averaged weights with the network's own."""
        self.mean.swap()

    def weights(self) -> dict[str, Tensor]:
        """Copy the network's weights."""
        return {name: w.clone() for name, w in self.net.state_dict().items()}

    def restore(self, weights: Mapping[str, Any]) -> None:
        """Put a copy of weights back into the network."""
        self.net.load_state_dict(weights)


def outputs(net: nn.Module, rows: Rows, ctx: Context) -> Array:
    """Ask a network for its raw outputs, float32 [N, O], in the order of the rows."""
    net.eval().to(ctx.device)
    cut = batches(rows.lengths, WIDE)
    with torch.inference_mode():
        parts = [forward(net, rows, batch, ctx.device).cpu().numpy() for batch in cut]
    return np.concatenate(parts)[np.argsort(np.concatenate(cut))]


def row_by_row(net: nn.Module, rows: Rows, ctx: Context, ask: Callable[[Tensor, Tensor], Tensor]) -> Array:
    """Ask a part of a network about each row, float32 [N, D]; `ask`: (x [n, T, F], right-padded, length [n]) to [n, D]."""
    torch.set_num_threads(ctx.threads)
    net.eval().to(ctx.device)
    cut = batches(rows.lengths, WIDE)
    with torch.inference_mode():
        parts = [ask(*padded_batch(rows, batch, ctx.device)).float().cpu().numpy() for batch in cut]
    return np.concatenate(parts)[np.argsort(np.concatenate(cut))]


def step_by_step(net: nn.Module, rows: Rows, ctx: Context, ask: Callable[[Tensor, Tensor], Tensor]) -> Array:
    """Ask about each real step, float32 [E], row after row; `ask`: (x [n, T, F], right-padded, length [n]) to [n, T]."""
    torch.set_num_threads(ctx.threads)
    net.eval().to(ctx.device)
    found: list[Array] = [np.zeros(0, np.float32)] * len(rows)
    with torch.inference_mode():
        for batch in batches(rows.lengths, WIDE):
            answer = ask(*padded_batch(rows, batch, ctx.device)).float().cpu().numpy()
            for row, own in zip(batch, answer, strict=True):
                found[row] = own[: rows.lengths[row]]
    return np.concatenate(found)


def forward(net: nn.Module, rows: Rows, batch: Array, device: str) -> Tensor:
    """Run a network on one padded batch; returns float32 [n, O]."""
    return raw_outputs(net, *padded_batch(rows, batch, device))


def raw_outputs(net: nn.Module, x: Tensor, length: Tensor) -> Tensor:
    """Run a network on x [n, T, F]; returns float32 [n, O]."""
    device = str(x.device)
    with torch.autocast(x.device.type, torch.bfloat16) if in_bf16(net, device) else nullcontext():
        raw: Tensor = net(x, length)
    return raw.float()


def padded_batch(rows: Rows, batch: Array, device: str) -> tuple[Tensor, Tensor]:
    """Return a batch on the device: (float32 [n, T, F], right-padded; its lengths, int64 [n])."""
    if isinstance(rows, Resident):
        return rows.gathered(batch)
    x, length = rows.padded(batch)
    return sent(x, device), sent(length, device)


def in_bf16(net: nn.Module, device: str) -> bool:
    """Return whether to compute in bf16: on a GPU of capability 8 or more, and a network large enough to gain."""
    if not device.startswith("cuda") or torch.cuda.get_device_capability(device)[0] < 8:
        return False
    return sum(p.numel() for p in net.parameters()) >= BF16_PARAMETERS
