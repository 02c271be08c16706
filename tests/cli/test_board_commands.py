"""`bench board show|compare|export` and `bench report`, on finished runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import polars as pl
import pytest
import run_kit

from bench.board import Board
from bench.board.schema import rows_to_table, write_rows
from bench.cli import invoke

HOSTILE = ['=HYPERLINK("http://x","y")', "+1,2", "-1\n2", "@SUM(A1)", 'a,"b"\nc', "\t=1"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give two runs on one log, with different models."""
    place = tmp_path_factory.mktemp("two")
    run_kit.purchases(0.02, users=2000, seed=2).write_csv(place / "log.csv")
    more = {"datasets": [f"events={place / 'log.csv'}"], "options": {"horizon": "14d", "cutoffs": 1, "eligible": "ever"}}
    for name, models in (("a", ["rfm-logit", "base-rate"]), ("b", ["recency", "base-rate"])):
        run_kit.run("churn", place / name, models=models, **more)
    return place / "a", place / "b"


def test_one_run_is_shown_as_it_was_printed(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["board", "show", str(runs[0])]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(Board.read(runs[0]).table())
    assert captured.err == ""
    assert invoke(["board", "show", str(runs[0] / "leaderboard.parquet"), "--all"]) == 0
    assert "default" in capsys.readouterr().out


def test_two_runs_are_merged_into_one_board(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["board", "compare", *map(str, runs), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["verdicts"]) == 1
    assert {row["model"] for row in document["rows"]} == {"rfm-logit", "recency", "base-rate"}
    own = {row["model"]: row for row in document["rows"] if row["rank"] is not None}
    assert set(own) == {"rfm-logit", "recency", "base-rate"}
    paired = {row["model"]: row for row in Board.read(runs[0]).rows if row["rank"] is not None}
    (leader,) = [row for row in own.values() if row["behind"] == 0]
    assert leader["roc_auc"] == max(row["roc_auc"] for row in own.values())
    if leader["model"] == "rfm-logit":
        assert own["recency"]["behind_low"] == pytest.approx(leader["roc_auc_low"] - own["recency"]["roc_auc_high"])
        assert "base-rate" in paired
    assert invoke(["board", "compare", *map(str, runs)]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("1 row is of cells that a newer run has too: not shown\n")
    assert "of another run than the leader: to it the widest interval stands" in captured.err
    assert "rfm-logit" in captured.out
    assert "recency" in captured.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "A"], "one run cannot be compared; give at least two, or: bench board show RUN"),
        (["show", "nowhere"], "no such leaderboard; finish the run first, or give its folder"),
        (["compare", "A", "OTHER"], "the fingerprint of log "),
        (["export", "A", "--to", "board.xlsx"], "write to a file that ends in .csv, .parquet or .json"),
        (["export", "A", "--to", "nowhere/board.csv"], "nowhere"),
        (["export", "A"], "--to"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    words: list[str],
    message: str,
    runs: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "other.parquet", [{**row, "fingerprint": "0" * 64} for row in Board.read(runs[0]).rows])
    places = {"A": str(runs[0]), "OTHER": "other.parquet"}
    assert invoke(["board", *(places.get(word, word) for word in words)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_exported_rows_come_back(runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = Board.read(runs[0])
    for suffix in ("csv", "parquet", "json"):
        assert invoke(["board", "export", str(runs[0]), "--to", str(tmp_path / f"board.{suffix}")]) == 0
        assert capsys.readouterr().err == f"{len(board)} rows in {tmp_path / f'board.{suffix}'}\n"
    assert Board.read(tmp_path / "board.parquet").rows == board.rows
    from_json = json.loads((tmp_path / "board.json").read_text())
    assert [{**row, "created": str(row["created"])} for row in board.rows] == from_json
    flat = board.to_polars().with_columns(pl.col("flags").list.join(" "))
    from_csv = pl.read_csv(
        tmp_path / "board.csv",
        schema_overrides={n: pl.String for n, t in flat.schema.items() if t in (pl.String, pl.Datetime("us", "UTC"))},
    )
    assert from_csv.columns == flat.columns
    for name in ("model", "tuning", "roc_auc", "roc_auc_low", "rank", "params", "fingerprint", "trials"):
        assert from_csv[name].to_list() == flat[name].to_list()


def test_hostile_names_are_text_in_an_exported_table(runs: tuple[Path, Path], tmp_path: Path) -> None:
    base = next(row for row in Board.read(runs[0]).rows if row["model"] == "base-rate")
    write_rows(tmp_path / "bad.parquet", [{**base, "model": name, "reason": "a -1"} for name in HOSTILE])
    for suffix in ("csv", "json", "parquet"):
        assert invoke(["board", "export", str(tmp_path / "bad.parquet"), "--to", str(tmp_path / f"out.{suffix}")]) == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(HOSTILE)
    for row, name in zip(rows, HOSTILE, strict=True):
        assert row["model"] == (name if name.startswith("a") else f"'{name}")
        assert row["reason"] == "a -1"
        assert not any(cell[:1] in "=+@\t" for cell in row.values() if cell)
        assert float(row["roc_auc"]) == base["roc_auc"]
    assert [row["model"] for row in json.loads((tmp_path / "out.json").read_text())] == HOSTILE
    assert [row["model"] for row in Board.read(tmp_path / "out.parquet").rows] == HOSTILE


def test_over_several_data_sets_a_summary_follows_the_boards(
    tmp_path: Path, runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = Board.read(runs[0]).rows
    table = rows_to_table([*rows, *[{**row, "dataset": "twin"} for row in rows]])
    write_rows(tmp_path / "two.parquet", table.to_pylist())
    assert invoke(["board", "show", str(tmp_path / "two.parquet")]) == 0
    out = capsys.readouterr().out
    summary = out[out.index("over data sets") :].splitlines()
    assert summary[1].split() == ["model", "mean", "skill", "won", "tied", "data", "sets", "failed", "charged"]
    assert {line.split()[0]: line.split()[2:] for line in summary[2:]} == {
        "rfm-logit": ["2", "0", "2", "0", "0"],
        "base-rate": ["0", "0", "2", "0", "0"],
    }
    assert invoke(["board", "show", str(tmp_path / "two.parquet"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["verdicts"]) == 2


def test_the_pages_of_a_run_are_written_anew(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["report", str(runs[1])]) == 0
    page = Path(capsys.readouterr().out.strip())
    assert page.is_relative_to(runs[1])
    assert "recency" in page.read_text()
