"""A base for torch plugins: they give a network, this gives training, prediction, saving and loading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.api import Context, Model, Params, Runtime
from bench.errors import PluginError
from bench.neural.anomaly import View
from bench.neural.encode import Encoder, encoder_for, encoder_from
from bench.neural.loop import Loop, Recipe, outputs
from bench.neural.sizes import Sizes

WEIGHTS, STATE = "weights.safetensors", "state.json"


class TorchModel(Model):
    """A torch network with the task's own encoding, loss and link; a plugin adds `net` or `make`, `space` and `default`.

    Of `params`, `lr`, `batch`, `patience` and `clip` steer the training; the others belong to the network.
    """

    runtime: ClassVar[Runtime] = "torch"
    deterministic: ClassVar[bool] = False
    view: ClassVar[View] = "echo"
    """What an anomaly task shows: `echo` suits any network, since no step's answer stands among its inputs."""
    causal: ClassVar[bool] = False
    """True goes with the view `lagged` and a network whose answer at a step uses no later step."""

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.encoder: Encoder | None = None
        self.network: nn.Module | None = None

    def net(self, f: int, o: int) -> nn.Module:
        """Make a network that knows no more than two sizes: `forward(x [N, T, F] right-padded, length [N]) -> raw [N, O]`."""
        raise PluginError(f"{self.name} makes no network of {f} features and {o} outputs; write `net` or `make`")

    def make(self, sizes: Sizes) -> nn.Module:
        """Make the network, with the same `forward`; by default `net`, which need not know that O = steps x each."""
        return self.net(sizes.f, sizes.o)

    def fit(self, train: Any, ctx: Context) -> None:
        """Train on `train` less the core's holdout, which decides when to stop; too little data: on all of it."""
        fit, held = train.holdout(ctx.seed)
        encoder = self.encoder = encoder_for(fit if len(fit) else train, ctx, self.view)
        rows, judged = encoder.training(fit, ctx), encoder.held(held)
        enough = len(rows) > 0 and len(judged) > 0
        with seeded(ctx):
            self.network = self.make(encoder.sizes)
            loop = Loop(self.network, self.recipe(encoder), ctx)
            loop.run(*((rows, judged) if enough else (encoder.training(train, ctx), None)))

    def predict(self, inputs: Any, ctx: Context) -> Any:
        """Predict for each row; padding never leaks, so a row's answer does not depend on its neighbours."""
        encoder, network = self.fitted()
        torch.set_num_threads(ctx.threads)
        rows = encoder.asked(inputs)
        raw = outputs(network, rows, ctx) if len(rows) else np.zeros((0, encoder.sizes.o), np.float32)
        return encoder.decode(raw, inputs)

    def save(self, folder: Path) -> None:
        """Write the weights and, as JSON, the encoder."""
        encoder, network = self.fitted()
        weights = {name: w.detach().cpu().contiguous() for name, w in network.state_dict().items()}
        save_file(weights, folder / WEIGHTS)
        (folder / STATE).write_text(json.dumps(encoder.state()))

    def load(self, folder: Path) -> None:
        """Read back weights and encoder."""
        self.encoder = encoder_from(json.loads((folder / STATE).read_text()))
        self.network = self.make(self.encoder.sizes)
        self.network.load_state_dict(load_file(folder / WEIGHTS))

    def recipe(self, encoder: Encoder) -> Recipe:
        """Read from the task what to learn, and from the parameters how."""
        own = {name: self.params[name] for name in ("lr", "batch", "patience", "clip") if name in self.params}
        return Recipe(encoder.loss, levels=encoder.levels, **own)

    def fitted(self) -> tuple[Encoder, nn.Module]:
        """Give encoder and network, or say that there are none yet."""
        if self.encoder is None or self.network is None:
            raise PluginError(f"{self.name} was asked before `fit` or `load`")
        return self.encoder, self.network


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
