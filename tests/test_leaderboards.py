"""The leaderboards in the repository: what lies there was published, follows from its predictions, and comes out again."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from bench.cli import invoke

MODELS = {"arima", "state-space", "lstm", "seq2seq", "self-attention", "vae", "keras-lstm", "keras-vae"}
FIRST = re.compile("(churn|forecasting|anomaly)/v1/")
"""Protocols that have a later version."""


@pytest.fixture(scope="module")
def rows(published: Path) -> pl.DataFrame:
    return pl.read_parquet(published / "board.parquet")


def verified(published: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict]:
    code = invoke(["verify", str(published), *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_every_file_is_what_was_published_and_the_board_follows_from_the_runs(published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = verified(published, capsys)
    assert (code, found["failures"]) == (0, [])
    assert len(found["rows"]) > 500


def test_boards_of_the_first_protocols_are_claimed_beside_their_data_and_later_ones_scored_again(
    published: Path, real: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"college-msg": real / "college_msg" / "CollegeMsg.txt", "kddcup2015-mooc": real / "kddcup2015_mooc"}
    sources = [word for name, path in given.items() for word in ("--source", f"{name}={path}")]
    code, found = verified(published, capsys, *sources, "--rerun", "2")
    assert (code, found["failures"]) == (0, [])
    own = [row for row in found["rows"] if row["dataset"] in given and row["status"] == "ok"]
    first = {row["level"] for row in own if FIRST.match(row["task_id"])}
    assert first == {"claimed"}, "they were made under the first version of each protocol"
    later = {row["level"] for row in own if not FIRST.match(row["task_id"])}
    assert later >= {"re-scored"}
    assert "claimed" not in later


@pytest.mark.parametrize("task", ["churn", "forecasting", "anomaly"])
def test_each_task_has_all_eight_models_tuned_and_by_default_on_three_real_data_sets(rows: pl.DataFrame, task: str) -> None:
    assert not rows["simulated"].any()
    own = rows.filter(pl.col("protocol") == f"{task}/v1")
    assert own["dataset"].n_unique() >= 3
    stochastic = own.filter(pl.col("model") == "lstm", pl.col("tuning") == "default")
    for board in own.partition_by("task_id", "dataset"):
        for tuning in ("default", "tuned"):
            assert set(board.filter(pl.col("tuning") == tuning)["model"]) >= MODELS
    assert stochastic.group_by("task_id", "dataset").len()["len"].min() >= 3
    assert own.filter(pl.col("model").is_in(MODELS), pl.col("tuning") == "tuned", pl.col("status") == "ok")["trials"].min() >= 20


def test_next_events_have_all_models_tuned_and_by_default_on_four_real_data_sets(rows: pl.DataFrame) -> None:
    own = rows.filter(pl.col("task") == "next-event")
    assert own["dataset"].n_unique() == 4
    for board in own.partition_by("task_id", "dataset"):
        assert board["status"].unique().to_list() == ["ok"]
        for tuning in ("default", "tuned"):
            assert set(board.filter(pl.col("tuning") == tuning)["model"]) >= (MODELS - {"arima"}) | {"als", "ease", "item-knn", "markov"}


def test_nothing_published_tells_where_it_was_made(published: Path) -> None:
    told = [path for path in published.rglob("*.json") if any(word in path.read_text() for word in ("/work/", "/tmp/", "/root/", "/home/"))]
    assert told == []


def test_each_page_of_the_site_has_its_links_a_command_with_its_task_and_the_first_page_a_recommendation(published: Path) -> None:
    pages = sorted((published / "site").rglob("*.html"))
    assert len(pages) > 150
    for page in [published / "index.html", *pages]:
        text = page.read_text()
        gone = [to for to in re.findall(r'(?:href|src)="([^"#]+)"', text) if ":" not in to and not (page.parent / to).is_file()]
        assert gone == [], page
        commands = re.findall(r"<code>(bench run [^<]*)</code>", text)
        assert all(f"--task {page.parent.name} " in command for command in commands), page
        assert bool(commands) == page.name.startswith("cell-"), page
    front = (published / "index.html").read_text()
    assert front.count("Take ") == pl.read_parquet(published / "board.parquet").filter(pl.col("rank") == 1)["task_id"].len()


def test_a_place_with_runs_alone_is_checked_and_says_how_its_site_is_made(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("runs", "commits"):
        shutil.copytree(published / name, tmp_path / "bare" / name)
    code, found = verified(tmp_path / "bare", capsys)
    assert (code, found["failures"]) == (0, [])
    assert any("bench publish --rebuild" in note for note in found["notes"])
