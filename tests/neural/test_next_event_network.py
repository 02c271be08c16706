"""Networks of next events: what they see, what they learn, and that no step knows what comes after it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.api import Context
from bench.data.ranking import NextTrain
from bench.neural.next_event import ANSWER, MOST, SEEN, NextEncoder, gaps
from bench.neural.next_net import NextNet
from bench.neural.own_past import COMPONENTS
from bench.neural.sizes import Sizes
from bench.testing.data import context, example
from bench_plugins._vae_bag import Bag
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
    encoder = NextEncoder.fit(train, Context(history=3))
    rows = encoder.training_rows(train, Context())
    pairs = set()
    for row in range(len(rows)):
        x, length = rows.padded(np.array([row]))
        pairs |= {(int(step[0]), int(step[SEEN])) for step in x[0, : length[0]]}
    assert pairs == {(0, 1), (1, 2), (2, 3), (3, 4), (6, 7)}
    assert rows.lengths.max() <= 3
    assert len(encoder.training_rows(train, Context(rows=1))) == 1


def test_the_last_event_of_a_moment_is_answered_by_all_of_the_next_and_no_other_is():
    train = replace(histories([[0, 1, 2, 3, 4, 5]], 6), time=np.array([0.0, 0.0, 1.0, 1.0, 1.0, 2.0]), until=3.0)
    encoder = NextEncoder.fit(train, Context(history=8, horizon=1.0))
    x, length = encoder.training_rows(train, Context()).padded(np.array([0]))
    answers = x[0, :, SEEN:].reshape(5, -1, ANSWER)
    assert length.tolist() == [5]
    assert [sorted(step[step < 6].astype(int).tolist()) for step in answers[..., 0]] == [[], [2, 3, 4], [], [], [5]]
    # each is answered as of the snapshot before what came: 3 - 1 = 2 days for the event of day 2
    assert x[0, [1, 4], SEEN - 1].tolist() == [2, 1]


def test_the_steps_of_a_large_moment_are_answered_by_some_of_its_items():
    train = replace(histories([list(range(40))], 40), time=np.r_[0.0, np.ones(39)], until=2.0)
    x, _ = NextEncoder.fit(train, Context(history=8)).training_rows(train, Context()).padded(np.array([0]))
    answers = x[0, 0, SEEN:].reshape(-1, ANSWER)[:, 0]
    assert len(set(answers.tolist())) == len(answers) == MOST
    assert (answers > 0).all()


def test_asked_rows_hold_the_latest_events_and_nobody_has_one_step_of_nothing():
    asked = histories([[0, 1, 2, 3, 4], [], [6]], 8)
    rows = NextEncoder.fit(asked, Context(history=3)).prediction_rows(asked)
    x, length = rows.padded(np.arange(3))
    assert length.tolist() == [3, 1, 1]
    assert x[0, :, 0].tolist() == [2, 3, 4]
    assert x[1:, 0, 0].tolist() == [8, 6]
    assert gaps(histories([[0, 1], [2, 3]], 8)).tolist() == pytest.approx([0, np.log(2), 0, np.log(2)])


def some_steps(items: int) -> torch.Tensor:
    """Draw what is seen of two rows of six steps."""
    x = torch.rand(2, 6, SEEN)
    x[..., 0], x[..., SEEN - 1] = torch.randint(0, items, (2, 6)).float(), 0.0
    return x


BODIES = {
    "lstm": Body(8, 16, 0.0),
    "self-attention": Attention(8, 2, 0.0),
    "seq2seq": LookingBack(8, 16, 0.0),
    "vae": Bag(Sizes("next-event", SEEN), Vae.default(), 8),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_step_looks_at_no_later_one_and_padding_changes_nothing(body):
    net = NextNet(12, 8, 0.0, body).eval()
    torch.nn.init.eye_(net.turn.weight)
    x = some_steps(12)
    length = torch.tensor([4, 4])
    later = x.clone()
    later[:, 4:] = 7.0
    with torch.inference_mode():
        assert torch.allclose(net(x, length), net(later, length), atol=1e-6)
        assert torch.allclose(net(x, length), net(x[:, :4], length), atol=1e-6)
        assert not torch.allclose(net(x, length), net(x, length - 1), atol=1e-3)


def answered(items: int) -> torch.Tensor:
    """Lay three steps with two answers each, some of them none, and what the own past says of them."""
    x = torch.zeros(1, 3, SEEN + 2 * ANSWER)
    x[0, :, 0], x[0, :, SEEN - 1] = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 1.0, 1.0])
    came = x[0, :, SEEN:].view(3, 2, ANSWER)
    came[..., 0] = torch.tensor([[1.0, items], [items, items], [3.0, 4.0]])
    came[..., 1:] = torch.rand(3, 2, ANSWER - 1, generator=torch.Generator().manual_seed(0))
    return x


def test_the_loss_is_that_of_the_mixture_at_each_step_with_an_answer_in_the_catalogue():
    net = NextNet(5, 8, 0.0, Body(8, 16, 0.0)).eval()
    torch.nn.init.eye_(net.turn.weight)
    popular = np.array([[0.4, 0.3, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.3, 0.4]], np.float32)
    net.begin(popular, np.full(COMPONENTS, 1 / COMPONENTS))
    x = answered(5)
    with torch.inference_mode():
        loss = []
        for t, snapshot, answers in ((1, 0, (1,)), (3, 1, (3, 4))):
            raw = net(x[:, :t, :SEEN], torch.tensor([t]))[0]
            own = (raw[:5] - torch.from_numpy(popular).log()[0] + torch.from_numpy(popular).log()[snapshot]).softmax(0)
            said = x[0, t - 1, SEEN:].view(2, ANSWER)[:, 1:]
            each = [torch.cat([own[[item]], said[j]]) @ raw[5:].softmax(0) for j, item in enumerate(answers)]
            loss.append(-torch.stack(each).log().mean())
        assert net(x, torch.tensor([3])).item() == pytest.approx(torch.stack(loss).mean().item(), rel=1e-5)


def test_a_network_that_has_learnt_nothing_says_what_everybody_says():
    net = NextNet(2_000, 8, 0.0, Body(8, 16, 0.0))
    torch.nn.init.zeros_(net.turn.weight)
    popular = np.random.default_rng(0).dirichlet(np.ones(2_000), 1).astype(np.float32)
    net.begin(popular, np.r_[0.8, np.full(COMPONENTS - 1, 0.2 / (COMPONENTS - 1))])
    x = answered(2_000)
    x[..., SEEN - 1] = 0.0
    found = net.eval()(x[..., :SEEN], torch.tensor([3]))[0]
    assert found[:2_000].softmax(0).detach().numpy() == pytest.approx(popular[0], rel=1e-4)
    assert found[2_000:].softmax(0)[0].item() == pytest.approx(0.8, rel=1e-5)
    # and then the sample that a training step takes is exact, but for the answer itself
    assert net.train()(x, torch.tensor([3])).item() == pytest.approx(net.eval()(x, torch.tensor([3])).item(), rel=1e-3)


def test_a_sample_of_a_large_catalogue_estimates_the_same_loss():
    torch.manual_seed(0)
    net = NextNet(2_000, 8, 0.0, Body(8, 16, 0.0))
    popular = np.random.default_rng(0).dirichlet(np.ones(2_000), 2).astype(np.float32)
    net.begin(popular, np.full(COMPONENTS, 1 / COMPONENTS))
    torch.nn.init.eye_(net.turn.weight)
    h, snapshot, item = torch.randn(64, 8), torch.randint(0, 2, (64,)), torch.randint(0, 2_000, (64, 3))
    with torch.inference_mode():
        exact = net.exact(h, snapshot, item)
        drawn = torch.stack([net.sampled(h, snapshot, item) for _ in range(20)]).mean(0)
    assert (drawn - exact).abs().mean() < 0.05


@pytest.mark.parametrize("model_class", [LSTM, SelfAttention, Seq2Seq], ids=lambda m: m.name)
def test_a_network_learns_the_circle(model_class):
    problem = example("next-event")
    model = model_class({**model_class.default(), "lr": 0.005, "batch": 4, "patience": 8})
    ctx = context("next-event", epochs=10, history=32, rows=None)
    model.fit(problem.train, ctx)
    found = model.predict(problem.inputs, ctx).items
    inputs = problem.inputs.take(problem.inputs.lengths > 1)
    last = inputs.item[inputs.offsets[1:] - 1]
    right = found[problem.inputs.lengths > 1, 0] == (last + 1) % 30
    assert right[last < 30].mean() > 0.5


def test_an_autoencoder_of_bags_ranks_what_goes_with_what_was_seen():
    rng = np.random.default_rng(0)
    train = histories([(10 * (u % 2) + rng.permutation(10)[:6]).tolist() for u in range(120)], 20)
    model = Vae({**Vae.default(), "lr": 0.01, "beta": 0.1, "batch": 32})
    ctx = context("next-event", epochs=15, history=32, rows=None)
    model.fit(train, ctx)
    top = model.predict(train, ctx).items[:, :10]
    assert ((top // 10) == (np.arange(120) % 2)[:, None]).mean() > 0.95


def test_the_bag_of_a_window_ignores_order():
    net = Vae(Vae.default()).make(Sizes("next-event", SEEN, each=12)).eval()
    torch.nn.init.eye_(net.turn.weight)
    x = torch.rand(1, 3, SEEN).repeat(2, 1, 1)
    x[0, :, 0], x[1, :, 0] = torch.tensor([3.0, 12.0, 5.0]), torch.tensor([5.0, 12.0, 3.0])
    x[:, :, 1:] = 0.0
    with torch.inference_mode():
        scores = net(x, torch.tensor([3, 3]))
        assert torch.allclose(scores[0], scores[1], atol=1e-6)
        assert not torch.allclose(scores[0], net(x[:1, :2], torch.tensor([2]))[0], atol=1e-6)


@pytest.mark.parametrize("model_class", [LSTM, Vae], ids=lambda m: m.name)
def test_what_was_saved_answers_alike(model_class, tmp_path):
    problem, ctx = example("next-event"), context("next-event", epochs=2, history=32, rows=None)
    model, again = model_class(model_class.default()), model_class(model_class.default())
    model.fit(problem.train, ctx)
    model.save(tmp_path)
    again.load(tmp_path)
    assert np.array_equal(model.predict(problem.inputs, ctx).items, again.predict(problem.inputs, ctx).items)


def test_users_who_repeat_themselves_are_foretold_by_their_own_past():
    rng = np.random.default_rng(3)
    own = rng.integers(0, 60, (80, 2))
    train = histories([rng.choice(own[user], 12).tolist() for user in range(80)], 60)
    train = replace(train, until=12.0)
    model = LSTM({**LSTM.default(), "batch": 32})
    ctx = context("next-event", epochs=1, history=32, rows=None)
    model.fit(train, ctx)
    top = model.predict(train, ctx).items[:, :2]
    assert np.mean([set(top[user]) == set(own[user]) for user in range(80) if own[user, 0] != own[user, 1]]) > 0.9
