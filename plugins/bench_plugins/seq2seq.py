"""Sequence to sequence: an encoder reads the context, a decoder runs over the steps that are asked and looks back by attention.

Cho et al. 2014 (encoder and decoder of gated recurrent units), Luong et al. 2015 (attention, "general" score), Wen et al. 2017
(all quantiles of all future steps at once: the decoder is fed what is known of those steps, never its own output). Without
attention it is the autoencoder of Malhotra et al. 2016: all that the decoder knows of a window is the encoder's last state,
which stands beside each of its steps (Cho et al.). Users are classified from their last step, by a network that first
learnt to continue their sequences (Dai and Le 2015). Next events: the encoder's states, and what each looks up among those
before it (Li et al. 2017).
"""

from __future__ import annotations

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from torch import Tensor, nn

from bench.api import Model, Params, hookimpl
from bench.neural.next_net import NextNet
from bench.neural.noise import Dropout
from bench.neural.sizes import Sizes
from bench.neural.torch_model import TorchModel, last


class Attention(nn.Module):
    """Look up the steps of the context that match what the decoder knows."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.score = nn.Linear(hidden, hidden, bias=False)

    def forward(self, query: Tensor, memory: Tensor, context: Tensor) -> Tensor:  # [N, S, D], [N, T, D], [N] -> [N, S, D]
        """Average the first `context` steps of the memory by how they match; where there are none, zeros."""
        inside = torch.arange(memory.shape[1], device=memory.device) < context[:, None]  # [N, T]
        score = self.score(query) @ memory.transpose(1, 2)  # [N, S, T]
        weight = score.masked_fill(~inside[:, None], -1e9).softmax(2) * inside[:, None]
        found: Tensor = weight @ memory
        return found


class Net(nn.Module):
    """GRU over the context -> GRU over the last steps, begun with its state -> what is looked up beside it -> dense."""

    def __init__(self, sizes: Sizes, hidden: int, dropout: float) -> None:
        super().__init__()
        self.steps = sizes.steps
        self.encoder = nn.GRU(sizes.f, hidden, batch_first=True)
        self.decoder = nn.GRU(sizes.f, hidden, batch_first=True)
        self.attention = None if sizes.task == "anomaly" else Attention(hidden)  # it would copy the window
        self.mix = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.Tanh(), Dropout(dropout))
        self.dense = nn.Linear(hidden, sizes.each)

    def forward(self, x: Tensor, length: Tensor) -> Tensor:  # [N, T, F], [N] -> [N, O]
        """Read each row's context, all but its last `steps`, then answer at each of those."""
        context = length - self.steps  # [N]
        memory, _ = self.encoder(x[:, : max(x.shape[1] - self.steps, 1)])  # [N, T', hidden]: no longer context is there
        state = last(memory, context, 1) * (context > 0)[:, None, None]  # [N, 1, hidden]
        h, _ = self.decoder(last(x, length, self.steps), state.transpose(0, 1).contiguous())  # [N, steps, hidden]
        found = state.expand_as(h) if self.attention is None else self.attention(h, memory, context)
        raw: Tensor = self.dense(self.mix(torch.cat([h, found], 2)))  # [N, steps, each]
        return raw.flatten(1)


class Body(nn.Module):
    """GRU -> what each step looks up among the states up to it, beside its own -> dense: the body of a network of next events."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.encoder = nn.GRU(width, hidden, batch_first=True)
        self.score = nn.Linear(hidden, hidden, bias=False)
        self.mix = nn.Sequential(nn.Linear(2 * hidden, width), nn.Tanh(), Dropout(dropout))

    def forward(self, x: Tensor, length: Tensor) -> Tensor:  # [N, T, D], [N] -> [N, T, D]
        """Read each row up to each of its steps, and look back from there."""
        h, _ = self.encoder(x)  # [N, T, hidden]
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        weight = (self.score(h) @ h.transpose(1, 2)).masked_fill(later, -1e9).softmax(2)  # [N, T, T]
        out: Tensor = self.mix(torch.cat([h, weight @ h], 2))
        return out


class Seq2Seq(TorchModel):
    """Encoder and decoder with attention; an autoencoder where a window is to be reconstructed, pre-trained where users are classified."""

    name = "seq2seq"
    tasks = frozenset({"forecasting", "churn", "anomaly", "next-event"})
    view = "echo"
    causal = False
    pretrain = True

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Return size, regularisation and the optimiser's two numbers."""
        return {
            "hidden": IntDistribution(16, 256, log=True),
            "dropout": FloatDistribution(0.0, 0.5),
            "lr": FloatDistribution(1e-4, 1e-2, log=True),
            "batch": CategoricalDistribution((32, 64, 128)),
        }

    @staticmethod
    def default() -> Params:
        """Return 64 units, a little dropout, Adam at 2e-3."""
        return {"hidden": 64, "dropout": 0.1, "lr": 2e-3, "batch": 32}

    def make(self, sizes: Sizes) -> nn.Module:
        """Make the network; items are ranked by one whose steps look back at those before them."""
        hidden, dropout = self.params["hidden"], self.params["dropout"]
        if sizes.task == "next-event":
            return NextNet(sizes.each, hidden, dropout, Body(hidden, hidden, dropout))
        return Net(sizes, hidden, dropout)


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the one model of this file."""
    return [Seq2Seq]
