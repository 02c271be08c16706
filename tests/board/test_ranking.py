import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.board.ranking import candidates, rank, verdict


def models(rows):
    return [rows[at]["model"] for at in candidates(rows)]


def ranks(rows):
    return [row["rank"] for row in rank(rows)]


def test_the_tuned_row_stands_for_a_model_and_its_default_row_does_not(row):
    rows = [row("a", 0.8, tuning="default"), row("a", 0.7), row("b", 0.75)]
    assert candidates(rows) == [1, 2]
    assert ranks(rows) == [None, 2, 1]


def test_a_default_row_stands_for_a_model_that_has_no_space(row):
    rows = [row("base-rate", 0.5, tuning="default", trials=0), row("lstm", 0.9, tuning="default", trials=4)]
    assert models(rows) == ["base-rate"]


def test_a_label_free_row_stands_where_there_is_no_tuned_one(row):
    rows = [row("a", 0.6, tuning="label-free"), row("a", 0.9, tuning="default"), row("b", 0.6, tuning="label-free"), row("b", 0.5)]
    assert candidates(rows) == [0, 3]


def test_a_failed_tuned_row_is_not_replaced_by_the_default(row):
    rows = [row("a", None, status="oom"), row("a", 0.9, tuning="default", trials=0)]
    assert candidates(rows) == []


def test_of_three_seeds_the_median_stands(row):
    assert candidates([row("a", auc, seed=seed) for seed, auc in enumerate((0.9, 0.7, 0.8))]) == [2]


def test_of_an_even_number_of_seeds_the_worse_of_the_middle_stands(row):
    assert candidates([row("a", auc, seed=seed) for seed, auc in enumerate((0.9, 0.7, 0.8, 0.6))]) == [1]
    lower = [row("a", None, status="ok", task="forecasting", level="total", mase=m, seed=s) for s, m in enumerate((1.0, 2.0))]
    assert candidates(lower) == [1]


def test_a_failed_seed_does_not_stand_beside_those_that_scored(row):
    assert candidates([row("a", None, seed=0), row("a", 0.7, seed=1)]) == [1]


def test_the_same_model_on_two_data_sets_is_two_candidates(row):
    rows = [row("a", 0.7), row("a", 0.6, dataset="cdnow"), row("b", 0.5, dataset="cdnow")]
    assert ranks(rows) == [1, 1, 2]


def test_those_not_separable_from_the_leader_share_rank_one_and_the_rest_follow_by_value(row):
    rows = [
        row("c", 0.75, (0.05, 0.03, 0.07)),
        row("a", 0.80, (0, 0, 0)),
        row("b", 0.79, (0.01, -0.01, 0.03)),
        row("d", 0.70, (0.10, 0.08, 0.12)),
    ]
    assert ranks(rows) == [3, 1, 1, 4]


def test_a_wide_interval_ties_with_the_leader_although_a_separable_row_scored_better(row):
    rows = [row("a", 0.80, (0, 0, 0)), row("sure", 0.79, (0.01, 0.005, 0.015)), row("wide", 0.78, (0.02, -0.01, 0.05))]
    assert ranks(rows) == [1, 3, 1]


def test_equal_values_behind_the_leader_share_a_number(row):
    rows = [row("a", 0.80, (0, 0, 0)), *(row(m, v, (0.8 - v, 0.01, 0.2)) for m, v in (("b", 0.7), ("c", 0.7), ("d", 0.6)))]
    assert ranks(rows) == [1, 2, 2, 4]


def test_an_interval_that_touches_zero_is_not_separable(row):
    assert ranks([row("a", 0.8, (0, 0, 0)), row("b", 0.7, (0.1, 0.0, 0.2))]) == [1, 1]


def test_failed_and_underpowered_rows_are_unranked_but_stay(row):
    rows = [row("a", 0.8, flags=["underpowered"]), row("b", None, status="timeout"), row("c", math.nan)]
    assert ranks(rows) == [None, None, None]


