"""The sortable tables in a headless browser: sorting, filters, the address, many rows."""

import re

import pytest
from report.kit import ATTACK, LONG, MODELS, rows
from report.screen import first_cells, head, press, sort_down

from bench.board import Board
from bench.board.schema import write_rows
from bench.report.assets import copy_assets
from bench.report.page import write_page
from bench.report.run_folder import read_run
from bench.report.run_page import run_page

pytestmark = pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning", "default::ResourceWarning")


@pytest.mark.parametrize("way", ["click", "Enter", "Space"])
def test_a_column_sorts_by_mouse_and_keyboard_keeps_focus_and_says_so(visit, board, way):
    page = visit(board)
    column = head(page, "seconds")
    button = column.get_by_role("button")
    for direction, order in (("ascending", 1), ("descending", -1)):
        if way == "click":
            column.click()
        else:
            button.focus()
            page.keyboard.press(way)
            assert page.evaluate("document.activeElement.closest('th').textContent.trim()") == "seconds"
        page.get_by_text(f"Sorted by seconds, {direction}").wait_for()
        assert column.get_attribute("aria-sort") == direction
        assert page.locator("[aria-sort]").count() == 1
        seconds = [float(text) for text in first_cells(page, 8)]
        assert seconds == sorted(seconds, reverse=order < 0)


def test_failed_cells_are_sorted_last_of_all_scores(visit, board):
    page = visit(board)
    sort_down(page, "skill against")
    assert first_cells(page)[0] == MODELS[0]
    assert first_cells(page)[-1] == "gru"


def test_every_header_filter_link_and_chart_table_is_reached_by_tab(visit, board):
    page = visit(board)
    wanted = page.evaluate("document.querySelectorAll('a[href], thead [role=button], select, input:not([type=checkbox]), summary').length")
    page.evaluate("window.seen = new Set()")
    for _ in range(wanted + 60):
        page.keyboard.press("Tab")
        page.evaluate("window.seen.add(document.activeElement)")
    visible = page.evaluate(
        "[...document.querySelectorAll('a[href], thead [role=button], select, input, summary')]"
        ".filter(one => one.checkVisibility() && !window.seen.has(one)).map(one => one.outerHTML)"
    )
    assert visible == []


def test_the_filter_counts_what_matches_and_can_be_cleared(visit, board):
    page = visit(board)
    page.fill("#filter", "naive")
    assert first_cells(page) == ["seasonal-naive"]
    page.get_by_text("1 of 9 rows match").wait_for()
    page.fill("#filter", "no such model")
    page.get_by_text("0 rows match; use Clear filters above").wait_for()
    page.click("#clear")
    assert len(first_cells(page)) == 9
    assert page.evaluate("location.hash") == ""


def test_a_select_keeps_only_its_value(visit, board):
    page = visit(board)
    page.select_option('select[data-filter="status"]', "failed: oom")
    assert first_cells(page) == ["gru"]
    assert "f.status=failed:%20oom" in page.evaluate("location.hash")


def test_the_view_stands_in_the_address_and_comes_back_on_reload(visit, board):
    page = visit(board)
    sort_down(page, "seconds")
    page.fill("#filter", "a")
    page.select_option('select[data-filter="tuning"]', "tuned")
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("checkbox", name="flags and reason").uncheck()
    before, address = first_cells(page), page.evaluate("location.hash")
    assert before
    page.reload()
    assert page.evaluate("location.hash") == address
    assert first_cells(page) == before
    assert head(page, "seconds").get_attribute("aria-sort") == "descending"
    assert page.input_value("#filter") == "a"
    assert page.input_value('select[data-filter="tuning"]') == "tuned"
    assert head(page, "flags and reason").count() == 0


@pytest.mark.parametrize(
    "after", ["#nonsense", "#s=99:desc", "#s=x&q=%E0%A4%A", "#f.tuning=none&c=", "#__proto__=1", "#constructor=x&f.status=toString"]
)
def test_an_address_that_means_nothing_gives_a_page_without_error(visit, board, after):
    page = visit(board, after=after)
    page.wait_for_function("document.querySelector('#board').classList.contains('dataTable')")
    assert page.locator("#board tbody tr").count() == 9


def test_hostile_names_are_shown_as_text_in_both_kinds_of_table(visit, site, board):
    for path in (board, site / "run.html"):
        page = visit(path)
        for _ in range(2):
            head(page, "model").click()
            assert ATTACK in [text.strip() for text in first_cells(page, 3 if path == board else 1)]
        page.fill("#filter", "<img")
        assert page.locator("#board tbody tr").count() > 0
        assert page.locator("main img").count() == 0


def test_the_rows_of_the_run_lead_to_their_cells(visit, site):
    page = visit(site / "run.html")
    page.locator("#board tbody th a", has_text=LONG).first.click()
    assert page.locator("h1").inner_text().startswith(LONG)


def test_ten_thousand_rows_open_with_few_elements_and_sort(visit, tmp_path):
    base = rows()[0]
    many = [
        {**base, "model": f"m{at % 50}", "dataset": f"d{at // 50 % 4}", "seed": at // 200, "mase": 0.5 + at / 1e4} for at in range(10_000)
    ]
    write_rows(tmp_path / "leaderboard.parquet", many)
    table = Board.read(tmp_path)
    report = tmp_path / "report"
    copy_assets(report)
    path = write_page(report, run_page(read_run(tmp_path)))
    assert len(table) == 10_000
    assert (report / "data-run.js").stat().st_size < 1_200_000
    page = visit(path)
    assert page.evaluate("document.querySelectorAll('*').length") < 2_000
    sort_down(page, "test score")
    assert first_cells(page, 7)[0] == "1.500"
    page.select_option('select[data-filter="dataset"]', "d3")
    page.get_by_text("2500 of 10000 rows match").wait_for()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#board tbody tr").count() == 500
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("#board tbody tr").count() == 50


def test_what_has_no_score_stands_at_the_bad_end_in_every_table(visit, site, board):
    for path, words, column in ((board, "test MASE", 3), (site / "grid.html", "retail-sim", 1), (site / "run.html", "test score", 1)):
        page = visit(path)
        if path.name != "grid.html":
            press(page, words)
            page.get_by_text(re.compile("ascending")).wait_for()
        assert first_cells(page, column)[0] == MODELS[0]
        assert first_cells(page, column)[-1] == "gru"
