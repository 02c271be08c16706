"""What a board shows beside the ranking metric: on forecasts two further metrics, given up first where there is no room."""

from __future__ import annotations

import pytest

from bench.board.ranking import rank
from bench.board.text import render
from bench.board.view import board_views

IDS = {"mase": "forecasting/v2/level=item/h=14", "wql": "forecasting/v2/level=item/h=14/rank=wql", "user": "forecasting/v2/level=user/h=14"}
SCORES = {"mase": 0.5, "wql": 0.25, "smape": 31.5, "total_wape": 0.125, "sql": 0.75}


def forecasts(board: str, *, failed: bool = False) -> list[dict]:
    row = {"task": "forecasting", "task_id": IDS[board], "dataset": "shop", "tuning": "default", "flags": [], "seed": 0, "trials": 0}
    row |= {"level": "user" if board == "user" else "item", "n_test": 20}
    bad = {**row, "model": "other", "status": "failed", "reason": "no memory"}
    return rank([{**row, **SCORES, "model": "ets", "status": "ok"}, *([bad] if failed else [])])


@pytest.mark.parametrize(
    ("board", "heads"),
    [("mase", ["test MASE", "WQL", "sMAPE"]), ("wql", ["test WQL", "total WAPE", "sMAPE"]), ("user", ["test WQL", "total WAPE", "sMAPE"])],
)
def test_wql_and_smape_stand_beside_what_ranks(board, heads):
    (view,) = board_views(forecasts(board))
    shown = dict(zip([c.head for c in view.columns], view.lines[0].cells, strict=True))
    names = {"test MASE": "mase", "test WQL": "wql", "WQL": "wql", "sMAPE": "smape", "total WAPE": "total_wape"}
    assert [c.head for c in view.columns if c.head in names] == heads
    assert [float(shown[head]) for head in heads] == [SCORES[names[head]] for head in heads]
    assert all(f"{head.removeprefix('test ')} (lower is better)" in view.caption for head in heads)


def test_a_failed_row_has_as_many_cells():
    (view,) = board_views(forecasts("mase", failed=True))
    assert {len(line.cells) for line in view.lines} == {len(view.columns)}


def test_a_narrow_terminal_gives_up_the_last_of_them_first():
    narrow, wide = (" ".join(render(forecasts("mase"), width=width).split()) for width in (68, 100))
    assert "left out at this width: sMAPE" in narrow
    assert "WQL" in narrow.split("left out")[0]
    assert "left out" not in wide


def test_a_tuning_that_was_skipped_is_a_line_only_where_its_model_has_no_score(row):
    why = {"status": "skipped", "reason": "nothing is tuned by labels"}
    scored = [row(model, auc, tuning="label-free", rank=at) for at, (model, auc) in enumerate([("a", 0.8), ("b", 0.7)], 1)]
    rows = [*scored, *(row(model, **why) for model in ("a", "b", "absent"))]
    (view,) = board_views(rows)
    assert [(line.cells[2], line.note) for line in view.lines] == [
        ("a", "label-free"), ("b", "label-free"), ("absent", "tuned; nothing is tuned by labels"),
    ]  # fmt: skip
    assert view.words[-1] == "tuned skipped for a, b: nothing is tuned by labels"
    (whole,) = board_views(rows, all_rows=True)
    assert len(whole.lines) == 5
    assert whole.skipped == ()
