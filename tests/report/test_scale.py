"""Two hundred models on a few data sets: what a page holds, and that the rest comes when it is asked for."""

from __future__ import annotations

import pytest
from report.kit import churn_row
from report.screen import first_cells, press

from bench.board.ranking import rank
from bench.board.schema import write_rows
from bench.report.assets import copy_assets
from bench.report.chart import FIRST
from bench.report.page import write_page
from bench.report.run_folder import read_run
from bench.report.site import pages

pytestmark = pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning", "default::ResourceWarning")
MANY = 200


def many_rows(datasets: int, models: int = MANY) -> list[dict]:
    """Make rows of models that are a thousandth of AUC apart, the first eight tied with the leader."""
    made = []
    for at in range(datasets):
        for n in range(models):
            behind = 0.001 * n
            auc = 0.8 - behind
            scores = {"roc_auc": auc, "roc_auc_low": auc - 0.02, "roc_auc_high": auc + 0.02, "behind": behind}
            ends = {"behind_low": behind - 0.0075, "behind_high": behind + 0.0075}
            row = {**churn_row(0, f"model-{n:03d}" if n else "rfm-logit"), **scores, **ends, "tuning": "tuned", "dataset": f"log-{at:02d}"}
            made.append(row)
    return rank(made)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    write_rows(folder / "leaderboard.parquet", many_rows(3))
    copy_assets(folder / "report")
    for page in pages(read_run(folder)):
        if not page.file.startswith("cell-"):
            write_page(folder / "report", page)
    return folder / "report"


def test_index_boards_grid_and_comparison_keep_to_their_limits(visit, large):
    for path in (*large.glob("board-log-00*"), large / "index.html", large / "grid.html", large / "across.html"):
        assert path.stat().st_size < 150_000, path.name
        page = visit(path)
        assert page.evaluate("document.querySelectorAll('*').length") < 5_000, path.name
        assert page.evaluate("document.documentElement.scrollHeight") < 9_000, path.name
        page.close()


def test_a_long_board_begins_with_its_first_rows_and_shows_all_on_request(visit, large):
    page = visit(next(large.glob("board-log-00*")))
    assert len(first_cells(page)) == FIRST
    page.get_by_role("button", name="Show all 200 rows").click()
    names = first_cells(page)
    assert len(names) == MANY
    assert names[-1] == "model-199"
    assert page.locator("#board tbody th a", has_text="model-150").get_attribute("href").startswith("cell-log-00-model-150")


def test_sorting_and_filtering_a_long_board_reach_the_rows_that_it_does_not_begin_with(visit, large):
    page = visit(next(large.glob("board-log-00*")))
    page.fill("#filter", "model-187")
    assert first_cells(page) == ["model-187"]
    page.get_by_text("1 of 200 rows match").wait_for()
    page.reload()
    assert first_cells(page) == ["model-187"]
    page.click("#clear")
    press(page, "test AUC")
    page.get_by_text("ascending").wait_for()
    assert first_cells(page)[0] == "model-199"


def test_the_address_can_change_while_a_page_is_open(visit, large):
    page = visit(next(large.glob("board-log-00*")))
    with page.expect_navigation():
        page.evaluate("location.hash = '#q=model-120'")
    page.wait_for_function("document.querySelectorAll('#board tbody tr').length === 1")
    assert first_cells(page) == ["model-120"]


def test_on_a_phone_the_interval_is_among_the_first_columns_and_axis_titles_are_whole(visit, large):
    page = visit(next(large.glob("board-log-00*")), width=375)
    assert page.locator("#board thead th").all_text_contents()[:3] == ["rank", "model", "95 % interval of skill"]
    plot = page.locator('[data-chart="forest"]')
    plot.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('[data-chart=forest] .xtitle') !== null")
    inside, title = plot.bounding_box(), page.locator('[data-chart="forest"] .xtitle').bounding_box()
    assert inside["x"] <= title["x"]
    assert title["x"] + title["width"] <= inside["x"] + inside["width"]
