"""The published site in a browser: the first page, a board and a cell of each task, and each further kind once; light, dark, small."""

import re
import shlex
from html import unescape

import pytest
import typer
from report.screen import complaints

from bench.cli.app import app

pytestmark = pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning", "default::ResourceWarning")


def sampled(place):
    tasks = sorted(path for path in (place / "site").iterdir() if path.is_dir())
    found = [place / "index.html", *(tasks[0] / name for name in ("index.html", "run.html", "across.html"))]
    for task in tasks:
        found += [min(task.glob("board-*.html")), min(task.glob("cell-*.html"))]
    return found


def test_each_kind_of_page_is_clean_in_both_schemes_and_fits_a_phone(visit, published):
    for path in sampled(published):
        page = visit(path)
        assert complaints(page) == [], path
        page.set_viewport_size({"width": 375, "height": 800})
        # charts follow the new width when they are told of it, which takes a moment
        page.wait_for_function("document.documentElement.scrollWidth <= 375")
        page.close()


def test_every_board_and_some_cells_and_searches_open_without_an_error_and_draw_what_is_in_sight(visit, published):
    page, drawn = visit(published / "index.html"), 0
    many = [sorted((published / "site").rglob(f"{kind}-*.html")) for kind in ("cell", "search")]
    # of cells and searches ten each; that each cell has its figure is looked at below, without a browser
    for path in [*sorted({*published.rglob("*.html")}.difference(*many)), *(one for kind in many for one in kind[:: len(kind) // 10])]:
        page.goto(path.as_uri())
        if page.locator(".plot").count():
            drawn += 1
            page.locator(".plot").first.scroll_into_view_if_needed()
            page.locator(".plot[data-drawn] svg.main-svg").first.wait_for()
    assert drawn > 35, "each board, cell and search has a plot"


def test_no_cell_page_is_without_a_figure_and_every_command_is_understood(published):
    run = typer.main.get_command(app).commands["run"]
    cells = sorted((published / "site").glob("*/cell-*.html"))
    assert len(cells) > 200
    for path in cells:
        text = path.read_text()
        assert 'class="plot"' in text, path
        for command in re.findall(r"<code>(bench run [^<]*)</code>", text):
            with run.make_context("run", shlex.split(unescape(command))[2:]) as context:
                assert context.params["task"] == path.parent.name


def test_the_first_page_recommends_a_model_on_each_board_and_leads_to_its_page(visit, published):
    page = visit(published / "index.html")
    boards = page.locator(".card h4 a")
    said = page.locator(".card .recommendation").all_text_contents()
    assert boards.count() == len(said) >= 10
    assert all(words.startswith("Take ") for words in said)
    recorded = page.locator(".card", has_text="churn benchmark").get_by_text("Verification recorded on")
    assert "242 of 458 scored rows scored again" in recorded.text_content()
    boards.first.click()
    page.wait_for_load_state()
    assert page.locator(".recommendation").count() == 1


def test_an_interval_stands_beside_its_strip_in_one_line_and_who_is_far_behind_is_an_arrow(visit, published):
    page = visit(min((published / "site" / "churn").glob("board-cdnow-*.html")))
    lines = page.eval_on_selector_all(
        "#board .interval", "all => all.map(one => [one.firstChild, one.lastChild].map(part => part.getBoundingClientRect().top))"
    )
    heights = [abs(strip - words) for strip, words in lines if strip or words]
    assert max(heights) < 12
    assert page.locator("#board svg.strip .beyond").count() >= 1
