"""A base for torch plugins: they give a network, this gives training, prediction, saving and loading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import ClassVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.api import Array, Context, Runtime
from bench.neural.batches import Rows
from bench.neural.encode import encoder_from
from bench.neural.loop import Loop, outputs
from bench.neural.model import STATE, NetworkModel
from bench.neural.training import TrainingRecipe

WEIGHTS = "weights.safetensors"


class TorchModel(NetworkModel):
    """A torch network: an `nn.Module` whose `forward` takes x [N, T, F], right-padded, and length [N], and gives raw [N, O]."""

    runtime: ClassVar[Runtime] = "torch"
    network: nn.Module

    def run(self, network: nn.Module, recipe: TrainingRecipe, rows: tuple[Rows, Rows | None], ctx: Context) -> int:
        """Train a network in place on the first of `rows`, judged by the second, and return how many epochs did best."""
        return Loop(network, recipe, ctx).run(*rows)

    def outputs(self, rows: Rows, ctx: Context) -> Array:
        """Ask the network for its raw outputs, float32 [N, O]."""
        torch.set_num_threads(ctx.threads)
        return outputs(self.network, rows, ctx)

    def adopt(self, other: nn.Module) -> None:
        """Take over the weights of another network of the same kind, all that have the same shape."""
        own = self.network.state_dict()
        fitting = {name: w for name, w in other.state_dict().items() if own[name].shape == w.shape}
        self.network.load_state_dict(own | fitting)

    def save(self, folder: Path) -> None:
        """Write the weights and, as JSON, the encoder."""
        encoder = self.fitted()
        weights = {name: w.detach().cpu().contiguous() for name, w in self.network.state_dict().items()}
        save_file(weights, folder / WEIGHTS)
        (folder / STATE).write_text(json.dumps(encoder.state()))

    def load(self, folder: Path) -> None:
        """Read back weights and encoder."""
        self.encoder = encoder_from(json.loads((folder / STATE).read_text()))
        self.network = self.begun(self.encoder)
        self.network.load_state_dict(load_file(folder / WEIGHTS))

    def seeded(self, ctx: Context) -> AbstractContextManager[None]:
        """Seed torch for the training inside, with the caller's own random state put back after it."""
        return seeded(ctx)


def last(h: Tensor, length: Tensor, steps: int) -> Tensor:
    """Select the last `steps` steps of each row; `h`: [N, T, D] right-padded, `length`: [N]. Returns [N, steps, D]."""
    at = (length[:, None] - steps + torch.arange(steps, device=h.device)).clamp(min=0)  # [N, steps]
    return h[torch.arange(len(h), device=h.device)[:, None], at]


@contextmanager
def seeded(ctx: Context) -> Iterator[None]:
    """Seed torch for the training inside, with the caller's own random state put back after it."""
    torch.set_num_threads(ctx.threads)
    with torch.random.fork_rng(devices=[torch.device(ctx.device)] if ctx.device.startswith("cuda") else []):
        torch.manual_seed(ctx.seed)
        yield
