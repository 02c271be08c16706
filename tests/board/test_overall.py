import math

import pytest

from bench.board.overall import charge, overall
from bench.board.ranking import rank


def board(row, dataset, scores, **more):
    reference = scores.get("rfm-logit")
    best = max((auc for auc in scores.values() if auc is not None), default=0)
    rows = []
    for model, auc in scores.items():
        skill = None if auc is None or reference is None else auc - reference
        behind = None if auc is None else (best - auc, best - auc, best - auc)
        rows.append(row(model, auc, behind, dataset=dataset, skill=skill, **more))
    return rank(rows)


def test_a_failed_cell_is_charged_with_the_worst_finite_score_of_its_data_set(row):
    charged = {r["model"]: r for r in charge(board(row, "x", {"rfm-logit": 0.8, "floor": 0.5, "gru": None}))}
    assert charged["gru"]["roc_auc"] == 0.5
    assert charged["gru"]["skill"] == pytest.approx(-0.3)
    assert charged["gru"]["flags"] == ["charged"]
    assert charged["floor"].get("flags") is None


def test_where_all_others_beat_the_reference_a_failure_is_charged_as_the_reference(row):
    charged = {r["model"]: r for r in charge(board(row, "x", {"rfm-logit": 0.7, "lstm": 0.8, "gru": None}))}
    assert charged["gru"]["roc_auc"] == 0.7
    assert charged["gru"]["skill"] == 0


def test_charging_leaves_the_board_itself_alone(row):
    rows = board(row, "x", {"rfm-logit": 0.8, "gru": None})
    charge(rows)
    assert rows[1]["roc_auc"] is None
    assert not rows[1].get("flags")


def test_where_nothing_scored_nothing_is_charged(row):
    (charged,) = charge(board(row, "x", {"gru": None}))
    assert charged["roc_auc"] is None
    assert not charged.get("flags")


def test_a_model_with_several_failed_seeds_is_charged_once(row):
    rows = rank([row("rfm-logit", 0.8, (0, 0, 0), skill=0.0), row("gru", None, seed=0), row("gru", None, seed=1)])
    assert [r["model"] for r in charge(rows)] == ["rfm-logit", "gru"]


def test_the_summary_averages_skill_with_failures_charged_and_counts_wins(row):
    rows = board(row, "x", {"rfm-logit": 0.8, "lstm": 0.9, "floor": 0.5}) + board(row, "y", {"rfm-logit": 0.7, "lstm": None, "floor": 0.5})
    lstm, logit, floor = sorted(overall(rows), key=lambda s: ["lstm", "rfm-logit", "floor"].index(s.model))
    assert lstm.mean_skill == pytest.approx((0.1 - 0.2) / 2)
    assert (lstm.won, lstm.failed, lstm.charged, lstm.datasets, lstm.possible) == (1, 1, 1, 2, 2)
    assert (logit.won, logit.mean_skill, logit.charged) == (1, 0, 0)
    assert floor.mean_skill == pytest.approx(-0.25)
    assert [s.model for s in overall(rows)] == ["rfm-logit", "lstm", "floor"]


def test_a_data_set_where_nothing_is_ranked_is_left_out(row):
    rows = board(row, "x", {"rfm-logit": 0.8, "a": 0.7}) + board(row, "y", {"rfm-logit": 0.7, "a": 0.8})
    rows += board(row, "z", {"rfm-logit": 0.7, "a": None}, flags=["underpowered"])
    summary = {s.model: s for s in overall(rows)}
    assert summary["a"].possible == summary["a"].datasets == 2
    assert summary["a"].mean_skill == pytest.approx(0)


def test_failures_where_nothing_scored_are_counted_but_not_charged(row):
    rows = board(row, "x", {"rfm-logit": 0.8, "a": 0.7}) + board(row, "y", {"rfm-logit": 0.7, "a": 0.8}) + board(row, "z", {"a": None})
    (summary,) = (s for s in overall(rows) if s.model == "a")
    assert (summary.failed, summary.charged, summary.possible) == (1, 0, 2)


def test_one_data_set_needs_no_summary_and_task_ids_are_never_mixed(row):
    rows = board(row, "x", {"rfm-logit": 0.8}) + board(row, "y", {"rfm-logit": 0.7}, task_id="churn/v1/h=7d")
    assert overall(rows) == []


def test_without_the_reference_anywhere_the_mean_is_nan(row):
    rows = board(row, "x", {"a": 0.8}) + board(row, "y", {"a": 0.7})
    assert math.isnan(overall(rows)[0].mean_skill)
