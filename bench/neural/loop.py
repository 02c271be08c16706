"""The one torch training loop: Adam, clipping, averaged weights, early stopping on the core's holdout.

Sizes, loss and network come from outside. Why the weights are averaged: batches hold rows of like length, so the last
steps of an epoch may pull towards the lengths that they happened to see. On CDNOW averaging made the holdout loss
smooth; one run without it ended .003 lower in ROC AUC.

Letters for shapes: N rows, n rows of a batch, T steps, F features, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from bench.api import Array, Context
from bench.errors import PluginError
from bench.neural.batches import Rows, batches

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


LOSSES: Mapping[str, Loss] = {"bce": bce, "pinball": pinball, "huber": huber}
"""Losses by the name that a task's encoder gives: (raw [n, O], target, levels [Q]) -> a sum over rows."""

WIDE = 512
"""Rows of a batch where nothing is learnt."""

BF16_PARAMETERS = 1_000_000
"""Networks from this size on compute in bf16 on a GPU that has it; a guess, not measured."""


DECAY = 0.998
"""Share of the averaged weights that a step keeps: a memory of about 500 steps, shorter at the start."""


class DivergedError(PluginError):
    """Report a training whose loss is no longer a number."""


@dataclass(frozen=True)
class Recipe:
    """Say how to train, apart from the network and the data."""

    loss: str
    lr: float = 1e-3
    batch: int = 32
    patience: int = 5
    """Epochs without a better holdout loss before training ends."""
    clip: float = 1.0
    """Longest gradient."""
    levels: tuple[float, ...] = ()
    """Of the quantiles that are learnt, where the loss has any."""


class Average:
    """Follow a network's weights by an exponential moving average (Polyak and Juditsky 1992, as a decaying mean)."""

    def __init__(self, net: nn.Module) -> None:
        self.weights = [p.detach().clone() for p in net.parameters()]
        self.steps = 0

    def follow(self, net: nn.Module) -> None:
        """Move a little towards the weights after a step; the first steps count more, lest the start be remembered."""
        self.steps += 1
        rate = max(1 - DECAY, 9 / (10 + self.steps))
        for mean, now in zip(self.weights, net.parameters(), strict=True):
            mean.lerp_(now.detach(), rate)

    def swap(self, net: nn.Module) -> None:
        """Exchange the averaged weights with the network's own, in place."""
        for mean, now in zip(self.weights, net.parameters(), strict=True):
            held = now.detach().clone()
            now.detach().copy_(mean)
            mean.copy_(held)


@dataclass
class Best:
    """Remember the weights with the lowest holdout loss."""

    loss: float = math.inf
    weights: dict[str, Tensor] | None = None
    epoch: int = -1

    def offer(self, net: nn.Module, loss: float, epoch: int) -> None:
        """Keep a copy of the weights where they are better than any before."""
        if loss < self.loss:
            self.loss, self.epoch = loss, epoch
            self.weights = {name: w.clone() for name, w in net.state_dict().items()}

    def restore(self, net: nn.Module) -> None:
        """Put the best weights back; none were kept: leave the last."""
        if self.weights is not None:
            net.load_state_dict(self.weights)


@dataclass
class Loop:
    """Train one network; `run` reads like the recipe, each step below it does one thing."""

    net: nn.Module
    recipe: Recipe
    ctx: Context
    best: Best = field(default_factory=Best)
    stopped: bool = False

    def __post_init__(self) -> None:
        self.net.to(self.ctx.device)
        self.mean = Average(self.net)

    def run(self, fit: Rows, held: Rows | None) -> None:
        """Train on `fit`, keep the weights that do best on `held`; without rows to hold out, keep the latest."""
        optimiser = torch.optim.Adam(self.net.parameters(), lr=self.recipe.lr, fused=True)
        for epoch in range(self.ctx.epochs):
            self.epoch(fit, optimiser, epoch)
            if held is not None and not self.stopped:
                self.judge(held, epoch)
            if self.stopped or self.out_of_patience(epoch):
                break
        self.mean.swap(self.net)
        self.best.restore(self.net)

    def epoch(self, rows: Rows, optimiser: torch.optim.Optimizer, epoch: int) -> None:
        """Go through all rows once, in an order of its own, until told to stop."""
        self.net.train()
        total = torch.zeros((), device=self.ctx.device)
        for batch in batches(rows.lengths, self.recipe.batch, seed=(self.ctx.seed, epoch)):
            self.stopped = self.ctx.should_stop()
            if self.stopped:
                break
            total += self.step(rows, batch, optimiser)
        self.refuse_nan(total.item(), epoch)

    def step(self, rows: Rows, batch: Array, optimiser: torch.optim.Optimizer) -> Tensor:
        """Learn from one batch; small ones, of rare lengths, weigh less, so that each row weighs the same."""
        raw = forward(self.net, rows, batch, self.ctx.device)  # [n, O]
        loss = self.loss(raw, rows.target[batch])
        optimiser.zero_grad()
        (loss / self.recipe.batch).backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip)
        optimiser.step()
        self.mean.follow(self.net)
        return loss.detach()

    def loss(self, raw: Tensor, target: Array) -> Tensor:
        """Sum the task's loss over rows; `raw`: [n, O] on the device."""
        levels = torch.tensor(self.recipe.levels, dtype=torch.float32, device=self.ctx.device)
        return LOSSES[self.recipe.loss](raw, tensor(target, self.ctx.device), levels)

    def judge(self, held: Rows, epoch: int) -> None:
        """Measure the holdout loss of the averaged weights, report it and keep them if it is the lowest."""
        self.mean.swap(self.net)
        loss = self.loss(tensor(outputs(self.net, held, self.ctx), self.ctx.device), held.target)
        value = self.refuse_nan(loss.item() / len(held), epoch)
        self.ctx.report(epoch, value)
        self.best.offer(self.net, value, epoch)
        self.mean.swap(self.net)

    def out_of_patience(self, epoch: int) -> bool:
        """Say whether the holdout loss has not fallen for `patience` epochs."""
        return self.best.weights is not None and epoch - self.best.epoch >= self.recipe.patience

    def refuse_nan(self, loss: float, epoch: int) -> float:
        """Give the loss back if it is a number; raise `DivergedError` where it is not."""
        if not math.isfinite(loss):
            cure = f"lower the learning rate (now {self.recipe.lr:g}) or look for huge values in the inputs"
            raise DivergedError(f"the loss of {type(self.net).__name__} became {loss} in epoch {epoch}; {cure}")
        return loss


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
    with torch.autocast("cuda", torch.bfloat16, enabled=in_bf16(net, device)):
        raw: Tensor = net(tensor(x, device), tensor(length, device))
    return raw.float()


def tensor(x: Array, device: str) -> Tensor:
    """Bring an array to the device."""
    return torch.from_numpy(x).to(device, non_blocking=True)


def in_bf16(net: nn.Module, device: str) -> bool:
    """Say whether to compute in bf16: on a GPU of capability 8 or more, and a network large enough to gain."""
    if not device.startswith("cuda") or torch.cuda.get_device_capability(device)[0] < 8:
        return False
    return sum(p.numel() for p in net.parameters()) >= BF16_PARAMETERS