def test_lower_is_better_where_the_metric_says_so(row):
    rows = [row(m, None, status="ok", task="forecasting", level=level, mase=mase, wql=wql) for m, level, mase, wql in
            (("a", "total", 0.9, 2), ("b", "total", 0.8, 3))]  # fmt: skip
    assert ranks(rows) == [2, 1]
    assert ranks([r | {"level": "user"} for r in rows]) == [1, 2]


def test_ranking_leaves_its_input_alone(row):
    rows = [row("a", 0.8)]
    rank(rows)
    assert "rank" not in rows[0]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_ranks_do_not_depend_on_the_order_of_rows_and_start_at_one(cells, random):
    best = max(auc for auc, _ in cells)
    base = {"task": "churn", "task_id": "t", "dataset": "d", "tuning": "tuned", "status": "ok"}
    rows = [
        base
        | {"model": f"m{i}", "roc_auc": auc, "behind": best - auc, "behind_low": -1.0 if tied or auc == best else 0.1, "behind_high": 1.0}
        for i, (auc, tied) in enumerate(cells)
    ]
    first = {row["model"]: row["rank"] for row in rank(rows)}
    random.shuffle(rows)
    assert {row["model"]: row["rank"] for row in rank(rows)} == first
    ones = sum(number == 1 for number in first.values())
    assert min(first.values()) == 1
    assert all(number > ones for number in first.values() if number != 1)


def said(rows):
    return verdict(rank(rows))


def test_the_verdict_names_those_not_separable_with_the_difference(row):
    rows = [row("lstm", 0.782, (0, 0, 0)), row("rfm-logit", 0.781, (0.001, -0.004, 0.006)), row("vae", 0.7, (0.08, 0.07, 0.09))]
    assert said(rows) == "lstm leads; not separable from rfm-logit (+.001, -.004 to +.006)"


def test_the_verdict_names_the_next_where_the_leader_stands_alone(row):
    rows = [row("rfm-logit", 0.78, (0, 0, 0)), row("paretonbd", 0.777, (0.003, 0.001, 0.006))]
    assert said(rows) == "rfm-logit leads; paretonbd is next (-.003, -.006 to -.001)"


def test_the_verdict_counts_what_it_does_not_name(row):
    rows = [row("a", 0.8, (0, 0, 0)), *(row(f"b{i}", 0.79 - i / 1000, (0.01, -0.01, 0.03)) for i in range(5))]
    assert said(rows).endswith("b2 (+.010, -.010 to +.030) and 2 more")


def test_the_verdict_of_a_single_model_says_so(row):
    assert said([row("a", 0.8, (0, 0, 0)), row("b", None)]) == "a leads; no other model is ranked"


def test_the_verdict_of_failures_names_the_causes(row):
    rows = [
        row("lstm", None, status="oom", reason="4.1 GB, limit 4.0"),
        row("gru", None, status="timeout"),
        row("c", None, status="ok", reason="one class"),
    ]
    assert said(rows) == "no model could be scored: lstm (oom: 4.1 GB, limit 4.0), gru (timeout), c (no ranking metric: one class)"


def test_the_verdict_of_nothing_says_so():
    assert verdict([]) == "no model could be scored: none was run"


def test_the_verdict_of_an_underpowered_board_gives_the_counts(row):
    text = said([row("a", 0.8, flags=["underpowered"], n_test=150, base_rate=0.2)])
    assert text.startswith("underpowered, nothing is ranked: 150 test users, 30 churned and 120 stayed;")
    assert "at least 200" in text


@pytest.mark.parametrize("name", ["\x1b[31mevil", "two\nlines", "back\rspace", "\u202edlrow"])
def test_a_hostile_name_cannot_steer_the_terminal_from_a_verdict(row, name):
    assert said([row(name, 0.8, (0, 0, 0))]).isprintable()
