"""The report in a headless browser, opened from the disk: what people see, click, type, print and hear."""

import re
import shutil
from pathlib import Path

import pytest
from report.kit import ATTACK, CYRILLIC, LONG, MODELS, RIGHT_TO_LEFT, anomalies, rows

from bench.board import Board
from bench.board.schema import write_rows
from bench.report.assets import copy_assets
from bench.report.page import write_page
from bench.report.pages import write_plots
from bench.report.run_folder import read_run
from bench.report.run_page import run_page

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; it is among the dev dependencies")
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine; on Debian: apt-get install chromium"),
    pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning", "default::ResourceWarning"),
]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Open pages; at the end there must have been no error, no request off the disk and nothing run from a name."""
    contexts, problems, pages = [], [], []

    def open_page(path, *, width=1280, scheme="light", after="", **more):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, **more)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: problems.append(f"{path.name}: {m.type} {m.text}") if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda e: problems.append(f"{path.name}: {e}"))
        page.on("request", lambda r: problems.append(r.url) if not r.url.startswith(("file:", "data:", "blob:")) else None)
        page.goto(f"{path.as_uri()}{after}")
        pages.append(page)
        return page

    yield open_page
    hacked = [page.url for page in pages if not page.is_closed() and page.evaluate("window.hacked") is not None]
    for context in contexts:
        context.close()
    assert not problems
    assert not hacked


@pytest.fixture(scope="module")
def board(site):
    (path,) = site.glob("board-retail-sim-*.html")
    return path


@pytest.fixture(scope="module")
def timeline(tmp_path_factory):
    return write_plots(tmp_path_factory.mktemp("plots"), [{"task_id": "anomaly/v1", "dataset": "nab", **anomalies()}], "nab")


def one_of_each(site, timeline):
    kinds = (
        "index.html",
        "grid.html",
        "run.html",
        "forecasts.html",
        "board-retail-sim-*",
        "cell-retail-sim-seasonal*",
        "cell-retail-sim-gru*",
    )
    return [*(next(iter(site.glob(kind))) for kind in kinds), timeline]


def draw_all(page):
    page.evaluate("document.querySelectorAll('.plot').forEach(node => node.scrollIntoView())")
    for node in page.query_selector_all(".plot"):
        node.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelectorAll('.plot:not([data-drawn])').length === 0")
    page.evaluate("window.scrollTo(0, 0)")


def first_cells(page, column=2):
    return page.eval_on_selector_all(f"#board tbody tr > :nth-child({column})", "cells => cells.map(cell => cell.textContent)")


def head(page, words):
    return page.locator("#board thead th", has_text=words)


def sort_down(page, words):
    head(page, words).click()
    page.get_by_text(re.compile(f"Sorted by {words}.*, ascending")).wait_for()
    head(page, words).click()
    page.get_by_text(re.compile(f"Sorted by {words}.*, descending")).wait_for()


def violations(page):
    page.evaluate(AXE.read_text())
    found = page.evaluate("rules => axe.run(document, {runOnly: rules, preload: false})", RULES)
    return [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in found["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_kind_of_page(visit, site, timeline, scheme):
    for path in one_of_each(site, timeline):
        page = visit(path, scheme=scheme)
        draw_all(page)
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        assert violations(page) == [], path.name
        page.close()


def test_no_page_scrolls_sideways_on_a_small_screen(visit, site, timeline):
    for path in one_of_each(site, timeline):
        page = visit(path, width=320)
        draw_all(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, path.name
        page.close()


def test_charts_are_drawn_when_they_come_into_view_and_show_names_as_text(visit, board):
    page = visit(board)
    total = page.locator(".plot").count()
    assert page.locator(".plot[data-drawn]").count() < total
    draw_all(page)
    assert page.locator(".plot svg.main-svg").count() >= total
    ticks = "".join(page.locator('[data-chart="forest"] .yaxislayer-above').all_text_contents())
    for name in MODELS:
        assert re.sub(r"\s", "", name) in re.sub(r"\s", "", ticks)
    assert page.locator(".plot img, .plot b").count() == 0


def test_plots_are_hidden_from_screen_readers_and_hold_nothing_that_takes_focus(visit, board):
    page = visit(board)
    draw_all(page)
    assert page.locator('.plot:not([aria-hidden="true"])').count() == 0
    assert page.locator(".plot a[href], .plot button, .plot [tabindex]").count() == 0


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
        seconds = [float(text) for text in first_cells(page, 7)]
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
            assert ATTACK in [text.strip() for text in first_cells(page, 2 if path == board else 1)]
        page.fill("#filter", "<img")
        assert page.locator("#board tbody tr").count() > 0
        assert page.locator("main img").count() == 0


def test_the_rows_of_the_run_lead_to_their_cells(visit, site):
    page = visit(site / "run.html")
    page.locator("#board tbody th a", has_text=LONG).first.click()
    assert page.locator("h1").inner_text().startswith(LONG)


def test_names_are_whole_and_isolated(visit, site):
    page = visit(site / "grid.html")
    for name in (LONG, CYRILLIC, RIGHT_TO_LEFT):
        cell = page.locator("#board tbody th", has_text=name)
        assert cell.evaluate("cell => cell.scrollWidth <= cell.clientWidth")
        assert cell.locator("bdi").count() == 1


def test_dark_follows_the_system_and_the_switch_and_charts_follow_while_open(visit, board):
    page = visit(board, scheme="dark")
    draw_all(page)
    line = '[data-chart="forest"] .xaxislayer-above text'
    colour = f"getComputedStyle(document.querySelector('{line}')).fill"
    assert page.evaluate("document.documentElement.className").split()[-1] == "dark"
    assert page.evaluate(colour) == "rgb(236, 236, 236)"
    page.emulate_media(color_scheme="light")
    page.wait_for_function(f"{colour} === 'rgb(27, 27, 27)'")
    page.click("#theme")
    page.wait_for_function(f"{colour} === 'rgb(236, 236, 236)'")
    assert page.get_attribute("#theme", "aria-pressed") == "true"
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(18, 18, 18)"
    page.reload()
    assert page.evaluate("document.documentElement.classList.contains('dark')")


def test_print_is_light_and_has_every_row_and_chart(visit, site, board):
    for path in (board, site / "run.html"):
        page = visit(path, scheme="dark")
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
        assert not page.locator(".controls").is_visible()
        assert page.locator(".plot:not([data-drawn])").count() == 0
        assert page.locator("#board tbody tr").count() == (9 if path == board else len(rows()))
        assert len(page.pdf()) > 20_000


def test_without_a_script_tables_strips_and_verdicts_are_there(visit, board):
    page = visit_plain(visit, board)
    assert "lightgbm-lags leads" in page.locator(".verdict").inner_text()
    assert page.locator("#board tbody tr").count() == 9
    assert page.locator("#board svg.strip").count() >= 8
    assert not page.locator(".controls").is_visible()


def visit_plain(visit, path):
    """Open a page with its scripts blocked; the visit's own checks still run."""
    page = visit(path)
    page.route("**/*.js", lambda route: route.abort())
    page.route(
        path.as_uri(), lambda route: route.fulfill(body=re.sub("<script.*?</script>", "", path.read_text()), content_type="text/html")
    )
    page.goto(path.as_uri())
    return page


