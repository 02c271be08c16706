"""A base for Keras plugins: they give a network, this gives training, prediction, saving and loading."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.api import Array, Context, Runtime
from bench.neural.batches import Rows
from bench.neural.encode import encoder_from
from bench.neural.keras_loop import KerasLoop, Tensor, keras, outputs, placed, tf
from bench.neural.model import STATE, NetworkModel
from bench.neural.training import TrainingRecipe

WEIGHTS = "weights.npz"


class KerasModel(NetworkModel):
    """A Keras network: a `keras.Model` whose `call` takes x [N, T, F], right-padded, and length [N], and gives raw [N, O].

    All its layers must be built when it is made: a first call does that for the layers that it reaches.
    """

    runtime: ClassVar[Runtime] = "tensorflow"

    def run(self, network: Any, recipe: TrainingRecipe, rows: tuple[Rows, Rows | None], ctx: Context) -> int:
        """Train a network in place on the first of `rows`, judged by the second, and return how many epochs did best."""
        return KerasLoop(network, recipe, ctx).run(*rows)

    def outputs(self, rows: Rows, ctx: Context) -> Array:
        """Ask the network for its raw outputs, float32 [N, O]."""
        threads(ctx)
        return outputs(self.network, rows, ctx)

    def adopt(self, other: Any) -> None:
        """Take over the weights of another network of the same kind, all that have the same shape."""
        pairs = zip(self.network.get_weights(), other.get_weights(), strict=True)
        self.network.set_weights([new if new.shape == own.shape else own for own, new in pairs])

    def save(self, folder: Path) -> None:
        """Write the weights, in the network's order, and, as JSON, the encoder."""
        encoder = self.fitted()
        np.savez(folder / WEIGHTS, *self.network.get_weights())
        (folder / STATE).write_text(json.dumps(encoder.state()))

    def load(self, folder: Path) -> None:
        """Read back weights and encoder."""
        self.encoder = encoder_from(json.loads((folder / STATE).read_text()))
        self.network = self.begun(self.encoder)
        with np.load(folder / WEIGHTS, allow_pickle=False) as stored:
            self.network.set_weights([stored[name] for name in stored.files])

    def seeded(self, ctx: Context) -> AbstractContextManager[None]:
        """Seed Keras for the training inside."""
        return seeded(ctx)


def last(h: Tensor, length: Tensor, steps: int) -> Tensor:
    """Select the last `steps` steps of each row; `h`: [N, T, D] right-padded, `length`: [N]. Returns [N, steps, D]."""
    at = tf.cast(length, tf.int64)[:, None] - steps + tf.range(steps, dtype=tf.int64)  # [N, steps]
    return tf.gather(h, tf.maximum(at, 0), batch_dims=1)


@contextmanager
def seeded(ctx: Context) -> Iterator[None]:
    """Seed Keras for the training inside; Python's and numpy's own random states are put back, TensorFlow's cannot be."""
    threads(ctx)
    before, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global generator is the point
    keras.utils.set_random_seed(ctx.seed)
    try:
        with placed(ctx):
            yield
    finally:
        random.setstate(before)
        np.random.set_state(numbers)  # noqa: NPY002 - as above


def threads(ctx: Context) -> None:
    """Bound TensorFlow's threads; once it has computed anything in this process, they stay as they are."""
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(ctx.threads)
        tf.config.threading.set_inter_op_parallelism_threads(ctx.threads)
