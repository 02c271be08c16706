"""Self-attention (Vaswani et al. 2017): a small Transformer encoder, normalised before each part (Xiong et al. 2020).

It is causal: no step looks at a later one. Only where hidden steps are to be reconstructed does it look both ways.
Events come when they will: theirs is a time beside a place, encoded by sines of learnt rates (Kazemi et al. 2019).
"""

from __future__ import annotations

import math

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from bench.api import Model, Params, hookimpl
from bench.neural.next_net import NextNet
from bench.neural.noise import Dropout
from bench.neural.sizes import Sizes
from bench_plugins._attention import ShowsAttention

HEADS = 4


class Block(nn.Module):
    """Attention, then two dense layers; each adds to what came in."""

    def __init__(self, width: int, dropout: float, *, causal: bool) -> None:
        super().__init__()
        self.causal, self.heads = causal, HEADS
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.dense = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), Dropout(dropout), nn.Linear(2 * width, width))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, inside: Tensor, step: Tensor | None = None) -> Tensor:  # [N, T, D], [N, T] -> [N, T, D]
        """Look at earlier steps, which are real where the step itself is; or at all real steps. With `step` [N, S]: `at`."""
        if step is not None:
            return self.at(x, inside, step)
        n, t, d = x.shape
        q, k, v = self.qkv(self.before(x)).view(n, t, 3, HEADS, d // HEADS).permute(2, 0, 3, 1, 4)  # [N, heads, T, D / heads]
        mask = None if self.causal else inside[:, None, None]
        return self.added(x, F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=self.causal))

    def at(self, x: Tensor, inside: Tensor, step: Tensor) -> Tensor:  # [N, T, D], [N, T], [N, S] -> [N, S, D]
        """Do the same for some steps alone: those that no later block looks at need not be made."""
        n, t, d = x.shape
        row, z = torch.arange(n, device=x.device)[:, None], self.before(x)
        own, (to_q, to_kv) = z[row, step], self.qkv.weight.split((d, 2 * d))
        bias_q, bias_kv = self.qkv.bias.split((d, 2 * d))
        q = F.linear(own, to_q, bias_q).view(n, -1, HEADS, d // HEADS).transpose(1, 2)  # [N, heads, S, D / heads]
        k, v = F.linear(z, to_kv, bias_kv).view(n, t, 2, HEADS, d // HEADS).permute(2, 0, 3, 1, 4)  # [N, heads, T, D / heads]
        seen = torch.arange(t, device=x.device) <= step[..., None] if self.causal else inside[:, None]  # [N, S or 1, T]
        return self.added(x[row, step], F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None]))

    def added(self, x: Tensor, seen: Tensor) -> Tensor:  # [N, S, D], [N, heads, S, D / heads] -> [N, S, D]
        """Add to each step what it saw, then what the dense layers make of both."""
        x = x + self.dropout(self.mix(seen.transpose(1, 2).reshape(x.shape)))
        out: Tensor = x + self.dropout(self.dense(self.between(x)))
        return out


class Net(nn.Module):
    """Dense -> plus the place, and the time, of each step -> blocks -> norm -> dense."""

    def __init__(self, sizes: Sizes, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.steps = sizes.steps
        self.read = nn.Linear(sizes.f, width)
        self.time = nn.Linear(1, width) if sizes.task == "churn" else None
        self.blocks = nn.ModuleList(Block(width, dropout, causal=sizes.task != "anomaly") for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.dense = nn.Linear(width, sizes.each)

    def forward(self, x: Tensor, length: Tensor) -> Tensor:  # [N, T, F], [N] -> [N, O]
        """Answer at each row's last `steps`; what is padded behind them is never looked at."""
        step = torch.arange(x.shape[1], device=x.device)
        h = self.read(x) + place(step - length[:, None], self.read.out_features)  # counted from the end, where all rows are alike
        if self.time is not None:
            h = h + self.time(x[..., :1]).sin()  # the first feature of an event: its distance from the cut-off
        *before, final = self.blocks
        inside = step < length[:, None]
        for block in before:
            h = block(h, inside)
        asked = (length[:, None] - self.steps + torch.arange(self.steps, device=x.device)).clamp(min=0)  # [N, steps]
        raw: Tensor = self.dense(self.norm(final(h, inside, asked)))  # [N, steps, each]
        return raw.flatten(1)


class Body(nn.Module):
    """Place of each step -> blocks -> norm: the body of a network of next events; no step looks at a later one."""

    def __init__(self, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, dropout, causal=True) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, length: Tensor) -> Tensor:  # [N, T, D], [N] -> [N, T, D]
        """Answer at each step from those up to it."""
        step = torch.arange(x.shape[1], device=x.device)
        h = x + place(step, x.shape[2])[None]
        for block in self.blocks:
            h = block(h, step < length[:, None])
        out: Tensor = self.norm(h)
        return out


def place(step: Tensor, width: int) -> Tensor:
    """Report where a step stands by sines and cosines of wave lengths from 2 pi to 10,000 (Vaswani et al.); [...] to [..., width]."""
    rate = torch.exp(torch.arange(0, width, 2, device=step.device) * (-math.log(10_000.0) / width))
    angle = step[..., None] * rate
    return torch.cat([angle.sin(), angle.cos()], -1)


class SelfAttention(ShowsAttention):
    """A Transformer encoder of one to four layers."""

    name = "self-attention"
    tasks = frozenset({"forecasting", "churn", "anomaly", "next-event"})
    view = "hidden"
    causal = False

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Return size, regularisation and the optimiser's two numbers."""
        return {
            "width": CategoricalDistribution((32, 64, 128)),
            "layers": IntDistribution(1, 4),
            "dropout": FloatDistribution(0.0, 0.5),
            "lr": FloatDistribution(1e-4, 1e-2, log=True),
            "batch": CategoricalDistribution((32, 64, 128)),
        }

    @staticmethod
    def default() -> Params:
        """Return two layers of 64, a little dropout, Adam at 1e-3."""
        return {"width": 64, "layers": 2, "dropout": 0.1, "lr": 1e-3, "batch": 32}

    def make(self, sizes: Sizes) -> nn.Module:
        """Make the network."""
        width, layers, dropout = (self.params[name] for name in ("width", "layers", "dropout"))
        if sizes.task == "next-event":
            return NextNet(sizes.each, width, dropout, Body(width, layers, dropout))
        return Net(sizes, width, layers, dropout)


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the one model of this file."""
    return [SelfAttention]
