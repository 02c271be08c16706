"""Families and leagues of anomaly boards: ranked apart, told in words, trivial ones and strangers left out of summaries."""

from __future__ import annotations

import numpy as np
import pytest

from bench.board import Board
from bench.board.families import FLOORS, TRIVIAL, family_words, flag_trivial
from bench.board.overall import charge, overall
from bench.board.ranking import boards, candidates, rank, verdict
from bench.board.statistics import compare
from bench.tasks.base import RankingRule as Ranked


@pytest.fixture
def anomaly(row):
    """Make a row of an anomaly board."""

    def make(model, vus=None, family="labelled", mode="causal", **more):
        base = {"task": "anomaly", "task_id": f"anomaly/v2/family={family}", "family": family, "mode": mode, "reference": "random"}
        status = more.pop("status", "ok" if vus is not None else "failed")
        own = {"dataset": "nab", "tuning": "default", "trials": 0, "vus_pr": vus, "horizon_days": None, "base_rate": None}
        return row(model, None, status=status, **base | own | more)

    return make


def test_the_ceiling_is_told_with_its_interval_on_every_board_and_moves_no_rank(anomaly):
    high = {"ceiling": 0.93, "ceiling_low": 0.9, "ceiling_high": 0.96}
    plain = [anomaly("a", 0.5, "spliced"), anomaly("b", 0.4, "spliced", behind=(0.1, 0.05, 0.2)), anomaly("c", 0.3, "spliced", "offline")]
    board = Board.build([r | high for r in plain])
    words = "ceiling: VUS-PR .930 (.900 to .960), by an oracle that knows how the truth was made; no model, not ranked"
    assert board.table().count(words) == 2
    assert words in board._repr_html_()
    assert [r["rank"] for r in board.rows] == [r["rank"] for r in Board.build(plain).rows]
    assert board.verdicts == Board.build(plain).verdicts
    assert "ceiling" not in Board.build(plain).table()


# ---- leagues


def test_causal_and_offline_detectors_are_ranked_apart(anomaly):
    rows = [anomaly("a", 0.5), anomaly("b", 0.4, behind=(0.1, 0.05, 0.2)), anomaly("c", 0.9, mode="offline"),
            anomaly("d", 0.3, mode="offline", behind=(0.6, 0.5, 0.7))]  # fmt: skip
    assert [r["rank"] for r in rank(rows)] == [1, 2, 1, 2]
    board = Board.build(rows)
    assert list(board.verdicts) == [("anomaly/v2/family=labelled", f"nab, {mode}") for mode in ("causal", "offline")]
    assert "a leads" in board.verdicts[("anomaly/v2/family=labelled", "nab, causal")]
    assert "c leads" in board.verdicts[("anomaly/v2/family=labelled", "nab, offline")]
    table = board.table()
    assert table.index("nab, causal") < table.index("nab, offline")


def test_families_are_boards_of_their_own(anomaly):
    rows = [anomaly("a", 0.5, "labelled"), anomaly("a", 0.2, "spliced"), anomaly("a", 0.9, "injected")]
    assert len(boards(rows)) == 3
    assert [r["rank"] for r in rank(rows)] == [1, 1, 1]


def test_churn_has_no_leagues(row):
    rows = [row("a", 0.5, mode="causal"), row("b", 0.4, mode="offline")]
    assert len(boards(rows)) == 1


class Fixed:
    """Score every weighting by the weighted mean of fixed values."""

    def __init__(self, *each):
        self.each = np.array(each)

    def score(self, weights):
        return {"vus_pr": weights @ self.each / weights.sum(axis=1)}


def test_each_league_has_a_leader_of_its_own_and_all_are_compared_with_the_floor():
    scorers = {
        "random": Fixed(0.1, 0.2, 0.1),
        "rolling-mean": Fixed(0.3, 0.4, 0.3),
        "deep": Fixed(0.5, 0.7, 0.6),
        "ahead": Fixed(0.8, 0.9, 0.9),
    }
    leagues = {"random": "causal", "rolling-mean": "causal", "deep": "causal", "ahead": "offline"}
    board = Ranked("vus_pr", reference="random", beside="rolling-mean")
    found = compare(scorers, np.arange(3), board, reference="random", leader_among=set(scorers), leagues=leagues, seed=0, n_draws=100)
    assert {name: one.leader for name, one in found.items()} == {"random": "deep", "rolling-mean": "deep", "deep": "deep", "ahead": "ahead"}
    assert found["ahead"].behind.value == 0
    assert found["rolling-mean"].behind.value == pytest.approx(0.6 - 1 / 3)
    assert found["deep"].above_floor.value == pytest.approx(0.6 - 1 / 3)
    assert found["deep"].above_floor.low > 0
    assert found["random"].above_floor.high < 0
    assert found["ahead"].skill.value == pytest.approx(2.6 / 3 - 0.4 / 3)


