"""What tests of fused trainings share: small networks in float64, and the one loop drawing as members do, as the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from bench.api import Context
from bench.neural import training
from bench.neural.batches import Sequences, batches
from bench.neural.cells import written_out
from bench.neural.fused import Member
from bench.neural.loop import Loop
from bench.neural.noise import drawn_from, step_keys
from bench.neural.sizes import Sizes
from bench.neural.training import TrainingRecipe
from bench_plugins import lstm, self_attention, seq2seq, vae

F = 6
SIZES = Sizes("churn", F, longest=9, beside=2)
NETS = {
    "lstm": lambda k: lstm.Net(F, 1, 8, 0.1 * (k % 4)),
    "self-attention": lambda k: self_attention.Net(SIZES, 8, 2, 0.1 * (k % 4)),
    "seq2seq": lambda k: seq2seq.Net(SIZES, 8, 0.1 * (k % 4)),
    "vae": lambda k: vae.Classification(SIZES, {"hidden": 8, "latent": 3, "beta": 0.5 + k % 4}),
}


def rows_of(n, seed=0, longest=9):
    """Make rows of `longest` steps, or of 1 up to it where it is negative."""
    rng = np.random.default_rng(seed)
    length = np.full(n, longest) if longest > 0 else rng.integers(1, 1 - longest, n)
    offsets = np.r_[0, np.cumsum(length)]
    target = (rng.random((n, 1)) < 0.5).astype(np.float32)
    context = rng.normal(size=(n, 2)).astype(np.float32)
    return Sequences(offsets, rng.normal(size=(offsets[-1], F - 2)).astype(np.float32), context, target)


ONE_STEP, HUNDRED = rows_of(20), rows_of(150, longest=-9)
"""Rows for one step, and for about a hundred in 14 epochs."""


def member(name, k, ctx=None, **recipe):
    """Make member k: rates, dropout, weights and seed of its own; no batch grows."""
    torch.manual_seed(k)
    own = {"lr": 1e-3 * (1 + k % 5), "clip": 0.5 + k % 2, "rows": 1} | recipe
    return Member(NETS[name](k).double(), TrainingRecipe("bce", **own), Context(seed=100 + k, **(ctx or {"epochs": 2})))


def weights(net):
    """Return all weights as one vector."""
    return torch.cat([p.detach().flatten() for p in net.parameters()])


@dataclass
class Alone(Loop):
    """The loop that trains one network, in float64, drawing by `bench.neural.noise`."""

    at: int = 0

    def lost(self, x, length, target):
        key = step_keys(torch.tensor([self.ctx.seed]), torch.tensor(self.at))[0]
        self.at += 1
        self.levels = self.levels.double()
        with drawn_from(key):
            if self.objective is None:
                return self.loss(self.net(x.double(), length), target.double())
            return self.objective(x.double(), length, target.double(), self.loss)

    def loss_sum(self, held):
        self.net.eval()
        total = 0.0
        with torch.no_grad():
            for batch in batches(held.lengths, 512):
                x, length, target = self.given(held, batch)
                total += self.loss(self.net(x.double(), length), target.double()).item()
        return total


def alone(one, fit, held, monkeypatch):
    """Train a member by the loop, with the members' common order of lengths; returns the network and its best number of epochs."""
    monkeypatch.setattr(training, "batches", lambda lengths, size, seed: batches(lengths, size, seed, turn=seed[1]))
    net = written_out(one.net)
    return net, Alone(net, one.recipe, one.ctx).run(fit, held)
