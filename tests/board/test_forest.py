"""The picture that a board shows in a notebook."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from bench.board import Board
from bench.board.forest import BLUE, GREY, NAMES, WIDTH, forest

SVG = "{http://www.w3.org/2000/svg}"


def row(model: str, auc: float, *, half: float = 0.01, tied: bool = False, **more: object) -> dict[str, object]:
    scores = {"roc_auc": auc, "roc_auc_low": auc - half, "roc_auc_high": auc + half}
    return {
        "task": "churn", "task_id": "churn/v2", "dataset": "shop", "model": model, "tuning": "default", "status": "ok", "seed": 0,
        "rank": 1, "tied": tied, "flags": [], **scores, **more,
    }  # fmt: skip


def drawn(rows: list[dict[str, object]]) -> ET.Element:
    return ET.fromstring(forest(rows))


def test_models_stand_by_score_with_their_intervals_and_the_tie_group_is_blue():
    tree = drawn([row("b", 0.79, tied=True), row("a", 0.80, tied=True), row("c", 0.70)])
    names = [text.text for text in tree.iter(f"{SVG}text")][1:]
    assert names == ["a", "b", "c"]
    marks = list(tree.iter(f"{SVG}circle"))
    assert [mark.get("fill") for mark in marks] == [BLUE, BLUE, GREY]
    at = [float(mark.get("cx")) for mark in marks]
    assert at == sorted(at, reverse=True)
    assert (at[0] - at[1]) / (at[1] - at[2]) == pytest.approx(0.01 / 0.09, rel=0.02)
    for line, mark in zip(tree.iter(f"{SVG}line"), at, strict=True):
        assert float(line.get("x1")) < mark < float(line.get("x2"))
    assert len(list(tree.iter(f"{SVG}rect"))) == 2


def test_a_floor_far_away_is_clipped_with_an_arrow_and_its_number():
    rows = [row(f"m{n}", 0.80 - n / 1000, half=0.003) for n in range(6)]
    tree = drawn([*rows, row("base-rate", 0.5, half=0.0)])
    assert "◀ .500" in [text.text for text in tree.iter(f"{SVG}text")]
    marks = [float(mark.get("cx")) for mark in tree.iter(f"{SVG}circle")]
    assert len(marks) == 6
    assert min(marks) >= NAMES
    assert max(marks) - min(marks) > (WIDTH - NAMES) / 4


def test_what_a_plugin_is_called_cannot_break_the_picture_and_one_model_has_none():
    assert forest([row("a", 0.8)]) == ""
    assert [text.text for text in drawn([row("<b>", 0.8), row("a", 0.7)]).iter(f"{SVG}text")][1] == "<b>"


def test_a_board_shows_table_and_picture_in_a_notebook_and_asks_for_nothing():
    required = {"task": "churn", "dataset": "shop"}
    board = Board.build(
        [{**required, **{k: v for k, v in row(m, s).items() if k not in {"rank", "tied"}}} for m, s in (("a", 0.8), ("b", 0.7))]
    )
    html = board._repr_html_()
    assert html.index("<table>") < html.index("<svg ")
    assert "<script" not in html
    assert "src=" not in html
