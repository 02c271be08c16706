"""Comparisons across data sets, against the example and the table of Demsar (JMLR 7, 2006)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from report.kit import churn_row

from bench.board.across import groups, mean_ranks, mean_skills, wins
from bench.board.ranking import rank

MODELS = ("c4.5", "c4.5+m", "c4.5+cf", "c4.5+m+cf")
# Demsar's Table 6: AUC on 14 data sets; that of voting was ranked before it was rounded
AUC = np.array(
    [
        (0.763, 0.768, 0.771, 0.798), (0.599, 0.591, 0.590, 0.569), (0.954, 0.971, 0.968, 0.967), (0.628, 0.661, 0.654, 0.657),
        (0.882, 0.888, 0.886, 0.898), (0.936, 0.931, 0.916, 0.931), (0.661, 0.668, 0.609, 0.685), (0.583, 0.583, 0.563, 0.625),
        (0.775, 0.838, 0.866, 0.875), (1.000, 1.000, 1.000, 1.000), (0.940, 0.962, 0.965, 0.962), (0.619, 0.666, 0.614, 0.669),
        (0.972, 0.981, 0.97501, 0.975), (0.957, 0.978, 0.946, 0.970),
    ]
)  # fmt: skip


def rows(auc: np.ndarray, models: tuple[str, ...] = MODELS, ids: tuple[str, ...] = ()) -> list[dict]:
    """Make the rows of boards, a data set a line; `ids`: their task ids."""
    made = []
    for at, scores in enumerate(auc):
        for model, score in zip(models, scores, strict=True):
            own = {"roc_auc": float(score), "skill": float(score - scores[0]), "behind": float(max(scores) - score)}
            ends = {f"{name}_{end}": own[name] + sign * 0.01 for name in ("skill", "behind") for end, sign in (("low", -1), ("high", 1))}
            row = {**churn_row(0, model), **own, **ends, "dataset": f"log-{at:02d}", "reference": models[0], "tuning": "tuned"}
            made.append({**row, "task_id": ids[at] if ids else row["task_id"]})
    return rank(made)


def test_mean_ranks_and_critical_difference_are_demsars() -> None:
    (group,) = groups(rows(AUC))
    found = mean_ranks(group)
    assert found is not None
    assert dict(zip(found.models, found.ranks, strict=True)) == pytest.approx(
        {"c4.5": 3.143, "c4.5+m": 2.0, "c4.5+cf": 2.893, "c4.5+m+cf": 1.964}, abs=5e-4
    )
    assert found.difference == pytest.approx(1.25, abs=5e-3)
    assert found.p < 0.05


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_the_critical_values_are_those_of_the_table(k: int, q: float) -> None:
    auc = np.random.default_rng(k).uniform(0.5, 0.9, (6, k))
    (group,) = groups(rows(auc, tuple(f"m{n}" for n in range(k))))
    found = mean_ranks(group)
    assert found is not None
    assert found.difference == pytest.approx(q * math.sqrt(k * (k + 1) / 36), abs=2e-3)


def test_each_data_set_weighs_once_whatever_its_task_ids_and_however_many_boards_it_has() -> None:
    ids = tuple(f"churn/v2/h={7 * (at + 1)}d" for at in range(3))
    made = rows(AUC[:3], ids=ids)
    again = [{**row, "task_id": "churn/v1/h=7d", "roc_auc": 1 - row["roc_auc"]} for row in made if row["dataset"] == "log-00"][:3]
    (one,), (more,) = groups(made), groups([*made, *rank(again)])
    assert mean_ranks(one) == mean_ranks(more)
    assert list(more.boards) == ["log-00", "log-01", "log-02"]


def test_wins_of_a_pair_add_up_to_the_data_sets_that_have_both() -> None:
    (group,) = groups(rows(AUC))
    won, met = wins(group, MODELS)
    off = ~np.eye(len(MODELS), dtype=bool)
    assert (won + won.T)[off].tolist() == met[off].tolist() == [14] * 12
    assert won[1, 0] == sum(AUC[:, 1] > AUC[:, 0]) + sum(AUC[:, 1] == AUC[:, 0]) / 2


def test_the_mean_skill_lies_in_its_intervals_and_many_data_sets_narrow_the_one_of_these() -> None:
    few, many = (mean_skills(groups(rows(AUC[:n]))[0]) for n in (2, 14))
    best = many[0]
    assert best.mean == pytest.approx(np.mean(AUC[:, MODELS.index(best.model)] - AUC[:, 0]))
    assert best.low < best.mean < best.high
    assert best.other_low < best.mean < best.other_high
    assert best.high - best.mean == pytest.approx(0.01 / math.sqrt(14))
    assert math.isnan(few[0].other_low)


def test_a_model_that_failed_somewhere_counts_with_its_charge_and_one_that_was_not_run_is_named() -> None:
    made = rows(AUC[:4])
    lost = {**made[1], "status": "oom", "roc_auc": None, "skill": None, "rank": None, "tied": None}
    (group,) = groups([made[0], lost, *made[2:], *rank([{**churn_row(0, "guest"), "dataset": "log-00", "tuning": "tuned"}])])
    found = mean_ranks(group)
    assert found is not None
    assert set(found.models) == set(MODELS)
    assert found.left_out == ("guest",)


def test_one_data_set_is_no_comparison() -> None:
    assert groups(rows(AUC[:1])) == []
