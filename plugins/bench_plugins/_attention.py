"""What the Transformer encoder attends to: the weights of its last block, which the fused attention does not give back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.api import Array, ChurnInputs, Context
from bench.neural.churn import ChurnEncoder
from bench.neural.loop import step_by_step
from bench.neural.torch_model import TorchModel


class ShowsAttention(TorchModel):
    """A model that shows how its answer rests on a user's steps (`bench.Insight`)."""

    def insight(self, inputs: ChurnInputs, ctx: Context) -> Mapping[str, Array]:
        """Return the weight of each step in the last block, seen from the last step, float32 [E]; of other tasks nothing."""
        encoder = self.fitted()
        if not isinstance(encoder, ChurnEncoder):
            return {}
        rows = encoder.prediction_rows(inputs)
        return {"step_weights": step_by_step(self.network, rows, ctx, lambda x, length: last_block(self.network, x, length))}


def last_block(net: Any, x: Tensor, length: Tensor) -> Tensor:  # [N, T, F], [N] -> [N, T]
    """Run the network up to its last block, and weigh there what comes in."""
    seen: list[Tensor] = []

    def weigh(block: Any, given: tuple[Tensor, ...]) -> None:
        seen.append(weights(block, *given))

    hook = net.blocks[-1].register_forward_pre_hook(weigh)
    try:
        net(x, length)
    finally:
        hook.remove()
    return seen[0].mean(1)


def weights(block: Any, x: Tensor, inside: Tensor, step: Tensor) -> Tensor:  # [N, T, D], [N, T], [N, 1] -> [N, heads, T]
    """Return softmax(q k / sqrt(d)) of one step against all that it may look at (Vaswani et al. 2017, 3.2.1)."""
    own: nn.Linear = block.qkv
    n, t, d = x.shape
    heads = block.heads
    q, k, _ = own(block.before(x)).view(n, t, 3, heads, d // heads).permute(2, 0, 3, 1, 4)  # [N, heads, T, D / heads]
    asked = q.gather(2, step[:, None, :, None].expand(-1, heads, -1, d // heads))
    rated = (asked @ k.transpose(2, 3))[:, :, 0] / math.sqrt(d // heads)  # [N, heads, T]
    may = inside & (torch.arange(t, device=x.device) <= step)
    found: Tensor = rated.masked_fill(~may[:, None], -math.inf).softmax(2)
    return found
