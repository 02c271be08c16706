"""The variational autoencoder itself (Kingma and Welling 2014): dense layers to a normal latent and back, reparameterised."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from bench.api import Array, ChurnInputs, Context, Params
from bench.neural.churn import ChurnEncoder
from bench.neural.loop import row_by_row
from bench.neural.noise import normal_like
from bench.neural.sizes import Sizes
from bench.neural.torch_model import TorchModel, last


class VAE(nn.Module):
    """What is read -> dense -> half as wide -> a normal latent -> back -> what is written; the decoder may be `told` more."""

    beta: Tensor

    def __init__(self, sizes: Sizes, params: Params, read: int, written: int, told: int = 0) -> None:
        super().__init__()
        wide, latent = params["hidden"], params["latent"]
        self.sizes = sizes
        # a tensor: networks that differ in it may be trained as one program
        self.register_buffer("beta", torch.tensor(float(params["beta"])), persistent=False)
        self.encoder = dense(read, wide, wide // 2)
        self.latent = nn.Linear(wide // 2, 2 * latent)
        self.decoder = nn.Sequential(dense(latent + told, wide // 2, wide), nn.Linear(wide, written))

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:  # [N, D] -> [N, Z] twice
        """Return mean and log-variance of the latent."""
        mean, logvar = self.latent(self.encoder(x)).chunk(2, 1)
        return mean, logvar.clamp(-10, 10)

    def sampled(self, x: Tensor) -> tuple[Tensor, Tensor]:  # [N, D] -> [N, Z], [N]
        """Draw a latent, and give the divergence of its distribution from the prior (times beta: Higgins et al. 2017)."""
        mean, logvar = self.posterior(x)
        divergence = (mean**2 + logvar.exp() - 1 - logvar).sum(1) / 2
        return mean + (logvar / 2).exp() * normal_like(mean), self.beta * divergence


class ShowsLatent(TorchModel):
    """A model that shows where each user lies in its latent (`bench.Insight`), and reads a user's last steps as one row of numbers."""

    by_step = False

    def insight(self, inputs: ChurnInputs, ctx: Context) -> Mapping[str, Array]:
        """Return the mean of each user's latent, float32 [N, Z]; of other tasks nothing."""
        encoder = self.fitted()
        if not isinstance(encoder, ChurnEncoder):
            return {}
        net: Any = self.network
        return {"embedding": row_by_row(net, encoder.prediction_rows(inputs), ctx, lambda x, n: net.posterior(net.row(x, n)[0])[0])}


def dense(*widths: int) -> nn.Sequential:
    """Stack dense layers, each with a ReLU."""
    return nn.Sequential(*(layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())))


def recent(x: Tensor, length: Tensor, steps: int) -> tuple[Tensor, Tensor]:  # -> [N, steps (F + 1)], [N, steps, 1]
    """Return the last steps, aligned to the right and flat, zeros before the first; beside the features, and again: the step exists."""
    there = (torch.arange(steps, device=x.device) >= steps - length[:, None])[..., None].to(x.dtype)
    return torch.cat([last(x, length, steps) * there, there], 2).flatten(1), there
