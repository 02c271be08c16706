"""Describe how the leader's predicted churn compares with actual churn at each cut-off, and whether its level can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench.board.numbers import clean
from bench.board.ranking import leading
from bench.board.schema import Row

FAR = 0.05
"""Distance of predicted and actual churn rate from which the level of the probabilities is not to be trusted."""


def drift_words(rows: Sequence[Row], details: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write one sentence for each board: its leading model's predicted and the actual rate, cut-off by cut-off.

    `details`: task_id, dataset, model, cutoff, predicted, actual, as in `details.parquet`. Where the leader is off at the
    last cut-off by more than 5 points, and by more than two standard errors of the actual rate, the sentence says so.
    """
    told = []
    for task_id, dataset in dict.fromkeys((row["task_id"], row["dataset"]) for row in rows):
        n = next((row["n_test"] for row in rows if (row["task_id"], row["dataset"]) == (task_id, dataset)), None) or 1
        own = [d for d in details if (d["task_id"], d["dataset"]) == (task_id, dataset)]
        leader = _leader([row for row in rows if (row["task_id"], row["dataset"]) == (task_id, dataset)])
        if words := drift_sentence(leader, own, n):
            told.append(f"{dataset}: {words}")
    return told


def drift_sentence(leader: str, details: Sequence[Mapping[str, Any]], n: int) -> str:
    """Write the sentence of one board, empty where `leader` has no rates in `details`; `n` test users."""
    found = [d for d in details if d["model"] == leader]
    if not found:
        return ""
    pairs = ", ".join(f"{d['predicted']:.0%} against {d['actual']:.0%} at {d['cutoff']}" for d in found)
    return f"churn predicted by {clean(leader)} against actual: {pairs}{_verdict(found[-1], n)}"


def _leader(rows: Sequence[Row]) -> str:
    best = leading(rows)
    return "" if best is None else str(best["model"])


def _verdict(last: Mapping[str, Any], n: int) -> str:
    off = last["predicted"] - last["actual"]
    if abs(off) <= max(FAR, 2 * math.sqrt(last["actual"] * (1 - last["actual"]) / n)):
        return ""
    points = round(100 * abs(off))
    return f"; its level is {points} points too {'high' if off > 0 else 'low'}: trust the order of users, not the probabilities"
