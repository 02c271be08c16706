"""A variational autoencoder of bags (Liang et al. 2018), one a step: the items up to it give those that follow."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.api import Params
from bench.neural.next_net import NextNet
from bench.neural.sizes import Sizes
from bench_plugins import _vae_shared as shared
from bench_plugins._vae_torch import VAE

FREE = 0.5
"""Nats that each number of the latent may tell for nothing (Kingma et al. 2016), lest it tell nothing at all."""


class Bag(VAE):
    """Sum of the steps' vectors, of length one -> latent -> decoded; the body of a network of next events."""

    def __init__(self, sizes: Sizes, params: Params, width: int) -> None:
        super().__init__(sizes, params, read=width, written=width)
        self.free = params["beta"] * params["latent"] * FREE

    def forward(self, x: Tensor, length: Tensor) -> Tensor | tuple[Tensor, Tensor]:  # [N, T, D], [N] -> [N, T, D]; [N, T]
        """Decode the latent's mean; in training one that is drawn, with its divergence."""
        bag = x.cumsum(1) / torch.arange(1, x.shape[1] + 1, device=x.device).sqrt()[:, None]  # as long as one vector, where they differ
        if not self.training:
            return self.decoded(self.posterior(bag.flatten(0, 1))[0], x)
        z, divergence = self.sampled(bag.flatten(0, 1))
        return self.decoded(z, x), (divergence - self.free).clamp(min=0).view(x.shape[:2])

    def decoded(self, z: Tensor, x: Tensor) -> Tensor:  # [N T, Z] -> [N, T, D]
        """Decode each step's latent, in the shape of x."""
        out: Tensor = self.decoder(z).view_as(x)
        return out


def bags(sizes: Sizes, params: Params) -> NextNet:
    """Make the network of next events; half of what was seen is hidden, as its source does."""
    return NextNet(sizes.each, params["hidden"], shared.HIDDEN, Bag(sizes, params, params["hidden"]))
