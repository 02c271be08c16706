"""Keras networks of next events: the loss by hand, no look ahead, and something learnt."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="tensorflow is not installed")
pytest.importorskip("keras", reason="keras is not installed")

from neural.test_next_event_network import histories

from bench.neural.keras_loop import keras, tf
from bench.neural.keras_next_net import NextNet
from bench.neural.next_event import SEEN
from bench.neural.own_past import COMPONENTS
from bench.testing.data import context, example
from bench_plugins.keras_lstm import Body, KerasLSTM
from bench_plugins.keras_vae import KerasVae


def test_the_loss_and_the_scores_are_those_of_the_torch_network():
    """The same weights in both: one loss, by hand there, serves here too."""
    torch = pytest.importorskip("torch")
    from neural.test_next_event_network import answered

    from bench.neural import next_net

    class Tanh(torch.nn.Module):
        def forward(self, x, _):
            return torch.tanh(x)

    class TanhTwin(keras.Model):
        def call(self, x, *, training=False):
            return tf.tanh(x)

    net, twin = NextNet(5, 8, 0.0, TanhTwin()), next_net.NextNet(5, 8, 0.0, Tanh()).eval()
    popular = np.array([[0.4, 0.3, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.3, 0.4]], np.float32)
    for one in (net, twin):
        one.begin(popular, np.arange(1.0, COMPONENTS + 1) / np.arange(1.0, COMPONENTS + 1).sum())
    pairs = ((net.beside.kernel, twin.beside.weight.T), (net.beside.bias, twin.beside.bias), (net.turn.kernel, twin.turn.weight.T))
    for own, other in (*pairs, (net.vectors.embeddings, twin.vectors.weight)):
        own.assign(10 * other.detach().numpy())
        other.data *= 10
    x, length = answered(5), torch.tensor([3])
    with torch.inference_mode():
        assert net(x.numpy(), length.numpy()).numpy() == pytest.approx(twin(x, length).numpy(), rel=1e-4)
        assert net(x[..., :SEEN].numpy(), length.numpy()).numpy() == pytest.approx(twin(x[..., :SEEN], length).numpy(), rel=1e-3)


def test_a_sample_of_a_large_catalogue_estimates_the_same_loss():
    keras.utils.set_random_seed(0)
    net = NextNet(2_000, 8, 0.0, Body(8, 16, 0.0))
    net.turn.kernel.assign(np.eye(8))
    rng = np.random.default_rng(0)
    net.begin(rng.dirichlet(np.ones(2_000), 2).astype(np.float32), np.full(COMPONENTS, 1 / COMPONENTS))
    asked = (
        tf.constant(rng.normal(size=(64, 8)), tf.float32),
        tf.constant(rng.integers(0, 2, 64)),
        tf.constant(rng.integers(0, 2_000, (64, 3))),
    )
    drawn = np.mean([net.sampled(*asked).numpy() for _ in range(20)], 0)
    assert np.abs(drawn - net.exact(*asked).numpy()).mean() < 0.05


def test_what_stands_behind_the_last_step_changes_nothing():
    net = NextNet(12, 8, 0.0, Body(8, 16, 0.0))
    rng = np.random.default_rng(0)
    x = rng.random((2, 6, SEEN)).astype(np.float32)
    x[..., 0], x[..., SEEN - 1] = rng.integers(0, 12, (2, 6)), 0.0
    later = x.copy()
    later[:, 4:] = 7.0
    length = np.array([4, 4])
    assert net(x, length).numpy() == pytest.approx(net(later, length).numpy(), abs=1e-6)
    assert net(x, length).numpy() == pytest.approx(net(x[:, :4], length).numpy(), abs=1e-6)


def test_the_lstm_learns_the_circle():
    problem = example("next-event")
    model = KerasLSTM({**KerasLSTM.default(), "lr": 0.01, "batch": 4})
    ctx = context("next-event", epochs=10, history=32, rows=None)
    model.fit(problem.train, ctx)
    some = problem.inputs.lengths > 1
    last = problem.inputs.item[problem.inputs.offsets[1:] - 1][some]
    found = model.predict(problem.inputs, ctx).items[some, 0]
    assert (found == (last + 1) % 30)[last < 30].mean() > 0.6


def test_an_autoencoder_of_bags_ranks_what_goes_with_what_was_seen():
    rng = np.random.default_rng(0)
    train = histories([(10 * (u % 2) + rng.permutation(10)[:6]).tolist() for u in range(120)], 20)
    model = KerasVae({**KerasVae.default(), "lr": 0.01, "beta": 0.1, "batch": 32})
    ctx = context("next-event", epochs=15, history=32, rows=None)
    model.fit(train, ctx)
    top = model.predict(train, ctx).items[:, :10]
    assert ((top // 10) == (np.arange(120) % 2)[:, None]).mean() > 0.95


def test_what_was_saved_answers_alike(tmp_path):
    problem, ctx = example("next-event"), context("next-event", epochs=1, history=32, rows=None)
    model, again = KerasVae(KerasVae.default()), KerasVae(KerasVae.default())
    model.fit(problem.train, ctx)
    model.save(tmp_path)
    again.load(tmp_path)
    assert np.array_equal(model.predict(problem.inputs, ctx).items, again.predict(problem.inputs, ctx).items)
