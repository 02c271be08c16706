"""A torch network of next events: items to vectors, a body that reads them in order, and one score for each item.

The items that are scored have the vectors of those that are read, turned by a matrix of its own: without it, what stands at
a step is added to the answer of self-attention and scores itself. The network learns how far an item's chance departs from
what everybody takes, and its answer is mixed with the user's own past (see `own_past`) by weights that it computes at each
step. Of a large catalogue a training step sees a sample, drawn by popularity and weighed as in importance sampling (Bengio
and Senecal 2003): as long as the network says what everybody says, it is exact.

Sources: Hidasi et al. (2016) for next items by a recurrent network; Klenitskiy and Vasilev (2023): self-attention trained
with the softmax over the whole catalogue; Ren et al. (2019) for the choice between repeating and exploring. Letters for
shapes: N rows, T steps, D width, I items, J answers of a step, C components, S snapshots, m steps with an answer.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from bench.api import Array
from bench.neural.next_event import ANSWER, SEEN
from bench.neural.noise import Dropout
from bench.neural.own_past import AT_ONCE, COMPONENTS, NEGATIVES, TINY


class NextNet(nn.Module):
    """What is seen -> body -> scores of all items, and weights of the components; no step looks at a later one.

    `body`: [N, T, D], lengths [N] -> [N, T, D], or of that and what each step costs beside its loss, [N, T]. Rows with
    answers, x [N, T, SEEN + J ANSWER], give each row's mean loss, [N, 1]; rows without, x [N, T, SEEN], the scores after
    their last step and those of the components, [N, I + C].
    """

    popular: Tensor

    def __init__(self, items: int, width: int, dropout: float, body: nn.Module) -> None:
        super().__init__()
        self.items = items
        self.vectors = nn.Embedding(items + 1, width)  # the last one for what is not in the catalogue
        nn.init.normal_(self.vectors.weight, std=width**-0.5)
        self.beside = nn.Linear(SEEN - 2, width)
        self.turn = nn.Linear(width, width, bias=False)
        nn.init.normal_(self.turn.weight, std=0.1 * width**-0.5)  # begins near what everybody takes
        self.gate = nn.Linear(width, COMPONENTS)
        nn.init.zeros_(self.gate.weight)
        # not saved: the encoder knows it
        self.register_buffer("popular", torch.full((1, items), -math.log(items)), persistent=False)
        self.dropout = Dropout(dropout)
        self.body = body

    def begin(self, popularity: Array, gate: Array) -> None:
        """Begin as the mixture of what everybody takes, float32 [S, I], and the own past; `gate` float64 [C]."""
        self.popular = torch.from_numpy(popularity).log()
        with torch.no_grad():
            self.gate.bias.copy_(torch.from_numpy(gate).log())

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        """Return losses [N, 1] where the answers stand beside the steps, else scores [N, I + C]."""
        read = self.body(self.dropout(self.vectors(x[..., 0].long()) + self.beside(x[..., 1 : SEEN - 1])), length)
        h, cost = read if isinstance(read, tuple) else (read, x.new_zeros(x.shape[:2]))  # [N, T, D], [N, T]
        if x.shape[2] == SEEN:
            own = h[torch.arange(len(h), device=h.device), length - 1]
            return torch.cat([self.logits(own, length.new_zeros(len(own))), self.gate(own)], 1)
        answer = x[..., SEEN:].unflatten(2, (-1, ANSWER))  # [N, T, J, ANSWER]
        inside = (torch.arange(x.shape[1], device=x.device) < length[:, None]) & (answer[..., 0] < self.items).any(2)
        count = inside.sum(1).clamp(min=1)
        each = self.lost(h[inside], x[..., SEEN - 1][inside].long(), answer[inside])
        row = torch.arange(len(x), device=x.device)[:, None].expand_as(inside)[inside]
        total = torch.zeros(len(x), device=x.device).index_add(0, row, each.float())
        loss: Tensor = ((total + (cost * inside).sum(1) / count) / count)[:, None]
        return loss

    def logits(self, h: Tensor, snapshot: Tensor) -> Tensor:  # [m, D], [m] -> [m, I]
        """Score all items by what is popular and what the network adds."""
        return F.linear(self.turn(h), self.vectors.weight[:-1]) + self.popular[snapshot]

    def lost(self, h: Tensor, snapshot: Tensor, answer: Tensor) -> Tensor:  # [m, D], [m], [m, J, ANSWER] -> [m]
        """Return the mean negative log-likelihood of each step's answers under the mixture."""
        item, there = answer[..., 0].long().clamp(max=self.items - 1), answer[..., 0] < self.items
        if self.training and self.items > 2 * NEGATIVES:
            own = self.sampled(h, snapshot, item)
        else:
            parts = [part.split(max(1, AT_ONCE // self.items)) for part in (h, snapshot, item)]
            own = torch.cat([self.exact(*part) for part in zip(*parts, strict=True)])
        said = torch.cat([own[..., None], answer[..., 1:].clamp(min=TINY).log()], 2)  # [m, J, C]
        each = (self.gate(h).log_softmax(1)[:, None] + said).logsumexp(2) * there
        loss: Tensor = -each.sum(1) / there.sum(1)
        return loss

    def exact(self, h: Tensor, snapshot: Tensor, item: Tensor) -> Tensor:  # [m, D], [m], [m, J] -> [m, J]
        """Compute the network's own log-chances of items."""
        logits = self.logits(h, snapshot)
        return logits.gather(1, item) - logits.logsumexp(1, keepdim=True)

    def sampled(self, h: Tensor, snapshot: Tensor, item: Tensor) -> Tensor:  # [m, D], [m], [m, J] -> [m, J]
        """Estimate the same from items drawn by their popularity, each standing for as much as it is rarely drawn."""
        share = self.popular.exp().mean(0)  # [I]
        drawn = torch.multinomial(share, NEGATIVES, replacement=True)
        weight = share[drawn].log() + math.log(NEGATIVES)
        h = self.turn(h)
        rest = (F.linear(h, self.vectors(drawn)) + self.popular[:, drawn][snapshot] - weight).logsumexp(1, keepdim=True)
        mine = (h[:, None] * self.vectors(item)).sum(2) + self.popular[snapshot[:, None], item]
        return -F.softplus(rest - mine)
