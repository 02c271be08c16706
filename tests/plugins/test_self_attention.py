"""The network of self-attention: causal where it forecasts, both ways where it fills in what is hidden."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from plugins.network_kit import QUICK, NetworkContract, users  # noqa: E402

from bench.neural.sizes import Sizes  # noqa: E402
from bench_plugins._attention import last_block, weights  # noqa: E402
from bench_plugins.self_attention import Block, Net, SelfAttention, bench_models, place  # noqa: E402


class TestSelfAttention(NetworkContract):
    kind = SelfAttention
    files: ClassVar = {"weights.safetensors", "state.json"}


def net(task="forecasting", steps=3, each=2):
    torch.manual_seed(0)
    return Net(Sizes(task, f=4, steps=steps, each=each), width=16, layers=2, dropout=0.0).eval()


@pytest.mark.parametrize("task", ["forecasting", "anomaly"])
def test_what_stands_behind_the_last_step_is_never_looked_at(task):
    x, length = torch.randn(4, 9, 4), torch.tensor([3, 5, 9, 4])
    behind = torch.arange(9) >= length[:, None]  # [N, T]
    found = net(task)(x, length)
    assert found.shape == (4, 6)
    assert torch.equal(found, net(task)(x.masked_fill(behind[..., None], 1e6), length))


@pytest.mark.parametrize("task", ["forecasting", "anomaly"])
def test_a_row_is_answered_alone_as_beside_a_longer_one(task):
    x, length = torch.randn(2, 9, 4), torch.tensor([5, 9])
    assert torch.allclose(net(task)(x, length)[:1], net(task)(x[:1, :5], length[:1]), atol=1e-5)


def reached(task):
    """Say which steps the answer at the last but one of nine depends on."""
    x, length = torch.randn(1, 9, 4, requires_grad=True), torch.tensor([9])
    net(task)(x, length).view(3, 2)[1].sum().backward()
    return (x.grad[0].abs().sum(1) > 0).tolist()


def test_the_causal_mask_holds_and_only_a_reconstruction_looks_ahead():
    assert reached("forecasting") == [True] * 8 + [False]
    assert reached("anomaly") == [True] * 9


def test_a_block_agrees_with_attention_written_out():
    torch.manual_seed(0)
    block, x = Block(16, 0.0, causal=True).eval(), torch.randn(2, 5, 16)
    q, k, v = block.qkv(block.before(x)).chunk(3, 2)
    heads = []
    for at in range(0, 16, 4):
        score = q[..., at : at + 4] @ k[..., at : at + 4].transpose(1, 2) / 2  # the root of 4
        later = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)
        heads.append(score.masked_fill(later, -torch.inf).softmax(2) @ v[..., at : at + 4])
    h = x + block.mix(torch.cat(heads, 2))
    assert torch.allclose(block(x, torch.ones(2, 5, dtype=torch.bool)), h + block.dense(block.between(h)), atol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_a_block_that_is_asked_for_some_steps_gives_what_it_gives_for_all(causal):
    torch.manual_seed(1)
    block, x, length = Block(16, 0.0, causal=causal).eval(), torch.randn(3, 7, 16), torch.tensor([7, 4, 2])
    inside, step = torch.arange(7) < length[:, None], torch.tensor([[5, 6], [2, 3], [0, 1]])
    whole = block(x, inside)
    assert torch.allclose(block.at(x, inside, step), whole[torch.arange(3)[:, None], step], atol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_the_weights_that_are_shown_are_those_that_the_block_uses(causal):
    torch.manual_seed(3)
    block = Block(16, 0.0, causal=causal).eval()
    x, length = torch.randn(3, 7, 16), torch.tensor([7, 4, 1])
    inside, step = torch.arange(7) < length[:, None], length[:, None] - 1
    shown = weights(block, x, inside, step)  # [N, heads, T]
    v = block.qkv(block.before(x)).view(3, 7, 3, 4, 4)[:, :, 2].transpose(1, 2)
    made = block.added(x[torch.arange(3)[:, None], step], shown[:, :, None] @ v)
    torch.testing.assert_close(made, block.at(x, inside, step))
    torch.testing.assert_close(shown.sum(2), torch.ones(3, 4))


def test_it_shows_one_weight_a_step_whatever_stands_beside_and_nothing_of_other_tasks():
    data = users(40, shortest=1)
    model = SelfAttention(SelfAttention.default())
    model.fit(data, QUICK)
    shown = model.insight(data, QUICK)["step_weights"]
    assert shown.shape == (data.offsets[-1],)
    np.testing.assert_allclose(np.add.reduceat(shown, data.offsets[:-1]), 1, rtol=1e-5)
    alone = data.take(np.array([7]))
    np.testing.assert_allclose(model.insight(alone, QUICK)["step_weights"], shown[data.offsets[7] : data.offsets[8]], rtol=1e-4)
    assert last_block(model.network, torch.zeros(2, 5, model.encoder.sizes.f), torch.tensor([5, 2])).shape == (2, 5)
    model.encoder = object()
    assert model.insight(data, QUICK) == {}


def test_places_are_told_apart_and_a_step_is_a_rotation():
    code = place(torch.arange(-300, 0), 16).numpy()  # [300, 16]
    distance = np.linalg.norm(code[:, None] - code[None], axis=2)
    assert (distance + 10 * np.eye(300)).min() > 0.1
    assert np.allclose(np.diag(distance, 7), distance[0, 7], atol=1e-4)


def test_events_have_a_time_beside_their_place_and_steps_of_a_grid_have_not():
    churn = net("churn", steps=1)
    x, length = torch.randn(1, 5, 4), torch.tensor([5])
    churn.read.weight.data[:, 0] = 0.0  # the distance from the cut-off is seen by the encoding of time alone
    later = x.clone()
    later[..., 0] += 0.3
    assert not torch.allclose(churn(x, length), churn(later, length), atol=1e-4)
    churn.time.weight.data[:] = 0.0
    assert torch.allclose(churn(x, length), churn(later, length))
    assert net("forecasting").time is None
    assert net("anomaly").time is None


def test_the_hook_gives_the_model_which_is_not_causal():
    assert bench_models() == [SelfAttention]
    assert not SelfAttention.causal
    assert SelfAttention.tasks == {"forecasting", "churn", "anomaly", "next-event"}
