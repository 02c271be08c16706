"""A variational autoencoder of bags (Liang et al. 2018), in Keras: a history's items give those that followed them."""

from __future__ import annotations

from collections.abc import Callable

from bench.api import Params
from bench.neural.keras_loop import Tensor, keras, tf
from bench.neural.keras_next_net import answered_or_scored
from bench.neural.sizes import Sizes
from bench_plugins import _vae_shared as shared
from bench_plugins._vae_keras import VAE

Loss = Callable[[Tensor, Tensor], Tensor]


class Bag(VAE):
    """Predicts which items followed those of a window, whatever their order: the score of each is its logit."""

    def __init__(self, sizes: Sizes, params: Params) -> None:
        super().__init__(sizes, params, read=sizes.each, written=sizes.each)
        self.dropout = keras.layers.Dropout(shared.HIDDEN)

    def seen(self, x: Tensor, length: Tensor) -> Tensor:  # [N, T, 2 or 3], [N] -> [N, I]
        """Mark the items of each row, each row of length one."""
        inside = tf.range(tf.shape(x, tf.int64)[1]) < length[:, None]
        return tf.math.l2_normalize(tf.minimum(self.counted(x[..., 0], inside), 1.0), 1)

    def counted(self, item: Tensor, inside: Tensor) -> Tensor:  # [N, T], [N, T] -> [N, I]
        """Count the items of each row that are inside it and in the catalogue."""
        wide = self.sizes.each + 1
        at = tf.where(inside, tf.cast(item, tf.int64), self.sizes.each) + wide * tf.range(tf.shape(item, tf.int64)[0])[:, None]
        rows = tf.shape(item)[0]
        counts = tf.math.unsorted_segment_sum(tf.ones_like(item), at, rows * wide)
        return tf.reshape(counts, [rows, wide])[:, :-1]

    def lost(self, logits: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:  # [N, I], [N, T, 3] -> [N] twice
        """Return the summed negative log-likelihood of the answers, and how many there are, at least one."""
        came = self.counted(x[..., 2], x[..., 2] < self.sizes.each)
        return -tf.reduce_sum(came * tf.nn.log_softmax(logits, 1), 1), tf.maximum(tf.reduce_sum(came, 1), 1)

    def call(self, x: Tensor, length: Tensor, *, training: bool = False) -> Tensor:
        """Decode the latent's mean: losses [N, 1] where the answers stand beside the steps, else scores [N, I]."""
        logits = self.decoder(self.posterior(self.seen(x, length))[0])
        return answered_or_scored(x, lambda: tf.divide(*self.lost(logits, x))[:, None], lambda: logits)

    def objective(self, x: Tensor, length: Tensor, target: Tensor, loss: Loss) -> Tensor:
        """Return the negative bound, an answer; half of what was seen is hidden, as its source does."""
        z, divergence = self.sampled(self.dropout(self.seen(x, length), training=True))
        own, count = self.lost(self.decoder(z), x)
        return tf.reduce_sum((own + divergence) / count)
