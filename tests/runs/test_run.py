"""Whole runs: published numbers on real purchases, the run folder, several data sets in one command."""

from __future__ import annotations

import gc
import json
import re
import subprocess
import weakref
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from execute.kit import odd

import bench
from bench.board import Board
from bench.cli import invoke
from bench.runs.runner import git_commit
from bench.tasks.churn.task import Churn

QUICK = ["base-rate", "recency", "rfm-logit"]


@pytest.fixture(scope="module")
def cdnow(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Board:
    return bench.run(
        "churn",
        datasets=[f"retail={real / 'cdnow' / 'CDNOW_master.txt'}"],
        models=["rfm-logit", "bgnbd", "paretonbd", "base-rate"],
        profile="full",
        options={"horizon": "91d", "eligible": "ever", "cutoffs": 1},
        trials=4,
        seeds=1,
        out=tmp_path_factory.mktemp("cdnow") / "run",
    )


@pytest.mark.parametrize(
    ("model", "tuning", "auc"), [("rfm-logit", "tuned", 0.840), ("paretonbd", "default", 0.837), ("bgnbd", "default", 0.829)]
)
def test_cdnow_scores_as_published(cdnow: Board, model: str, tuning: str, auc: float) -> None:
    (row,) = (r for r in cdnow.rows if r["model"] == model and r["tuning"] == tuning)
    assert row["status"] == "ok"
    assert row["roc_auc"] == pytest.approx(auc, abs=0.004)
    assert row["roc_auc_low"] < row["roc_auc"] < row["roc_auc_high"]


def test_the_logit_is_as_well_calibrated_on_cdnow_as_published(cdnow: Board) -> None:
    (row,) = (r for r in cdnow.rows if r["model"] == "rfm-logit" and r["tuning"] == "tuned")
    assert row["log_loss"] == pytest.approx(0.298, abs=0.004)
    assert (row["n_test"], row["task_id"].partition("/rows")[0]) == (
        23_570,
        "churn/v2/h=91d/elig=ever/split=time/cutoffs=1/valid=2/activity=purchase",
    )


def test_a_row_tells_where_it_comes_from(cdnow: Board) -> None:
    row = next(r for r in cdnow.rows if r["model"] == "rfm-logit" and r["tuning"] == "tuned")
    assert len(row["fingerprint"]) == len(row["source_hash"]) == 64
    assert row["trials"] == 4
    assert row["failed_trials"] == 0
    assert row["stopped_by"] == "trials"
    assert set(json.loads(row["params"])) == {"C"}
    assert row["bench_version"] == bench.__version__
    assert (datetime.now(UTC) - row["created"]).total_seconds() < 3600
    assert row["valid_score"] != row["roc_auc"]
    assert row["objective"] == "roc_auc"


def test_the_run_folder_holds_all_that_the_design_names(cdnow: Board) -> None:
    folder = cdnow.path
    assert folder is not None
    assert Board.read(folder).to_polars().drop("created").equals(cdnow.to_polars().drop("created"))
    trials = pl.read_parquet(folder / "trials.parquet")
    assert trials.filter(pl.col("model") == "rfm-logit")["number"].to_list() == [0, 1, 2, 3]
    details = pl.read_parquet(folder / "details.parquet").filter(model="rfm-logit")
    assert details["cutoff"].to_list() == ["1997-12-30", "1998-03-31"]
    assert details["actual"].round(3).to_list() == [0.837, 0.859]
    run = json.loads((folder / "run.json").read_text())
    assert run["finished"]
    assert run["datasets"][0]["facts"]["test_cutoff"] == "1998-03-31"
    assert len(list((folder / "predictions").glob("*.npz"))) >= 4


def test_one_command_runs_the_simulator_cdnow_and_online_retail_as_three_boards(
    real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["retail", f"retail={real / 'cdnow' / 'CDNOW_sample.txt'}", f"retail={real / 'online_retail' / 'by-day'}"]
    words = [word for item in data for word in ("--dataset", item)] + [word for name in QUICK for word in ("--model", name)]
    assert invoke(["run", "--task", "churn", *words, "--trials", "1", "--out", str(tmp_path / "run"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {row["dataset"] for row in document["rows"]} == {"retail-sim", "cdnow-sample", "online-retail"}
    assert {row["dataset"] for row in document["rows"] if row["simulated"]} == {"retail-sim"}
    assert len(document["verdicts"]) == 3
    assert not document["failures"]


def test_the_same_command_again_runs_no_job_and_gives_the_same_board(tmp_path: Path) -> None:
    def once() -> tuple[Board, list[str]]:
        events: list[object] = []
        board = bench.run("churn", datasets=["retail"], models=QUICK, profile="smoke", out=tmp_path / "run", listen=events.append)
        return board, [type(e).__name__ for e in events]

    first, began = once()
    second, again = once()
    assert began.count("JobStarted") == began.count("JobDone") >= 7
    assert "JobStarted" not in again
    assert first.to_polars().drop("created").equals(second.to_polars().drop("created"))


def test_an_unknown_argument_of_run_is_named_with_the_likely_one() -> None:
    with pytest.raises(bench.BenchError, match="unknown argument 'trails'; did you mean 'trials'"):
        bench.run("churn", trails=3)


def test_a_simulators_folder_that_is_given_by_its_path_is_still_marked_as_simulated(tmp_path: Path) -> None:
    assert invoke(["data", "simulate", "retail", str(tmp_path / "shop"), "--size", "200", "--seed", "1"]) == 0
    board = bench.run("churn", datasets=[f"retail={tmp_path / 'shop'}"], models=["base-rate"], profile="smoke", out=tmp_path / "run")
    assert {(row["dataset"], row["simulated"]) for row in board.rows} == {("retail-sim", True)}


@pytest.mark.parametrize(
    ("missing", "lost", "extra"), [(["torch"], "lstm", "torch"), (["tensorflow", "keras"], "keras-lstm", "tensorflow")]
)
def test_without_a_framework_its_models_are_rows_that_say_what_to_install_and_the_others_run(
    missing: list[str], lost: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for other in {"torch", "keras"} - set(missing):
        if find_spec(other) is None:
            pytest.skip(f"{other} is not installed")
    for name in missing:
        (tmp_path / f"{name}.py").write_text(f'raise ModuleNotFoundError("No module named {name!r}", name={name!r})\n')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    models = [word for name in ("lstm", "keras-lstm", "base-rate") for word in ("--model", name)]
    words = ["--task", "churn", "--dataset", "retail", "--profile", "smoke", "--trials", "1", "--out", str(tmp_path / "run")]
    assert invoke(["run", *words, *models]) == 0
    found = {row["model"]: (row["status"], row["reason"] or "") for row in Board.read(tmp_path / "run").rows if row["model"] in models}
    status, reason = found.pop(lost)
    assert status == "skipped"
    assert re.fullmatch(rf"needs ({'|'.join(missing)}), which is not installed: pip install 'seqbench\[{extra}\]'", reason)
    assert f"pip install 'seqbench[{extra}]'" in " ".join(capsys.readouterr().err.split())  # said to people too, not in the rows alone
    assert found == dict.fromkeys({"lstm", "keras-lstm", "base-rate"} - {lost}, ("ok", ""))


def test_a_plugin_given_by_a_relative_path_is_found_again_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = odd(tmp_path, "mine")
    monkeypatch.chdir(tmp_path)
    bench.run("churn", datasets=["retail"], models=["mine"], plugins=["mine.py"], profile="smoke", out="run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["plugins"] == [str(file)]


def test_where_all_users_churned_the_row_says_so(tmp_path: Path) -> None:
    days = [(f"u{u}", day) for u in range(40) for day in range(1, 120, 5)] + [("late", 200)]
    frame = pl.DataFrame(days, schema=["user", "day"], orient="row")
    frame = frame.select("user", time=pl.lit(datetime(2024, 1, 1)) + pl.duration(days="day"))  # noqa: DTZ001 - no zone is UTC
    board = bench.run("churn", data=frame, options={"horizon": "14d", "eligible": "ever"}, models=["base-rate"], out=tmp_path / "run")
    (row,) = board.rows
    assert row["status"] == "skipped"
    assert row["reason"].startswith("all 40 validation users churned")


def test_a_full_disk_is_named_with_the_folder_and_nothing_finished_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    def once() -> Board:
        return bench.run("churn", datasets=["retail"], models=QUICK, profile="smoke", out=tmp_path / "run")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        with pytest.raises(bench.BenchError, match=r"run folder .*run: No space left on device; what is finished is kept: make room"):
            once()
    finished = (tmp_path / "run" / "ledger.jsonl").read_bytes()
    assert {row["status"] for row in once().rows} == {"ok"}
    assert (tmp_path / "run" / "ledger.jsonl").read_bytes() == finished


def test_a_row_names_the_commit_that_it_was_made_by() -> None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        pytest.skip("these sources are no checkout")
    head = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert git_commit() == head


def test_a_data_set_is_let_go_once_it_is_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of a hundred million events is gigabytes, of which nothing but what stages hold is needed while models are fitted."""
    read: list[weakref.ref[Any]] = []

    class LetGoError(Exception):
        pass

    def splits(self: Churn, data: Any, *arguments: Any, **named: Any) -> Any:
        read.append(weakref.ref(data.frame))
        return whole(self, data, *arguments, **named)

    def cells_begin(*_: Any) -> None:
        gc.collect()
        assert [ref() for ref in read] == [None, None]
        raise LetGoError

    whole = Churn.splits
    monkeypatch.setattr(Churn, "splits", splits)
    monkeypatch.setattr("bench.runs.runner._outcomes", cells_begin)
    with pytest.raises(LetGoError):
        bench.run("churn", datasets=["retail", "social"], models=["base-rate"], out=tmp_path / "run")
