"""Parts where the reader chooses, in a browser: cost and value, two forecasts of one series, two models across data sets."""

from __future__ import annotations

import json

import pytest
from board.test_across import AUC, MODELS
from board.test_across import rows as across_rows
from report.kit import CHURN_ID, churn, forecasts
from report.kit import MODELS as FORECASTERS
from report.screen import draw_all, violations

from bench.board.across import groups
from bench.board.schema import write_rows
from bench.report import build
from bench.report.across_charts import difference, versus_data
from bench.report.chart import FIRST
from bench.report.churn_charts import ordered_churn
from bench.report.compared_chart import compared_chart
from bench.report.pages import write_plots
from bench.report.profit_chart import profit, profit_chart, profit_data

pytestmark = pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning", "default::ResourceWarning")


@pytest.fixture(scope="module")
def across(tmp_path_factory):
    folder = tmp_path_factory.mktemp("across")
    write_rows(folder / "leaderboard.parquet", across_rows(AUC))
    return build(folder).parent / "across.html"


def drawn(page, key):
    return page.evaluate(f"window.BENCH.charts['{key}'].data")


def finding(page, key):
    return page.locator(f'figure:has([data-chart="{key}"]) .finding').inner_text()


def test_profit_is_value_times_those_who_stay_less_the_cost_of_contacts():
    data = {"users": 1000, "base": 0.3}
    assert profit(0.1, 0.25, data, {"cost": 2, "value": 50, "kept": 0.4}) == pytest.approx(50 * 0.4 * 75 - 2 * 100)
    assert profit(0, 0, data, {"cost": 2, "value": 50, "kept": 0.4}) == 0


def test_the_readers_cost_and_value_redraw_the_curves_as_python_would(visit, churn_site):
    page = visit(churn_site / "churn.html")
    draw_all(page)
    before = finding(page, "profit")
    assert before == profit_chart(churn(), ordered_churn(churn())).finding
    page.get_by_label("Cost of one contact").fill("3")
    page.get_by_label("Value of a user who stays").fill("40.5")
    assert finding(page, "profit") != before
    numbers = {"cost": 3, "value": 40.5, "kept": 0.2}
    data = profit_data(churn(), ordered_churn(churn()))
    for trace, (_, gain) in zip(drawn(page, "profit"), data["models"], strict=True):
        assert trace["y"] == pytest.approx([profit(x, y, data, numbers) for x, y in gain])
    address = page.evaluate("location.hash")
    page.reload()
    assert page.evaluate("location.hash") == address == "#profit.cost=3&profit.value=40.5"
    assert page.get_by_label("Cost of one contact").input_value() == "3"
    page.get_by_label("Cost of one contact").fill("-1")
    assert page.evaluate("location.hash") == address, "a cost below 0 changes nothing"


def test_two_models_are_compared_on_one_series_as_python_draws_them(visit, site):
    page = visit(site / "forecasts.html", after=f"#compared.a={FORECASTERS[2]}&compared.b={FORECASTERS[1]}")
    wanted = json.loads(json.dumps(list(compared_chart(forecasts(), (FORECASTERS[2], FORECASTERS[1])).traces)))
    for found, expected in zip(drawn(page, "compared")[2:], wanted[2:], strict=True):
        assert (found["x"], found["y"]) == (expected["x"], expected["y"])
    page.get_by_label("Second model").select_option(FORECASTERS[0])
    assert f"and {FORECASTERS[0]} " in finding(page, "compared")


def test_any_two_models_are_set_against_each_other_with_the_paired_intervals_that_there_are(visit, across):
    page = visit(across)
    draw_all(page)
    data = versus_data(groups(across_rows(AUC))[0])
    for one, other in (("c4.5+cf", "c4.5"), ("c4.5+m", "c4.5+cf")):
        page.get_by_label("First model").select_option(one)
        page.get_by_label("Second model").select_option(other)
        ends = [difference(data, at, one, other) for at in range(len(AUC))]
        (trace,) = drawn(page, "versus-0")
        assert trace["x"] == pytest.approx([e[1] for e in ends])
        assert [colour == "#767676" for colour in trace["marker"]["color"]] == [e[0] is None for e in ends]
        assert f"{one} is better than {other} on {sum(e[1] > 0 for e in ends)} of 14" in finding(page, "versus-0")
    assert violations(page) == []


def test_a_difference_turns_round_with_the_pair():
    data = versus_data(groups(across_rows(AUC))[0])
    for at in range(len(AUC)):
        there, back = difference(data, at, MODELS[0], MODELS[3]), difference(data, at, MODELS[3], MODELS[0])
        assert there[1] == pytest.approx(-back[1])
        assert (there[0] is None) == (back[0] is None)


def test_the_first_pair_stands_without_a_script(across):
    assert "c4.5+m+cf is better than c4.5+m on" in across.read_text()


def test_churn_pages_of_many_models_draw_25(tmp_path):
    figure = churn()
    figure["models"] |= {f"m{n:03d}": figure["models"]["base-rate"] for n in range(200)}
    folder = write_plots(tmp_path, [{"task_id": CHURN_ID, "dataset": "shop", **figure}]).parent
    assert len(list(folder.glob("churn-shop-*.html"))) == FIRST
    assert (folder / "data-churn.js").stat().st_size < 150_000
    assert (folder / "churn.html").stat().st_size < 150_000
