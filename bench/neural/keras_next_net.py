"""A Keras network of next events: the twin of `bench.neural.next_net`, computed by TensorFlow.

Letters for shapes: N rows, T steps, D width, I items, J answers of a step, C components, S snapshots, m steps with an answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from bench.api import Array
from bench.neural.keras_loop import Tensor, keras, tf
from bench.neural.next_event import ANSWER, SEEN
from bench.neural.own_past import COMPONENTS, NEGATIVES, TINY


class NextNet(keras.Model):  # type: ignore[misc]  # Keras gives no types
    """What is seen -> body -> scores of all items, and weights of the components; no step looks at a later one.

    `body`: [N, T, D] -> [N, T, D], or of that and what each step costs beside its loss, [N, T]. Rows with answers,
    x [N, T, SEEN + J ANSWER], give each row's mean loss, [N, 1]; rows without, x [N, T, SEEN], the scores after their last
    step and those of the components, [N, I + C].
    """

    def __init__(self, items: int, width: int, dropout: float, body: keras.Model) -> None:
        super().__init__()
        self.items = items
        # the last vector is for what is not in the catalogue
        self.vectors = keras.layers.Embedding(items + 1, width, embeddings_initializer=normal(width**-0.5))
        self.beside, self.gate = keras.layers.Dense(width), keras.layers.Dense(COMPONENTS, kernel_initializer="zeros")
        self.turn = keras.layers.Dense(width, use_bias=False, kernel_initializer=normal(0.1 * width**-0.5))
        self.dropout, self.body = keras.layers.Dropout(dropout), body
        self.begin(np.full((1, items), 1 / items, np.float32), np.full(COMPONENTS, 1 / COMPONENTS))
        self(np.zeros((1, 1, SEEN), np.float32), np.ones(1, np.int64))  # builds the layers

    def begin(self, popularity: Array, gate: Array) -> None:
        """Begin as the mixture of what everybody takes, float32 [S, I], and the own past; `gate` float64 [C]."""
        self.popular = tf.constant(np.log(popularity), tf.float32)
        if self.gate.built:
            self.gate.bias.assign(np.log(gate))

    def call(self, x: Tensor, length: Tensor, *, training: bool = False) -> Tensor:
        """Return losses [N, 1] where the answers stand beside the steps, else scores [N, I + C]."""
        read = self.vectors(tf.cast(x[..., 0], tf.int32)) + self.beside(x[..., 1 : SEEN - 1])
        h = self.body(self.dropout(read, training=training), training=training)  # [N, T, D]
        h, cost = h if isinstance(h, tuple) else (h, tf.zeros(tf.shape(x)[:2]))
        return answered_or_scored(x, lambda: self.lost(h, cost, x, length, training=training), lambda: self.scored(h, length))

    def scored(self, h: Tensor, length: Tensor) -> Tensor:  # -> [N, I + C]
        """Score all items, and the components, after each row's last step."""
        own = tf.gather(h, length - 1, batch_dims=1)
        return tf.concat([self.logits(own, tf.zeros(tf.shape(own)[0], tf.int32)), self.gate(own)], 1)

    def logits(self, h: Tensor, snapshot: Tensor) -> Tensor:  # [m, D], [m] -> [m, I]
        """Score all items by what is popular and what the network adds."""
        return tf.matmul(self.turn(h), self.vectors.embeddings[:-1], transpose_b=True) + tf.gather(self.popular, snapshot)

    def lost(self, h: Tensor, cost: Tensor, x: Tensor, length: Tensor, *, training: bool) -> Tensor:  # -> [N, 1]
        """Average the loss over each row's steps that have an answer in the catalogue, and add what a step of it costs."""
        shape = tf.shape(x)
        answer = tf.reshape(x[..., SEEN:], [shape[0], shape[1], -1, ANSWER])
        inside = (tf.range(tf.shape(x, tf.int64)[1]) < length[:, None]) & tf.reduce_any(answer[..., 0] < self.items, 2)
        own, came = tf.boolean_mask(h, inside), tf.boolean_mask(answer, inside)
        each = self.unlikely(own, tf.cast(tf.boolean_mask(x[..., SEEN - 1], inside), tf.int32), came, training=training)
        row = tf.cast(tf.where(inside)[:, 0], tf.int32)
        count = tf.maximum(tf.reduce_sum(tf.cast(inside, tf.float32), 1), 1)
        total = tf.math.unsorted_segment_sum(each, row, shape[0])
        price = tf.reduce_sum(tf.where(inside, cost, 0.0), 1) / count
        return ((total + price) / count)[:, None]

    def unlikely(self, h: Tensor, snapshot: Tensor, answer: Tensor, *, training: bool) -> Tensor:  # -> [m]
        """Return the mean negative log-likelihood of each step's answers, [m, J, ANSWER], under the mixture."""
        item = tf.minimum(tf.cast(answer[..., 0], tf.int32), self.items - 1)
        there = tf.cast(answer[..., 0] < self.items, tf.float32)
        own = (self.sampled if training and self.items > 2 * NEGATIVES else self.exact)(h, snapshot, item)
        said = tf.concat([own[..., None], tf.math.log(tf.maximum(answer[..., 1:], TINY))], 2)  # [m, J, C]
        each = tf.reduce_logsumexp(tf.nn.log_softmax(self.gate(h))[:, None] + said, 2) * there
        return -tf.reduce_sum(each, 1) / tf.reduce_sum(there, 1)

    def exact(self, h: Tensor, snapshot: Tensor, item: Tensor) -> Tensor:  # -> [m, J]
        """Compute the network's own log-chances of items."""
        logits = self.logits(h, snapshot)
        return tf.gather(logits, item, batch_dims=1) - tf.reduce_logsumexp(logits, 1, keepdims=True)

    def sampled(self, h: Tensor, snapshot: Tensor, item: Tensor) -> Tensor:  # -> [m, J]
        """Estimate the same from items drawn by their popularity, each standing for as much as it is rarely drawn."""
        share = tf.reduce_mean(tf.exp(self.popular), 0)  # [I]
        drawn = tf.random.categorical(tf.math.log(share)[None], NEGATIVES, tf.int32)[0]
        base = tf.gather(tf.gather(self.popular, drawn, axis=1), snapshot)  # [m, negatives]
        weight = tf.math.log(tf.gather(share, drawn)) + math.log(NEGATIVES)
        h = self.turn(h)
        rest = tf.reduce_logsumexp(tf.matmul(h, self.vectors(drawn), transpose_b=True) + base - weight, 1, keepdims=True)
        places = tf.stack([tf.broadcast_to(snapshot[:, None], tf.shape(item)), item], -1)
        mine = tf.reduce_sum(h[:, None] * self.vectors(item), 2) + tf.gather_nd(self.popular, places)
        return -tf.nn.softplus(rest - mine)


def normal(spread: float) -> keras.Initializer:
    """Draw weights from a normal distribution."""
    return keras.initializers.RandomNormal(stddev=spread)


def answered_or_scored(x: Tensor, answered: Callable[[], Tensor], scored: Callable[[], Tensor]) -> Tensor:
    """Return what belongs to rows with answers or to rows without: one compiled function serves both."""
    return tf.cond(tf.shape(x)[2] > SEEN, answered, scored)
