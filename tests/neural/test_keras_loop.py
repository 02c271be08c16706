"""The Keras loop learns as the torch loop does: losses, steps, clipping, averaged weights, stopping."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed")
pytest.importorskip("keras", reason="keras is not installed")
torch = pytest.importorskip("torch", reason="torch, which the loop is compared with, is not installed")

from bench.api import Context  # noqa: E402
from bench.neural import keras_loop, loop  # noqa: E402
from bench.neural.batches import Sequences, batches  # noqa: E402
from bench.neural.keras_loop import KerasLoop, keras, outputs  # noqa: E402
from bench.neural.training import WIDE, DivergedError, TrainingRecipe  # noqa: E402


class Sum(keras.Model):
    """A linear layer over the sum of the real steps: order-free, padding-free, quick."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.dense.build((None, 2))
        self.dense.set_weights([np.array([[0.1], [-0.2]], np.float32), np.array([0.05], np.float32)])

    def call(self, x, length, *, training=False):
        inside = tf.cast(tf.range(tf.shape(x)[1])[None] < tf.cast(length, tf.int32)[:, None], tf.float32)  # [N, T]
        return self.dense(tf.reduce_sum(x * inside[..., None], 1))


class Twin(torch.nn.Module):
    """The same network, with the same weights, in torch."""

    def __init__(self):
        super().__init__()
        self.dense = torch.nn.Linear(2, 1)
        self.load_state_dict({"dense.weight": torch.tensor([[0.1, -0.2]]), "dense.bias": torch.tensor([0.05])})

    def forward(self, x, length):
        inside = torch.arange(x.shape[1]) < length[:, None]  # [N, T]
        return self.dense((x * inside[..., None]).sum(1))


class Counted(Sum):
    """Learn from an objective of its own: the distance of the outputs from 3."""

    def objective(self, x, length, target, loss):
        return tf.reduce_sum((self(x, length) - 3) ** 2) + 0 * loss(self(x, length), target)


@dataclass(frozen=True)
class Counting(Context):
    """Stop after a number of steps."""

    stop_after: int = 10**9
    asked: list[int] = field(default_factory=list)

    def should_stop(self):
        self.asked.append(1)
        return len(self.asked) > self.stop_after


def sequences(n, target, seed=0):
    rng = np.random.default_rng(seed)
    offsets = np.r_[0, np.cumsum(rng.integers(1, 6, n))]
    y = np.broadcast_to(np.asarray(target, np.float32), n)[:, None].copy()
    return Sequences(offsets, rng.normal(size=(offsets[-1], 2)).astype(np.float32), np.zeros((n, 0), np.float32), y)


def trained(fit, held, ctx, net=None, **recipe):
    made = KerasLoop(net or Sum(), TrainingRecipe("bce", **recipe), ctx)
    made.run(fit, held)
    return made


@pytest.mark.parametrize("held", [None, sequences(30, 1, seed=1)], ids=["no holdout", "a holdout"])
def test_the_same_batches_give_the_weights_and_losses_of_the_torch_loop(held):
    told = {"keras": [], "torch": []}
    fit = sequences(100, np.random.default_rng(2).integers(0, 2, 100))
    recipe = TrainingRecipe("bce", lr=0.05, batch=16, clip=0.5)
    found = KerasLoop(Sum(), recipe, Context(epochs=4, on_report=lambda _, loss: told["keras"].append(loss)))
    expected = loop.Loop(Twin(), recipe, Context(epochs=4, on_report=lambda _, loss: told["torch"].append(loss)))
    for each in (found, expected):
        each.run(fit, held)
    weights = [found.net.dense.kernel.numpy()[:, 0], found.net.dense.bias.numpy()]
    assert np.allclose(weights[0], expected.net.dense.weight.detach().numpy()[0], atol=1e-5)
    assert np.allclose(weights[1], expected.net.dense.bias.detach().numpy(), atol=1e-5)
    assert np.allclose(told["keras"], told["torch"], atol=1e-5)
    assert len(told["keras"]) == (4 if held else 0)


