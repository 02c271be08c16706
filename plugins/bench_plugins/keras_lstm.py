"""LSTM in Keras (Hochreiter and Schmidhuber 1997): the network of the plugin `lstm`, computed by TensorFlow."""

from __future__ import annotations

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from bench.api import Model, Params, hookimpl
from bench.neural.keras_loop import Tensor, keras, tf
from bench.neural.keras_model import KerasModel, last
from bench.neural.keras_next_net import NextNet
from bench.neural.keras_recurrent import read_through
from bench.neural.sizes import Sizes


class Net(keras.Model):  # type: ignore[misc]  # Keras gives no types
    """LSTM -> dropout -> LSTM of half the size -> dropout -> dense."""

    def __init__(self, f: int, o: int, hidden: int, dropout: float, steps: int = 1) -> None:
        super().__init__()
        self.lower = keras.layers.LSTM(hidden, return_sequences=True)
        self.upper = keras.layers.LSTM(hidden // 2, return_sequences=True)
        self.dropout = keras.layers.Dropout(dropout)
        self.dense = keras.layers.Dense(o // steps)
        self.steps, self.o = steps, o
        self(np.zeros((1, 1, f), np.float32), np.ones(1, np.int64))  # builds the layers

    def call(self, x: Tensor, length: Tensor, *, training: bool = False) -> Tensor:  # [N, T, F], [N] -> [N, O]
        """Read each row up to its own last step; what is padded behind it is never looked at."""
        h = read_through(self.lower, x)  # [N, T, hidden]
        h = read_through(self.upper, self.dropout(h, training=training))  # [N, T, hidden // 2]
        raw = self.dense(self.dropout(last(h, length, self.steps), training=training))  # [N, steps, O / steps]
        return tf.reshape(raw, [-1, self.o])


class Body(keras.Model):  # type: ignore[misc]  # as above
    """LSTM -> dropout -> dense, at every step: the body of a network of next events."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.rnn = keras.layers.LSTM(hidden, return_sequences=True)
        self.dropout, self.dense = keras.layers.Dropout(dropout), keras.layers.Dense(width)

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:  # [N, T, D] -> [N, T, D]
        """Read each row up to each of its steps."""
        return self.dense(self.dropout(read_through(self.rnn, x), training=training))


class KerasLSTM(KerasModel):
    """The textbooks' recurrent network; its default is their reference configuration."""

    name = "keras-lstm"
    tasks = frozenset({"forecasting", "churn", "anomaly", "next-event"})
    view = "lagged"
    causal = True

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
        """Return LSTM 128 -> dropout 0.2 -> LSTM 64 -> dropout 0.2 -> dense; Adam at 1e-3, batch 32."""
        return {"hidden": 128, "dropout": 0.2, "lr": 1e-3, "batch": 32}

    def make(self, sizes: Sizes) -> keras.Model:
        """Make the network that answers at each of the last steps, or ranks items."""
        hidden, dropout = self.params["hidden"], self.params["dropout"]
        if sizes.task == "next-event":
            return NextNet(sizes.each, hidden // 2, dropout, Body(hidden // 2, hidden, dropout))
        return Net(sizes.f, sizes.o, hidden, dropout, sizes.steps)


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the one model of this file."""
    return [KerasLSTM]
