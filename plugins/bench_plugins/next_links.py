"""Floors of the next-event task that link items: first-order Markov, neighbours by cosine, and EASE.

Sources: Sarwar et al. (2001) for item-based neighbours; Steck (2019), Embarrassingly Shallow Autoencoders, for EASE.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from scipy import sparse

from bench.api import Array, Context, Model, Params, hookimpl
from bench.data.ranking import NextInputs, NextTrain, best
from bench.errors import PluginError

from ._next_floor import NextFloor, items_of_history, last_known, shares

AT_ONCE = 1 << 22
"""Similarities made at once."""
MOST_ITEMS = 30_000
"""Items that EASE links, at most: a full matrix of them is 3.4 GiB in float32."""


class Markov(NextFloor):
    """The item after the last one, from counts of neighbouring events, smoothed with popularity."""

    name = "markov"

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the smoothing, in events."""
        return {"smoothing": FloatDistribution(0.1, 1000.0, log=True)}

    @staticmethod
    def default() -> Params:
        """Let popularity count as much as five events."""
        return {"smoothing": 5.0}

    def fit(self, train: NextTrain, ctx: Context) -> None:
        """Count the pairs of neighbouring events of each user."""
        before, after = np.arange(len(train.item) - 1), np.arange(1, len(train.item))
        row = train.row
        kept = (row[before] == row[after]) & (train.item[before] < train.items) & (train.item[after] < train.items)
        pair = (np.ones(int(kept.sum()), np.float32), (train.item[before[kept]], train.item[after[kept]]))
        counts = sparse.csr_array(pair, shape=(train.items, train.items))
        self.state = {"share": shares(train), "data": counts.data, "indices": counts.indices, "indptr": counts.indptr}

    def scores(self, inputs: NextInputs) -> Array:
        """Compute P(next | last) for each row; popularity where the last item is unknown."""
        s, share = self.params["smoothing"], self.state["share"]
        counts = _matrix(self.state, inputs.items)
        last = last_known(inputs)
        found = counts[np.maximum(last, 0)].toarray()  # [n, I]
        found[last < 0] = 0.0
        return np.asarray((found + s * share) / (found.sum(1, keepdims=True) + s), np.float32)


class ItemKNN(NextFloor):
    """The items most like those of the history: cosine of who took them, shrunk where few did."""

    name = "item-knn"

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the neighbours of an item and the shrinkage."""
        return {"neighbours": IntDistribution(10, 500, log=True), "shrinkage": FloatDistribution(0.0, 100.0)}

    @staticmethod
    def default() -> Params:
        """Keep a hundred neighbours."""
        return {"neighbours": 100, "shrinkage": 10.0}

    def fit(self, train: NextTrain, ctx: Context) -> None:
        """Keep each item's nearest neighbours, a chunk of items at a time."""
        users = items_of_history(train)  # [U, I]
        size = np.sqrt(np.asarray(users.sum(0), np.float32))
        columns = users.tocsc()
        parts: list[Any] = []
        step = max(1, AT_ONCE // train.items)
        for at in range(0, train.items, step):
            own = np.arange(at, min(at + step, train.items))
            common = (columns[:, own].T @ users).toarray()  # [c, I]
            alike = common / np.maximum(size[own, None] * size[None] + np.float32(self.params["shrinkage"]), 1e-9)
            alike[np.arange(len(own)), own] = 0.0
            near = best(alike, min(self.params["neighbours"], train.items))
            kept = near.scores > 0
            row = np.broadcast_to(own[:, None], kept.shape)
            parts.append(sparse.csr_array((near.scores[kept], (near.items[kept], row[kept])), shape=(train.items, train.items)))
        links = sum(parts[1:], parts[0])
        self.state = {"data": links.data, "indices": links.indices, "indptr": links.indptr}

    def scores(self, inputs: NextInputs) -> Array:
        """Sum the likeness of each item to those of the history."""
        return np.asarray((items_of_history(inputs) @ _matrix(self.state, inputs.items)).toarray(), np.float32)


class EASE(NextFloor):
    """A linear model of each item by all others, in closed form."""

    name = "ease"

    @staticmethod
    def space() -> dict[str, BaseDistribution]:
        """Search the penalty."""
        return {"penalty": FloatDistribution(1.0, 10_000.0, log=True)}

    @staticmethod
    def default() -> Params:
        """Take the paper's penalty for small catalogues."""
        return {"penalty": 200.0}

    def fit(self, train: NextTrain, ctx: Context) -> None:
        """Invert the penalised matrix of common users; raise `PluginError` for a catalogue that no memory holds."""
        if train.items > MOST_ITEMS:
            raise PluginError(f"ease links {train.items:,} items, at most {MOST_ITEMS:,} fit; raise the support (--set support=20)")
        users = items_of_history(train)
        gram = (users.T @ users).toarray().astype(np.float64 if train.items < 8_000 else np.float32)
        gram[np.diag_indices_from(gram)] += self.params["penalty"]
        inverse = np.linalg.inv(gram)
        links = inverse / -np.diag(inverse)  # column j divided by -P[j, j]
        np.fill_diagonal(links, 0.0)
        self.state = {"links": links.astype(np.float32)}

    def scores(self, inputs: NextInputs) -> Array:
        """Sum the links from each item of the history."""
        return np.asarray(items_of_history(inputs) @ self.state["links"])


def _matrix(state: dict[str, Array], items: int) -> Any:
    return sparse.csr_array((state["data"], state["indices"], state["indptr"]), shape=(items, items))


@hookimpl
def bench_models() -> list[type[Model]]:
    """Offer the linking floors."""
    return [Markov, ItemKNN, EASE]
