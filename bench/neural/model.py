"""A base for plugins that are networks: they give a network, this gives training and prediction in any framework.

`bench.neural.torch_model` and `bench.neural.keras_model` add what a framework does.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from bench.api import Array, Context, Model, Value
from bench.errors import PluginError
from bench.neural.anomaly import View
from bench.neural.batches import Rows
from bench.neural.churn import ChurnEncoder
from bench.neural.continued import Continued
from bench.neural.encode import Encoder, encoder_for
from bench.neural.next_event import NextEncoder
from bench.neural.shown import shown_choices
from bench.neural.sizes import Sizes
from bench.neural.training import TrainingRecipe

STATE = "state.json"
ROWS = 20_000
"""Windows of next events that a training goes through: on MovieLens, 2,700 windows, five epochs end far too early."""
PATIENCE = 2
"""Epochs without a better holdout loss before a network of next events stops: its curve is smooth, an epoch long."""
CALM = 10_000
"""Rows without a better holdout loss after which a network of churn or anomalies stops, between two epochs and five.

Of 467 trainings on four real churn logs, five epochs each, two epochs of patience end 3 to 11 % of the epochs earlier and forgo at most
.0003 of the loss on average; on logs of a few hundred rows trained for fifteen epochs they forgo up to .03, so those keep five.
"""
PRETRAINED = 0.6
"""Share of the epochs for which a network first learns how sequences go on: on the latest validations of seven logs, two seeds each,
`seq2seq` is by .0003 (standard error .0005) better than with all five epochs of the profile `short`."""
FORECASTS = "pinball"
"""The loss of forecasts, for which the learning rate falls."""


class NetworkModel(Model):
    """A network with the task's own encoding, loss and link; a plugin adds `net` or `make`, `space` and `default`.

    Of `params`, `lr`, `batch`, `patience` and `clip` steer the training; the others belong to the network.
    """

    deterministic: ClassVar[bool] = False
    view: ClassVar[View] = "echo"
    """What an anomaly task shows: `echo` suits any network, since no step's answer stands among its inputs."""
    causal: ClassVar[bool] = False
    """True goes with the view `lagged` and a network whose answer at a step uses no later step."""
    pretrain: ClassVar[bool] = False
    """True: where events are classified, the network first learns how sequences go on; layers of the same shapes are kept."""

    by_step: ClassVar[bool] = True
    """False: of a user it reads a set number of steps as one row of numbers."""

    def __init__(self, params: Any) -> None:
        super().__init__(params)
        self.encoder: Encoder | None = None
        self.network: Any = None

    @classmethod
    def choices(cls, task: str) -> Mapping[str, Sequence[Value]]:
        """Return what users may be seen by beside the usual; see `bench.neural.shown`.

        One that first learns how sequences go on is shown nothing more: on seven logs `seq2seq` lost by FEATURES and by items.
        """
        return shown_choices(by_step=cls.by_step) if task == "churn" and not cls.pretrain else {}

    def net(self, f: int, o: int) -> Any:
        """Make a network that knows no more than two sizes: (x [N, T, F] right-padded, length [N]) -> raw [N, O]."""
        raise PluginError(f"{self.name} makes no network of {f} features and {o} outputs; write `net` or `make`")

    def make(self, sizes: Sizes) -> Any:
        """Make the network, called in the same way; by default `net`, which need not know that O = steps x each."""
        return self.net(sizes.f, sizes.o)

    def fit(self, train: Any, ctx: Context) -> None:
        """Train on `train` less the core's holdout, which decides when to stop; too little data: on all of it.

        Of forecasts the last steps tell most, and they are the holdout: once it has told how many epochs are best, the
        network is trained anew on all of `train`. Where there are too few epochs to lose patience, nothing is held out.
        """
        fit, held = train.holdout(ctx.seed)
        encoder = self.encoder = self.encoded(fit if len(fit) else train, ctx)
        with self.seeded(ctx):
            self.network = self.begun(encoder)
            if self.pretrain and isinstance(encoder, ChurnEncoder):
                before = Continued(encoder)
                other = self.make(before.sizes)
                first = replace(ctx, on_epoch=None, epochs=math.ceil(PRETRAINED * ctx.epochs))
                self.learnt(other, before, train, (fit, held), first)
                self.adopt(other)
            recipe = self.recipe(encoder)
            if not recipe.falling:
                self.learnt(self.network, encoder, train, (fit, held), ctx)
            elif ctx.epochs <= recipe.patience:
                self.run(self.network, recipe, (encoder.training_rows(train, ctx), None), ctx)
            elif (epochs := self.learnt(self.network, encoder, train, (fit, held), ctx)) and not ctx.should_stop():
                self.again(encoder, train, epochs, ctx)

    def begun(self, encoder: Encoder) -> Any:
        """Make the network; one of next events begins from what simple counts say."""
        network = self.make(encoder.sizes)
        if isinstance(encoder, NextEncoder):
            network.begin(encoder.everybody.share, encoder.gate)
        return network

    def encoded(self, train: Any, ctx: Context) -> Encoder:
        """Choose and fit the encoder: that of the task, unless a plugin has another."""
        return encoder_for(train, ctx, self.view, self.params)

    def learnt(self, network: Any, encoder: Encoder, train: Any, parts: tuple[Any, Any], ctx: Context) -> int:
        """Train a network in place on the first of `parts`, judged by the second, and return how many epochs did best.

        Where one of the parts is empty: on `train`, and 0.
        """
        rows, judged = encoder.training_rows(parts[0], ctx), encoder.holdout_rows(parts[1])
        enough = len(rows) > 0 and len(judged) > 0
        return self.run(network, self.recipe(encoder), (rows, judged) if enough else (encoder.training_rows(train, ctx), None), ctx)

    def again(self, encoder: Encoder, train: Any, epochs: int, ctx: Context) -> None:
        """Train a new network on all of `train`; the one before stays where the time does not suffice for that."""
        stopped: list[bool] = []
        fresh = self.begun(encoder)
        noted = replace(ctx, epochs=epochs, on_stop=lambda: stopped.append(True))
        self.run(fresh, self.recipe(encoder), (encoder.training_rows(train, ctx), None), noted)
        if not stopped:
            self.network = fresh

    def predict(self, inputs: Any, ctx: Context) -> Any:
        """Predict for each row; padding never leaks, so a row's answer does not depend on its neighbours."""
        encoder = self.fitted()
        if isinstance(encoder, NextEncoder):
            return encoder.answered(inputs, lambda rows: self.outputs(rows, ctx))
        rows = encoder.prediction_rows(inputs)
        raw = self.outputs(rows, ctx) if len(rows) else np.zeros((0, encoder.sizes.o), np.float32)
        return encoder.decode(raw, inputs)

    def recipe(self, encoder: Encoder) -> TrainingRecipe:
        """Read from the task what to learn, and from the parameters how."""
        own = {name: self.params[name] for name in ("lr", "batch", "patience", "clip") if name in self.params}
        if isinstance(encoder, NextEncoder):
            own.setdefault("patience", PATIENCE)
            return TrainingRecipe(encoder.loss, rows=ROWS, **own)
        falling = encoder.loss == FORECASTS
        calm = 0 if falling or "patience" in own else CALM
        return TrainingRecipe(encoder.loss, levels=encoder.levels, falling=falling, calm=calm, **own)

    def fitted(self) -> Encoder:
        """Return the encoder, or say that nothing was learnt yet."""
        if self.encoder is None or self.network is None:
            raise PluginError(f"{self.name} was asked before `fit` or `load`")
        return self.encoder

    @abstractmethod
    def run(self, network: Any, recipe: TrainingRecipe, rows: tuple[Rows, Rows | None], ctx: Context) -> int:
        """Train a network in place on the first of `rows`, judged by the second, and return how many epochs did best; 0: not judged."""

    @abstractmethod
    def outputs(self, rows: Rows, ctx: Context) -> Array:
        """Ask the network for its raw outputs, float32 [N, O]."""

    @abstractmethod
    def adopt(self, other: Any) -> None:
        """Take over the weights of another network of the same kind, all that have the same shape."""

    @abstractmethod
    def seeded(self, ctx: Context) -> AbstractContextManager[None]:
        """Seed the framework for the training inside."""
