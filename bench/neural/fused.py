"""Several trainings of one network as one program: members share shapes and rows, and differ in rates, dropout, seeds and weights.

A small network leaves a GPU idle between its kernels; P of them in each kernel do not (HFTA, Wang et al. 2021). Each member
trains as `Loop` trains it, with two differences that let it share its company's shapes: batches of like length come in an order
that all members share (the rows of a batch are each member's own), and dropout and latents are drawn by `bench.neural.noise`.
A member's training is the same alone and in any company, but for the rounding of sums: nothing of it depends on another.

Letters for shapes: P members, N rows, n rows of a batch, T steps, F features, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.api import Array, Context
from bench.neural.batches import Rows, batches
from bench.neural.cells import FusedError
from bench.neural.graphs import CapturedStep, CudaRecorder, Learn, Recorder, wanted
from bench.neural.loop import LOSSES, Objective, in_bf16, padded_batch
from bench.neural.noise import drawn_from, step_keys
from bench.neural.resident import Resident, resident, sent
from bench.neural.stacked import Stack
from bench.neural.training import USUAL, WIDE, Best, TrainingRecipe, diverged, enough, rate_share

ASKED = 32
"""Fewest rows of a batch where nothing is learnt, however many members are asked."""


@dataclass(frozen=True)
class Member:
    """One training of several."""

    net: nn.Module
    """Trained in place."""
    recipe: TrainingRecipe
    ctx: Context
    """With the member's own seed, reports and deadline."""


@dataclass
class Ended:
    """How a member's training went."""

    epochs: int = 0
    """How many did best; 0: they were not judged."""
    stopped: bool = False
    """It was told to stop before its end."""
    error: BaseException | None = None
    """Why there is no trained network: it diverged, or what hears of its epochs ended it."""


@dataclass
class Running:
    """A member under way."""

    member: Member
    epochs: int
    """Most epochs that it may take."""
    best: Best = field(default_factory=Best)
    ended: Ended = field(default_factory=Ended)
    going: bool = True
    weights: Tensor | None = None
    """What it ended with, [K]."""


class _Asked(nn.Module):
    """A network and its loss: in training it gives what is to fall, else the outputs."""

    def __init__(self, net: nn.Module, recipe: TrainingRecipe, levels: Tensor) -> None:
        super().__init__()
        self.net, self.levels, self.bf16 = net, levels, in_bf16(net, str(levels.device))
        self._loss = LOSSES[recipe.loss]

    def forward(self, x: Tensor, length: Tensor, target: Tensor | None = None) -> Tensor:
        """Return raw outputs [n, O], or the loss summed over the rows, []."""
        if target is not None and isinstance(self.net, Objective):
            return self.net.objective(x, length, target, self.loss)
        with torch.autocast(x.device.type, torch.bfloat16) if self.bf16 else nullcontext():
            raw: Tensor = self.net(x, length)
        return raw if target is None else self.loss(raw.to(x.dtype), target)

    def loss(self, raw: Tensor, target: Tensor) -> Tensor:
        """Sum the task's loss over rows; `raw`: [n, O]."""
        return self._loss(raw, target, self.levels)


