"""Users whom a model has not seen, at cut-offs that it has: what a search has found is confirmed on them.

A validation before the test has fewer cut-offs to learn from than the final fit, and in a young log shorter pasts. What does
better there may only make up for that: on CDNOW `arima` gained .048 at the latest validation and .001 on test, and .049 on
test too when it had learnt from no more cut-offs than at that validation. So the users are halved by a hash of their ids: a
model learns from one half at all cut-offs that the final fit learns from, and is asked about the other half, and in turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bench.api import Array, ChurnInputs
from bench.data.ragged import id_hashes
from bench.tasks.base import Stage, StageName, Truth, unseen_name
from bench.tasks.churn.rows import Labelled, among_users, joined, training


def unseen_stages(
    ids: Array, learnt: Sequence[Labelled], asked: Sequence[Labelled], rows: int | None, seed: int
) -> Mapping[StageName, tuple[Stage, Truth]]:
    """Make both stages, or none where a half has only one class.

    `ids`: str [U]; `learnt`: the cut-offs that the final fit learns from; `asked`: those of the validations, oldest first.
    """
    half = id_hashes(ids) % np.uint64(2) == 0
    found = {}
    for number, own in enumerate((half, ~half), 1):
        train = training([among_users(part, own) for part in learnt], rows, seed)
        others = [among_users(part, ~own) for part in asked]
        y = np.concatenate([part.y for part in others])
        if not (_both_classes(y) and _both_classes(train.y)):
            return {}
        inputs = ChurnInputs(**joined([part.inputs for part in others]))
        found[unseen_name(number)] = Stage(train, (inputs,)), Truth(y, inputs.group)
    return found


def _both_classes(y: Array) -> bool:
    return bool(len(y)) and bool(y.min() != y.max())
