"""How every network is trained, whatever its framework: epochs, averaged weights, early stopping on the core's holdout.

The torch loop and its Keras twin add what a framework does: a step, a loss, copies of weights. Why the weights are
averaged: batches hold rows of like length, so the last steps of an epoch may pull towards the lengths that they happened
to see. On CDNOW averaging made the holdout loss smooth; one run without it ended .003 lower in ROC AUC.

Letters for shapes: N rows, n rows of a batch.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.api import Array, Context
from bench.errors import PluginError
from bench.neural.batches import Rows, batches

WIDE = 512
"""Rows of a batch where nothing is learnt."""
DECAY = 0.998
"""Share of the averaged weights that a step keeps: a memory of about 500 steps, shorter at the start."""

WARM = 0.05
"""Share of the training over which a falling learning rate first rises."""
FIRST = 0.1
"""Share of the learning rate that such a rise begins with."""

LEAST_PATIENCE = 2
"""Epochs that patience lasts at least, where it is counted in rows."""

USUAL = 50
"""Steps that a window is meant to have: of longer ones an epoch takes fewer of the profile's rows, others each time."""
GROWTH = (0.2, 0.6)
"""Shares of the training from which batches are twice as large."""
MOST = 128
"""Rows that a batch grows to, at most."""
SHARE = 0.1
"""Share of these rows that patience lasts for, at least."""
LONGER = 4
"""How many times the profile's epochs a small log may take."""


class DivergedError(PluginError):
    """Report a training whose loss is no longer a number."""


