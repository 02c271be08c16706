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

from ._item_links import common_users, inverse
from ._next_floor import NextFloor, items_of_history, last_known, shares

PAIRS = 1 << 24
"""Pairs of neighbouring events counted at once."""
EXACT_ITEMS = 8_000
"""Items below which EASE counts in double precision."""
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
        """Count the pairs of neighbouring events of each user, some millions of events at a time."""
        counts: Any = sparse.csr_array((train.items, train.items), dtype=np.float32)
        begins = np.zeros(len(train.item) + 1, bool)
        begins[train.offsets] = True
        for at in range(1, len(train.item), PAIRS):
            after = train.item[at : at + PAIRS]
            before = train.item[at - 1 : at - 1 + len(after)]
            kept = ~begins[at : at + len(after)] & (before < train.items) & (after < train.items)
            pair = (np.ones(int(kept.sum()), np.float32), (before[kept], after[kept]))
            counts += sparse.csr_array(pair, shape=counts.shape)
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
        parts: list[Any] = []
        for own, common in common_users(users):
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
        gram = np.empty((train.items, train.items), np.float64 if train.items < EXACT_ITEMS else np.float32)
        for own, common in common_users(items_of_history(train)):
            gram[own] = common
        gram[np.diag_indices_from(gram)] += self.params["penalty"]
        links = inverse(gram)
        links /= -np.diag(links)  # column j divided by -P[j, j]
        np.fill_diagonal(links, 0.0)
        self.state = {"links": links.astype(np.float32, copy=False)}

    def scores(self, inputs: NextInputs) -> Array:
        """Sum the links from each item of the history."""
        return np.asarray(items_of_history(inputs) @ self.state["links"])


def _matrix(state: dict[str, Array], items: int) -> Any:
    return sparse.csr_array((state["data"], state["indices"], state["indptr"]), shape=(items, items))


@hookimpl
def bench_models() -> list[type[Model]]:
    """Offer the linking floors."""
    return [Markov, ItemKNN, EASE]
