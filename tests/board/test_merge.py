"""Runs are put into one board only where they may stand there, and then nobody is told apart without ground."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.board import Board
from bench.board.merge import merge, misfit
from bench.board.schema import AGGREGATOR, rows_to_table, table_to_rows
from bench.board.statistics import compare
from bench.metrics.churn import ranked
from bench.tasks.churn.rows import RANKING


@pytest.fixture
def made(row):
    """Make the stored rows of one run: model -> (auc, low, high, behind with its ends)."""

    def make(models, day=1, **more):
        rows = []
        for model, (auc, low, high, behind) in models.items():
            rows.append(row(model, auc, behind, created=datetime(2026, 1, day, tzinfo=UTC), **{"fingerprint": "f" * 64, **more}))
            rows[-1] |= {"roc_auc_low": low, "roc_auc_high": high}
        return table_to_rows(rows_to_table(rows))

    return make


OLDER = "{} of cells that a newer run has too: not shown"
LED = {"lstm": (0.80, 0.78, 0.82, (0, 0, 0)), "rfm-logit": (0.79, 0.77, 0.81, (0.010, 0.005, 0.015))}


def merged(runs):
    """Merge runs, (name, rows) each; give the rows and what is said of them."""
    found = merge(dict(runs))
    return found.rows, found.words


def test_data_of_another_content_under_one_name_is_a_misfit_with_both_runs_named_and_the_earlier_run_stands(made):
    runs = {"runs/b": made(LED, day=2, fingerprint="e" * 64), "runs/a": made(LED)}
    (words,) = misfit(runs)
    assert words.startswith(f"the fingerprint of retail-sim (churn/v1/h=28d) is {'f' * 64} in run runs/a and {'e' * 64} in run runs/b")
    found = merge(runs)
    assert (set(found.runs), found.left_out) == ({"runs/a"}, [words])
    assert misfit({"runs/a": made(LED), "runs/c": made(LED, day=3)}) == []


def test_other_data_under_another_name_or_task_id_is_another_board(made):
    rows, _ = merged(
        [
            ("a", made(LED)),
            ("b", made(LED, fingerprint="e" * 64, dataset="cdnow")),
            ("c", made(LED, fingerprint="d" * 64, task_id="churn/v1/h=7d")),
        ]
    )
    assert len(Board(rows_to_table(rows)).verdicts) == 3


def test_scores_of_another_aggregator_or_schema_are_a_misfit(made):
    old = [{**r, "aggregator": "bootstrap/0"} for r in made(LED, day=2)]
    (words,) = misfit({"runs/a": made(LED), "runs/b": old})
    assert words.startswith(f"the aggregator is {AGGREGATOR} in run runs/a and bootstrap/0 in run runs/b")
    (words,) = misfit({"runs/a": made(LED), "runs/b": [{**r, "schema_version": 99} for r in made(LED, day=2)]})
    assert words.startswith("the schema is 2 in run runs/a and 99 in run runs/b")


@pytest.mark.parametrize("newer_first", [False, True])
def test_of_two_runs_of_the_same_cells_the_newest_stands(made, newer_first):
    old = made(LED)
    new = made({"lstm": (0.70, 0.68, 0.72, (0.05, 0.03, 0.07)), "rfm-logit": (0.75, 0.73, 0.77, (0, 0, 0))}, day=2)
    runs = [("new", new), ("old", old)] if newer_first else [("old", old), ("new", new)]
    rows, words = merged(runs)
    assert {r["model"]: r["roc_auc"] for r in rows} == {"lstm": 0.70, "rfm-logit": 0.75}
    assert {r["model"]: (r["rank"], r["behind"]) for r in rows} == {"rfm-logit": (1, 0), "lstm": (2, 0.05)}
    assert words == [OLDER.format("2 rows are")]


def test_a_run_alone_and_a_copy_of_it_keep_their_paired_intervals(made):
    for runs in ([("a", made(LED))], [("a", made(LED)), ("b", made(LED))], [("b", made(LED)), ("a", made(LED)), ("empty", [])]):
        rows, words = merged(runs)
        assert [(r["model"], r["behind"], r["behind_low"]) for r in rows] == [("lstm", 0, 0), ("rfm-logit", 0.01, 0.005)]
        assert words == ([] if len(runs) == 1 else [OLDER.format("2 rows are")])


def test_the_order_of_the_runs_changes_nothing(made):
    runs = [("a", made(LED)), ("b", made({"gru": (0.79, 0.77, 0.81, (0, 0, 0))})), ("c", made({"lstm": (0.7, 0.6, 0.8, (0, 0, 0))}))]
    found = [merge(dict(ordered)) for ordered in (runs, runs[::-1], [runs[1], runs[2], runs[0]])]
    assert found[0] == found[1] == found[2]
    # of equals the higher id stands
    assert {r["model"]: r["roc_auc"] for r in found[0].rows}["lstm"] == 0.7


def test_a_skipped_row_takes_no_result_of_another_run_away_and_stands_where_nobody_tried(made):
    skipped = [{**r, "status": "skipped", "roc_auc": None} for r in made({"lstm": (None, None, None, None)}, day=3, seed=None)]
    rows, _ = merged([("a", made(LED)), ("b", skipped)])
    assert {r["model"]: r["status"] for r in rows} == {"lstm": "ok", "rfm-logit": "ok"}
    rows, _ = merged([("a", made({"rfm-logit": LED["rfm-logit"]})), ("b", skipped)])
    assert {r["model"]: r["status"] for r in rows} == {"lstm": "skipped", "rfm-logit": "ok"}


def test_a_failure_goes_where_a_newer_run_has_mended_it_and_stays_where_not(made):
    failed = {**made({"gru": (None, None, None, None)})[0], "seed": 77, "reason": "CUDA"}
    mended = made({**LED, "gru": (0.7, 0.68, 0.72, (0.1, 0.08, 0.12))}, day=2)
    rows, words = merged([("a", [failed]), ("b", mended)])
    assert [(r["model"], r["status"]) for r in rows] == [("gru", "ok"), ("lstm", "ok"), ("rfm-logit", "ok")]
    assert words == [OLDER.format("1 row is")]
    later = {**failed, "created": datetime(2026, 1, 3, tzinfo=UTC)}
    rows, words = merged([("a", [later]), ("b", mended)])
    assert sorted((r["model"], r["status"]) for r in rows if r["model"] == "gru") == [("gru", "failed"), ("gru", "ok")]
    assert words == []


def test_a_mean_of_models_goes_where_newer_runs_have_results_of_all_its_members(made):
    mean = {**made({"ensemble": (0.81, 0.79, 0.83, (0, 0, 0))})[0], "plugin": "bench", "params": '{"lstm": 0.5, "gru": 0.5}'}
    old = [*made({**LED, "gru": (0.7, 0.68, 0.72, (0.1, 0.08, 0.12))}), mean]
    for newer, stays in (({"lstm"}, True), ({"lstm", "gru"}, False), ({"rfm-logit"}, True)):
        rows, _ = merged([("a", old), ("b", made(dict.fromkeys(newer, (0.75, 0.73, 0.77, (0, 0, 0))), day=2))])
        assert ("ensemble" in {r["model"] for r in rows}) == stays, newer
    elsewhere = made(dict.fromkeys(("lstm", "gru"), (0.75, 0.73, 0.77, (0, 0, 0))), day=2, dataset="cdnow")
    rows, _ = merged([("a", old), ("b", elsewhere)])
    assert "ensemble" in {r["model"] for r in rows}


def test_seeds_of_several_runs_stand_beside_each_other(made):
    rows, words = merged([("a", made(LED, seed=0)), ("b", made(LED, seed=1))])
    assert sorted((r["model"], r["seed"]) for r in rows) == [("lstm", 0), ("lstm", 1), ("rfm-logit", 0), ("rfm-logit", 1)]
    assert [w for w in words if w.startswith("2 rows are of another run than the leader")] == words


def test_within_the_leaders_run_intervals_stay_paired_and_across_runs_they_widen(made):
    rows, _ = merged([("a", made(LED)), ("b", made({"gru": (0.79, 0.77, 0.81, (0, 0, 0))}))])
    found = {r["model"]: (r["behind"], r["behind_low"], r["behind_high"], r["rank"]) for r in rows}
    assert found["lstm"] == (0, 0, 0, 1)
    assert found["rfm-logit"] == (0.010, 0.005, 0.015, 2)
    assert found["gru"][:3] == pytest.approx((0.01, 0.78 - 0.81, 0.82 - 0.77))
    assert {r["model"]: r["tied"] for r in rows} == {"lstm": True, "rfm-logit": False, "gru": True}, "gru could not be told apart"


def test_where_a_row_has_no_interval_of_its_own_none_is_made_up(made):
    rows, _ = merged([("a", made(LED)), ("b", made({"gru": (0.7, None, None, (0, 0, 0))}))])
    assert [(r["behind"], r["behind_low"], r["behind_high"]) for r in rows if r["model"] == "gru"] == [(pytest.approx(0.1), None, None)]


def test_where_the_default_was_the_best_its_row_beside_the_leaders_does_not_hide_that_it_led(made):
    twin = made({"lstm": LED["lstm"]}, tuning="default")
    rows, _ = merged([("a", [*made(LED), *twin]), ("b", made({"gru": (0.7, 0.68, 0.72, (0, 0, 0))}))])
    assert next((r["behind_low"], r["behind_high"]) for r in rows if r["model"] == "rfm-logit") == (0.005, 0.015)


def test_where_less_is_better_the_distance_is_turned(made):
    more = {"task": "forecasting", "task_id": "forecasting/v1", "roc_auc": None, "roc_auc_low": None, "roc_auc_high": None}
    one = [{**made(LED)[0], **more, "mase": 0.8, "mase_low": 0.7, "mase_high": 0.9, "behind": 0.0, "behind_low": 0.0, "behind_high": 0.0}]
    other = [{**one[0], "model": "theta", "mase": 1.0, "mase_low": 0.95, "mase_high": 1.05}]
    rows, _ = merged([("a", one), ("b", other)])
    found = {r["model"]: (r["rank"], r["behind"], r["behind_low"], r["behind_high"]) for r in rows}
    assert found["lstm"] == (1, 0, 0, 0)
    assert found["theta"] == (2, pytest.approx(0.2), pytest.approx(0.95 - 0.9), pytest.approx(1.05 - 0.7))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), shared=st.floats(0, 1), n=st.integers(60, 200))
def test_the_interval_across_runs_contains_the_paired_one(seed, shared, n):
    rng = np.random.default_rng(seed)
    y = np.r_[np.zeros(n // 2, np.int8), np.ones(n - n // 2, np.int8)]
    common, own = rng.normal(size=n), rng.normal(size=(2, n))
    scores = {f"m{k}": y + shared * common + (1 - shared) * own[k] for k in range(2)}
    scorers = {name: ranked(y, 1 / (1 + np.exp(-score)), 0.5) for name, score in scores.items()}
    compared = compare(scorers, np.arange(n), RANKING, reference="m0", leader_among=scorers, seed=0, n_draws=400)
    rows = table_to_rows(rows_to_table([_row(name, c) for name, c in compared.items()]))
    last = max(rows, key=lambda r: r["behind"])
    together, _ = merged([(r["model"], [r]) for r in rows])
    apart = next(r for r in together if r["model"] == last["model"])
    assert apart["behind"] == pytest.approx(last["behind"])
    assert apart["behind_low"] <= last["behind_low"] + 1e-12
    assert apart["behind_high"] >= last["behind_high"] - 1e-12


def _row(model, compared):
    base = {
        "task": "churn",
        "task_id": "churn/v1",
        "dataset": "x",
        "fingerprint": "f",
        "model": model,
        "tuning": "tuned",
        "status": "ok",
        "seed": 0,
    }
    return base | compared.columns()