def test_of_several_floors_the_best_of_the_own_league_is_the_one_to_beat():
    scorers = {"low": Fixed(0.1, 0.2, 0.1), "high": Fixed(0.3, 0.4, 0.3), "deep": Fixed(0.5, 0.7, 0.6), "ahead": Fixed(0.8, 0.9, 0.9)}
    leagues = {"low": "causal", "high": "offline", "deep": "causal", "ahead": "offline"}
    floors = {"causal": "low", "offline": "high"}
    board = Ranked("vus_pr", reference="low")
    found = compare(
        scorers, np.arange(3), board, reference="low", leader_among=set(scorers), leagues=leagues, floors=floors, seed=0, n_draws=20
    )
    assert found["deep"].above_floor.value == pytest.approx(0.6 - 0.4 / 3)
    assert found["ahead"].above_floor.value == pytest.approx(2.6 / 3 - 1 / 3)


@pytest.mark.parametrize(
    ("sign", "words"), [(1, "labels +1.00 over 8 fits of 4 models"), (-1, "do not trust what was chosen without labels")]
)
def test_how_the_search_agrees_with_the_labels_is_said_of_labelled_boards(anomaly, sign, words):
    def fits(family):
        both = [(f"m{k}", 0.1 + 0.05 * k + 0.01 * t, tuning) for k in range(4) for t, tuning in enumerate(("default", "label-free"))]
        return [anomaly(m, v, family, tuning=tuning, trials=4, valid_score=sign * v) for m, v, tuning in both]

    assert any(words in line for line in family_words(fits("labelled")))
    assert not any("rank correlation" in line for line in family_words(fits("injected")))
    assert not any("rank correlation" in line for line in family_words(fits("labelled")[:4]))


def test_without_the_floor_nothing_is_said_of_it():
    board = Ranked("vus_pr", reference="random", beside="rolling-mean")
    found = compare({"random": Fixed(0.1, 0.2)}, np.arange(2), board, reference="random", leader_among={"random"}, seed=0, n_draws=20)
    assert np.isnan(found["random"].above_floor.value)


# ---- tunings


def test_a_model_without_a_label_tuned_row_is_judged_by_its_label_free_one(anomaly):
    rows = [anomaly("a", 0.5, trials=4), anomaly("a", 0.6, tuning="label-free", trials=4), anomaly("random", 0.1)]
    assert [rows[at]["tuning"] for at in candidates(rows)] == ["label-free", "default"]


def test_a_label_tuned_row_that_is_skipped_for_want_of_entities_does_not_unrank_the_model(anomaly):
    skipped = {"status": "skipped", "reason": "5 entities are too few"}
    few = [anomaly("a", 0.5, trials=4), anomaly("a", 0.6, tuning="label-free", trials=4), anomaly("a", tuning="tuned", trials=4, **skipped)]
    assert candidates(few) == [1]
    alone = [anomaly("a", 0.5), *(anomaly("a", tuning=t, **skipped) for t in ("label-free", "tuned"))]
    assert candidates(alone) == [0]


# ---- trivial boards


@pytest.mark.parametrize("floor", FLOORS)
def test_any_floor_above_the_limit_makes_its_board_trivial(anomaly, floor):
    rows = [anomaly(floor, 0.81, "injected", mode="offline" if "centred" in floor else "causal"), anomaly("m", 0.3, "injected")]
    assert all(r["flags"] == ["trivial"] for r in flag_trivial(rows))


