"""The report in a headless browser, opened from the disk: what people see, print and hear."""

import re

import pytest
from report.kit import CYRILLIC, LONG, MODELS, RIGHT_TO_LEFT, rows
from report.screen import complaints, draw_all, one_of_each, visit_plain

pytestmark = pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning", "default::ResourceWarning")


def test_axe_finds_nothing_on_any_kind_of_page_and_none_scrolls_sideways_on_a_small_screen(visit, site, timeline):
    for path in one_of_each(site, timeline):
        page = visit(path)
        assert complaints(page) == [], path.name
        page.set_viewport_size({"width": 320, "height": 800})
        # charts follow the new width when they are told of it, which takes a moment
        page.wait_for_function("document.documentElement.scrollWidth <= 320")
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
    assert page.locator("#theme").inner_text() == "Light theme"
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
        if path == board:
            tied = page.locator("#board td.tied").first
            colours = tied.evaluate("one => [getComputedStyle(one).backgroundColor, getComputedStyle(one).printColorAdjust]")
            assert colours[0] not in {"rgb(255, 255, 255)", "rgba(0, 0, 0, 0)"}, "the tie group keeps its tint on paper"
            assert colours[1] == "exact"


def test_without_a_script_tables_strips_and_verdicts_are_there(visit, board):
    page = visit_plain(visit, board)
    assert "lightgbm-lags leads" in page.locator(".verdict").inner_text()
    assert page.locator("#board tbody tr").count() == 9
    assert page.locator("#board svg.strip").count() >= 8
    assert not page.locator(".controls").is_visible()


def test_the_command_can_be_copied(visit, site):
    page = visit(next(site.glob("cell-retail-sim-seasonal*")))
    page.locator("button.copy").click()
    assert "--model seasonal-naive" in page.evaluate("window.getSelection().toString()")


def test_the_timeline_draws_values_above_scores_with_outlined_windows(visit, timeline):
    page = visit(timeline)
    draw_all(page)
    drawn = page.locator('[data-chart="anomaly-1"]')
    words = drawn.locator("text").all_text_contents()
    assert {"true 1", "true 2", "scored from here", "threshold", "value", "score"} <= set(words)
    value, score = (
        page.locator(f'[data-chart="anomaly-1"] .g-{axis}title, [data-chart="anomaly-1"] .{axis}title').first.bounding_box()
        for axis in ("y", "y2")
    )
    assert value["y"] < score["y"]
