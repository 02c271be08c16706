"""The weights of several networks of one shape as one matrix: optimiser and average take a few operations for all of them.

Letters for shapes: P networks, K weights of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import stack_module_state

from bench.neural.cells import FusedError, OwnDropout, written_out
from bench.neural.training import average_rate

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Adam's, as torch has them."""


class Stack:
    """P networks side by side: `weights` [P, K], of which the tensors in `parameters`, by name and [P, ...] each, are views."""

    def __init__(self, nets: Sequence[nn.Module], device: str) -> None:
        copies = [written_out(net).to(device) for net in nets]
        refuse_unlike(nets, copies)
        self.template = copies[0]
        """The form of all of them; its own weights are not used."""
        stacked, self.buffers = stack_module_state(copies)
        sizes = [weight[0].numel() for weight in stacked.values()]
        self.weights = torch.cat([weight.detach().flatten(1) for weight in stacked.values()], 1)
        self.gradients = torch.zeros_like(self.weights)
        own = zip(stacked.items(), self.weights.split(sizes, 1), self.gradients.split(sizes, 1), strict=True)
        self.parameters: dict[str, Tensor] = {}
        self._gradients: list[Tensor] = []
        for (name, weight), values, slope in own:
            self.parameters[name] = nn.Parameter(values.view(weight.shape))
            self._gradients.append(slope.view(weight.shape))
        self.mean = self.weights.clone()
        self._moments = torch.zeros_like(self.weights), torch.zeros_like(self.weights)
        # mps has no float64; in float32 the first steps' corrections are off by some 1e-4, as in torch's own capturable Adam
        self.steps = torch.zeros((), dtype=torch.float32 if device == "mps" else torch.float64, device=device)

    def differentiate(self, loss: Tensor) -> None:
        """Take the gradients of the members' losses, [P]; each depends on its own weights alone."""
        found = torch.autograd.grad(loss.sum(), list(self.parameters.values()), materialize_grads=True)
        torch._foreach_copy_(self._gradients, list(found))

    def move(self, rate: Tensor, clip: Tensor) -> None:
        """Clip each network's gradient to its length `clip`, take a step of Adam with its `rate`, and let the average follow; [P] each."""
        norm = torch.linalg.vector_norm(self.gradients, dim=1)
        self.gradients.mul_((clip / (norm + 1e-6)).clamp(max=1.0)[:, None])
        self.steps += 1
        first, second = self._moments
        first.lerp_(self.gradients, 1 - BETAS[0])
        second.mul_(BETAS[1]).addcmul_(self.gradients, self.gradients, value=1 - BETAS[1])
        spread = (second / (1 - BETAS[1] ** self.steps)).sqrt_().add_(EPSILON)
        self.weights.sub_(first / spread * (rate / (1 - BETAS[0] ** self.steps))[:, None])
        self.mean.lerp_(self.weights, average_rate(self.steps, lambda least, rate: rate.clamp(min=least)).to(self.mean.dtype))

    def swap(self) -> None:
        """Exchange the averaged weights with the networks' own, in place."""
        held = self.weights.clone()
        self.weights.copy_(self.mean)
        self.mean.copy_(held)

    def put_back(self, net: nn.Module, weights: Tensor) -> None:
        """Copy one network's weights, [K], into it."""
        with torch.no_grad():
            own = dict(net.named_parameters())
            sizes = [own[name].numel() for name in self.parameters]
            for name, part in zip(self.parameters, weights.split(sizes), strict=True):
                own[name].copy_(part.view_as(own[name]))


def refuse_unlike(nets: Sequence[nn.Module], copies: Sequence[nn.Module]) -> None:
    """Raise `FusedError` unless the networks differ in tensors and in shares of dropout alone, and have nothing but weights to keep."""
    first = nets[0]
    who = type(first).__name__
    names = [name for name, _ in first.named_parameters()]
    if [name for name, _ in copies[0].named_parameters()] != names:
        raise FusedError(f"{who} shares layers between its parts; such networks are trained alone")
    if others := set(first.state_dict()) - set(names):
        raise FusedError(f"{who} keeps more than weights ({', '.join(sorted(others))}); such networks are trained alone")
    if not all(weight.requires_grad for weight in first.parameters()):
        raise FusedError(f"{who} has weights that do not learn; such networks are trained alone")
    for copy in copies[1:]:
        if unlike := _difference(copies[0], copy):
            raise FusedError(f"networks of {who} differ in {unlike}; only those that share it are trained as one program")


def _difference(one: nn.Module, other: nn.Module) -> str:
    """Name the first thing, values of tensors apart, in which two networks differ; empty: there is none."""
    parts, others = dict(one.named_modules()), dict(other.named_modules())
    if list(parts) != list(others):
        return "their layers"
    for name, part in parts.items():
        own, its = _plain(part), _plain(others[name])
        if type(part) is not type(others[name]) or own.keys() != its.keys():
            return f"the kind of {name or 'the network'}"
        for key, value in own.items():
            if not _same(value, its[key]):
                return ".".join(filter(None, (name, key)))
    tensors, theirs = ({**dict(net.named_parameters()), **dict(net.named_buffers())} for net in (one, other))
    return next((f"the shape of {name}" for name, tensor in tensors.items() if tensor.shape != theirs[name].shape), "")


def _plain(part: nn.Module) -> Mapping[str, Any]:
    """Return what a layer knows beside its tensors and parts."""
    return {} if isinstance(part, OwnDropout) else {name: value for name, value in vars(part).items() if not name.startswith("_")}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other)
    if is_dataclass(one) and type(one) is type(other):
        return all(_same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    return bool(one == other)