def test_at_the_limit_by_another_family_or_a_failure_nothing_is_trivial(anomaly):
    rows = [
        anomaly("abs-median", TRIVIAL, "injected"), anomaly("abs-median", 0.9, "spliced"), anomaly("m", 0.99, "injected"),
        anomaly("abs-median", 0.9, "injected", status="failed"), anomaly("abs-median", 0.9, "injected", dataset="other"),
    ]  # fmt: skip
    flagged = flag_trivial(rows)
    assert [r.get("flags") or [] for r in flagged] == [[], ["trivial"], [], [], ["trivial"]]
    assert all("flags" not in r for r in rows), "the rows given stay as they are"


def test_flags_that_were_there_stay(anomaly):
    (one,) = flag_trivial([anomaly("abs-median", 0.9, flags=["contaminated"])])
    assert one["flags"] == ["contaminated", "trivial"]


def test_rows_of_other_tasks_are_never_trivial(row):
    (one,) = flag_trivial([row("random", 0.99, vus_pr=0.99)])
    assert not one.get("flags")


# ---- summaries over data sets


def on(anomaly, dataset, scores, **more):
    reference = scores.get("random")
    best = max(v for v in scores.values() if v is not None)
    return [
        anomaly(m, v, dataset=dataset, skill=None if v is None or reference is None else v - reference,
                behind=None if v is None else (best - v,) * 3, **more)
        for m, v in scores.items()
    ]  # fmt: skip


def test_trivial_boards_are_left_out_of_the_summary(anomaly):
    rows = on(anomaly, "x", {"random": 0.1, "a": 0.4}) + on(anomaly, "y", {"random": 0.1, "a": 0.6})
    easy = flag_trivial(on(anomaly, "z", {"random": 0.1, "abs-median": 0.9, "a": 1.0}))
    found = {s.model: s for s in overall(rank(rows + easy))}
    assert set(found) == {"a", "random"}
    assert found["a"].mean_skill == pytest.approx(0.4)
    assert (found["a"].datasets, found["a"].possible, found["a"].won) == (2, 2, 2)
    assert overall(rank(rows[:2] + easy)) == []


def test_two_leagues_of_one_data_set_are_no_two_data_sets(anomaly):
    rows = on(anomaly, "x", {"random": 0.1, "a": 0.4}) + on(anomaly, "x", {"ahead": 0.5}, mode="offline")
    assert overall(rank(rows)) == []


def test_leagues_are_summarised_apart_and_say_which_they_are(anomaly):
    rows = [r for d in ("x", "y") for r in on(anomaly, d, {"random": 0.1, "a": 0.4}) + on(anomaly, d, {"ahead": 0.5}, mode="offline")]
    found = {(s.task_id, s.model): s for s in overall(rank(rows))}
    assert set(found) == {
        ("anomaly/v2/family=labelled, causal", "a"), ("anomaly/v2/family=labelled, causal", "random"),
        ("anomaly/v2/family=labelled, offline", "ahead"),
    }  # fmt: skip
    assert all(s.possible == 2 for s in found.values())


def test_an_offline_failure_is_charged_against_the_reference_of_the_other_league(anomaly):
    rows = rank(on(anomaly, "x", {"random": 0.1, "a": 0.4}) + on(anomaly, "x", {"ahead": 0.5, "broken": None}, mode="offline"))
    broken = next(r for r in charge(rows) if r["model"] == "broken")
    assert broken["vus_pr"] == 0.1  # the worse of the reference's and the worst of its league
    assert broken["skill"] == 0
    assert broken["flags"] == ["charged"]


# ---- words


def test_the_agreement_of_families_is_told_for_each_pair(anomaly):
    values = {"labelled": (0.1, 0.2, 0.3, 0.4), "injected": (0.4, 0.3, 0.2, 0.1), "spliced": (0.1, 0.2, 0.4, 0.3)}
    rows = [anomaly(m, v, family) for family, all_ in values.items() for m, v in zip("abcd", all_, strict=True)]
    told = [words for words in family_words(rows) if "Kendall" in words]
    assert told == [
        "nab: rank agreement of injected and labelled: Kendall tau -1.00 over 4 models",
        "nab: rank agreement of injected and spliced: Kendall tau -.67 over 4 models",
        "nab: rank agreement of labelled and spliced: Kendall tau +.67 over 4 models",
    ]


