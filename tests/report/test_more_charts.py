"""Charts of the search, the data and the alarms: what is drawn is what was found, and where there is nothing there is no chart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from report.kit import churn_row

from bench.board.ranking import rank
from bench.report.board_figures import forest_chart
from bench.report.calendar_chart import calendar_chart
from bench.report.overview_chart import overview_charts
from bench.report.parallel_chart import parallel_chart
from bench.report.seeds_chart import seeds_chart
from bench.report.training_chart import training_chart

TRIALS = [
    {"number": n, "status": "ok", "value": 0.6 + 0.01 * n, "params": json.dumps({"lr": 10.0 ** (n - 6), "kind": "ab"[n % 2], "same": 1})}
    for n in range(6)
]
OVERVIEW = {
    "unit": "events", "step": "week", "time": ["2024-01-01", "2024-01-08", "2024-01-15"], "events": [5, 0, 7], "users": [2, 0, 3],
    "observed": [], "total": 12, "users_total": 4, "gaps": [1, 2, 0, 0, 0, 0, 0],
    "days": 7.0, "cutoffs": [{"time": "2024-01-08", "what": "validation"}, {"time": "2024-01-15", "what": "test"}],
}  # fmt: skip


def test_parallel_coordinates_have_a_line_a_trial_and_an_axis_for_each_parameter_that_varies() -> None:
    chart = parallel_chart(TRIALS, ["lr", "kind"], "AUC", higher=True)
    assert chart is not None
    assert len(chart.traces) == 6
    assert chart.head == ("trial", "valid AUC", "lr", "kind"), "what is the same in all trials has no axis"
    assert chart.finding.startswith("The best trial, number 5 with valid AUC .650")
    best = chart.traces[-1]
    assert best["y"][0] == best["y"][-1] == 1.0, "the largest learning rate, on a logarithmic axis, and the best score"
    assert parallel_chart(TRIALS[:1], ["lr"], "AUC", higher=True) is None


def test_the_better_trials_of_a_loss_are_the_lower_ones() -> None:
    chart = parallel_chart(TRIALS, ["lr"], "MASE", higher=False)
    assert chart is not None
    assert "number 0 with valid MASE .600" in chart.finding


def test_a_learning_curve_counts_epochs_from_one_and_names_the_best() -> None:
    fits = [{"tuning": "tuned", "seed": 0, "points": [[0, 0.7], [1, 0.5], [2, 0.6]]}]
    chart = training_chart({"models": {"lstm": fits}}, "lstm")
    assert chart is not None
    assert chart.traces[0]["x"] == [1, 2, 3]
    assert "the lowest loss, .5000, after epoch 2 of 3" in chart.finding
    assert training_chart({"models": {}}, "lstm") is None


def test_the_overview_draws_activity_users_gaps_and_the_horizon_behind_the_test_cut_off() -> None:
    activity, gaps = overview_charts(OVERVIEW)
    assert [trace["y"] for trace in activity.traces] == [[5, 0, 7], [2, 0, 3]]
    (horizon,) = [shape for shape in activity.layout["shapes"] if shape["type"] == "rect"]
    assert (horizon["x0"], horizon["x1"]) == ("2024-01-15", "2024-01-22T00:00")
    assert [shape["x0"] for shape in activity.layout["shapes"] if shape["type"] == "line"] == ["2024-01-08", "2024-01-15"]
    assert "1 week without any" in activity.finding
    assert gaps.traces


def test_the_calendar_counts_alarms_that_hit_and_draws_squares_and_rings() -> None:
    found = {"days": ["2024-01-01", "2024-01-02", "2024-01-09"], "true": [1, 0, 2], "models": {"iforest": [3, 1, 0]}}
    chart = calendar_chart({"calendar": found}, "iforest")
    assert chart is not None
    assert chart.finding == "iforest raises alarms on 2 of 3 days; on 1 of the 2 days with an anomaly in any series."
    assert (chart.traces[0]["x"], chart.traces[0]["y"]) == ([0, 0], [0, 1])
    assert calendar_chart({"calendar": found}, "other") is None
    assert calendar_chart({}, "iforest") is None


def seeds(model: str, *scores: float) -> list[dict[str, Any]]:
    return [{**churn_row(0, model), "seed": at, "tuning": "tuned", "roc_auc": score} for at, score in enumerate(scores)]


def test_seeds_are_dots_and_who_varies_most_is_named() -> None:
    chart = seeds_chart([*seeds("lstm", 0.7, 0.75, 0.72), *seeds("gru", 0.71, 0.72)], ["lstm", "gru"])
    assert chart is not None
    assert chart.finding.startswith("lstm varies most: .050 between")
    assert sorted(chart.traces[0]["x"]) == [0.7, 0.71, 0.72, 0.72, 0.75]
    assert seeds_chart(seeds("lstm", 0.7), ["lstm"]) is None


@pytest.mark.parametrize("underpowered", [False, True])
def test_a_chart_says_leads_only_where_something_is_ranked(underpowered: bool) -> None:
    ends = {"behind_low": -0.01, "behind_high": 0.05, "flags": ["underpowered"] if underpowered else []}
    rows = rank([{**churn_row(at, model), **ends, "tuning": "tuned", "behind": 0.03 * at} for at, model in enumerate(("a", "b"))])
    chart = forest_chart(rows)
    assert chart is not None
    said = f"{chart.title} {chart.finding} {chart.traces} {chart.rows} {chart.layout}"
    assert ("leads" in said or "leader" in said) is not underpowered
    assert ("nothing is ranked" in said) is underpowered
