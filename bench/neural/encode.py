"""What a network sees of a task: inputs to scaled numbers, and raw outputs to predictions. One encoder a task.

An encoder learns its vocabulary and scalers from training rows alone, and knows no framework.
Letters for shapes: E events, N rows, F features of a step, S features of a row, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from scipy.special import expit

from bench.api import Array, ChurnInputs, ChurnTrain
from bench.errors import PluginError
from bench.neural.batches import Sequences

MAX_KINDS = 16
"""Most kinds that get an indicator of their own; rarer ones count as unknown."""


class Encoder(Protocol):
    """Stand between a task and a network: sizes, loss and link belong to the task, not to the model."""

    loss: ClassVar[str]
    """Name of the loss in `bench.neural.loop.LOSSES`."""

    @property
    def outputs(self) -> int:
        """Count the numbers that the network gives for a row, O."""

    def encode(self, inputs: Any) -> Sequences:
        """Turn inputs into scaled sequences; with their target where the inputs are labelled."""

    def link(self, raw: Array) -> Array:
        """Turn raw outputs [N, O] into predictions."""

    def state(self) -> dict[str, Any]:
        """Give what was learnt, ready for JSON."""


@dataclass(frozen=True)
class Scaler:
    """Standardise columns by training rows; a column that was constant there becomes 0 and cannot surprise."""

    mean: list[float]
    factor: list[float]

    @classmethod
    def fit(cls, x: Array) -> Scaler:
        """Learn mean and spread of each column; `x`: float64 [N, F]."""
        if len(x) == 0:
            return cls([0.0] * x.shape[1], [0.0] * x.shape[1])
        spread = x.std(axis=0)
        varies = spread > 1e-6 * (1 + np.abs(x).max(axis=0))
        return cls(x.mean(axis=0).tolist(), np.divide(1.0, spread, out=np.zeros_like(spread), where=varies).tolist())

    def scale(self, x: Array) -> Array:
        """Standardise `x` [N, F]; returns float32 [N, F]."""
        return ((x - np.array(self.mean)) * np.array(self.factor)).astype(np.float32)


@dataclass(frozen=True)
class ChurnEncoder:
    """Encode a user's past: on each step what happened and when, beside it the aggregates of the whole past."""

    horizon: float
    """Days: the unit of recency and gap."""
    kinds: list[str]
    """Kinds with an indicator."""
    steps: Scaler
    rows: Scaler
    loss: ClassVar[str] = "bce"
    outputs: ClassVar[int] = 1

    @classmethod
    def fit(cls, train: ChurnTrain, horizon: float) -> ChurnEncoder:
        """Learn vocabulary and scalers from `train`."""
        seen = np.bincount(train.kind, minlength=len(train.kinds))[1:]  # without 0, the unknown
        common = sorted(np.argsort(-seen, kind="stable")[:MAX_KINDS])
        kinds = [train.kinds[at + 1] for at in common if seen[at] > 0]
        steps = Scaler.fit(_step_features(train, horizon, kinds))
        return cls(horizon, kinds, steps, Scaler.fit(_row_features(train)))

    def encode(self, inputs: ChurnInputs) -> Sequences:
        """Turn inputs into sequences of log features; the target is 1 where the user churned."""
        target = inputs.y if isinstance(inputs, ChurnTrain) else np.zeros(0)
        return Sequences(
            offsets=inputs.offsets,
            features=self.steps.scale(_step_features(inputs, self.horizon, self.kinds)),
            context=self.rows.scale(_row_features(inputs)),
            target=target[:, None].astype(np.float32),
        )

    def link(self, raw: Array) -> Array:
        """Turn logits [N, 1] into P(churn), float64 [N]."""
        return np.asarray(expit(raw[:, 0].astype(np.float64)))

    def state(self) -> dict[str, Any]:
        """Give vocabulary and scalers, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ChurnEncoder:
        """Make the encoder again from its `state`."""
        return cls(state["horizon"], state["kinds"], Scaler(**state["steps"]), Scaler(**state["rows"]))


def encoder_for(train: Any, horizon: float) -> Encoder:
    """Choose and fit the encoder of the task that `train` belongs to."""
    if isinstance(train, ChurnTrain):
        return ChurnEncoder.fit(train, horizon)
    raise PluginError(f"networks know no encoder for {type(train).__name__}; they serve churn")


def signed_log(x: Array) -> Array:
    """Compress both tails, keeping sign and 0: sign(x) log(1 + |x|); missing becomes 0."""
    return np.asarray(np.sign(x) * np.log1p(np.abs(np.nan_to_num(np.asarray(x, np.float64)))))


def _step_features(inputs: ChurnInputs, horizon: float, kinds: list[str]) -> Array:
    """Give unscaled step features, float64 [E, 4 + K]."""
    days = [np.log1p(inputs.days_before_cutoff / horizon), np.log1p(inputs.gap / horizon)]
    size = [signed_log(inputs.value), np.log1p(inputs.count)]
    column = {name: at for at, name in enumerate(inputs.kinds)}
    which = [inputs.kind == column.get(name, -1) for name in kinds]
    return np.stack([*days, *size, *which], axis=1).astype(np.float64)


def _row_features(inputs: ChurnInputs) -> Array:
    """Give unscaled features of the whole past, float64 [N, S]."""
    return signed_log(inputs.static)
