import pandas as pd
import polars as pl
import pytest

from bench.board import Board
from bench.board.schema import write_rows
from bench.errors import RunFolderError


@pytest.fixture
def board(row):
    return Board.build([row("lstm", 0.8, (0, 0, 0)), row("<b>&\"'", 0.7, (0.1, 0.05, 0.2)), row("gru", None, status="oom", reason="4 GB")])


def test_building_a_board_ranks_its_rows(board):
    assert [r["rank"] for r in board.rows] == [1, 2, None]
    assert len(board) == 3


def test_both_frames_hold_every_row_and_no_metric_of_another_task(board):
    frame = board.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert frame["model"].tolist() == board.to_polars()["model"].to_list()
    assert isinstance(board.to_polars(), pl.DataFrame)
    assert list(frame) == board.to_polars().columns
    gone = set(board.arrow.column_names) - set(frame)
    assert {"mase", "vus_pr", "vus_pr_high", "ndcg_10"} <= gone
    assert not gone & {"roc_auc", "log_loss", "rank", "params"}
    assert all(board.arrow[name].null_count == 3 for name in gone)


def test_verdicts_are_keyed_by_task_id_and_data_set(board):
    (key,) = board.verdicts
    assert key == ("churn/v1/h=28d", "retail-sim")
    assert board.verdicts[key].startswith("lstm leads; ")


def test_html_escapes_all_foreign_text(board):
    html = board._repr_html_()
    assert "&lt;b&gt;&amp;&quot;&#x27;" in html
    assert "<b>" not in html
    assert "failed: oom" in html


def test_a_board_is_read_from_a_run_folder_or_a_file(board, tmp_path):
    write_rows(tmp_path / "leaderboard.parquet", board.rows)
    assert Board.read(tmp_path).rows == Board.read(str(tmp_path / "leaderboard.parquet")).rows == board.rows
    assert Board.read(tmp_path).path == tmp_path


def test_a_folder_without_a_board_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="no such leaderboard"):
        Board.read(tmp_path)


def test_a_board_prints_its_table_and_an_empty_one_says_so(board):
    assert repr(board) == board.table()
    assert "lstm leads" in board.table(width=80)
    assert repr(Board.build([])) == "Board without rows"
    assert "without rows" in Board.build([])._repr_html_()


def test_one_data_set_has_no_summary(board):
    assert board.overall == []
