"""The first ten minutes of a new user, in a terminal: the documentation's page is what the commands print."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.transcript import PAGE, Given, commands, given, shape, written


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Given]:
    return list(given(PAGE.read_text("utf-8"), tmp_path_factory.mktemp("new")))


def test_every_command_of_the_page_prints_what_the_page_shows(found: list[Given]) -> None:
    page = commands(PAGE.read_text("utf-8"))
    assert [one.command for one in found] == [one.command for one in page]
    for one, shown in zip(found, page, strict=True):
        assert shape(one.printed) == shape(shown.printed), one.command


def test_what_is_refused_says_so_in_one_line_and_everything_else_ends_well(found: list[Given]) -> None:
    for one in found:
        refused = one.printed.startswith("error: ")
        assert one.code == (2 if refused else 0), one
        assert not refused or "\n" not in one.printed
        assert "Traceback" not in one.printed
    assert sum(one.printed.startswith("error: ") for one in found) == 2


def test_the_page_has_ten_commands_or_more_and_a_command_that_prints_something_else_is_found() -> None:
    page = PAGE.read_text("utf-8")
    shown = commands(page)
    assert len(shown) >= 10
    assert all(one.printed for one in shown)
    assert written(page, shown) == page
    board = next(one for one in shown if " bench run " in f" {one.command}")
    assert shape(board.printed) == shape(board.printed.replace(".8", ".7"))
    assert shape(board.printed) != shape(board.printed.replace("bgnbd", "vae"))


def test_the_page_stands_where_the_documentation_looks_for_it() -> None:
    assert Path(__file__).resolve().parents[2] / "docs" / "first-ten-minutes.md" == PAGE