@pytest.mark.parametrize(("name", "target"), [("bce", (5, 4)), ("huber", (5, 4)), ("pinball", (5, 4))])
def test_losses_agree_with_those_of_the_torch_loop(name, target):
    rng = np.random.default_rng(0)
    y = rng.normal(size=target).astype(np.float32) * 3
    if name == "bce":
        y = (y > 0).astype(np.float32)
    else:
        y[1, 2:], y[3] = np.nan, np.nan
    levels = (0.1, 0.5, 0.8)
    raw = rng.normal(size=(5, 12 if name == "pinball" else 4)).astype(np.float32)
    given = torch.from_numpy(raw).requires_grad_()
    expected = loop.LOSSES[name](given, torch.from_numpy(y), torch.tensor(levels))
    expected.backward()
    x = tf.constant(raw)
    with tf.GradientTape() as tape:
        tape.watch(x)
        found = keras_loop.LOSSES[name](x, tf.constant(y), tf.constant(levels))
    assert float(found) == pytest.approx(expected.item(), rel=1e-5)
    assert np.allclose(tape.gradient(found, x).numpy(), given.grad.numpy(), atol=1e-6)
    assert keras_loop.LOSSES.keys() == loop.LOSSES.keys()


def test_the_weights_with_the_lowest_holdout_loss_are_kept():
    told = []
    held = sequences(40, target=0, seed=1)
    ctx = Context(epochs=50, on_report=lambda _, loss: told.append(loss))
    made = trained(sequences(40, target=1), held, ctx, lr=0.1, patience=3)  # learning 1 makes the holdout, all 0, worse each epoch
    assert len(told) == 4
    assert told[-1] > told[0] == min(told)
    assert made.loss_sum(held) / len(held) == pytest.approx(told[0], rel=1e-6)


def test_the_stop_signal_is_asked_at_every_step_and_honoured_at_once():
    ctx = Counting(epochs=50, stop_after=7)
    fit = sequences(40, target=1)
    assert trained(fit, fit, ctx, batch=8).stopped
    assert len(ctx.asked) == 8


def test_a_step_is_traced_once_whatever_the_shape_of_its_batch():
    fit = sequences(100, target=1)
    made = trained(fit, fit, Context(epochs=2))
    assert len({rows.padded_shape for rows in shapes(fit)}) > 2
    assert made.compiled.experimental_get_tracing_count() == 1
    assert made.net.traced.experimental_get_tracing_count() == 1


@dataclass(frozen=True)
class Shape:
    padded_shape: tuple[int, ...]


def shapes(rows):
    return [Shape(rows.padded(batch)[0].shape) for batch in batches(rows.lengths, 32, (0, 0))]


def test_a_loss_that_is_no_number_is_a_clear_error():
    broken = sequences(40, target=1)
    broken.features[3] = np.nan
    with pytest.raises(DivergedError, match=r"loss of Sum became nan in epoch 0; lower the learning rate"):
        trained(broken, None, Context())


def test_a_network_may_learn_by_an_objective_of_its_own_and_is_judged_by_the_tasks_loss():
    told = []
    fit = sequences(40, target=1)
    made = trained(fit, fit, Context(epochs=40, on_report=lambda _, loss: told.append(loss)), Counted(), lr=0.1, patience=50)
    assert np.abs(outputs(made.net, fit, Context()) - 3).mean() < 1.5
    assert made.best.loss == min(told)
    assert made.loss_sum(fit) / len(fit) == pytest.approx(min(told), rel=1e-5)


def test_outputs_come_in_the_order_of_the_rows_over_several_batches():
    rows = sequences(2 * WIDE + 3, target=1)
    net = Sum()
    steps = np.stack([rows.features[a:b].sum(0) for a, b in zip(rows.offsets[:-1], rows.offsets[1:], strict=True)])
    assert np.abs(outputs(net, rows, Context()) - net.dense(steps).numpy()).max() < 1e-5
