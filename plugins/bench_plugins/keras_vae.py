"""Variational autoencoders in Keras (Kingma and Welling 2014): the networks of the plugin `vae`, computed by TensorFlow.

See there for the papers that they follow; `_vae_keras` holds encoder, latent and decoder.
"""

from __future__ import annotations

from collections.abc import Callable

from optuna.distributions import BaseDistribution

from bench.api import Model, Params, hookimpl
from bench.neural.keras_loop import Tensor, keras, masked_target, tf
from bench.neural.keras_model import KerasModel, last
from bench.neural.sizes import Sizes
from bench_plugins import _vae_shared as shared
from bench_plugins._vae_bag_keras import bags
from bench_plugins._vae_keras import VAE, dense, flat, linear, recent

Loss = Callable[[Tensor, Tensor], Tensor]


class Reconstruction(VAE):
    """Reconstructs a window."""

    def __init__(self, sizes: Sizes, params: Params) -> None:
        super().__init__(sizes, params, read=sizes.steps * sizes.f, written=sizes.steps)

    def window(self, x: Tensor, length: Tensor) -> Tensor:  # [N, 2 S, F], [N] -> [N, S F]
        """Return the steps that are shown; the others follow them."""
        return flat(last(x, length - self.sizes.steps, self.sizes.steps))

    def call(self, x: Tensor, length: Tensor, *, training: bool = False) -> Tensor:  # -> [N, S]
        """Decode the latent's mean."""
        return self.decoder(self.posterior(self.window(x, length))[0])

    def objective(self, x: Tensor, length: Tensor, target: Tensor, loss: Loss) -> Tensor:
        """Return the negative bound, a step, in units of the noise: the task's loss is half of a squared error where that is small."""
        z, divergence = self.sampled(self.window(x, length))
        return loss(self.decoder(z), target) + shared.NOISE * tf.reduce_sum(divergence) / self.sizes.steps


class Classification(VAE):
    """Reconstructs a row's last steps and its aggregates, and predicts beside it what becomes of the user."""

    def __init__(self, sizes: Sizes, params: Params) -> None:
        span = min(sizes.longest, shared.SPAN)
        numbers = span * (sizes.f - sizes.beside + 1) + sizes.beside
        super().__init__(sizes, params, read=numbers, written=numbers)
        self.span = span
        self.dense = linear(params["latent"], 1)

    def row(self, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:  # [N, T, F], [N] -> [N, D] twice
        """Return the last steps, then the aggregates; and which of these numbers are real."""
        own = self.sizes.f - self.sizes.beside
        beside = x[:, 0, own:]
        steps, there = recent(x[..., :own], length, self.span)
        real = flat(tf.repeat(there, own + 1, 2))
        return tf.concat([steps, beside], 1), tf.concat([real, tf.ones_like(beside)], 1)

    def call(self, x: Tensor, length: Tensor, *, training: bool = False) -> Tensor:  # -> [N, 1]
        """Classify by the latent's mean."""
        return self.dense(self.posterior(self.row(x, length)[0])[0])

    def objective(self, x: Tensor, length: Tensor, target: Tensor, loss: Loss) -> Tensor:
        """Add to the task's loss the negative bound, a number read, in units of the noise."""
        row, real = self.row(x, length)
        z, divergence = self.sampled(row)
        error = tf.reduce_sum(real * (self.decoder(z) - row) ** 2, 1) / 2
        return loss(self.dense(z), target) + tf.reduce_sum((error + shared.NOISE * divergence) / tf.reduce_sum(real, 1))


class Prediction(VAE):
    """Reconstructs what came after a context, conditioned on the context, as a Laplace distribution at each step."""

    def __init__(self, sizes: Sizes, params: Params) -> None:
        told = params["hidden"] // 2
        super().__init__(sizes, params, read=told + 2 * sizes.steps, written=2 * sizes.steps, told=told)
        self.context = dense(sizes.longest * (sizes.f + 1), 2 * told, told)
        self.highway = linear(sizes.f, 2)
        self.normal, self.laplace = shared.normal(params["latent"]), shared.laplace(sizes.steps)  # [S, Z], [S, H]

    def read(self, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:  # [N, T, F], [N] -> [N, C], [N, H, 2]
        """Read the context with what is known of the steps that are asked, as one code and as one answer a step."""
        h, f = self.sizes.steps, self.sizes.f
        straight = self.highway(tf.reshape(last(x, length, h), [-1, f]))
        return self.context(recent(x, length, self.sizes.longest)[0]), tf.reshape(straight, [-1, h, 2])

    def decoded(self, z: Tensor, code: Tensor, straight: Tensor) -> tuple[Tensor, Tensor]:  # [N, Z] -> [N, H] twice
        """Return median and spread of each step; `code`: [N, C], `straight`: [N, H, 2]."""
        raw = tf.reshape(self.decoder(tf.concat([z, code], -1)), [-1, self.sizes.steps, 2]) + straight
        return raw[..., 0], tf.nn.softplus(raw[..., 1]) + shared.LEAST

    def call(self, x: Tensor, length: Tensor, *, training: bool = False) -> Tensor:  # -> [N, H Q]
        """Draw futures, and give their quantiles."""
        code, straight = self.read(x, length)
        n, s, h = tf.shape(x)[0], len(self.normal), self.sizes.steps
        each = (tf.tile(self.normal, [n, 1]), tf.repeat(code, s, 0), tf.repeat(straight, s, 0))  # [N S, ...]
        median, spread = (tf.reshape(part, [n, s, h]) for part in self.decoded(*each))
        future = tf.sort(median + spread * self.laplace, 1)  # [N, S, H]
        low, high, between = shared.ranks(self.sizes.levels)
        below = tf.gather(future, low, axis=1)  # [N, Q, H]
        quantiles = below + between[:, None] * (tf.gather(future, high, axis=1) - below)
        return flat(tf.transpose(quantiles, [0, 2, 1]))

    def objective(self, x: Tensor, length: Tensor, target: Tensor, loss: Loss) -> Tensor:
        """Return the negative bound, a step; the task's loss, of quantiles, has no part in it."""
        code, straight = self.read(x, length)
        there, came = tf.cast(~tf.math.is_nan(target), tf.float32), masked_target(target)  # [N, H]
        z, divergence = self.sampled(tf.concat([code, came, there], 1))
        median, spread = self.decoded(z, code, straight)
        error = tf.reduce_sum((tf.abs(came - median) / spread + tf.math.log(spread)) * there, 1)
        return tf.reduce_sum((error + divergence) / tf.maximum(tf.reduce_sum(there, 1), 1))


NETS = {"churn": Classification, "forecasting": Prediction, "anomaly": Reconstruction, "next-event": bags}


class KerasVae(KerasModel):
    """The textbooks' variational autoencoder; its default is their reference configuration."""

    name = "keras-vae"
    tasks = frozenset(NETS)
    view = "echo"
    causal = False
    by_step = False

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Return sizes, the weight of the divergence and the optimiser's two numbers."""
        return shared.space()

    @staticmethod
    def default() -> Params:
        """Return dense 64 -> 32 -> latent of 8 -> 32 -> 64; Adam at 3e-3, batch 32."""
        return shared.default()

    def make(self, sizes: Sizes) -> keras.Model:
        """Make the network of the task."""
        return NETS[sizes.task](sizes, self.params)


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the one model of this file."""
    return [KerasVae]
