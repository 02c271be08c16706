"""The network of encoder, decoder and attention."""

from __future__ import annotations

from typing import ClassVar

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from plugins.network_kit import NetworkContract, users  # noqa: E402

from bench.api import Context  # noqa: E402
from bench.neural.sizes import Sizes  # noqa: E402
from bench_plugins.seq2seq import Attention, Net, Seq2Seq, bench_models  # noqa: E402


class TestSeq2Seq(NetworkContract):
    kind = Seq2Seq
    files: ClassVar = {"weights.safetensors", "state.json"}


def net(task="forecasting", steps=3, each=2):
    torch.manual_seed(0)
    return Net(Sizes(task, f=4, steps=steps, each=each), hidden=8, dropout=0.0).eval()


@pytest.mark.parametrize("task", ["forecasting", "anomaly"])
def test_what_stands_behind_the_last_step_is_never_looked_at(task):
    x, length = torch.randn(4, 9, 4), torch.tensor([3, 5, 9, 4])  # the first has no context
    behind = torch.arange(9) >= length[:, None]  # [N, T]
    found = net(task)(x, length)
    assert found.shape == (4, 6)
    assert torch.equal(found, net(task)(x.masked_fill(behind[..., None], 1e6), length))


def test_a_row_is_answered_alone_as_beside_a_longer_one():
    x, length = torch.randn(2, 9, 4), torch.tensor([5, 9])
    assert torch.allclose(net()(x, length)[:1], net()(x[:1, :5], length[:1]), atol=1e-6)


def test_the_answer_of_a_step_uses_the_context_and_no_later_step():
    x, length = torch.randn(1, 9, 4, requires_grad=True), torch.tensor([9])
    net()(x, length).view(3, 2)[1].sum().backward()
    assert (x.grad[0, :8].abs().sum(1) > 0).all()
    assert (x.grad[0, 8] == 0).all()


def test_attention_looks_at_the_context_alone_and_at_zeros_where_there_is_none():
    torch.manual_seed(0)
    attention, query, memory = Attention(8), torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    context = torch.tensor([0, 2])
    changed = memory.clone()
    changed[0], changed[1, 2:] = 7.0, 7.0
    assert torch.equal(attention(query, memory, context), attention(query, changed, context))
    assert (attention(query, memory, context)[0] == 0).all()


def test_an_autoencoder_has_no_attention_that_could_copy_the_window():
    assert net("anomaly").attention is None
    assert net("forecasting").attention is not None


def test_the_hook_gives_the_model_which_is_not_causal():
    assert bench_models() == [Seq2Seq]
    assert not Seq2Seq.causal
    assert Seq2Seq.pretrain
    assert Seq2Seq.tasks == {"forecasting", "churn", "anomaly", "next-event"}


def test_it_first_learns_how_sequences_go_on_for_three_fifths_of_the_epochs(monkeypatch):
    told: list[tuple[str, int]] = []
    monkeypatch.setattr(Seq2Seq, "learnt", lambda _, __, encoder, ___, ____, ctx: told.append((type(encoder).__name__, ctx.epochs)) or 0)
    model = Seq2Seq(Seq2Seq.default())
    for epochs in (1, 5, 15):
        model.fit(users(40), Context(epochs=epochs))
    assert told == [("Continued", 1), ("ChurnEncoder", 1), ("Continued", 3), ("ChurnEncoder", 5), ("Continued", 9), ("ChurnEncoder", 15)]
