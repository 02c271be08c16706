"""What a search came to, in words: whether what it found replaces the author's default, and by what evidence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bench.execute.mean_of import counted
from bench.tasks.base import LABEL_FREE, SECOND, TUNED
from bench.tune.decide import ALONE, ERRORS, FEW, LEAST, WINDOWS
from bench.tune.plan import TOGETHER, UNSEEN

NAMES = {SECOND: f"{TUNED}, by the labels of the other half"}
Choice = Mapping[str, Any]
"""A line of `choices.parquet`."""


def choice_words(choices: Sequence[Choice], *, higher: bool) -> list[str]:
    """Say for each tuning what stands; nothing where nothing was chosen."""
    by_tuning = {choice["tuning"]: choice for choice in choices}
    default = by_tuning.get("default")
    if default is None:
        return []
    return [
        f"{NAMES.get(tuning, tuning)}: {'. '.join(_of_one(tuning, choice, default, higher=higher))}."
        for tuning, choice in by_tuning.items()
        if tuning != "default"
    ]


def _of_one(tuning: str, choice: Choice, default: Choice, *, higher: bool) -> Iterator[str]:
    # of two halves of the labels one may have kept the default where the row of both has not
    kept = choice["kept_default"] or choice["params"] == default["params"]
    yield "what the search found " + ("was not enough: the default stands" if kept else "stands for the model")
    if not kept and (told := _on_validations(tuning, choice, default, higher=higher)):
        yield f"On the validations it is better than the default by {told}"
    drawn = json.loads(choice["replicates"])
    unseen, together = drawn.get(tuning + UNSEEN), drawn.get(tuning + TOGETHER)
    if together is not None:
        yield f"Over its and older windows and other seeds it is {together[0]:+.4f} (standard error {together[1]:.4f}) against the default"
        yield f"To replace the default that must exceed {WINDOWS:g} of its standard errors, of the best trial alone {ALONE:g}"
        return
    if unseen is not None:
        yield f"Users whom it had not seen say {unseen[0]:+.4f} (standard error {unseen[1]:.4f}) against the default"
    needed = "the mean of both, past and unseen, must exceed" if unseen is not None else "an advantage must exceed"
    # before one was asked for, each configuration of such a mean counted once
    each = [times for _, times in counted(json.loads(choice["params"]))]
    least = f", and {LEAST:g}" if tuning == LABEL_FREE and (kept or len(each) < FEW or max(each) > 1) else ""
    yield f"To replace the default {needed} {ERRORS:g} of its standard errors{least}"


def _on_validations(tuning: str, choice: Choice, default: Choice, *, higher: bool) -> str:
    """Format the paired advantage and its standard error; nothing where either has no scores."""
    scores, drawn = ([json.loads(one[name]).get(tuning) for one in (choice, default)] for name in ("scores", "replicates"))
    if not all([*scores, *drawn]):
        return ""
    sign = 1.0 if higher else -1.0
    advantage = sign * (np.mean(scores[0]) - np.mean(scores[1]))
    error = np.std(np.array(drawn[0], float) - np.array(drawn[1], float))
    return f"{advantage:.4f} (standard error {error:.4f})"
