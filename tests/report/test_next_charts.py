"""What a board of next events draws: parts of the score with intervals, recall, coverage; and users, in a browser too."""

from __future__ import annotations

import pytest
from report.screen import draw_all, violations

import bench
from bench.report import build
from bench.report.next_charts import COLOURED, next_charts
from bench.report.next_users import users_section

ATTACK = '<img src=x onerror="window.hacked=1">'


def row(model, value, **more):
    parts = {f"ndcg_10_{name}": value * at for name, at in (("repeat", 2), ("explore", 0.5), ("few", 0.8), ("many", 1.2))}
    ends = {f"{name}{end}": v + by for name, v in parts.items() for end, by in (("_low", -0.01), ("_high", 0.02))}
    return {"model": model, "status": "ok", "ndcg_10": value, "coverage_10": 1 - value, "popular_10": 0.5, **parts, **ends, **more}


def details(*models):
    return [
        {"model": model, "targets": name, "k": k, "recall": k / 200 + (name == "repeat") * 0.1}
        for model in models
        for name in ("all", "repeat")
        for k in (1, 10, 100)
    ]


def by_key(charts):
    return {chart.key: chart for chart in charts}


def test_each_model_has_both_parts_with_its_own_interval():
    rows = [row("a", 0.4), row("b", 0.2)]
    charts = by_key(next_charts(rows, details("a", "b")))
    assert list(charts) == ["novelty", "activity", "recall", "catalogue"]
    novelty = charts["novelty"]
    assert [(t["name"], t["x"]) for t in novelty.traces] == [("had before", [0.8, 0.4]), ("new to the user", [0.2, 0.1])]
    assert novelty.traces[0]["error_x"]["array"] == pytest.approx([0.02, 0.02])
    assert novelty.traces[0]["error_x"]["arrayminus"] == pytest.approx([0.01, 0.01])
    assert novelty.rows[1] == ("b", ".400", ".390 to .420", ".100", ".090 to .120")
    assert "a, first on the board, reaches .320 (fewer than ten events) and .480 (ten events or more)" in charts["activity"].finding


def test_a_part_that_no_target_is_of_is_left_out_in_words():
    rows = [row("a", 0.4, ndcg_10_repeat=None), row("b", 0.2, ndcg_10_repeat=None)]
    novelty = by_key(next_charts(rows, []))["novelty"]
    assert [t["name"] for t in novelty.traces] == ["new to the user"]
    assert "'had before'" in novelty.note


def test_recall_has_a_line_for_each_model_of_all_targets_alone_and_colours_for_the_first():
    models = [f"m{n}" for n in range(8)]
    chart = by_key(next_charts([row(m, 0.5 - n / 20) for n, m in enumerate(models)], details(*models)))["recall"]
    assert [t["name"] for t in chart.traces] == models[::-1]
    assert sum(t["showlegend"] for t in chart.traces) == COLOURED
    assert chart.traces[-1]["y"] == [0.005, 0.05, 0.5]
    assert chart.rows[0] == ("m0", ".005", ".050", ".500")


def test_coverage_names_the_widest():
    chart = by_key(next_charts([row("a", 0.4), row("b", 0.2)], []))["catalogue"]
    assert "b, 80.0% at an nDCG@10 of .200" in chart.finding
    assert [(t["x"], t["y"]) for t in chart.traces] == [([0.6], [0.4]), ([0.8], [0.2])]


def test_boards_of_other_tasks_and_of_kinds_and_failed_rows_draw_nothing():
    assert next_charts([{"model": "a", "status": "ok", "accuracy": 0.5}], details("a")) == []
    assert next_charts([row("a", 0.4, status="failed")], details("a")) == []


def test_names_of_items_users_and_models_show_as_text():
    user = {"user": ATTACK, "time": "2024-01-01T00:00:00", "history": [], "came": [ATTACK], "told": [[ATTACK, "x"], []]}
    html = users_section({"told": [ATTACK, "popular"], "users": [user]})
    assert "<img" not in html
    assert html.count("<strong>") == 1


@pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("default::ResourceWarning")
def test_the_page_draws_without_a_complaint_in_a_browser(visit, tmp_path):
    bench.run("next-event", datasets=["social"], models=["popular", "last-item"], profile="smoke", out=tmp_path / "run")
    page = visit(next(build(tmp_path / "run").parent.glob("board-social-sim-*.html")))
    draw_all(page)
    assert {"novelty", "activity", "recall", "catalogue"} <= set(
        page.eval_on_selector_all(".plot[data-drawn]", "nodes => nodes.map(node => node.dataset.chart)")
    )
    assert page.get_by_role("heading", name="Some users, one by one").is_visible()
    assert page.locator("table.plain", has_text="first five of last-item").locator("tbody tr").count() == 10
    assert violations(page) == []
