"""What a network sees of a task: inputs to scaled numbers, and raw outputs to predictions. One encoder a task.

An encoder learns its vocabulary and scalers from training data alone, and knows no framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from bench.api import Array, ChurnTrain, Context, Panel
from bench.data.ranking import NextTrain
from bench.errors import PluginError
from bench.neural.anomaly import AnomalyEncoder, View
from bench.neural.batches import Rows
from bench.neural.churn import ChurnEncoder
from bench.neural.direct import DirectEncoder
from bench.neural.forecasting import ForecastEncoder
from bench.neural.next_event import NextEncoder
from bench.neural.shown import Shown
from bench.neural.sizes import Sizes


class Encoder(Protocol):
    """Stand between a task and a network: sizes, loss and link belong to the task, not to the model."""

    @property
    def loss(self) -> str:
        """Name the loss in `bench.neural.loop.LOSSES`."""

    @property
    def levels(self) -> tuple[float, ...]:
        """Return the levels of the quantiles, where quantiles are learnt."""

    @property
    def sizes(self) -> Sizes:
        """Return the sizes of the network."""

    def training_rows(self, fit: Any, ctx: Context) -> Rows:
        """Return the rows to learn from, with their target."""

    def holdout_rows(self, holdout: Any) -> Rows:
        """Return the rows, with their target, that decide when to stop."""

    def prediction_rows(self, inputs: Any) -> Rows:
        """Return the rows whose outputs `decode` needs."""

    def decode(self, raw: Array, inputs: Any) -> Any:
        """Turn the raw outputs of these rows, float32 [N, O], into what `predict` returns."""

    def state(self) -> dict[str, Any]:
        """Return what was learnt, ready for JSON."""


def encoder_for(train: Any, ctx: Context, view: View, params: Mapping[str, Any] = MappingProxyType({})) -> Encoder:
    """Choose and fit the encoder of the task that `train` belongs to; `params`: the model's, some of which choose what is shown."""
    if isinstance(train, ChurnTrain):
        return ChurnEncoder.fit(train, ctx.horizon, Shown.of(params))
    if isinstance(train, Panel):
        return ForecastEncoder.fit(train, ctx) if train.horizon else AnomalyEncoder.fit(train, ctx, view)
    if isinstance(train, NextTrain):
        return NextEncoder.fit(train, ctx)
    raise PluginError(f"networks have no encoder for {type(train).__name__}; they serve ChurnTrain, NextTrain and Panel")


def encoder_from(state: Mapping[str, Any]) -> Encoder:
    """Make an encoder again from its `state`."""
    match state.get("task"):
        case "churn":
            return ChurnEncoder.from_state(state)
        case "forecasting":
            return ForecastEncoder.from_state(state)
        case "direct":
            return DirectEncoder.from_state(state)
        case "anomaly":
            return AnomalyEncoder.from_state(state)
        case "next-event":
            return NextEncoder.from_state(state)
        case other:
            raise PluginError(f"the stored model serves the task {other!r}; networks have none for it")
