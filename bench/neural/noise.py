"""Random numbers of networks: dropout that is cheap on a CPU, and draws that belong to one training.

The latter depend on the training's seed, its step and the draw's place alone.

Trainings that run as one program (`bench.neural.fused`) then draw what each would draw alone, in whatever company. The numbers
are counter-based (Salmon et al. 2011): a counter is hashed as SplitMix64 does (Steele, Lea and Flood 2014), which is a few
operations on whole tensors, works under `vmap`, and may be captured in a CUDA graph. Outside `drawn_from`, draws come from
torch's own generators, as ever.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

GOLDEN, FIRST, SECOND = (word - 2**64 for word in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
"""The increment and the factors of SplitMix64, as the signed numbers that torch has; products wrap around."""
BITS = 24
"""Random bits of a uniform number: as many as float32 tells apart."""
FEW = 4096
"""Places below which dropout is drawn as torch draws it: the masks cost less than the calls."""
LANES, LEVELS = 4, 1 << 16
"""Places that one random number of 64 bits decides about in dropout on a CPU, and what a share is rounded to: 1 / `LEVELS`."""


@dataclass
class Stream:
    """What one step of a training draws from."""

    key: Tensor
    """int64 []."""
    calls: int = 0
    """Draws so far; each has numbers of its own."""


_open: list[Stream] = []


@contextmanager
def drawn_from(key: Tensor) -> Iterator[None]:
    """Let what is drawn inside depend on `key`, int64 [], and on the order of the draws."""
    _open.append(Stream(key))
    try:
        yield
    finally:
        _open.pop()


class Dropout(nn.Dropout):
    """Dropout as torch's, drawn on a CPU from 16 bits a place: a third of the time, where masks are a tenth of a small network's.

    The share is rounded to 1 / 65,536, and what is kept is scaled by the share that is: the mean stays what it was.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop in training alone."""
        if not self.training or not 0 < self.p < 1 or x.numel() < FEW or x.device.type != "cpu":
            return F.dropout(x, self.p, self.training)
        dropped_levels = min(round(self.p * LEVELS), LEVELS - 1)
        drawn = torch.empty(-(-x.numel() // LANES), dtype=torch.int64).random_(-(2**63), None)
        mask = (drawn.view(torch.int16)[: x.numel()] >= dropped_levels - LEVELS // 2).to(x.dtype)
        return x * mask.mul_(LEVELS / (LEVELS - dropped_levels)).view(x.shape)


def normal_like(x: Tensor) -> Tensor:
    """Draw standard normal numbers, as many as `x` has."""
    if not _open:
        return torch.randn_like(x)
    above = 1 - uniform_like(x)  # in (0, 1]: its logarithm is a number
    return (-2 * above.log()).sqrt() * (2 * math.pi * uniform_like(x)).cos()  # Box and Muller 1958


def dropped(x: Tensor, share: Tensor) -> Tensor:
    """Put a share of the numbers to 0 and scale the others up, as dropout does; `share`: []."""
    kept = (uniform_like(x) >= share).to(x.dtype)
    return x * (kept / (1 - share).clamp(min=2.0**-BITS))


def uniform_like(x: Tensor) -> Tensor:
    """Draw numbers in [0, 1), as many as `x` has, from the stream that is open."""
    stream = _open[-1]
    stream.calls += 1
    own = mixed(stream.key + stream.calls)
    counter = torch.arange(1, x.numel() + 1, device=x.device).view(x.shape)
    return shifted(mixed(own + counter * GOLDEN), 64 - BITS).to(x.dtype) * 2.0**-BITS


def step_keys(seeds: Tensor, step: Tensor) -> Tensor:
    """Make the key of each training's step; `seeds`: int64 [P], `step`: int64 []. Returns int64 [P]."""
    return mixed(mixed(seeds) + step * GOLDEN)


def mixed(x: Tensor) -> Tensor:
    """Hash int64 numbers one by one: the output function of SplitMix64."""
    x = (x ^ shifted(x, 30)) * FIRST
    x = (x ^ shifted(x, 27)) * SECOND
    return x ^ shifted(x, 31)


def shifted(x: Tensor, bits: int) -> Tensor:
    """Shift int64 numbers to the right as if they had no sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
