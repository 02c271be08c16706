"""A torch network of next events: items to vectors, a body that reads them in order, and one score for each item.

The items that are scored have vectors of their own: with shared ones, as is usual, what stands at a step is added to the
answer of self-attention and scores itself, and small data did not teach it otherwise.

Sources: Hidasi et al. (2016) for next items by a recurrent network; Klenitskiy and Vasilev (2023): self-attention trained
with the softmax over the whole catalogue. Letters for shapes: N rows, T steps, D width, I items.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from bench.neural.next_event import ANSWERED


class NextNet(nn.Module):
    """Item and gap -> body -> scores of all items.

    Rows with answers, x [N, T, 3], give the mean cross-entropy of each row's steps, [N, 1]; rows without, x [N, T, 2], the
    scores after their last step, [N, I].
    """

    def __init__(self, items: int, width: int, dropout: float, body: nn.Module) -> None:
        super().__init__()
        self.items = items
        self.vectors = nn.Embedding(items + 1, width)  # the last one for what is not in the catalogue
        nn.init.normal_(self.vectors.weight, std=width**-0.5)
        self.gap = nn.Linear(1, width)
        self.answers = nn.Linear(width, items)
        self.dropout = nn.Dropout(dropout)
        self.body = body

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        """Return losses [N, 1] where the answers stand beside the steps, else scores [N, I]."""
        h = self.body(self.dropout(self.vectors(x[..., 0].long()) + self.gap(x[..., 1:2])), length)  # [N, T, D]
        if x.shape[2] < ANSWERED:
            scores: Tensor = self.answers(h[torch.arange(len(h), device=h.device), length - 1])
            return scores
        answer = x[..., 2].long()
        inside = (torch.arange(x.shape[1], device=x.device) < length[:, None]) & (answer < self.items)
        each = F.cross_entropy(self.answers(h[inside]), answer[inside], reduction="none")
        row = torch.arange(len(x), device=x.device)[:, None].expand_as(inside)[inside]
        total = torch.zeros(len(x), device=x.device).index_add(0, row, each.float())
        return (total / inside.sum(1).clamp(min=1))[:, None]
