"""The leaderboards in the repository: what lies there was published, follows from its predictions, and comes out again."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from bench.cli import invoke

PLACE = Path(__file__).resolve().parents[1] / "leaderboards"
MODELS = {"arima", "state-space", "lstm", "seq2seq", "self-attention", "vae", "keras-lstm", "keras-vae"}


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return pl.read_parquet(PLACE / "board.parquet")


def verified(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict]:
    code = invoke(["verify", str(PLACE), *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_every_file_is_what_was_published_and_the_board_follows_from_the_runs(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = verified(capsys)
    assert (code, found["failures"]) == (0, [])
    assert len(found["rows"]) > 500


def test_small_data_sets_are_scored_again_and_two_cells_are_fitted_again(real: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"college-msg": real / "college_msg" / "CollegeMsg.txt", "kddcup2015-mooc": real / "kddcup2015_mooc"}
    sources = [word for name, path in given.items() for word in ("--source", f"{name}={path}")]
    code, found = verified(capsys, *sources, "--rerun", "2")
    assert (code, found["failures"]) == (0, [])
    own = [row for row in found["rows"] if row["dataset"] in given and row["status"] == "ok"]
    assert {row["level"] for row in own} == {"re-scored", "re-run"}
    assert sum(row["level"] == "re-run" for row in own) == 2


@pytest.mark.parametrize("task", ["churn", "forecasting", "anomaly"])
def test_each_task_has_all_eight_models_tuned_and_by_default_on_three_real_data_sets(rows: pl.DataFrame, task: str) -> None:
    own = rows.filter(pl.col("task") == task)
    assert not own["simulated"].any()
    assert own["dataset"].n_unique() >= 3
    stochastic = own.filter(pl.col("model") == "lstm", pl.col("tuning") == "default")
    for board in own.partition_by("task_id", "dataset"):
        for tuning in ("default", "tuned"):
            assert set(board.filter(pl.col("tuning") == tuning)["model"]) >= MODELS
    assert stochastic.group_by("task_id", "dataset").len()["len"].min() >= 3
    assert own.filter(pl.col("model").is_in(MODELS), pl.col("tuning") == "tuned", pl.col("status") == "ok")["trials"].min() >= 20


def test_nothing_published_tells_where_it_was_made() -> None:
    told = [path for path in PLACE.rglob("*.json") if any(word in path.read_text() for word in ("/work/", "/tmp/", "/root/", "/home/"))]
    assert told == []
