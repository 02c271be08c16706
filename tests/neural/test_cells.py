"""Layers that are written out answer and learn as torch's own."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from bench.neural.cells import FusedError, written_out  # noqa: E402


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU])
@pytest.mark.parametrize("begun", [False, True])
def test_a_cell_that_is_written_out_answers_and_learns_as_torchs_own(kind, begun):
    torch.manual_seed(0)
    own = torch.nn.Sequential(kind(3, 5, batch_first=True)).double()
    x, h = torch.randn(4, 7, 3, dtype=torch.float64, requires_grad=True), torch.randn(1, 4, 5, dtype=torch.float64)
    state = ((h, 2 * h) if kind is torch.nn.LSTM else h) if begun else None
    other = written_out(own)
    assert [name for name, _ in other.named_parameters()] == [name for name, _ in own.named_parameters()]
    (found, last), (expected, its) = other[0](x, state), own[0](x, state)
    assert torch.allclose(found, expected, atol=1e-13)
    for one, two in zip(last if isinstance(last, tuple) else [last], its if isinstance(its, tuple) else [its], strict=True):
        assert torch.allclose(one, two, atol=1e-13)
    slopes = [torch.autograd.grad(out.square().sum(), [x, *net.parameters()]) for out, net in ((found, other), (expected, own))]
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*slopes, strict=True))


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.LSTM(3, 4, num_layers=2, batch_first=True),
        torch.nn.GRU(3, 4, batch_first=True, bidirectional=True),
        torch.nn.LSTM(3, 4),
        torch.nn.LSTM(3, 4, batch_first=True, proj_size=2),
        torch.nn.GRU(3, 4, batch_first=True, bias=False),
        torch.nn.RNN(3, 4, batch_first=True),
    ],
)
def test_a_recurrent_layer_of_another_form_is_refused_by_its_name(layer):
    with pytest.raises(FusedError, match=type(layer).__name__):
        written_out(torch.nn.Sequential(layer))


def test_the_network_itself_is_left_as_it_was():
    own = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.3))
    made = written_out(own)
    assert isinstance(own[1], torch.nn.Dropout)
    assert float(made[1].share) == pytest.approx(0.3)
    assert made.state_dict().keys() == own.state_dict().keys()
    made[0].weight.data.zero_()
    assert own[0].weight.abs().sum() > 0
