"""LSTM layers read all steps at once as Keras reads them one after the other, and learn the same."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="tensorflow is not installed")
pytest.importorskip("keras", reason="keras is not installed")

from bench.neural import keras_recurrent
from bench.neural.keras_loop import keras, tf
from bench.neural.keras_recurrent import read_through


def layer(seed=3):
    keras.utils.set_random_seed(seed)
    found = keras.layers.LSTM(12, return_sequences=True)
    found.build((None, None, 5))
    # biases that are all 0 or 1 would hide gates that change places
    found.set_weights([np.random.default_rng(seed).normal(0, 0.5, w.shape) for w in found.get_weights()])
    return found


def inputs(rows=4, steps=9):
    return tf.constant(np.random.default_rng(0).normal(size=(rows, steps, 5)), tf.float32)


def learnt(read, own, x):
    """Return what a reading gives, and the gradients of weights and inputs."""
    weight = tf.constant(np.random.default_rng(1).normal(size=(12,)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        h = read(x)
        loss = tf.reduce_sum(tf.sin(h * weight))
    return [h.numpy(), *(g.numpy() for g in tape.gradient(loss, [*own.trainable_variables, x]))]


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="on a GPU Keras reads the steps itself")
@pytest.mark.parametrize(("rows", "steps"), [(4, 9), (1, 1), (3, 70)])
def test_steps_and_gradients_are_those_of_keras(rows, steps):
    own, x = layer(), inputs(rows, steps)
    for found, wanted in zip(learnt(lambda x: read_through(own, x), own, x), learnt(own, own, x), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_layer_is_built_as_keras_builds_it():
    keras.utils.set_random_seed(5)
    one = keras.layers.LSTM(6, return_sequences=True)
    keras.utils.set_random_seed(5)
    other = keras.layers.LSTM(6, return_sequences=True)
    read_through(one, inputs())
    other(inputs())
    for found, wanted in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_on_a_gpu_keras_reads_the_steps_itself(monkeypatch):
    own, x, asked = layer(), inputs(), []
    monkeypatch.setattr(keras_recurrent.tf.config, "list_physical_devices", lambda kind: asked.append(kind) or ["a GPU"])
    np.testing.assert_array_equal(read_through(own, x).numpy(), own(x).numpy())
    assert asked == ["GPU"]
