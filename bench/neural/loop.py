"""The one torch training loop: losses, steps and averaged weights for `bench.neural.training`.

Sizes, loss and network come from outside. A network may learn by an objective of its own (`Objective`); when to stop is
decided by the task's loss all the same.

Letters for shapes: N rows, n rows of a batch, T steps, F features, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from bench.api import Array, Context
from bench.neural.batches import Rows, batches
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


class Average:
    """Follow a network's weights by an exponential moving average (Polyak and Juditsky 1992, as a decaying mean)."""

    def __init__(self, net: nn.Module) -> None:
        self.weights = [p.detach().clone() for p in net.parameters()]
        self.steps = 0

    def follow(self, net: nn.Module) -> None:
        """Move a little towards the weights after a step."""
        self.steps += 1
        rate = average_rate(self.steps)
        for mean, now in zip(self.weights, net.parameters(), strict=True):
            mean.lerp_(now.detach(), rate)

    def swap(self, net: nn.Module) -> None:
        """Exchange the averaged weights with the network's own, in place."""
        for mean, now in zip(self.weights, net.parameters(), strict=True):
            held = now.detach().clone()
            now.detach().copy_(mean)
            mean.copy_(held)


@dataclass
class Loop(Training):
    """Train one torch network."""

    def __post_init__(self) -> None:
        self.net.to(self.ctx.device)
        self.mean = Average(self.net)

    def optimiser(self) -> torch.optim.Optimizer:
        """Make the optimiser."""
        return torch.optim.Adam(self.net.parameters(), lr=self.recipe.lr, fused=True)

    def set_rate(self, optimiser: torch.optim.Optimizer, rate: float) -> None:
        """Set the learning rate of the steps to come."""
        for group in optimiser.param_groups:
            group["lr"] = rate

    def step(self, rows: Rows, batch: Array, optimiser: torch.optim.Optimizer) -> Tensor:
        """Learn from one batch; small ones, of rare lengths, weigh less, so that each row weighs the same."""
        self.net.train()
        loss = self.learnt(rows, batch)
        optimiser.zero_grad()
        (loss / self.recipe.batch).backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip)
        optimiser.step()
        self.mean.follow(self.net)
        return loss.detach()

    def learnt(self, rows: Rows, batch: Array) -> Tensor:
        """Sum over rows what is to fall: the network's own objective, or the task's loss of its outputs."""
        target = tensor(rows.target[batch], self.ctx.device)
        if not isinstance(self.net, Objective):
            return self.loss(forward(self.net, rows, batch, self.ctx.device), target)
        x, length = rows.padded(batch)
        return self.net.objective(tensor(x, self.ctx.device), tensor(length, self.ctx.device), target, self.loss)

    def loss(self, raw: Tensor, target: Tensor) -> Tensor:
        """Sum the task's loss over rows; `raw`: [n, O]."""
        levels = torch.tensor(self.recipe.levels, dtype=torch.float32, device=self.ctx.device)
        return LOSSES[self.recipe.loss](raw, target, levels)

    def measured(self, held: Rows) -> float:
        """Sum the task's loss over rows, without learning."""
        raw = outputs(self.net, held, self.ctx)
        return self.loss(tensor(raw, self.ctx.device), tensor(held.target, self.ctx.device)).item()

    def swap(self) -> None:
        """Exchange the averaged weights with the network's own."""
        self.mean.swap(self.net)

    def weights(self) -> dict[str, Tensor]:
        """Copy the network's weights."""
        return {name: w.clone() for name, w in self.net.state_dict().items()}

    def put(self, weights: Mapping[str, Any]) -> None:
        """Put a copy of weights back into the network."""
        self.net.load_state_dict(weights)


def outputs(net: nn.Module, rows: Rows, ctx: Context) -> Array:
    """Ask a network for its raw outputs, float32 [N, O], in the order of the rows."""
    net.eval().to(ctx.device)
    cut = batches(rows.lengths, WIDE)
    with torch.inference_mode():
        parts = [forward(net, rows, batch, ctx.device).cpu().numpy() for batch in cut]
    return np.concatenate(parts)[np.argsort(np.concatenate(cut))]


def forward(net: nn.Module, rows: Rows, batch: Array, device: str) -> Tensor:
    """Run a network on one padded batch; returns float32 [n, O]."""
    x, length = rows.padded(batch)  # [n, T, F], [n]
    with torch.autocast(device.partition(":")[0], torch.bfloat16) if in_bf16(net, device) else nullcontext():
        raw: Tensor = net(tensor(x, device), tensor(length, device))
    return raw.float()


def tensor(x: Array, device: str) -> Tensor:
    """Bring an array to the device."""
    return torch.from_numpy(x).to(device, non_blocking=True)


def in_bf16(net: nn.Module, device: str) -> bool:
    """Return whether to compute in bf16: on a GPU of capability 8 or more, and a network large enough to gain."""
    if not device.startswith("cuda") or torch.cuda.get_device_capability(device)[0] < 8:
        return False
    return sum(p.numel() for p in net.parameters()) >= BF16_PARAMETERS
