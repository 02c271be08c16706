"""What a summary over data sets says, beside what fev says: where the definitions agree, and where they differ by design.

fev (Shchur et al. 2025, "fev-bench", arXiv:2509.26468): the win rate of a model is the share of (task, other model) pairs
in which its error is lower, ties counting a half; its skill is 1 - the geometric mean over tasks of error / reference
error, each ratio clipped to [0.01, 100]. bencheval's win rate (github.com/autogluon/tabarena) is the same where every
model has every task. Here `won` counts data sets with rank 1, shared or not, and `mean_skill` is the arithmetic mean of
the difference to the reference, in the metric's own units, because ROC AUC and VUS-PR are bounded scores of which ratios
mean little.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.board.overall import overall
from bench.board.ranking import rank

REFERENCE = "seasonal-naive"
errors_of = st.lists(st.lists(st.integers(1, 40).map(lambda n: n / 20), min_size=3, max_size=3), min_size=2, max_size=5)


def summary(errors: dict[str, list[float]], *, tied: float = 0.0) -> dict[str, object]:
    """Summarise MASE by model and data set; rows within `tied` of the leader are not told apart from it."""
    rows = []
    for at in range(len(errors[REFERENCE])):
        best = min(own[at] for own in errors.values())
        for model, own in errors.items():
            behind = own[at] - best
            rows.append(
                {
                    "task": "forecasting", "task_id": "forecasting/v1", "dataset": f"d{at}", "model": model, "tuning": "tuned",
                    "status": "ok", "mase": own[at], "reference": REFERENCE, "skill": errors[REFERENCE][at] - own[at],
                    "behind": behind, "behind_low": behind - tied, "behind_high": behind + tied,
                }
            )  # fmt: skip
    return {s.model: s for s in overall(rank(rows))}


def fev_win_rate(errors: dict[str, list[float]], model: str) -> float:
    own = np.array(errors[model])
    others = np.array([e for name, e in errors.items() if name != model])
    return float(((own < others) + 0.5 * (own == others)).mean())


def fev_skill(errors: dict[str, list[float]], model: str) -> float:
    ratio = np.clip(np.array(errors[model]) / np.array(errors[REFERENCE]), 0.01, 100)
    return float(1 - np.exp(np.log(ratio).mean()))


@settings(max_examples=50, deadline=None)
@given(errors_of)
def test_of_two_models_that_never_tie_the_share_of_data_sets_won_is_fevs_win_rate(table):
    errors = {REFERENCE: [row[0] for row in table], "theta": [row[1] + 1e-3 for row in table]}
    found = summary(errors)
    for model in errors:
        assert found[model].won / found[model].datasets == fev_win_rate(errors, model)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.floats(0.05, 20), st.integers(2, 5))
def test_where_all_data_sets_agree_skill_over_the_references_error_is_fevs_skill(reference, ratio, n):
    errors = {REFERENCE: [reference / 20] * n, "theta": [ratio * reference / 20] * n}
    assert summary(errors)["theta"].mean_skill / (reference / 20) == pytest.approx(fev_skill(errors, "theta"))


@settings(max_examples=50, deadline=None)
@given(errors_of)
def test_a_model_that_is_better_on_every_data_set_is_better_by_both(table):
    errors = {REFERENCE: [row[0] for row in table], "theta": [row[1] for row in table], "ets": [0.9 * row[1] for row in table]}
    found = summary(errors)
    assert found["ets"].mean_skill > found["theta"].mean_skill
    assert fev_skill(errors, "ets") > fev_skill(errors, "theta")
    assert found[REFERENCE].mean_skill == fev_skill(errors, REFERENCE) == 0


def test_a_data_set_with_large_errors_weighs_more_here_and_no_more_than_others_in_fev():
    errors = {REFERENCE: [1.0, 10.0], "theta": [0.5, 10.5], "ets": [1.1, 9.0]}
    found = summary(errors)
    assert found["theta"].mean_skill == pytest.approx(0.0)
    assert found["ets"].mean_skill == pytest.approx(0.45)
    assert fev_skill(errors, "theta") > fev_skill(errors, "ets")


def test_a_tie_is_won_by_nobody_here_and_half_a_win_for_each_in_fev():
    errors = {REFERENCE: [1.0, 1.0], "theta": [0.9, 1.0]}
    found = summary(errors, tied=0.2)
    assert (found["theta"].won, found[REFERENCE].won) == (0, 0), "nothing is told apart"
    assert (found["theta"].tied, found[REFERENCE].tied) == (2, 2)
    assert (fev_win_rate(errors, "theta"), fev_win_rate(errors, REFERENCE)) == (0.75, 0.25)
