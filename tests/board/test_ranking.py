import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.board.ranking import candidates, leading, merit, rank, tie_group, verdict
from bench.board.view import listed


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


def ties(rows):
    return [row["tied"] for row in rank(rows)]


def test_ranks_follow_the_value_and_ties_stand_apart_from_them(row):
    rows = [
        row("c", 0.75, (0.05, 0.03, 0.07)),
        row("a", 0.80, (0, 0, 0)),
        row("b", 0.79, (0.01, -0.01, 0.03)),
        row("d", 0.70, (0.10, 0.08, 0.12)),
    ]
    assert ranks(rows) == [3, 1, 2, 4]
    assert ties(rows) == [False, True, True, False]


def test_a_wide_interval_is_tied_with_the_leader_but_stays_below_a_better_row_that_is_not(row):
    rows = [row("a", 0.80, (0, 0, 0)), row("sure", 0.79, (0.01, 0.005, 0.015)), row("wide", 0.78, (0.02, -0.01, 0.05))]
    assert ranks(rows) == [1, 2, 3]
    assert ties(rows) == [True, False, True]
    assert [r["model"] for r in tie_group(rank(rows))] == ["a", "wide"]


def test_a_leader_that_stands_alone_is_tied_with_nobody(row):
    rows = [row("a", 0.80, (0, 0, 0)), row("b", 0.79, (0.01, 0.005, 0.015))]
    assert ties(rows) == [False, False]
    assert [r["model"] for r in tie_group(rank(rows))] == ["a"]


def test_equal_values_share_a_number(row):
    rows = [row("a", 0.80, (0, 0, 0)), *(row(m, v, (0.8 - v, 0.01, 0.2)) for m, v in (("b", 0.7), ("c", 0.7), ("d", 0.6)))]
    assert ranks(rows) == [1, 2, 2, 4]


def test_an_interval_that_touches_zero_is_a_tie(row):
    assert ties([row("a", 0.8, (0, 0, 0)), row("b", 0.7, (0.1, 0.0, 0.2))]) == [True, True]


def test_where_nothing_is_ranked_the_best_by_value_leads_the_pictures_and_is_tied_with_nobody(row):
    rows = rank([row("a", 0.7, (0, 0, 0), flags=["underpowered"]), row("b", 0.8, flags=["underpowered"]), row("c", None)])
    assert leading(rows)["model"] == "b"
    assert (tie_group(rows), ties(rows)) == ([], [None, None, None])


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
    first = {row["model"]: (row["rank"], row["tied"]) for row in rank(rows)}
    random.shuffle(rows)
    ranked = rank(rows)
    assert {row["model"]: (row["rank"], row["tied"]) for row in ranked} == first
    assert min(number for number, _ in first.values()) == 1
    # no worse row stands above a better one, neither by its number nor in the table
    merits = [merit(row) for row in listed(ranked)]
    assert merits == sorted(merits, reverse=True)
    assert all((one["rank"] < other["rank"]) == (merit(one) > merit(other)) for one in ranked for other in ranked)


def said(rows):
    return verdict(rank(rows))


def test_the_verdict_names_those_tied_with_the_difference(row):
    rows = [row("lstm", 0.782, (0, 0, 0)), row("rfm-logit", 0.781, (0.001, -0.004, 0.006)), row("vae", 0.7, (0.08, 0.07, 0.09))]
    assert said(rows) == "lstm leads; statistically tied with rfm-logit (+.001, -.004 to +.006)"


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


def test_an_underpowered_board_of_next_events_counts_its_users(row):
    more = {"task": "next-event", "task_id": "next-event/v1/target=item", "level": "item", "reference": "popular"}
    text = said([row("popular", None, status="ok", flags=["underpowered"], n_test=12, ndcg_10=0.2, **more)])
    assert text.startswith("underpowered, nothing is ranked: 12 test users are too few")


@pytest.mark.parametrize("name", ["\x1b[31mevil", "two\nlines", "back\rspace", "\u202edlrow"])
def test_a_hostile_name_cannot_steer_the_terminal_from_a_verdict(row, name):
    assert said([row(name, 0.8, (0, 0, 0))]).isprintable()
