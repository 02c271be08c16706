"""A variational autoencoder of bags (Liang et al. 2018), one a step, in Keras: the twin of `_vae_bag`."""

from __future__ import annotations

from bench.api import Params
from bench.neural.keras_loop import Tensor, keras, tf
from bench.neural.keras_next_net import NextNet
from bench.neural.sizes import Sizes
from bench_plugins import _vae_shared as shared
from bench_plugins._vae_keras import VAE

FREE = 0.5
"""Nats that each number of the latent may tell for nothing (Kingma et al. 2016), lest it tell nothing at all."""


class Bag(VAE):
    """Sum of the steps' vectors, of length one -> latent -> decoded; the body of a network of next events."""

    def __init__(self, sizes: Sizes, params: Params, width: int) -> None:
        super().__init__(sizes, params, read=width, written=width)
        self.free = params["beta"] * params["latent"] * FREE

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:  # [N, T, D] -> [N, T, D]; [N, T]
        """Decode the latent's mean; in training one that is drawn, with its divergence."""
        shape = tf.shape(x)
        bag = tf.cumsum(x, 1) / tf.sqrt(tf.range(1, shape[1] + 1, dtype=tf.float32))[:, None]
        bag = tf.reshape(bag, [-1, x.shape[2]])
        if not training:
            return tf.reshape(self.decoder(self.posterior(bag)[0]), shape)
        z, divergence = self.sampled(bag)
        return tf.reshape(self.decoder(z), shape), tf.reshape(tf.nn.relu(divergence - self.free), shape[:2])


def bags(sizes: Sizes, params: Params) -> keras.Model:
    """Make the network of next events; half of what was seen is hidden, as its source does."""
    return NextNet(sizes.each, params["hidden"], shared.HIDDEN, Bag(sizes, params, params["hidden"]))