@pytest.mark.parametrize("models", ["ab", "abc"])
def test_agreement_is_not_told_of_too_few_models_or_equal_scores(anomaly, models):
    rows = [anomaly(m, 0.3 if models == "abc" else 0.1 * k, family) for family in ("labelled", "injected") for k, m in enumerate(models)]
    assert not any("Kendall" in words for words in family_words(rows))


def test_agreement_is_of_one_data_set(anomaly):
    rows = [anomaly(m, 0.1 * k, f, dataset=d) for d, f in (("x", "labelled"), ("y", "injected")) for k, m in enumerate("abc")]
    assert family_words(rows) == []


def test_every_model_stands_in_one_of_three_groups_beside_the_rolling_mean(anomaly):
    def against(model, *ends, **more):
        return anomaly(model, 0.5, **dict(zip(("above_floor", "above_floor_low", "above_floor_high"), ends, strict=True)), **more)

    good, even = against("good", 0.2, 0.1, 0.3), against("even", 0.0, -0.1, 0.1)
    floors = against("iforest", 0.1, 0.05, 0.2), anomaly("rolling-mean", 0.4)
    rows = [good, against("best", 0.3, 0.2, 0.4), even, against("bad", -0.2, -0.3, -0.1), *floors]
    (words,) = family_words(rows)
    assert words == (
        "nab, labelled, causal: best (+.300, +.200 to +.400), good (+.200, +.100 to +.300) beat the best floor (rolling-mean); "
        "not separable from it: even (.000, -.100 to +.100); below it: bad (-.200, -.300 to -.100)"
    )
    (words,) = family_words([against("even", 0.0, -0.1, 0.1), against("loose", 0.1, None, None)])
    assert "no model beats the best floor beyond doubt" in words
    assert "loose (+.100, -)" in words
    assert len(family_words([against("good", 0.2, 0.1, 0.3), against("ahead", 0.2, 0.1, 0.3, mode="offline")])) == 2


def test_nothing_is_said_where_the_floor_or_every_model_is_missing(anomaly, row):
    assert family_words([anomaly("rolling-mean", 0.4), anomaly("random", 0.1)]) == []
    assert family_words([anomaly("deep", 0.4), anomaly("broken")]) == []
    assert family_words([row("a", 0.7)]) == []


def test_too_few_anomalies_rank_nothing_and_the_verdict_says_why(anomaly):
    rows = rank([anomaly("a", 0.5, flags=["underpowered"], n_test=3)])
    assert rows[0]["rank"] is None
    assert verdict(rows).startswith("underpowered, nothing is ranked: too few of the 3 scored entities have an anomaly")


def test_a_board_of_the_first_protocol_names_the_one_floor_that_it_was_compared_with(anomaly):
    mine = anomaly("mine", 0.35, above_floor=0.05, above_floor_low=-0.01, above_floor_high=0.1)
    rows = [anomaly("rolling-mean", 0.3), anomaly("abs-median", 0.4), mine]
    assert "the best floor (abs-median)" in family_words(rows)[0]
    old = [{**r, "task_id": r["task_id"].replace("anomaly/v2/", "anomaly/v1/")} for r in rows]
    assert "no model beats rolling-mean beyond doubt" in family_words(old)[0]


@pytest.mark.parametrize(
    ("network", "said"), [(-0.1, "no model beats the best floor (personal-top) beyond doubt; below it: lstm"), (0.1, "lstm (+.1")]
)
def test_a_board_of_next_events_says_whether_anyone_beats_the_best_that_counting_finds(row, network, said):
    base = {
        "task": "next-event",
        "task_id": "next-event/v1/target=item/h=28d",
        "reference": "popular",
        "dataset": "shop",
        "tuning": "default",
    }
    base |= {"trials": 0, "horizon_days": None, "base_rate": None, "level": "item"}
    above = {"above_floor": network, "above_floor_low": network - 0.02, "above_floor_high": network + 0.02}
    scores = {"popular": 0.1, "recent-popular": 0.12, "personal-top": 0.25, "lstm": 0.25 + network}
    rows = [row(name, None, status="ok", **base, ndcg_10=score, **(above if name == "lstm" else {})) for name, score in scores.items()]
    (told,) = family_words(rows)
    assert told.startswith("shop: ")
    assert said in told
    assert "None" not in told
