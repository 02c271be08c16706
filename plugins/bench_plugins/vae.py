"""Variational autoencoders (Kingma and Welling 2014) for the four tasks; `_vae_torch` holds encoder, latent and decoder.

Anomalies: the window is reconstructed from its latent's mean, and a step scores by what it loses (An and Cho 2015; the
divergence is one number a window and tells no steps apart). Churn: a classifier on the latent, trained with the reconstruction
(Kingma et al. 2014). Forecasts: told of the context (Sohn et al. 2015); quantiles of futures drawn from the prior. Next events: bags.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from optuna.distributions import BaseDistribution
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from bench.api import Model, Params, hookimpl
from bench.neural.sizes import Sizes
from bench.neural.torch_model import last
from bench_plugins import _vae_shared as shared
from bench_plugins._vae_bag import bags
from bench_plugins._vae_torch import VAE, ShowsLatent, dense, recent

Loss = Callable[[Tensor, Tensor], Tensor]


class Reconstruction(VAE):
    """Reconstructs a window."""

    def __init__(self, sizes: Sizes, params: Params) -> None:
        super().__init__(sizes, params, read=sizes.steps * sizes.f, written=sizes.steps)

    def window(self, x: Tensor, length: Tensor) -> Tensor:  # [N, 2 S, F], [N] -> [N, S F]
        """Return the steps that are shown; the others follow them."""
        return last(x, length - self.sizes.steps, self.sizes.steps).flatten(1)

    def forward(self, x: Tensor, length: Tensor) -> Tensor:  # -> [N, S]
        """Decode the latent's mean."""
        raw: Tensor = self.decoder(self.posterior(self.window(x, length))[0])
        return raw

    def objective(self, x: Tensor, length: Tensor, target: Tensor, loss: Loss) -> Tensor:
        """Return the negative bound, a step, in units of the noise: the task's loss is half of a squared error where that is small."""
        z, divergence = self.sampled(self.window(x, length))
        return loss(self.decoder(z), target) + shared.NOISE * divergence.sum() / self.sizes.steps


class Classification(VAE):
    """Reconstructs a row's last steps and its aggregates, and predicts beside it what becomes of the user."""

    def __init__(self, sizes: Sizes, params: Params) -> None:
        span = min(sizes.longest, shared.SPAN)
        numbers = span * (sizes.f - sizes.beside + 1) + sizes.beside
        super().__init__(sizes, params, read=numbers, written=numbers)
        self.span = span
        self.dense = nn.Linear(params["latent"], 1)

    def row(self, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:  # [N, T, F], [N] -> [N, D] twice
        """Return the last steps, then the aggregates; and which of these numbers are real."""
        own, beside = x.split([self.sizes.f - self.sizes.beside, self.sizes.beside], 2)
        steps, there = recent(own, length, self.span)
        real = there.expand(-1, -1, own.shape[2] + 1).flatten(1)
        return torch.cat([steps, beside[:, 0]], 1), torch.cat([real, torch.ones_like(beside[:, 0])], 1)

    def forward(self, x: Tensor, length: Tensor) -> Tensor:  # -> [N, 1]
        """Classify by the latent's mean."""
        raw: Tensor = self.dense(self.posterior(self.row(x, length)[0])[0])
        return raw

    def objective(self, x: Tensor, length: Tensor, target: Tensor, loss: Loss) -> Tensor:
        """Add to the task's loss the negative bound, a number read, in units of the noise."""
        row, real = self.row(x, length)
        z, divergence = self.sampled(row)
        error = (real * (self.decoder(z) - row) ** 2).sum(1) / 2
        bound: Tensor = ((error + shared.NOISE * divergence) / real.sum(1)).sum()
        return loss(self.dense(z), target) + bound


class Prediction(VAE):
    """Reconstructs what came after a context, conditioned on the context, as a Laplace distribution at each step.

    What is known of a step also goes straight to its distribution (the highway of Lai et al. 2018): it gained much on naive.
    """

    def __init__(self, sizes: Sizes, params: Params) -> None:
        told = params["hidden"] // 2
        super().__init__(sizes, params, read=told + 2 * sizes.steps, written=2 * sizes.steps, told=told)
        self.context = dense(sizes.longest * (sizes.f + 1), 2 * told, told)
        self.highway = nn.Linear(sizes.f, 2)
        self.normal, self.laplace = shared.normal(params["latent"]), shared.laplace(sizes.steps)  # [S, Z], [S, H]

    def read(self, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:  # [N, T, F], [N] -> [N, C], [N, H, 2]
        """Read the context with what is known of the steps that are asked, as one code and as one answer a step."""
        return self.context(recent(x, length, self.sizes.longest)[0]), self.highway(last(x, length, self.sizes.steps))

    def decoded(self, z: Tensor, code: Tensor, straight: Tensor) -> tuple[Tensor, Tensor]:  # [..., Z] -> [..., H] twice
        """Return median and spread of each step; `code`: [..., C], `straight`: [..., H, 2]."""
        raw = self.decoder(torch.cat([z, code], -1)).unflatten(-1, (-1, 2)) + straight
        return raw[..., 0], F.softplus(raw[..., 1]) + shared.LEAST

    def forward(self, x: Tensor, length: Tensor) -> Tensor:  # -> [N, H Q]
        """Draw futures, and give their quantiles."""
        drawn = (self.normal, self.laplace, *shared.ranks(self.sizes.levels))
        normal, laplace, low, high, between = (torch.from_numpy(part).to(x.device) for part in drawn)
        code, straight = self.read(x, length)
        many = code[:, None].expand(-1, len(normal), -1)  # [N, S, C]
        median, spread = self.decoded(normal.expand(len(x), -1, -1), many, straight[:, None])
        future = (median + spread * laplace).sort(1).values  # [N, S, H]
        return future[:, low].lerp(future[:, high], between[:, None]).transpose(1, 2).flatten(1)

    def objective(self, x: Tensor, length: Tensor, target: Tensor, loss: Loss) -> Tensor:
        """Return the negative bound, a step; the task's loss, of quantiles, has no part in it."""
        code, straight = self.read(x, length)
        there, known = ~target.isnan(), target.nan_to_num()  # [N, H]
        z, divergence = self.sampled(torch.cat([code, known, there], 1))
        median, spread = self.decoded(z, code, straight)
        error = ((known - median).abs() / spread + spread.log()) * there
        return ((error.sum(1) + divergence) / there.sum(1).clamp(min=1)).sum()


NETS: dict[str, Callable[[Sizes, Params], VAE]] = {"churn": Classification, "forecasting": Prediction, "anomaly": Reconstruction}


class Vae(ShowsLatent):
    """The textbooks' variational autoencoder; its default is their reference configuration."""

    name = "vae"
    tasks = frozenset({"churn", "forecasting", "anomaly", "next-event"})
    view = "echo"
    causal = False

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Return sizes, the weight of the divergence and the optimiser's two numbers."""
        return shared.space()

    @staticmethod
    def default() -> Params:
        """Return dense 64 -> 32 -> latent of 8 -> 32 -> 64; Adam at 3e-3, batch 32."""
        return shared.default()

    def make(self, sizes: Sizes) -> nn.Module:
        """Make the network of the task."""
        return bags(sizes, self.params) if sizes.task == "next-event" else NETS[sizes.task](sizes, self.params)


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the one model of this file."""
    return [Vae]
