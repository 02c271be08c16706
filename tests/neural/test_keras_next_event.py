"""Keras networks of next events: the loss by hand, no look ahead, and something learnt."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="tensorflow is not installed")
pytest.importorskip("keras", reason="keras is not installed")

from neural.test_next_event_network import histories

from bench.neural.keras_next_net import NextNet
from bench.neural.next_event import NextEncoder
from bench.testing.data import context, example
from bench_plugins.keras_lstm import Body, KerasLSTM
from bench_plugins.keras_vae import KerasVae


def log_softmax(scores: np.ndarray) -> np.ndarray:
    return scores - np.log(np.exp(scores).sum(-1, keepdims=True))


def test_the_loss_is_the_mean_cross_entropy_of_the_answers_in_the_catalogue():
    net = NextNet(5, 8, 0.0, Body(8, 16, 0.0))
    x = np.array([[[0, 0.0, 1], [1, 0.1, 5], [2, 0.2, 3], [4, 0.0, 5]]], np.float32)
    each = [log_softmax(net(x[:, :, :2], np.array([t])).numpy())[0] for t in (1, 3)]
    assert net(x, np.array([3])).numpy().item() == pytest.approx(-(each[0][1] + each[1][3]) / 2, rel=1e-5)


def test_what_stands_behind_the_last_step_changes_nothing():
    net = NextNet(12, 8, 0.0, Body(8, 16, 0.0))
    rng = np.random.default_rng(0)
    x = np.stack([rng.integers(0, 12, (2, 6)), rng.random((2, 6))], -1).astype(np.float32)
    later = x.copy()
    later[:, 4:] = 7.0
    length = np.array([4, 4])
    assert net(x, length).numpy() == pytest.approx(net(later, length).numpy(), abs=1e-6)
    assert net(x, length).numpy() == pytest.approx(net(x[:, :4], length).numpy(), abs=1e-6)


def test_the_lstm_learns_the_circle():
    problem = example("next-event")
    model = KerasLSTM({**KerasLSTM.default(), "lr": 0.01, "batch": 4})
    ctx = context("next-event", epochs=40, history=32, rows=None)
    model.fit(problem.train, ctx)
    some = problem.inputs.lengths > 1
    last = problem.inputs.item[problem.inputs.offsets[1:] - 1][some]
    found = model.predict(problem.inputs, ctx).items[some, 0]
    assert (found == (last + 1) % 30)[last < 30].mean() > 0.6


def test_an_autoencoder_of_bags_ranks_what_goes_with_what_was_seen():
    rng = np.random.default_rng(0)
    train = histories([(10 * (u % 2) + rng.permutation(10)[:6]).tolist() for u in range(120)], 20)
    model = KerasVae({**KerasVae.default(), "lr": 0.01, "beta": 0.1, "batch": 32})
    ctx = context("next-event", epochs=30, history=32, rows=None)
    model.fit(train, ctx)
    top = model.predict(train, ctx).items[:, :10]
    assert ((top // 10) == (np.arange(120) % 2)[:, None]).mean() > 0.95
    net = KerasVae(KerasVae.default()).make(NextEncoder(12, 6).sizes)
    x = np.array([[[3, 0.1], [12, 0.2], [5, 0.3], [0, 0.0]], [[5, 0.9], [3, 0.1], [12, 0.0], [7, 0.0]]], np.float32)
    scores = net(x, np.array([3, 3])).numpy()
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
