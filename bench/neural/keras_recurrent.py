"""LSTM layers of Keras over all steps at once, where they are computed on a CPU.

Keras itself goes through the steps by a loop in the graph, and the loop's gradient by another: to trace both takes longer than
a small log's epochs. TensorFlow has one operation for all steps, as cuDNN has on a GPU, where Keras takes that.

Letters for shapes: N rows, T steps, F features, D units.
"""

from __future__ import annotations

from bench.neural.keras_loop import Tensor, tf


def read_through(layer: Tensor, x: Tensor) -> Tensor:  # [N, T, F] -> [N, T, D]
    """Return what the layer, a `keras.layers.LSTM` that returns sequences, has after each step; its weights stay its own."""
    if tf.config.list_physical_devices("GPU"):
        return layer(x)
    if not layer.built:
        layer.build(x.shape)
    cell, steps = layer.cell, tf.transpose(x, [1, 0, 2])  # [T, N, F]
    begin, peephole = tf.zeros([tf.shape(steps)[1], cell.units]), tf.zeros([cell.units])
    # not BlockLSTMV2, whose gradient takes the gates in another order than it does
    found = tf.raw_ops.BlockLSTM(
        seq_len_max=tf.shape(steps, tf.int64)[0],
        x=steps,
        cs_prev=begin,
        h_prev=begin,
        w=_in_order(tf.concat([cell.kernel, cell.recurrent_kernel], 0)),
        b=_in_order(tf.convert_to_tensor(cell.bias)),
        wci=peephole,
        wcf=peephole,
        wco=peephole,
        forget_bias=0.0,
        cell_clip=-1.0,
        use_peephole=False,
    )
    return tf.transpose(found.h, [1, 0, 2])


def _in_order(weights: Tensor) -> Tensor:
    """Put the gates from Keras' order, input, forget, cell, output, into that of the operation; [..., 4 D]."""
    into, forget, cell, out = tf.split(weights, 4, axis=-1)
    return tf.concat([into, cell, forget, out], -1)
