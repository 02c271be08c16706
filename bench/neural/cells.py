"""Layers in a form that `vmap` can batch over networks: recurrent cells written out, and dropout whose share is a tensor.

cuDNN's recurrent layers have no batching rule (pytorch #105982, #134606). Written out, the products with the inputs of all
steps are one matrix product before the loop, and each step multiplies [P, n, H] with [P, H, 4 H].

Letters for shapes: n rows of a batch, T steps, D features, H hidden.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from bench.errors import PluginError
from bench.neural.noise import dropped


class FusedError(PluginError):
    """Report networks that cannot be trained as one program."""


class OwnDropout(nn.Module):
    """Dropout whose share is a tensor, so that it may differ between networks, and whose draws are those of `bench.neural.noise`."""

    share: Tensor

    def __init__(self, share: float) -> None:
        super().__init__()
        self.register_buffer("share", torch.tensor(share), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Drop in training alone."""
        return dropped(x, self.share) if self.training else x


class Recurrent(nn.Module):
    """One recurrent layer, forwards, with the weights of torch's own under the same names."""

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        plain = layer.num_layers == 1 and layer.bias and layer.batch_first and not layer.bidirectional and not layer.proj_size
        if not plain:
            raise FusedError(f"{layer} cannot be trained with others: only one layer, forwards, with biases and the batch first can")
        self.hidden = layer.hidden_size
        for name, weight in layer.named_parameters():
            self.register_parameter(name, nn.Parameter(weight.detach().clone()))


class OwnLSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), gates in torch's order: input, forget, cell, output."""

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Read x [n, T, D]; returns all states [n, T, H] and the last of both, [1, n, H]."""
        given = F.linear(x, self.weight_ih_l0, self.bias_ih_l0 + self.bias_hh_l0)  # [n, T, 4 H]
        zero = x.new_zeros(len(x), self.hidden)
        h, c = (zero, zero) if state is None else (state[0][0], state[1][0])
        back, states = self.weight_hh_l0.t(), []
        for own in given.unbind(1):
            i, f, g, o = torch.addmm(own, h, back).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            states.append(h)
        return torch.stack(states, 1), (h[None], c[None])


class OwnGRU(Recurrent):
    """Gated recurrent units (Cho et al. 2014), in torch's form: reset, update, new."""

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read x [n, T, D], begun with a state [1, n, H]; returns all states [n, T, H] and the last, [1, n, H]."""
        given = F.linear(x, self.weight_ih_l0, self.bias_ih_l0)  # [n, T, 3 H]
        h = x.new_zeros(len(x), self.hidden) if state is None else state[0]
        back, states = self.weight_hh_l0.t(), []
        for own in given.unbind(1):
            (r, z, new), (to_r, to_z, to_new) = own.chunk(3, 1), (h @ back + self.bias_hh_l0).chunk(3, 1)
            z = (z + to_z).sigmoid()
            h = (1 - z) * (new + (r + to_r).sigmoid() * to_new).tanh() + z * h
            states.append(h)
        return torch.stack(states, 1), h[None]


def written_out(net: nn.Module) -> nn.Module:
    """Copy a network, its recurrent layers and dropouts in the forms above; the weights keep their names."""
    made = deepcopy(net)
    _replace(made)
    return made


def _replace(module: nn.Module) -> None:
    for name, child in module.named_children():
        match child:
            case nn.Dropout():
                setattr(module, name, OwnDropout(child.p))
            case nn.LSTM():
                setattr(module, name, OwnLSTM(child))
            case nn.GRU():
                setattr(module, name, OwnGRU(child))
            case nn.RNNBase():
                raise FusedError(f"{child} cannot be trained with others: it has no form that can be batched")
            case _:
                _replace(child)
