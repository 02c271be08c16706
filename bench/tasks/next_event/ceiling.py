"""What one who knows a simulator's law would rank first: no model, the height up to which there is something to find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from bench.data.events import Events
from bench.data.law import read_law
from bench.data.ranking import rank_rows
from bench.tasks.base import Prediction
from bench.tasks.next_event.protocol import Catalogue, Protocol
from bench.tasks.next_event.rows import StageRows


def ceiling(events: Events, protocol: Protocol, found: Catalogue, test: StageRows, users: Sequence[str]) -> Prediction:
    """Rank by the law in force at each moment of the test, `users` [N]; () where none was written, or none that reaches so far back.

    Items by falling weight are the best ranking in expectation, whatever the gain by position: a swap of two puts the
    likelier one first.
    """
    if events.law is None or protocol.target != "item" or not len(test.inputs):
        return ()
    law = read_law(events.law)
    if law.since > protocol.test:
        return ()
    names = pl.DataFrame({"item": list(found.names), "number": np.arange(len(found))})
    number = pl.DataFrame({"item": law.item}).join(names, on="item", how="left", maintain_order="left")["number"].fill_null(len(found))
    laws, columns = law.at(users, test.moment), number.to_numpy()
    # numbered by row, so that a chunk of rows knows which they are
    rows = replace(test.inputs, group=np.arange(len(test.inputs)))
    return (rank_rows(rows, lambda part: law.weights(laws[part.group], columns, len(found))).arrays(),)
