"""The variational autoencoder itself (Kingma and Welling 2014), in Keras: dense layers to a normal latent and back."""

from __future__ import annotations

from typing import Any

from bench.api import Params
from bench.neural.keras_loop import Tensor, keras, tf
from bench.neural.keras_model import last
from bench.neural.sizes import Sizes


class VAE(keras.Model):  # type: ignore[misc]  # Keras gives no types
    """What is read -> dense -> half as wide -> a normal latent -> back -> what is written; the decoder may be `told` more."""

    def __init__(self, sizes: Sizes, params: Params, read: int, written: int, told: int = 0) -> None:
        super().__init__()
        wide, latent = params["hidden"], params["latent"]
        self.sizes, self.beta = sizes, params["beta"]
        self.encoder = dense(read, wide, wide // 2)
        self.latent = linear(wide // 2, 2 * latent)
        self.decoder = keras.Sequential([dense(latent + told, wide // 2, wide), linear(wide, written)])
        self.dice = keras.random.SeedGenerator()

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:  # [N, D] -> [N, Z] twice
        """Return mean and log-variance of the latent."""
        mean, logvar = tf.split(self.latent(self.encoder(x)), 2, 1)
        return mean, tf.clip_by_value(logvar, -10, 10)

    def sampled(self, x: Tensor) -> tuple[Tensor, Tensor]:  # [N, D] -> [N, Z], [N]
        """Draw a latent, and give the divergence of its distribution from the prior (times beta: Higgins et al. 2017)."""
        mean, logvar = self.posterior(x)
        divergence = tf.reduce_sum(mean**2 + tf.exp(logvar) - 1 - logvar, 1) / 2
        return mean + tf.exp(logvar / 2) * keras.random.normal(tf.shape(mean), seed=self.dice), self.beta * divergence


def dense(*widths: int) -> keras.Sequential:
    """Stack dense layers, each with a ReLU."""
    return keras.Sequential([keras.Input(widths[:1]), *(keras.layers.Dense(width, "relu", **small()) for width in widths[1:])])


def linear(read: int, written: int) -> keras.Sequential:
    """Make a dense layer, already built."""
    return keras.Sequential([keras.Input((read,)), keras.layers.Dense(written, **small())])


def small() -> dict[str, Any]:
    """Begin with weights as torch does: with Keras's own, twice as wide, one simulated panel was forecast no better than naively."""
    return {"kernel_initializer": keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")}


def recent(x: Tensor, length: Tensor, steps: int) -> tuple[Tensor, Tensor]:  # -> [N, steps (F + 1)], [N, steps, 1]
    """Return the last steps, aligned to the right and flat, zeros before the first; beside the features, and again: the step exists."""
    there = tf.cast(tf.range(steps, dtype=tf.int64) >= steps - length[:, None], tf.float32)[..., None]
    return flat(tf.concat([last(x, length, steps) * there, there], 2)), there


def flat(x: Tensor) -> Tensor:
    """Lay the steps of a row side by side, [N, T, F] to [N, T F]."""
    return tf.reshape(x, [tf.shape(x)[0], -1])
