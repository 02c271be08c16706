"""The churn page and the churn part of a cell's page, as data, as HTML and in a headless browser."""

import json
import re

import pytest
from report.kit import ATTACK, CHURN_ID, CHURN_MODELS, LONG, MARKUP, churn, write_churn_run
from report.screen import complaints, draw_all
from report.test_site import read

from bench.report import build
from bench.report.calibration_charts import rates_chart, reliability_chart
from bench.report.churn_charts import COLOURED, curves_chart, gain_chart, ordered_churn
from bench.report.churn_page import churn_model_charts, overview_parts
from bench.report.occlusion_charts import occlusion_chart
from bench.report.pages import write_plots

browsed = [
    pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("default::ResourceWarning"),
]


def charts(figure):
    return [chart for part in overview_parts(figure) for chart in part.charts]


def test_leader_and_reference_come_first_and_the_fifth_model_is_grey():
    figure = {**churn(), "leader": ATTACK}
    order = ordered_churn(figure)
    assert order[:3] == [ATTACK, "rfm-logit", "lstm"]
    assert order[-1] == "base-rate"
    chart = gain_chart(figure, order)
    lines = [t for t in chart.traces if t.get("legendgroup")]
    legend = [t["name"] for t in reversed(lines) if t["showlegend"]]
    assert legend[1:] == ["rfm-logit (reference)", "lstm", *[legend[3]], f"{len(order) - COLOURED} others"]
    assert len({t["line"]["dash"] for t in lines if t["legendgroup"] != "others"}) == COLOURED
    assert [row[0] for row in chart.rows] == order


def test_the_gain_chart_says_what_the_top_tenth_holds():
    figure = churn()
    caught = figure["models"]["lstm"]["captured"][1]
    chart = gain_chart(figure, ["lstm"])
    assert f"hold {caught:.0%} of all churners, {caught / 0.1:.2f} times as many" in chart.finding
    assert chart.rows[0][1:] == tuple(f"{x:.3f}"[1:] for x in figure["models"]["lstm"]["captured"]) + tuple(
        f"{x / s:.2f}" for x, s in zip(figure["models"]["lstm"]["captured"], (0.05, 0.1, 0.2), strict=True)
    )


def test_the_curves_hold_both_panels_and_every_model():
    figure = churn()
    order = ordered_churn(figure)
    chart = curves_chart(figure, order)
    assert len([t for t in chart.traces if t.get("yaxis") == "y2"]) == len(order)
    assert chart.layout["yaxis2"]["domain"][1] < chart.layout["yaxis"]["domain"][0]
    assert f"lstm {figure['models']['lstm']['auc']:.3f}"[:9].replace("0.", ".") in chart.finding


def test_reliability_counts_users_hollows_small_bins_and_says_how_many_bins_hold():
    figure = churn(users=90)
    chart = reliability_chart(figure, "lstm")
    dots = [t for t in chart.traces if t["type"] == "scatter" and t["name"] != "as predicted"]
    assert [t["name"] for t in dots] == ["2024-03-29", "2024-03-01"]
    assert all(s.endswith("-open") for t in dots for s in t["marker"]["symbol"])
    assert not any(s.endswith("-open") for s in reliability_chart(churn(), "lstm").traces[0]["marker"]["symbol"])
    assert sum(sum(t["y"]) for t in chart.traces if t["type"] == "bar") == 2 * 90
    held = sum(b["low"] <= b["mean"] <= b["high"] for b in figure["models"]["lstm"]["reliability"][-1]["bins"])
    assert f"in {held} of 10 bins" in chart.finding
    assert len(chart.rows) == 20


def test_a_leader_whose_level_is_off_is_said_so():
    assert "its level is" not in rates_chart(churn(), ["lstm"]).finding
    chart = rates_chart(churn(off=0.3), ["lstm", "rfm-logit"])
    assert "points too" in chart.finding
    assert "trust the order of users, not the probabilities" in chart.finding
    assert chart.rows[0][2:] == ("not asked", "not asked")
    assert chart.rows[1][2] != "not asked"


def test_the_cell_of_a_model_shows_itself_beside_leader_and_reference():
    figure = churn()
    own, gain, both, classes = churn_model_charts(figure, "base-rate")
    assert classes.key == "classes"
    assert "base-rate" in own.title
    assert [row[0] for row in gain.rows] == [row[0] for row in both.rows] == ["base-rate", "lstm", "rfm-logit"]
    assert len(own.rows) == 2, "one prediction for all is one bin at each cut-off"
    assert churn_model_charts(figure, "gone") == []


def looks(**more):
    row = {"group": "aggregate", "what": "recency", "drop": 0.12, "low": 0.1, "high": 0.14}
    still = {"group": "kind", "what": MARKUP, "drop": 0, "low": 0, "high": 0}
    lost = {"group": "time", "what": "the last 7 days", "reason": "IndexError: empty"}
    return {"key": "k", "reason": "", "users": 900, "auc": 0.8, "rows": [still, row, lost], **more}


