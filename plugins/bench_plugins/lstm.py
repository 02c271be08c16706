"""LSTM (Hochreiter and Schmidhuber 1997): two recurrent layers; the state after a row's last steps feeds one dense layer."""

from __future__ import annotations

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from torch import Tensor, nn

from bench.api import Model, Params, hookimpl
from bench.neural.next_net import NextNet
from bench.neural.noise import Dropout
from bench.neural.sizes import Sizes
from bench.neural.torch_model import TorchModel, last


class Net(nn.Module):
    """LSTM -> dropout -> LSTM of half the size -> dropout -> dense."""

    def __init__(self, f: int, o: int, hidden: int, dropout: float, steps: int = 1) -> None:
        super().__init__()
        self.lower = nn.LSTM(f, hidden, batch_first=True)
        self.upper = nn.LSTM(hidden, hidden // 2, batch_first=True)
        self.dropout = Dropout(dropout)
        self.dense = nn.Linear(hidden // 2, o // steps)
        self.steps = steps

    def forward(self, x: Tensor, length: Tensor) -> Tensor:  # [N, T, F], [N] -> [N, O]
        """Read each row up to its own last step; what is padded behind it is never looked at."""
        h, _ = self.lower(x)  # [N, T, hidden]
        h, _ = self.upper(self.dropout(h))  # [N, T, hidden // 2]
        raw: Tensor = self.dense(self.dropout(last(h, length, self.steps)))  # [N, steps, O / steps]
        return raw.flatten(1)


class Body(nn.Module):
    """LSTM -> dropout -> dense, at every step: the body of a network of next events."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.rnn = nn.LSTM(width, hidden, batch_first=True)
        self.dense = nn.Sequential(Dropout(dropout), nn.Linear(hidden, width))

    def forward(self, x: Tensor, length: Tensor) -> Tensor:  # [N, T, D], [N] -> [N, T, D]
        """Read each row up to each of its steps."""
        out: Tensor = self.dense(self.rnn(x)[0])
        return out


class LSTM(TorchModel):
    """The textbooks' recurrent network; its default is their reference configuration."""

    name = "lstm"
    tasks = frozenset({"forecasting", "churn", "anomaly", "next-event"})
    view = "lagged"
    causal = True

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Return size, regularisation and the optimiser's two numbers."""
        return {
            "hidden": IntDistribution(16, 256, log=True),
            "dropout": FloatDistribution(0.0, 0.5),
            "lr": FloatDistribution(1e-4, 1e-2, log=True),
            "batch": CategoricalDistribution((32, 64, 128)),
        }

    @staticmethod
    def default() -> Params:
        """Return LSTM 128 -> dropout 0.2 -> LSTM 64 -> dropout 0.2 -> dense; Adam at 1e-3, batch 32."""
        return {"hidden": 128, "dropout": 0.2, "lr": 1e-3, "batch": 32}

    def net(self, f: int, o: int) -> nn.Module:
        """Make the network that answers once a row."""
        return Net(f, o, self.params["hidden"], self.params["dropout"])

    def make(self, sizes: Sizes) -> nn.Module:
        """Make the network that answers at each of the last steps, or ranks items."""
        hidden, dropout = self.params["hidden"], self.params["dropout"]
        if sizes.task == "next-event":
            return NextNet(sizes.each, hidden // 2, dropout, Body(hidden // 2, hidden, dropout))
        return Net(sizes.f, sizes.o, hidden, dropout, sizes.steps)


@hookimpl
def bench_models() -> list[type[Model]]:
    """Return the one model of this file."""
    return [LSTM]