class Fused:
    """Train the networks of several members in place, as one program."""

    def __init__(self, members: Sequence[Member], recorder: Recorder | None = None) -> None:
        """Lay members side by side; `recorder` captures their steps: None, a CUDA graph does where that is switched on."""
        recipes = {replace(m.recipe, lr=0.0, clip=1.0, patience=0, calm=0) for m in members}
        devices = {m.ctx.device for m in members}
        if len(recipes) > 1 or len(devices) > 1:
            raise FusedError(
                "members of one program share batch size, loss and device; their learning rates, clips and patience may differ"
            )
        self.members, (self.recipe,), (self.device,) = list(members), recipes, devices
        self.stack = Stack([m.net for m in members], self.device)
        self.dtype = self.stack.weights.dtype
        self.form = _Asked(self.stack.template, self.recipe, self._own(self.recipe.levels))
        self.parameters, self.buffers = (
            {f"net.{name}": own for name, own in part.items()} for part in (self.stack.parameters, self.stack.buffers)
        )
        self.rate, self.clip = self._own([m.recipe.lr for m in members]), self._own([m.recipe.clip for m in members])
        self.seeds = torch.tensor([m.ctx.seed for m in members], device=self.device)
        self.step_number = torch.zeros((), dtype=torch.int64, device=self.device)
        self.size = torch.ones((), dtype=self.dtype, device=self.device)
        if recorder is None and wanted(self.device):
            recorder = CudaRecorder(self.device)
        self.learn: Learn = self.learnt if recorder is None else CapturedStep(self.learnt, recorder)

    def run(self, fit: Rows, held: Rows | None) -> list[Ended]:
        """Train on `fit`, keep the weights of each member that do best on `held`; return how each ended, in their order."""
        fit, held = resident(fit, self.device), held if held is None else resident(held, self.device)
        running = [Running(m, m.recipe.epochs(m.ctx.epochs, len(fit))) for m in self.members]
        most = max(r.epochs for r in running)
        if self.recipe.grown(0.99) != self.recipe.batch and len({r.epochs for r in running}) > 1:
            raise FusedError("members whose batches grow share their number of epochs")
        for epoch in range(most):
            self.epoch(fit, running, epoch, most)
            if held is not None and any(r.going for r in running):
                self.measure_holdout(held, running, epoch)
            for p, r in enumerate(running):
                impatient = r.best.weights is not None and epoch - r.best.epoch >= r.member.recipe.waited(len(fit))
                if r.going and (impatient or epoch + 1 >= r.epochs):
                    self.end(r, p)
            if not any(r.going for r in running):
                break
        for r in running:
            weights = r.weights if r.best.weights is None else r.best.weights
            if r.ended.error is None and weights is not None:
                self.stack.put_back(r.member.net, weights)
            r.ended.epochs = r.best.epoch + 1
        return [r.ended for r in running]

    def epoch(self, rows: Rows, running: Sequence[Running], epoch: int, most: int) -> None:
        """Go through all rows once, each member in an order of its own among rows of like length; members that ended compute on, unread."""
        size = self.recipe.grown(epoch / most)
        self.size.fill_(size)
        cut = aligned(rows.lengths, size, [r.member.ctx.seed for r in running], epoch)
        if self.recipe.falling and self.members[0].ctx.rows is not None:
            cut = cut[: enough(rows.lengths, [batch[0] for batch in cut], USUAL * self.members[0].ctx.rows)]
        total = torch.zeros(len(running), dtype=self.dtype, device=self.device)
        for at, batch in enumerate(cut):
            for p, r in enumerate(running):
                if r.going and r.member.ctx.should_stop():
                    r.ended.stopped = True
                    self.end(r, p, float(total[p]), epoch)
            if not any(r.going for r in running):
                return
            if self.recipe.falling:
                done = [min((epoch + at / len(cut)) / r.epochs, 1.0) for r in running]
                self.rate.copy_(self._own([r.member.recipe.lr * rate_share(d) for r, d in zip(running, done, strict=True)]))
            total += self.learn(*self.gathered(rows, batch))
        for r, loss in zip(running, total.tolist(), strict=True):
            self.note_diverged(r, loss, epoch)

    def learnt(self, x: Tensor, length: Tensor, target: Tensor) -> Tensor:
        """Learn from one batch a member, x [P, n, T, F], length [n], target [P, n, ...]; returns the losses summed over rows, [P].

        All that changes from step to step is a tensor, so that the step may be captured in a CUDA graph.
        """
        self.form.train()
        keys = step_keys(self.seeds, self.step_number)
        loss = self.asked(keys, x, length, target)
        self.stack.differentiate(loss / self.size)
        self.stack.move(self.rate, self.clip)
        self.step_number += 1
        return loss.detach()

    def asked(self, keys: Tensor, x: Tensor, length: Tensor, target: Tensor) -> Tensor:
        """Ask each member's network for its loss on its own rows, [P]."""

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], key: Tensor, x: Tensor, target: Tensor) -> Tensor:
            with drawn_from(key):
                loss: Tensor = functional_call(self.form, {**parameters, **buffers}, (x, length, target))
            return loss

        given = self.parameters, self.buffers, keys, x, target
        with sdpa_kernel(SDPBackend.MATH):  # on a CPU the others have no batching rule
            try:
                found: Tensor = torch.vmap(one)(*given)
            except RuntimeError as error:
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                who = type(self.members[0].net).__name__
                raise FusedError(f"{who} cannot be trained as one program with others: {' '.join(str(error).split())[:300]}") from error
        return found

    def measure_holdout(self, held: Rows, running: Sequence[Running], epoch: int) -> None:
        """Measure the holdout loss of each member's averaged weights, report it and keep them where it is the lowest."""
        self.stack.swap()
        losses = (self.loss_sums(held) / len(held)).tolist()
        for p, (r, loss) in enumerate(zip(running, losses, strict=True)):
            self.note_diverged(r, loss, epoch)
            if not r.going:
                continue
            try:
                r.member.ctx.report(epoch, loss, of=r.epochs)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001 - whatever hears of a member's epochs ends that member alone
                r.going, r.ended.error = False, error
                continue
            r.best.offer(loss, epoch, self.stack.weights[p].clone)
        self.stack.swap()

    def loss_sums(self, held: Rows) -> Tensor:
        """Sum the task's loss over rows for each member, without learning; [P]."""
        total = torch.zeros(len(self.members), dtype=self.dtype, device=self.device)
        for batch in batches(held.lengths, max(ASKED, WIDE // len(self.members))):
            x, length, target = self.gathered(held, batch[None])
            total += torch.vmap(lambda raw, target=target[0]: self.form.loss(raw, target))(self.outputs(x[0], length))
        return total

    @torch.no_grad()
    def outputs(self, x: Tensor, length: Tensor) -> Tensor:
        """Ask all members about the same rows, x [n, T, F]; returns [P, n, O]."""
        self.form.eval()

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
            raw: Tensor = functional_call(self.form, {**parameters, **buffers}, (x, length))
            return raw.to(x.dtype)

        with sdpa_kernel(SDPBackend.MATH):
            found: Tensor = torch.vmap(one)(self.parameters, self.buffers)
        return found

    def gathered(self, rows: Rows, batch: Array) -> tuple[Tensor, Tensor, Tensor]:
        """Return a batch of each member, int [P, n]: x [P, n, T, F], the lengths that they share [n], target [P, n, ...]."""
        flat = batch.reshape(-1)
        x, length = padded_batch(rows, flat, self.device)
        target = rows.targets(flat) if isinstance(rows, Resident) else sent(rows.target[flat], self.device)
        x, target = (part.to(self.dtype).view(*batch.shape, *part.shape[1:]) for part in (x, target))
        return x, length.view(batch.shape)[0], target

    def end(self, r: Running, p: int, loss: float = 0.0, epoch: int = 0) -> None:
        """Let a member end with the average of its weights, unless its loss so far is no number."""
        self.note_diverged(r, loss, epoch)
        r.going, r.weights = False, self.stack.mean[p].clone()

    def note_diverged(self, r: Running, loss: float, epoch: int) -> None:
        """End a member whose loss is no number: the others go on as if it were."""
        if r.going and not np.isfinite(loss):
            r.going, r.ended.error = False, diverged(r.member.net, loss, epoch, r.member.recipe.lr)

    def _own(self, numbers: Sequence[float]) -> Tensor:
        return torch.tensor(numbers, dtype=self.dtype, device=self.device)


def aligned(lengths: Array, size: int, seeds: Sequence[int], epoch: int) -> list[Any]:
    """Cut rows into batches, int64 [P, n] each: of like length, and of the same lengths for all members, in whatever company."""
    cuts = [batches(lengths, size, seed=(seed, epoch), turn=epoch) for seed in seeds]
    return [np.stack(each) for each in zip(*cuts, strict=True)]