def test_what_a_model_looks_at_is_drawn_with_the_largest_loss_in_words():
    chart = occlusion_chart({**churn(), "looks_at": {"lstm": looks()}}, "lstm")
    assert "it loses most, .120 (+.100 to +.140), with recency shuffled." in chart.finding
    assert chart.traces[0]["x"] == [0.12], "what changes nothing has no bar"
    assert "1 of 2 changes leave the order" in chart.note
    assert [row[1] for row in chart.rows] == ["+.120", ".000", "not known: IndexError: empty"]


def test_a_loss_that_chance_may_explain_is_said_to_be_so():
    row = {"group": "aggregate", "what": "recency", "drop": 0.01, "low": -0.1, "high": 0.14}
    assert "which chance may explain" in occlusion_chart({**churn(), "looks_at": {"lstm": looks(rows=[row])}}, "lstm").finding


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "What lstm looks at was not asked in this run."),
        ({"lstm": looks(reason="its fit could not be saved (x)")}, "What lstm looks at is not known: its fit could not be saved (x)."),
        ({"lstm": looks(rows=looks()["rows"][2:])}, "What lstm looks at is not known: IndexError: empty."),
    ],
)
def test_a_leader_that_was_or_could_not_be_asked_has_a_sentence_on_its_page_and_its_cell(tmp_path, found, said):
    folder = build(write_churn_run(tmp_path, {**churn(), "looks_at": found})).parent
    assert said in read(folder / "churn.html").text
    assert said in read(next(folder.glob("cell-shop-lstm-*"))).text
    assert "looks at" not in read(next(folder.glob("cell-shop-base-rate-*"))).text


def test_names_cannot_be_markup_in_any_churn_chart():
    figure = {**churn(), "looks_at": {"lstm": looks()}}
    for chart in (*charts(figure), *(c for m in CHURN_MODELS for c in churn_model_charts(figure, m))):
        assert not re.search("<(img|b>|script)", json.dumps(chart.spec()))


def test_the_churn_page_is_linked_from_index_board_and_cells_and_every_link_leads_somewhere(churn_site):
    (board,), cells = churn_site.glob("board-*.html"), list(churn_site.glob("cell-*.html"))
    assert len(cells) == len(CHURN_MODELS)
    for path in (churn_site / "index.html", board, *cells):
        assert any(a["href"] == "churn.html" for a in read(path).all("a")), path.name
    for path in churn_site.glob("*.html"):
        assert all(a["href"].startswith(("#", "../")) or (churn_site / a["href"].split("#")[0]).exists() for a in read(path).all("a"))
        assert path.stat().st_size < 150_000
    assert all(path.stat().st_size < 150_000 for path in churn_site.glob("data-*.js"))


def test_the_leader_of_the_page_is_that_of_the_rows(tmp_path):
    folder = build(write_churn_run(tmp_path, {**churn(), "leader": "base-rate"})).parent
    assert "lstm leads; 900 test users" in read(folder / "churn.html").text


def test_churn_plots_open_without_a_board(tmp_path):
    first = write_plots(tmp_path, [{"task_id": CHURN_ID, "dataset": "shop", **churn()}], "plots")
    assert first.name == "churn.html"
    assert len(list(first.parent.glob("churn-*.html"))) == len(CHURN_MODELS)
    assert "The leader here is lstm; 900 test users" in read(next(first.parent.glob("churn-shop-base-rate-*"))).text


class TestInABrowser:
    pytestmark = browsed

    def test_axe_finds_nothing(self, visit, churn_site):
        for path in (churn_site / "churn.html", next(churn_site.glob("cell-shop-rfm-logit*")), next(churn_site.glob("board-*"))):
            page = visit(path)
            assert complaints(page) == [], path.name
            page.close()

    def test_charts_stand_in_pairs_on_a_wide_screen_and_below_each_other_on_a_small_one(self, visit, churn_site):
        for width, paired in ((1280, True), (320, False)):
            page = visit(churn_site / "churn.html", width=width)
            draw_all(page)
            tops = [page.locator("figure").nth(at).bounding_box()["y"] for at in (0, 1)]
            assert (tops[0] == tops[1]) is paired
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.close()

    def test_names_are_drawn_as_text(self, visit, churn_site):
        page = visit(churn_site / "churn.html")
        draw_all(page)
        words = "".join(page.locator('[data-chart="gain"] .legend').all_text_contents())
        assert re.sub(r"\s", "", ATTACK) in re.sub(r"\s", "", words) or re.sub(r"\s", "", LONG) in re.sub(r"\s", "", words)
        assert page.locator(".plot img, .plot b").count() == 0
