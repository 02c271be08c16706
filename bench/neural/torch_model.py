"""A base for torch plugins: they give a network, this gives training, prediction, saving and loading."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from bench.api import Array, Context, Model, Params, Runtime
from bench.errors import PluginError
from bench.neural.encode import Encoder, encoder_for, encoder_from
from bench.neural.loop import Loop, Recipe, outputs

WEIGHTS, STATE = "weights.safetensors", "state.json"


class TorchModel(Model):
    """A torch network with the task's own encoding, loss and link; a plugin adds `net`, `space` and `default`.

    Of `params`, `lr`, `batch`, `patience` and `clip` steer the training; the others belong to the network.
    """

    runtime: ClassVar[Runtime] = "torch"
    deterministic: ClassVar[bool] = False

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.encoder: Encoder | None = None
        self.network: nn.Module | None = None

    @abstractmethod
    def net(self, f: int, o: int) -> nn.Module:
        """Make the network: `forward(x [N, T, F] right-padded, length [N]) -> raw outputs [N, O]`."""

    def fit(self, train: Any, ctx: Context) -> None:
        """Train on `train` less the core's holdout, which decides when to stop; too few users: on all of it."""
        fit, held = train.holdout(ctx.seed)
        fit, held = (fit, held) if len(fit) and len(held) else (train, None)
        encoder = self.encoder = encoder_for(fit, ctx.horizon)
        with seeded(ctx):
            self.network = self.net(encoder.width, encoder.outputs)
            loop = Loop(self.network, self.recipe(encoder.loss), ctx)
            loop.run(encoder.encode(fit), None if held is None else encoder.encode(held))

    def predict(self, inputs: Any, ctx: Context) -> Array:
        """Predict for each row; padding never leaks, so a row's answer does not depend on its neighbours."""
        encoder, network = self.fitted()
        if len(inputs) == 0:
            return encoder.link(np.zeros((0, encoder.outputs)))
        torch.set_num_threads(ctx.threads)
        return encoder.link(outputs(network, encoder.encode(inputs), ctx))

    def save(self, folder: Path) -> None:
        """Write the weights and, as JSON, the encoder."""
        encoder, network = self.fitted()
        weights = {name: w.detach().cpu().contiguous() for name, w in network.state_dict().items()}
        save_file(weights, folder / WEIGHTS)
        (folder / STATE).write_text(json.dumps(encoder.state()))

    def load(self, folder: Path) -> None:
        """Read back weights and encoder."""
        self.encoder = encoder_from(json.loads((folder / STATE).read_text()))
        self.network = self.net(self.encoder.width, self.encoder.outputs)
        self.network.load_state_dict(load_file(folder / WEIGHTS))

    def recipe(self, loss: str) -> Recipe:
        """Read from the parameters how to train."""
        return Recipe(loss, **{name: self.params[name] for name in ("lr", "batch", "patience", "clip") if name in self.params})

    def fitted(self) -> tuple[Encoder, nn.Module]:
        """Give encoder and network, or say that there are none yet."""
        if self.encoder is None or self.network is None:
            raise PluginError(f"{self.name} was asked before `fit` or `load`")
        return self.encoder, self.network


@contextmanager
def seeded(ctx: Context) -> Iterator[None]:
    """Seed torch for the training inside, with the caller's own random state put back after it."""
    torch.set_num_threads(ctx.threads)
    with torch.random.fork_rng(devices=[torch.device(ctx.device)] if ctx.device.startswith("cuda") else []):
        torch.manual_seed(ctx.seed)
        yield