@dataclass(frozen=True)
class TrainingRecipe:
    """Describe how to train, apart from the network and the data."""

    loss: str
    lr: float = 1e-3
    batch: int = 32
    patience: int = 5
    """Epochs without a better holdout loss before training ends."""
    clip: float = 1.0
    """Longest gradient."""
    levels: tuple[float, ...] = ()
    """Of the quantiles that are learnt, where the loss has any."""
    rows: int = 0
    """Rows that the training should go through, all epochs together: of fewer rows it takes more epochs, up to `LONGER` times."""
    calm: int = 0
    """Rows that patience need not outlast: an epoch of many rows counts for several of few; 0: epochs count."""
    falling: bool = False
    """The learning rate rises over the first steps and falls to 0 by the last epoch; else it stays, and batches grow."""

    def epochs(self, usual: int, rows: int) -> int:
        """Return the epochs that the training may take, where the profile has `usual` ones."""
        return int(min(max(usual, -(-self.rows // max(rows, 1))), LONGER * usual))

    def waited(self, rows: int) -> int:
        """Return the epochs of patience; a small log's are longer, lest it be given up before anything was learnt."""
        if self.calm:
            return max(LEAST_PATIENCE, min(self.patience, self.calm // max(rows, 1)))
        return int(max(self.patience, SHARE * self.rows // max(rows, 1)))

    def grown(self, done: float) -> int:
        """Return the rows of a batch at a share of the training, in [0, 1): twice as many from each share of `GROWTH` on.

        That calms the steps as a falling learning rate does (Smith et al. 2018), and takes fewer of them.
        """
        if self.falling or self.rows:
            return self.batch
        return max(self.batch, min(self.batch << sum(done >= share for share in GROWTH), MOST))


@dataclass
class Best:
    """Remember the weights with the lowest holdout loss."""

    loss: float = math.inf
    weights: Any = None
    epoch: int = -1

    def offer(self, loss: float, epoch: int, weights: Callable[[], Any]) -> None:
        """Keep a copy of the weights where they are better than any before."""
        if loss < self.loss:
            self.loss, self.epoch, self.weights = loss, epoch, weights()


@dataclass
class Training(ABC):
    """Train one network; `run` reads like the recipe, each step below it does one thing."""

    net: Any
    recipe: TrainingRecipe
    ctx: Context
    best: Best = field(default_factory=Best)
    stopped: bool = False
    size: int = field(init=False)
    """Most rows of a batch in this epoch."""
    epochs: int = field(init=False, default=0)
    """Most epochs of this training."""

    def __post_init__(self) -> None:
        """Begin with the recipe's batches."""
        self.size = self.recipe.batch

    def run(self, fit: Rows, held: Rows | None) -> int:
        """Train on `fit`, keep the weights that do best on `held`, and return after how many epochs that was.

        Without rows to hold out: keep the latest, and 0.
        """
        optimiser = self.optimiser()
        self.epochs = self.recipe.epochs(self.ctx.epochs, len(fit))
        for epoch in range(self.epochs):
            self.epoch(fit, optimiser, epoch)
            if held is not None and not self.stopped:
                self.measure_holdout(held, epoch)
            if self.stopped or self.out_of_patience(epoch, self.recipe.waited(len(fit))):
                break
        self.swap()
        if self.best.weights is not None:
            self.restore(self.best.weights)
        return self.best.epoch + 1

    def epoch(self, rows: Rows, optimiser: Any, epoch: int) -> None:
        """Go through all rows once, in an order of its own, until told to stop."""
        total: Any = 0.0  # a number of the framework's: reading it at each step would wait for the device
        self.size = self.recipe.grown(epoch / self.epochs)
        cut = batches(rows.lengths, self.size, seed=(self.ctx.seed, epoch))
        if self.recipe.falling and self.ctx.rows is not None:
            cut = cut[: enough(rows.lengths, cut, USUAL * self.ctx.rows)]
        for at, batch in enumerate(cut):
            self.stopped = self.ctx.should_stop()
            if self.stopped:
                break
            if self.recipe.falling:
                self.set_rate(optimiser, self.recipe.lr * rate_share((epoch + at / len(cut)) / self.epochs))
            total += self.step(rows, batch, optimiser)
        self.refuse_nan(float(total), epoch)

    def measure_holdout(self, held: Rows, epoch: int) -> None:
        """Measure the holdout loss of the averaged weights, report it and keep them if it is the lowest."""
        self.swap()
        value = self.refuse_nan(self.loss_sum(held) / len(held), epoch)
        self.ctx.report(epoch, value, of=self.epochs)
        self.best.offer(value, epoch, self.weights)
        self.swap()

    def out_of_patience(self, epoch: int, waited: int) -> bool:
        """Return whether the holdout loss has not fallen for so many epochs."""
        return self.best.weights is not None and epoch - self.best.epoch >= waited

    def refuse_nan(self, loss: float, epoch: int) -> float:
        """Return the loss back if it is a number; raise `DivergedError` where it is not."""
        if not math.isfinite(loss):
            raise diverged(self.net, loss, epoch, self.recipe.lr)
        return loss

    @abstractmethod
    def optimiser(self) -> Any:
        """Make the optimiser: Adam (Kingma and Ba 2015)."""

    @abstractmethod
    def set_rate(self, optimiser: Any, rate: float) -> None:
        """Set the learning rate of the steps to come."""

    @abstractmethod
    def step(self, rows: Rows, batch: Array, optimiser: Any) -> Any:
        """Learn from one batch, int [n]; returns the loss summed over its rows, which may still be on the device."""

    @abstractmethod
    def loss_sum(self, held: Rows) -> float:
        """Sum the task's loss over rows, without learning."""

    @abstractmethod
    def swap(self) -> None:
        """Exchange the averaged weights with the network's own."""

    @abstractmethod
    def weights(self) -> Any:
        """Copy the network's weights."""

    @abstractmethod
    def restore(self, weights: Any) -> None:
        """Put a copy of weights back into the network."""


def diverged(net: Any, loss: float, epoch: int, lr: float) -> DivergedError:
    """Return the error that says that a network's loss is no number."""
    cure = f"lower the learning rate (now {lr:g}) or look for huge values in the inputs"
    return DivergedError(f"the loss of {type(net).__name__} became {loss} in epoch {epoch}; {cure}")


def enough(lengths: Array, cut: Sequence[Array], most: int) -> int:
    """Return how many batches of `cut`, from its begin, have `most` padded steps together; all where they have fewer.

    They come in a random order, so that in the long run each row is learnt from as often as any other.
    """
    steps = np.cumsum([int(lengths[batch].max()) * len(batch) for batch in cut])
    return int(np.searchsorted(steps, most)) + 1


def average_rate(steps: Any, larger: Callable[[Any, Any], Any] = max) -> Any:
    """Return how far the averaged weights move at step `steps`, from 1 on; the first steps count more, lest the start be remembered."""
    return larger(1 - DECAY, 9 / (10 + steps))


def rate_share(done: float) -> float:
    """Return the share of the learning rate at a share of the training, in [0, 1]: up in a line, down along a cosine."""
    return done / WARM + FIRST if done < WARM * (1 - FIRST) else (1 + math.cos(math.pi * (done - WARM) / (1 - WARM))) / 2
