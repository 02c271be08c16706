"""Networks of next events: what they see, what they learn, and that no step knows what comes after it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.api import Context
from bench.data.ranking import NextTrain
from bench.neural.next_event import NextEncoder, gaps
from bench.neural.next_net import NextNet
from bench.testing.data import context, example
from bench_plugins.lstm import LSTM, Body
from bench_plugins.self_attention import Body as Attention
from bench_plugins.self_attention import SelfAttention
from bench_plugins.seq2seq import Body as LookingBack
from bench_plugins.seq2seq import Seq2Seq
from bench_plugins.vae import Vae


def histories(lists: list[list[int]], items: int) -> NextTrain:
    item = np.array([i for one in lists for i in one], np.int32)
    time = np.concatenate([np.arange(len(one), dtype=float) for one in lists])
    offsets = np.r_[0, np.cumsum([len(one) for one in lists])].astype(np.int64)
    return NextTrain(offsets=offsets, item=item, kind=np.ones(len(item), np.int16), time=time, group=np.arange(len(lists)), items=items)


def test_each_step_is_answered_by_the_item_after_it_and_windows_miss_none():
    train = histories([[0, 1, 2, 3, 4], [5], [], [6, 7]], 8)
    rows = NextEncoder(8, 3).training_rows(train, Context())
    pairs = set()
    for row in range(len(rows)):
        x, length = rows.padded(np.array([row]))
        pairs |= {(int(a), int(b)) for a, _, b in x[0, : length[0]]}
    assert pairs == {(0, 1), (1, 2), (2, 3), (3, 4), (6, 7)}
    assert rows.lengths.max() <= 3
    assert len(NextEncoder(8, 3).training_rows(train, Context(rows=1))) == 1


def test_asked_rows_hold_the_latest_events_and_nobody_has_one_step_of_nothing():
    rows = NextEncoder(8, 3).prediction_rows(histories([[0, 1, 2, 3, 4], [], [6]], 8))
    x, length = rows.padded(np.arange(3))
    assert length.tolist() == [3, 1, 1]
    assert x[0, :, 0].tolist() == [2, 3, 4]
    assert x[1:, 0, 0].tolist() == [8, 6]
    assert gaps(histories([[0, 1], [2, 3]], 8)).tolist() == pytest.approx([0, np.log(2), 0, np.log(2)])


@pytest.mark.parametrize(
    "body", [Body(8, 16, 0.0), Attention(8, 2, 0.0), LookingBack(8, 16, 0.0)], ids=["lstm", "self-attention", "seq2seq"]
)
def test_a_step_looks_at_no_later_one_and_padding_changes_nothing(body):
    net = NextNet(12, 8, 0.0, body).eval()
    x = torch.stack([torch.randint(0, 12, (2, 6)).float(), torch.rand(2, 6)], -1)
    length = torch.tensor([4, 4])
    later = x.clone()
    later[:, 4:] = 7.0
    with torch.inference_mode():
        assert torch.allclose(net(x, length), net(later, length), atol=1e-6)
        assert torch.allclose(net(x, length), net(x[:, :4], length), atol=1e-6)
        assert not torch.allclose(net(x, length), net(x, length - 1), atol=1e-3)


def test_the_loss_is_the_mean_cross_entropy_of_the_answers_in_the_catalogue():
    net = NextNet(5, 8, 0.0, Body(8, 16, 0.0)).eval()
    x = torch.tensor([[[0, 0.0, 1], [1, 0.1, 5], [2, 0.2, 3]]])
    with torch.inference_mode():
        each = [net(x[:, :t, :2], torch.tensor([t])).log_softmax(1)[0] for t in (1, 3)]
        assert net(x, torch.tensor([3])).item() == pytest.approx(-(each[0][1] + each[1][3]).item() / 2, rel=1e-5)


@pytest.mark.parametrize("model_class", [LSTM, SelfAttention, Seq2Seq], ids=lambda m: m.name)
def test_a_network_learns_the_circle(model_class):
    problem = example("next-event")
    model = model_class({**model_class.default(), "lr": 0.01, "batch": 4, "patience": 40})
    ctx = context("next-event", epochs=40, history=32, rows=None)
    model.fit(problem.train, ctx)
    found = model.predict(problem.inputs, ctx).items
    inputs = problem.inputs.take(problem.inputs.lengths > 1)
    last = inputs.item[inputs.offsets[1:] - 1]
    right = found[problem.inputs.lengths > 1, 0] == (last + 1) % 30
    assert right[last < 30].mean() > 0.6


def test_an_autoencoder_of_bags_ranks_what_goes_with_what_was_seen():
    rng = np.random.default_rng(0)
    train = histories([(10 * (u % 2) + rng.permutation(10)[:6]).tolist() for u in range(120)], 20)
    model = Vae({**Vae.default(), "lr": 0.01, "beta": 0.1, "batch": 32})
    ctx = context("next-event", epochs=30, history=32, rows=None)
    model.fit(train, ctx)
    top = model.predict(train, ctx).items[:, :10]
    assert ((top // 10) == (np.arange(120) % 2)[:, None]).mean() > 0.95


def test_the_bag_of_a_window_ignores_order_padding_and_what_is_not_in_the_catalogue():
    net = Vae(Vae.default()).make(NextEncoder(12, 6).sizes).eval()
    x = torch.tensor([[[3, 0.1], [12, 0.2], [5, 0.3], [0, 0.0]], [[5, 0.9], [3, 0.1], [12, 0.0], [7, 0.0]]])
    with torch.inference_mode():
        scores = net(x, torch.tensor([3, 3]))
    assert torch.allclose(scores[0], scores[1], atol=1e-6)
