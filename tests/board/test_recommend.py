"""The recommendation: of what cannot be told apart from the leader the best that costs little, with honest seconds."""

import json

from hypothesis import given
from hypothesis import strategies as st

from bench.board.ranking import rank, tie_group
from bench.board.recommend import LEAST, WORTH, cost, recommend

BASE = {"task": "churn", "task_id": "t", "dataset": "d", "tuning": "tuned", "status": "ok"}


def words(rows):
    best = recommend(rank(rows))
    return None if best is None else best.words


def test_the_cheapest_of_the_tie_group_is_recommended_with_what_the_leader_costs_and_how_far_it_may_be_ahead(row):
    rows = [
        row("lstm", 0.80, (0, 0, 0), search_seconds=400.0, fit_seconds=20.0, predict_seconds=6.0),
        row("arima", 0.79, (0.01, -0.02, 0.04), search_seconds=2.0, fit_seconds=0.3),
        row("zero", 0.5, (0.3, 0.2, 0.4), fit_seconds=0.0),
    ]
    assert words(rows) == "take arima: statistically tied with the leader lstm (behind by .010, at most .040), 2.3 s instead of 426 s"


def test_a_leader_alone_and_a_leader_that_is_cheap_are_recommended_themselves(row):
    alone = [row("a", 0.8, (0, 0, 0), fit_seconds=30.0), row("b", 0.7, (0.1, 0.05, 0.2), fit_seconds=1.0)]
    assert words(alone) == "take a: it leads and no other model is tied with it (30 s)"
    cheap = [row("a", 0.8, (0, 0, 0), fit_seconds=0.4), row("b", 0.79, (0.01, -0.05, 0.2), fit_seconds=0.1)]
    assert words(cheap) == "take a: it leads, and takes no longer than a second (0.4 s)"


def test_a_worse_model_is_not_taken_for_a_few_seconds(row):
    rows = [row("a", 0.80, (0, 0, 0), fit_seconds=39.4), row("b", 0.79, (0.01, -0.02, 0.04), fit_seconds=38.6)]
    assert words(rows) == "take a: it leads, and nothing that is tied with it takes less than half of its time (39 s)"
    rows[0]["fit_seconds"], rows[1]["fit_seconds"] = 1.9, 0.1
    assert words(rows) == "take a: it leads, and takes no longer than two seconds (1.9 s)"
    rows[0]["fit_seconds"], rows[1]["fit_seconds"] = 39.4, 19.0
    assert words(rows) == "take b: statistically tied with the leader a (behind by .010, at most .040), 19 s instead of 39 s"


def test_an_ensemble_that_no_doubt_speaks_for_is_said_not_to_be_worth_it(row):
    alone = row("a", 0.80, (0.01, -0.02, 0.04), fit_seconds=2.0)
    blend = row("ensemble", 0.81, (0, 0, 0), plugin="bench", fit_seconds=9.0, params=json.dumps({"a": 0.5, "b": 0.5}))
    assert words([alone, blend]).endswith("2.0 s instead of 9.0 s; the ensemble (9.0 s) is not worth it")
    behind = [alone | {"behind": 0.0, "behind_low": 0.0}, blend | {"roc_auc": 0.7, "behind": 0.1, "behind_low": 0.05, "behind_high": 0.2}]
    assert words(behind).endswith("the ensemble (9.0 s) is not worth it")
    ahead = [alone | {"behind_low": 0.001}, blend]
    assert words(ahead) == "take ensemble: it leads and no other model is tied with it (9.0 s)"
    assert "worth" not in words([alone | {"behind": 0.0}])


def test_an_underpowered_board_recommends_nothing(row):
    assert words([row("a", 0.8, flags=["underpowered"]), row("b", None)]) is None


def test_a_default_is_not_charged_for_the_search_and_an_ensemble_is_for_those_of_its_members(row):
    spent = {"search_seconds": 400.0, "fit_seconds": 20.0, "predict_seconds": 1.0}
    lstm, default = row("lstm", 0.8, **spent), row("lstm", 0.7, tuning="default", **spent)
    vae = row("vae", 0.8, search_seconds=50.0, fit_seconds=5.0)
    blend = row("ensemble", 0.8, plugin="bench", fit_seconds=25.0, predict_seconds=1.0, params=json.dumps({"lstm": 0.5, "vae": 0.5}))
    rows = [lstm, default, vae, row("vae", 0.8, dataset="other", search_seconds=9e9), blend]
    assert [cost(one, rows) for one in (lstm, default, vae, blend)] == [421.0, 21.0, 55.0, 476.0]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.floats(0, 1e4)), min_size=1, max_size=10))
def test_what_is_recommended_is_tied_nothing_tied_saves_more_than_half_and_nothing_better_costs_as_little(cells):
    best = max(auc for auc, _, _ in cells)
    rows = rank(
        [
            BASE
            | {"model": f"m{at}", "roc_auc": auc, "fit_seconds": spent, "behind": best - auc}
            | {"behind_low": -1.0 if tied or auc == best else 0.1, "behind_high": 1.0}
            for at, (auc, tied, spent) in enumerate(cells)
        ]
    )
    found, group = recommend(rows), tie_group(rows)
    assert found.model in group
    assert found.leader is group[0]
    most = WORTH * min(max(cost(row, rows), LEAST) for row in group)
    assert cost(found.model, rows) <= most
    assert all(cost(row, rows) > most for row in group[: group.index(found.model)])
