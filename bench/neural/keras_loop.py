"""The Keras twin of the torch loop, on TensorFlow: losses, compiled steps and averaged weights for `bench.neural.training`.

Batches differ in rows and steps; the compiled functions take any, so that each is traced once.

Letters for shapes: N rows, n rows of a batch, T steps, F features, O outputs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bench.api import Array, Context
from bench.errors import PluginError
from bench.neural.batches import Rows, batches
from bench.neural.training import WIDE, Training, average_rate

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # pages about drivers, otherwise
if "keras" not in sys.modules:
    os.environ["KERAS_BACKEND"] = "tensorflow"  # Keras reads it once, on import

import keras
import tensorflow as tf

if keras.config.backend() != "tensorflow":
    raise PluginError(f"Keras runs on {keras.config.backend()} in this process; leave KERAS_BACKEND unset, the plugins need tensorflow")

__all__ = ["LOSSES", "KerasLoop", "Objective", "Tensor", "keras", "masked_target", "outputs", "placed", "tf"]
"""Plugins take `keras` and `tf` from here, so that they are imported behind the settings above."""

Tensor = Any
"""TensorFlow gives no types."""
X, LENGTH, TARGET = tf.TensorSpec([None, None, None]), tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, None])
SIZE = tf.TensorSpec([])


def bce(raw: Tensor, target: Tensor, _: Tensor) -> Tensor:
    """Sum the cross-entropy of logits over the rows; `raw`, `target`: [n, O]."""
    return tf.reduce_sum(tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(target, raw), 1))


def pinball(raw: Tensor, target: Tensor, levels: Tensor) -> Tensor:
    """Sum over rows twice the mean quantile loss of the observed steps; as `bench.neural.loop.pinball`."""
    shape = tf.concat([tf.shape(target), tf.shape(levels)], 0)
    departure = (masked_target(target)[..., None] - tf.reshape(raw, shape)) * 2  # [n, H, Q]
    return observed(tf.reduce_mean(tf.maximum(levels * departure, (levels - 1) * departure), 2), target)


def huber(raw: Tensor, target: Tensor, _: Tensor) -> Tensor:
    """Sum over rows the mean Huber loss of the observed steps; `raw`, `target`: [n, O], NaN where unknown."""
    far = tf.abs(raw - masked_target(target))
    return observed(tf.where(far < 1, far**2 / 2, far - 0.5), target)


def masked_target(target: Tensor) -> Tensor:
    """Put 0 where the target is unknown."""
    return tf.where(tf.math.is_nan(target), 0.0, target)


def observed(loss: Tensor, target: Tensor) -> Tensor:
    """Average over the steps with a target, then sum over rows; [n, H] each."""
    there = tf.cast(~tf.math.is_nan(target), tf.float32)
    return tf.reduce_sum(tf.reduce_sum(loss * there, 1) / tf.maximum(tf.reduce_sum(there, 1), 1))


def own(raw: Tensor, _: Tensor, __: Tensor) -> Tensor:
    """Sum over rows the losses that the network computes itself; `raw`: [n, 1]."""
    return tf.reduce_sum(raw)


LOSSES: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"own": own, "bce": bce, "pinball": pinball, "huber": huber}


@runtime_checkable
class Objective(Protocol):
    """A network that learns by more than the task's loss of its outputs; as `bench.neural.loop.Objective`."""

    def objective(self, x: Tensor, length: Tensor, target: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Sum over rows what is to fall; `x`: [n, T, F], `target`: [n, ...], `loss`: the task's, of (raw [n, O], target)."""


@dataclass
class KerasLoop(Training):
    """Train one Keras network."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.mean = [tf.Variable(w) for w in self.net.trainable_variables]
        self.steps = tf.Variable(0.0)
        self.compiled: Any = None

    def optimiser(self) -> Any:
        """Make the optimiser, its state included: a compiled step makes no variables."""
        adam = keras.optimizers.Adam(self.recipe.lr, epsilon=1e-8, global_clipnorm=self.recipe.clip)
        adam.build(self.net.trainable_variables)
        return adam

    def set_rate(self, optimiser: Any, rate: float) -> None:
        """Set the learning rate of the steps to come."""
        optimiser.learning_rate.assign(rate)

    def step(self, rows: Rows, batch: Array, optimiser: Any) -> Tensor:
        """Learn from one batch; small ones, of rare lengths, weigh less, so that each row weighs the same."""
        if self.compiled is None:
            move = partial(self.moved, optimiser)
            self.compiled = tf.function(move, input_signature=[X, LENGTH, TARGET, SIZE], autograph=False)
        x, length = rows.padded(batch)
        with placed(self.ctx):
            return self.compiled(x, length, rows.target[batch], np.float32(self.size))

    def moved(self, optimiser: Any, x: Tensor, length: Tensor, target: Tensor, size: Tensor) -> Tensor:
        """Move the weights against the gradient, and the averaged weights a little towards them."""
        weights = self.net.trainable_variables
        with tf.GradientTape() as tape:
            loss = self.learnt(x, length, target)
            share = loss / size
        optimiser.apply(tape.gradient(share, weights))
        rate = average_rate(self.steps.assign_add(1.0), tf.maximum)
        for mean, now in zip(self.mean, weights, strict=True):
            mean.assign_add(rate * (now.value - mean))
        return loss

    def learnt(self, x: Tensor, length: Tensor, target: Tensor) -> Tensor:
        """Sum over rows what is to fall: the network's own objective, or the task's loss of its outputs."""
        if isinstance(self.net, Objective):
            return self.net.objective(x, length, target, self.loss)
        return self.loss(self.net(x, length, training=True), target)

    def loss(self, raw: Tensor, target: Tensor) -> Tensor:
        """Sum the task's loss over rows; `raw`: [n, O]."""
        return LOSSES[self.recipe.loss](raw, target, tf.constant(self.recipe.levels, tf.float32))

    def loss_sum(self, held: Rows) -> float:
        """Sum the task's loss over rows, without learning."""
        return float(self.loss(outputs(self.net, held, self.ctx), held.target))

    def swap(self) -> None:
        """Exchange the averaged weights with the network's own."""
        for mean, now in zip(self.mean, self.net.trainable_variables, strict=True):
            held = now.numpy()
            now.assign(mean)
            mean.assign(held)

    def weights(self) -> list[Array]:
        """Copy the network's weights."""
        return [np.array(w) for w in self.net.get_weights()]

    def restore(self, weights: list[Array]) -> None:
        """Put a copy of weights back into the network."""
        self.net.set_weights(weights)


def outputs(net: Any, rows: Rows, ctx: Context) -> Array:
    """Ask a network for its raw outputs, float32 [N, O], in the order of the rows."""
    if not hasattr(net, "traced"):  # traced once a network
        net.traced = tf.function(lambda x, length: net(x, length, training=False), input_signature=[X, LENGTH], autograph=False)
    cut = batches(rows.lengths, WIDE)
    with placed(ctx):
        parts = [net.traced(*rows.padded(batch)).numpy() for batch in cut]
    return np.asarray(np.concatenate(parts)[np.argsort(np.concatenate(cut))])


def placed(ctx: Context) -> AbstractContextManager[Any]:
    """Compute on the device that the context names: `cpu`, or `cuda:N` for the N-th GPU that this process sees."""
    kind, _, number = ctx.device.partition(":")
    found: AbstractContextManager[Any] = tf.device(f"/GPU:{number or 0}" if kind == "cuda" else "/CPU:0")
    return found