def test_the_command_can_be_copied(visit, site):
    page = visit(next(site.glob("cell-retail-sim-seasonal*")))
    page.locator("button.copy").click()
    assert "--model seasonal-naive" in page.evaluate("window.getSelection().toString()")


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


def test_the_timeline_draws_values_above_scores_with_outlined_windows(visit, timeline):
    page = visit(timeline)
    draw_all(page)
    drawn = page.locator('[data-chart="0-anomaly-1"]')
    words = drawn.locator("text").all_text_contents()
    assert {"true 1", "true 2", "scored from here", "threshold", "value", "score"} <= set(words)
    value, score = (
        page.locator(f'[data-chart="0-anomaly-1"] .g-{axis}title, [data-chart="0-anomaly-1"] .{axis}title').first.bounding_box()
        for axis in ("y", "y2")
    )
    assert value["y"] < score["y"]


def test_what_has_no_score_stands_at_the_bad_end_in_every_table(visit, site, board):
    for path, words, column in ((board, "test MASE", 2), (site / "grid.html", "retail-sim", 1), (site / "run.html", "test score", 1)):
        page = visit(path)
        if path.name != "grid.html":
            head(page, words).click()
            page.get_by_text(re.compile("ascending")).wait_for()
        assert first_cells(page, column)[0] == MODELS[0]
        assert first_cells(page, column)[-1] == "gru"
