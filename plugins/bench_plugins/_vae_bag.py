"""A variational autoencoder of bags (Liang et al. 2018): a history's items give those that followed them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from bench.api import Params
from bench.neural.next_event import ANSWERED
from bench.neural.sizes import Sizes
from bench_plugins import _vae_shared as shared
from bench_plugins._vae_torch import VAE

Loss = Callable[[Tensor, Tensor], Tensor]


class Bag(VAE):
    """Predicts which items followed those of a window, whatever their order: the score of each is its logit."""

    def __init__(self, sizes: Sizes, params: Params) -> None:
        super().__init__(sizes, params, read=sizes.each, written=sizes.each)
        self.dropout = nn.Dropout(shared.HIDDEN)

    def seen(self, x: Tensor, length: Tensor) -> Tensor:  # [N, T, 2 or 3], [N] -> [N, I]
        """Mark the items of each row, each row of length one."""
        inside = torch.arange(x.shape[1], device=x.device) < length[:, None]
        return F.normalize(self.counted(x[..., 0], inside).clamp(max=1.0), dim=1)

    def counted(self, item: Tensor, inside: Tensor) -> Tensor:  # [N, T], [N, T] -> [N, I]
        """Count the items of each row that are inside it and in the catalogue."""
        at = torch.where(inside, item, float(self.sizes.each)).long()
        return torch.zeros(len(item), self.sizes.each + 1, device=item.device).scatter_add(1, at, torch.ones_like(item))[:, :-1]

    def lost(self, logits: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:  # [N, I], [N, T, 3] -> [N] twice
        """Return the summed negative log-likelihood of the answers, and how many there are, at least one."""
        came = self.counted(x[..., 2], x[..., 2] < self.sizes.each)
        return -(came * F.log_softmax(logits, 1)).sum(1), came.sum(1).clamp(min=1)

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        """Decode the latent's mean: losses [N, 1] where the answers stand beside the steps, else scores [N, I]."""
        logits: Tensor = self.decoder(self.posterior(self.seen(x, length))[0])
        if x.shape[2] < ANSWERED:
            return logits
        loss, count = self.lost(logits, x)
        return (loss / count)[:, None]

    def objective(self, x: Tensor, length: Tensor, target: Tensor, loss: Loss) -> Tensor:
        """Return the negative bound, an answer; half of what was seen is hidden, as its source does."""
        z, divergence = self.sampled(self.dropout(self.seen(x, length)))
        own, count = self.lost(self.decoder(z), x)
        return ((own + divergence) / count).sum()
