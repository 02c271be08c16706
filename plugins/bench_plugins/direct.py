"""Direct: a linear map and dense layers from a window to all quantiles of all its future steps at once; the mean of several members.

A linear map from the past is a strong forecaster by itself (Zeng et al. 2023); dense residual layers beside it are what
N-BEATS (Oreshkin et al. 2020) and TiDE (Das et al. 2023) are built of. The members differ by their first weights alone,
are trained side by side as one batched program, and their quantiles are averaged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from bench.api import Context, Model, Panel, Params, hookimpl
from bench.neural.direct import DirectEncoder
from bench.neural.sizes import Sizes
from bench.neural.torch_model import TorchModel


class Dense(nn.Module):
    """One dense layer for each of K members: [K, n, D] to [K, n, W]."""

    def __init__(self, members: int, d: int, width: int, size: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(members, d, width).uniform_(-1, 1) * size * d**-0.5)
        self.bias = nn.Parameter(torch.zeros(members, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        """Map each member's rows."""
        return torch.baddbmm(self.bias, x, self.weight)


class Net(nn.Module):
    """A linear map, and beside it dense -> two residual blocks -> dense; K times."""

    def __init__(self, sizes: Sizes, members: int, width: int, dropout: float) -> None:
        super().__init__()
        self.members, self.dropout = members, dropout
        self.straight = Dense(members, sizes.f, sizes.o, 0.1)
        self.read, self.write = Dense(members, sizes.f, width), Dense(members, width, sizes.o, 0.1)
        self.blocks = nn.ModuleList(Dense(members, width, width) for _ in range(2))

    def each(self, x: Tensor) -> Tensor:  # [n, 1, D] -> [K, n, O]
        """Ask all members."""
        rows = x.transpose(0, 1).expand(self.members, -1, -1)
        h = F.dropout(F.relu(self.read(rows)), self.dropout, self.training)
        for block in self.blocks:
            h = h + F.dropout(F.relu(block(h)), self.dropout, self.training)
        out: Tensor = self.straight(rows) + self.write(h)
        return out

    def forward(self, x: Tensor, length: Tensor) -> Tensor:  # [n, 1, D], [n] -> [n, O]
        """Average the members."""
        return self.each(x).mean(0)

    def objective(self, x: Tensor, length: Tensor, target: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Sum the members' own losses: none learns from what another knows."""
        return torch.stack([loss(raw, target) for raw in self.each(x)]).sum()


class Direct(TorchModel):
    """A global direct multi-horizon network; forecasting alone."""

    name = "direct"
    tasks = frozenset({"forecasting"})

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Return size, regularisation and the optimiser's two numbers."""
        return {
            "members": IntDistribution(1, 5),
            "width": CategoricalDistribution((64, 128, 256, 512)),
            "dropout": FloatDistribution(0.0, 0.5),
            "lr": FloatDistribution(1e-4, 1e-2, log=True),
            "batch": CategoricalDistribution((128, 256, 512)),
        }

    @staticmethod
    def default() -> Params:
        """Return three members of 128 units, some dropout, Adam at 2e-3, batch 256."""
        return {"members": 3, "width": 128, "dropout": 0.2, "lr": 2e-3, "batch": 256}

    def encoded(self, train: Panel, ctx: Context) -> Any:
        """Choose flat rows."""
        return DirectEncoder.fit(train, ctx)

    def make(self, sizes: Sizes) -> nn.Module:
        """Make the network."""
        return Net(sizes, self.params["members"], self.params["width"], self.params["dropout"])


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the one model of this file."""
    return [Direct]
