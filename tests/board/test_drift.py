"""Predicted against actual churn, in words."""

from __future__ import annotations

from typing import Any

import pytest

from bench.board.drift import drift_words

TASK = {"task": "churn", "task_id": "churn/v1", "dataset": "shop", "tuning": "tuned"}


def row(model: str, rank: int | None, auc: float | None, status: str = "ok") -> dict[str, Any]:
    return {**TASK, "model": model, "rank": rank, "roc_auc": auc, "status": status, "n_test": 1000}


def detail(model: str, cutoff: str, predicted: float, actual: float) -> dict[str, Any]:
    return {**TASK, "model": model, "cutoff": cutoff, "predicted": predicted, "actual": actual}


ROWS = [row("a", 2, 0.7), row("b", 1, 0.8), row("broken", None, None, "failed")]


def test_the_leaders_rates_are_told_cutoff_by_cutoff() -> None:
    details = [detail(m, c, 0.61, 0.6) for m in "ab" for c in ("2024-01-01", "2024-02-01")]
    assert drift_words(ROWS, details) == [
        "shop: churn predicted by b against actual: 61% against 60% at 2024-01-01, 61% against 60% at 2024-02-01"
    ]


@pytest.mark.parametrize(("predicted", "words"), [(0.6, "too low"), (0.8, "too high")])
def test_a_leader_whose_level_is_far_off_is_said_so_whatever_the_others_predict(predicted: float, words: str) -> None:
    details = [detail("a", "2024-02-01", 0.7, 0.7), detail("b", "2024-02-01", predicted, 0.7)]
    assert drift_words(ROWS, details)[0].endswith(f"; its level is 10 points {words}: trust the order of users, not the probabilities")


def test_few_users_say_nothing_of_the_level() -> None:
    details = [detail("b", "2024-02-01", 0.6, 0.7)]
    assert "its level is" in drift_words(ROWS, details)[0]
    assert "its level is" not in drift_words([{**r, "n_test": 22} for r in ROWS], details)[0]


def test_a_leader_near_the_actual_rate_is_trusted_though_all_others_are_off() -> None:
    details = [detail("a", "2024-02-01", 0.5, 0.7), detail("b", "2024-02-01", 0.69, 0.7)]
    assert "its level is" not in drift_words(ROWS, details)[0]


def test_a_board_without_scores_says_nothing() -> None:
    assert drift_words([row("broken", None, None, "failed")], []) == []
