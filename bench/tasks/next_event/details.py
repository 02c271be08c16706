"""What a report tells beyond the board of next events: recall by the length of the list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.metrics.next_event import places_of, recall
from bench.tasks.base import ModelResult, Split

LENGTHS = (1, 2, 5, 10, 20, 50, 100)


def details(split: Split, shown: Sequence[ModelResult]) -> list[dict[str, Any]]:
    """List each model's recall at k: of all targets, of repeats and of items that are new to their user."""
    targets, found = split.truths["final"], []
    among = {"all": np.ones(len(targets.item), bool), "repeat": targets.repeat, "new": ~targets.repeat}
    for one in shown:
        place = places_of(targets, one.prediction[0]["items"])
        for name, mask in among.items():
            row = targets.row[mask]
            some = np.bincount(row, minlength=len(targets.group)) > 0
            for k in LENGTHS:
                if k <= one.prediction[0]["items"].shape[1] and some.any():
                    value = float(recall(row, place[mask], len(targets.group), k)[some].mean())
                    found.append({"model": one.model, "tuning": one.tuning, "targets": name, "k": k, "recall": value})
    return found
