"""A run folder is one run: what another configuration would overwrite is refused, or moved aside on demand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_kit import purchases, run

import bench
from bench.board import Board
from bench.errors import RunFolderError
from bench.runs.config import Config
from bench.runs.run_folder import claim, move_to_numbered, run_again
from bench.tune.ledger import Ledger


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    for name, seed in (("calm", 1), ("other", 2)):
        purchases(0.006, seed=seed).write_csv(folder / f"{name}.csv")
    run("churn", folder / "run", datasets=[f"events={folder / 'calm.csv'}"], models=["recency"], options={"horizon": "14d"})
    return folder


def again(folder: Path, **more: object) -> bench.Board:
    usual = {"datasets": [f"events={folder / 'calm.csv'}"], "models": ["recency"], "options": {"horizon": "14d"}}
    return run("churn", folder / "run", **{**usual, **more})


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"datasets": ["events={}/other.csv"]}, "holds another run (datasets events="),
        ({"models": ["frequency"]}, "holds another run (models recency there, frequency here)"),
        ({"options": {"horizon": "7d"}}, "holds another run (options horizon=14d there, horizon=7d here)"),
        ({"seed": 3}, "holds another run (seed 0 there, 3 here)"),
        ({"trials": 1}, "holds a finished run of 2 trials, 1 are asked for"),
    ],
)
def test_another_configuration_does_not_replace_a_finished_run(more: dict[str, object], words: str, finished: Path) -> None:
    more = {key: [str(v).format(finished) for v in value] if key == "datasets" else value for key, value in more.items()}
    before = (finished / "run" / "leaderboard.parquet").read_bytes()
    with pytest.raises(RunFolderError) as error:
        again(finished, **more)
    assert words in str(error.value)
    assert "overwrite to move that run aside" in str(error.value)
    assert (finished / "run" / "leaderboard.parquet").read_bytes() == before


def test_another_task_does_not_replace_it_either(finished: Path) -> None:
    with pytest.raises(RunFolderError, match="task churn there, forecasting here"):
        run("forecasting", finished / "run", datasets=[f"events={finished / 'calm.csv'}"], models=["naive"])


def test_the_same_configuration_goes_on_with_a_larger_budget_and_other_limits(finished: Path) -> None:
    lines = (finished / "run" / "ledger.jsonl").read_bytes().count(b"\n")
    again(finished, trials=3, job_seconds=100)
    assert (finished / "run" / "ledger.jsonl").read_bytes().count(b"\n") > lines, "other limits are other jobs"
    claim(Config("churn", datasets=(f"events={finished / 'calm.csv'}",), models=("recency",), options={"horizon": "14d"},
                 profile="smoke", trials=9, seeds=5, workers=2, out=str(finished / "run")))  # fmt: skip


def test_overwriting_moves_the_old_run_aside_and_says_where(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = purchases(0.006, seed=3)
    log.write_csv(tmp_path / "first.csv")
    purchases(0.006, seed=4).write_csv(tmp_path / "second.csv")
    one = {"models": ["recency"], "options": {"horizon": "14d"}}
    for name in ("first", "second", "first"):
        run("churn", tmp_path / "run", datasets=[f"events={tmp_path / name}.csv"], overwrite=True, **one)
    assert [Board.read(tmp_path / name).rows[0]["dataset"] for name in ("run", "run.1", "run.2")] == ["first", "first", "second"]
    assert f"the old run is kept as {tmp_path / 'run.1'}" in caplog.text
    assert not Config("churn", overwrite=True).identity().keys() & {"overwrite"}


def test_a_run_that_is_going_on_is_not_moved(tmp_path: Path) -> None:
    with Ledger(tmp_path / "run"), pytest.raises(RunFolderError, match="is in use"):
        move_to_numbered(tmp_path / "run")
    assert (tmp_path / "run").is_dir()


def test_a_relative_path_is_the_same_run_from_where_it_was_meant_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    purchases(0.006, seed=3).write_csv(tmp_path / "log.csv")
    monkeypatch.chdir(tmp_path)
    one = {"models": ["recency"], "options": {"horizon": "14d"}, "datasets": ["events=log.csv"]}
    run("churn", tmp_path / "run", **one)
    config = run_again(tmp_path / "run")
    assert (config.datasets, config.out) == ((f"events={tmp_path / 'log.csv'}",), str(tmp_path / "run"))
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    claim(config)
    assert run_again(tmp_path / "run") == config, "what it was meant by does not change with where it is read"
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    assert document["config"]["datasets"] == ["events=log.csv"], "as it was written"
    (tmp_path / "away" / "log.csv").write_text("")
    with pytest.raises(RunFolderError, match="datasets"):
        run("churn", tmp_path / "run", **one)
