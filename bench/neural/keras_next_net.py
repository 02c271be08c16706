"""A Keras network of next events: the twin of `bench.neural.next_net`, computed by TensorFlow.

Letters for shapes: N rows, T steps, D width, I items.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.neural.keras_loop import Tensor, keras, tf
from bench.neural.next_event import ANSWERED, SEEN


class NextNet(keras.Model):  # type: ignore[misc]  # Keras gives no types
    """Item and gap -> body -> scores of all items; `body`: [N, T, D] -> [N, T, D], no step from a later one.

    Rows with answers, x [N, T, 3], give the mean cross-entropy of each row's steps, [N, 1]; rows without, x [N, T, 2], the
    scores after their last step, [N, I].
    """

    def __init__(self, items: int, width: int, dropout: float, body: keras.Model) -> None:
        super().__init__()
        self.items = items
        spread = keras.initializers.RandomNormal(stddev=width**-0.5)
        # the last vector is for what is not in the catalogue
        self.vectors = keras.layers.Embedding(items + 1, width, embeddings_initializer=spread)
        self.gap, self.answers = keras.layers.Dense(width), keras.layers.Dense(items)
        self.dropout, self.body = keras.layers.Dropout(dropout), body
        self(np.zeros((1, 1, SEEN), np.float32), np.ones(1, np.int64))  # builds the layers

    def call(self, x: Tensor, length: Tensor, *, training: bool = False) -> Tensor:
        """Return losses [N, 1] where the answers stand beside the steps, else scores [N, I]."""
        read = self.vectors(tf.cast(x[..., 0], tf.int32)) + self.gap(x[..., 1:2])
        h = self.body(self.dropout(read, training=training), training=training)  # [N, T, D]
        return answered_or_scored(x, lambda: self.lost(h, x, length), lambda: self.scored(h, length))

    def scored(self, h: Tensor, length: Tensor) -> Tensor:  # -> [N, I]
        """Score all items after each row's last step."""
        return self.answers(tf.gather(h, length - 1, batch_dims=1))

    def lost(self, h: Tensor, x: Tensor, length: Tensor) -> Tensor:  # -> [N, 1]
        """Average the cross-entropy of the answers over each row's steps; those that are not in the catalogue do not count."""
        answer = tf.cast(x[..., 2], tf.int32)
        inside = (tf.range(tf.shape(x, tf.int64)[1]) < length[:, None]) & (answer < self.items)
        logits = self.answers(tf.boolean_mask(h, inside))
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.boolean_mask(answer, inside), logits)
        row = tf.cast(tf.where(inside)[:, 0], tf.int32)
        total = tf.math.unsorted_segment_sum(each, row, tf.shape(x)[0])
        return (total / tf.maximum(tf.reduce_sum(tf.cast(inside, tf.float32), 1), 1))[:, None]


def answered_or_scored(x: Tensor, answered: Callable[[], Tensor], scored: Callable[[], Tensor]) -> Tensor:
    """Return what belongs to rows with answers or to rows without: one compiled function serves both."""
    return tf.cond(tf.shape(x)[2] >= ANSWERED, answered, scored)
