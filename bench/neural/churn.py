"""What a network sees of the churn task: a user's past as scaled sequences, and logits as probabilities.

Letters for shapes: E events, N rows, F features of a step, S features of a row, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit

from bench.api import Array, ChurnInputs, ChurnTrain, Context
from bench.neural.batches import Sequences
from bench.neural.item_vectors import ItemVectors
from bench.neural.shown import Shown
from bench.neural.sizes import Sizes

MAX_KINDS = 16
"""Most kinds that get an indicator of their own; rarer ones count as unknown."""
FAR = 5.0
"""Widest departure from the mean that is shown where more than the usual is, in standard deviations."""


@dataclass(frozen=True)
class Scaler:
    """Standardise columns by training rows; a column that was constant there becomes 0 and cannot surprise later."""

    mean: list[float]
    factor: list[float]

    @classmethod
    def fit(cls, columns: list[Array]) -> Scaler:
        """Learn mean and spread of each column, [N] each."""
        moments = [(float(c.mean(dtype=np.float64)), float(c.std(dtype=np.float64))) if len(c) else (0.0, 0.0) for c in columns]
        varies = [spread > 1e-6 * (1 + abs(mean)) for mean, spread in moments]
        return cls([mean for mean, _ in moments], [1 / spread if v else 0.0 for v, (_, spread) in zip(varies, moments, strict=True)])

    def scale(self, columns: list[Array]) -> Array:
        """Standardise columns, [N] each; returns float32 [N, F]."""
        scaled = np.empty((len(columns[0]), len(columns)), np.float32)
        for at, column in enumerate(columns):
            scaled[:, at] = (column - self.mean[at]) * self.factor[at]
        return scaled


@dataclass(frozen=True)
class ChurnEncoder:
    """Encode a user's past: on each step what happened and when, beside it the aggregates of the whole past.

    The aggregates stand on every step, so that a network needs to know of one input only. On CDNOW that, joining them
    to the last state and leaving them out scored alike; on CollegeMsg (73 and 76 test users: weak evidence) leaving
    them out was worst and the other two within noise of each other.
    """

    horizon: float
    """Days: the unit of recency and gap."""
    kinds: list[str]
    """Kinds with an indicator."""
    steps: Scaler
    rows: Scaler
    longest: int = 1
    """Steps of the longest row of training."""
    shown: Shown = field(default_factory=Shown)
    """What stands beside the usual."""
    items: ItemVectors = field(default_factory=ItemVectors)
    loss: ClassVar[str] = "bce"
    levels: ClassVar[tuple[float, ...]] = ()

    @classmethod
    def fit(cls, train: ChurnTrain, horizon: float, shown: Shown | None = None) -> ChurnEncoder:
        """Learn vocabularies and scalers from `train`."""
        shown = shown or Shown()
        items = ItemVectors() if shown.items == "none" else ItemVectors.fit(train)
        longest, none = int(train.lengths.max(initial=1)), Scaler([], [])
        begun = cls(horizon, common_kinds(train), none, none, longest, shown, items)
        return replace(begun, steps=Scaler.fit(begun.step_columns(train)), rows=Scaler.fit(begun.row_columns(train)))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ChurnEncoder:
        """Make the encoder again from its `state`; those of older models name nothing that is shown beside the usual."""
        scalers = Scaler(**state["steps"]), Scaler(**state["rows"])
        more = Shown(**state.get("shown", {})), ItemVectors(**state.get("items", {}))
        return cls(state["horizon"], state["kinds"], *scalers, state["longest"], *more)

    def state(self) -> dict[str, Any]:
        """Return vocabulary and scalers, ready for JSON."""
        return {"task": "churn", **asdict(self)}

    @property
    def sizes(self) -> Sizes:
        """Return the features of a step with the aggregates beside it, and one logit a row."""
        own, beside = len(self.steps.mean), len(self.rows.mean)
        return Sizes("churn", own + beside, longest=self.longest, beside=beside)

    def training_rows(self, fit: ChurnTrain, ctx: Context) -> Sequences:
        """Return all rows to learn from."""
        return self.prediction_rows(fit)

    def holdout_rows(self, holdout: ChurnTrain) -> Sequences:
        """Return the rows that decide when to stop."""
        return self.prediction_rows(holdout)

    def prediction_rows(self, inputs: ChurnInputs) -> Sequences:
        """Turn inputs into sequences of log features; the target is 1 where the user churned."""
        target = inputs.y if isinstance(inputs, ChurnTrain) else np.zeros(0)
        features, context = self.steps.scale(self.step_columns(inputs)), self.rows.scale(self.row_columns(inputs))
        if not self.shown.usual:  # of so many columns some have tails that no logarithm shortens enough
            features, context = features.clip(-FAR, FAR), context.clip(-FAR, FAR)
        return Sequences(inputs.offsets, features, context, target[:, None].astype(np.float32))

    def step_columns(self, inputs: ChurnInputs) -> list[Array]:
        """Return the unscaled features of each step, float [E] each."""
        items = self.items.of_steps(inputs) if self.shown.items == "events" else []
        calendar = calendar_columns(inputs) if self.shown.calendar == "events" else []
        return [*step_columns(inputs, self.horizon, self.kinds), *items, *calendar]

    def row_columns(self, inputs: ChurnInputs) -> list[Array]:
        """Return the unscaled features of the whole past, float64 [N] each."""
        items = self.items.of_rows(inputs) if self.shown.items == "past" else []
        more = feature_columns(inputs) if self.shown.context == "features" else []
        return [*row_columns(inputs), *more, *items]

    def decode(self, raw: Array, inputs: ChurnInputs) -> Array:
        """Turn logits [N, 1] into P(churn), float64 [N]."""
        return np.asarray(expit(raw[:, 0].astype(np.float64)))


def common_kinds(train: ChurnTrain) -> list[str]:
    """List the kinds that get an indicator: the most frequent in `train`, in the order of its vocabulary."""
    seen = np.bincount(train.kind, minlength=len(train.kinds))
    seen[0] = 0  # the unknown
    often = np.argsort(-seen, kind="stable")[:MAX_KINDS]
    return [train.kinds[at] for at in sorted(often) if seen[at] > 0]


def step_columns(inputs: ChurnInputs, horizon: float, kinds: list[str]) -> list[Array]:
    """Return the unscaled features of each step, float [E] each: when, how large, and which kind."""
    when = [np.log1p(inputs.days_before_cutoff / horizon), np.log1p(inputs.gap / horizon)]
    size = [signed_log(inputs.value), np.log1p(inputs.count)]
    code = {name: at for at, name in enumerate(inputs.kinds)}  # by name: a later log may number its kinds otherwise
    return [*when, *size, *((inputs.kind == code.get(name, -1)).astype(np.float32) for name in kinds)]


def row_columns(inputs: ChurnInputs) -> list[Array]:
    """Return the unscaled features of the whole past, float64 [N] each."""
    return list(signed_log(inputs.static).T)


def feature_columns(inputs: ChurnInputs) -> list[Array]:
    """Return the unscaled FEATURES, float64 [N] each, and behind them whether there is a gap: without one, what tells of gaps is 0."""
    return [*signed_log(inputs.features.astype(np.float64)).T, (inputs.column("n_days") > 1).astype(np.float64)]


def calendar_columns(inputs: ChurnInputs) -> list[Array]:
    """Return where each step stands in its day and in its week, UTC: sine and cosine of both, float64 [E] each."""
    day = np.repeat(inputs.cutoff, inputs.lengths) - inputs.days_before_cutoff
    return [wave(2 * np.pi * (day % length) / length) for length in (1, 7) for wave in (np.sin, np.cos)]


def signed_log(x: Array) -> Array:
    """Compress both tails, keeping sign and 0: sign(x) log(1 + |x|); what is missing becomes 0."""
    x = np.nan_to_num(x)
    return np.asarray(np.sign(x) * np.log1p(np.abs(x)))
