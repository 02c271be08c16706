"""Each export is opened by the tool that it is for, and compared with the run."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import optuna
import polars as pl
import pytest
import run_kit

from bench.board import Board
from bench.board.ranking import candidates
from bench.cli import invoke
from bench.export.records import flat, read_records, read_trials
from bench.export.to_optuna import _spaces


@pytest.fixture(scope="module")
def churn() -> Path:
    return run_kit.churn() / "run"


@pytest.fixture(scope="module")
def forecasting() -> Path:
    return run_kit.forecasting() / "run"


def searched(run: Path) -> set[tuple[str, str]]:
    return {(trial["dataset"], trial["model"]) for trial in read_trials(run)}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")  # of mlflow with newer libraries
def test_mlflow_finds_rows_and_trials_and_a_second_export_adds_nothing(churn, tmp_path, capsys):
    mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    assert invoke(["export", str(churn), "--mlflow", str(tmp_path)]) == 0
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    rows, trials = Board.read(churn).rows, read_trials(churn)
    experiments = [e for e in client.search_experiments() if e.name != "Default"]
    assert {e.name for e in experiments} == {f"{row['dataset']} {row['task_id']}" for row in rows}
    found = client.search_runs([e.experiment_id for e in experiments], max_results=1000)
    assert len(found) == len(rows) + len(trials)
    own = {(r.data.tags["bench.dataset"], r.info.run_name): r.data for r in found if "mlflow.parentRunId" not in r.data.tags}
    for row in rows:
        data = own[row["dataset"], f"{row['model']} {row['tuning']} seed {row['seed']}"]
        assert data.metrics["roc_auc"] == row["roc_auc"]
        assert data.params == {key: str(value) for key, value in flat(json.loads(row["params"] or "{}")).items()}
    parents = {run.data.tags["mlflow.parentRunId"] for run in found if "mlflow.parentRunId" in run.data.tags}
    assert len(parents) == len(searched(churn))
    assert all(len(client.get_metric_history(parent, "validation_best")) > 0 for parent in parents)
    capsys.readouterr()
    assert invoke(["export", str(churn), "--mlflow", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("0 new runs")


def test_tensorboard_reads_scores_and_the_course_of_each_search(churn, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.plugins.hparams import metadata

    for _ in range(2):  # a second export writes over the first
        assert invoke(["export", str(churn), "--tensorboard", str(tmp_path)]) == 0
    events = {file.parent: list(EventFileLoader(str(file)).Load()) for file in tmp_path.rglob("*tfevents*")}
    scalars: dict[str, dict[str, list[float]]] = {}
    for folder, own in events.items():
        assert (folder / "events.out.tfevents.0.bench").is_file()
        for event in own:
            for value in event.summary.value:
                if value.tag.startswith(("test/", "validation/")):
                    scalars.setdefault(str(folder.relative_to(tmp_path)), {}).setdefault(value.tag, []).append(number(value))
    records = read_records(churn)
    for row in records.board.rows:
        (found,) = [
            v
            for k, v in scalars.items()
            if k.startswith(row["dataset"]) and k.endswith(f"/{row['model']}-{row['tuning']}-seed-{row['seed']}")
        ]
        assert found["test/roc_auc"] == pytest.approx([row["roc_auc"]])
    for board in records.boards:
        for search in board.searches:
            (found,) = [v for k, v in scalars.items() if k.startswith(board.name) and k.endswith(f"/{search.model}-search")]
            assert found["validation/best"] == pytest.approx([best for _, best in search.best()])
            assert found["validation/best"] == sorted(found["validation/best"])
    sessions = [
        metadata.parse_session_start_info_plugin_data(value.metadata.plugin_data.content)
        for own in events.values()
        for event in own
        for value in event.summary.value
        if value.tag == metadata.SESSION_START_INFO_TAG
    ]
    trials = read_trials(churn)
    assert len(sessions) == len(trials)
    assert {s.hparams["model"].string_value for s in sessions} == {t["model"] for t in trials}


def number(value) -> float:
    """Return a scalar, which the reader hands over in its newer form, a tensor."""
    return value.tensor.float_val[0] if value.HasField("tensor") else value.simple_value


def test_optuna_loads_each_search_with_the_plugins_space(churn, tmp_path, capsys):
    file = tmp_path / "studies.db"
    assert invoke(["export", str(churn), "--optuna", str(file)]) == 0
    storage = f"sqlite:///{file}"
    assert len(optuna.get_all_study_names(storage)) == len(searched(churn))
    for board in read_records(churn).boards:
        for search in board.searches:
            study = optuna.load_study(study_name=f"{board.name} {search.model} {board.task_id}", storage=storage)
            assert [t.params for t in study.trials] == [t["params"] for t in search.trials]
            assert study.best_value == max(t["value"] for t in search.trials)
            assert study.user_attrs["objective"] == "roc_auc"
            if search.model == "rfm-logit":
                from bench_plugins.rfm_logit import bench_models

                (model,) = bench_models()
                assert study.trials[0].distributions == model.space()
    assert invoke(["export", str(churn), "--optuna", str(file)]) == 2
    assert "the file exists" in capsys.readouterr().err


def test_a_study_knows_what_the_task_adds_to_a_space(churn):
    pytest.importorskip("torch", reason="torch is not installed")
    found, unknown = _spaces(read_records(churn), {"lstm", "rfm-logit"})
    assert unknown == []
    assert found["lstm"]["context"].choices == ("history", "features")
    assert set(found["rfm-logit"]) == {"C"}


def test_fev_takes_summaries_and_windows(forecasting, tmp_path):
    assert invoke(["export", str(forecasting), "--fev", str(tmp_path)]) == 0
    board = Board.read(forecasting)
    standing = {board.rows[at]["model"]: board.rows[at] for at in candidates(board.rows)}
    with (tmp_path / "summaries.csv").open() as stream:
        summaries = {row["model_name"]: row for row in csv.DictReader(stream)}
    assert {model: float(row["test_error"]) for model, row in summaries.items()} == {m: r["mase"] for m, r in standing.items()}
    horizon, windows = int(summaries["climatology"]["horizon"]), int(summaries["climatology"]["num_windows"])
    for model in standing:
        files = sorted((tmp_path / "series" / model).glob("window-*.parquet"))
        assert len(files) == windows
        for file in files:
            frame = pl.read_parquet(file)
            assert frame.columns[:2] == ["item_id", "predictions"]
            assert {*frame.columns[2:]} == {f"{level / 10:g}" for level in range(1, 10)}
            assert all(len(cell) == horizon for column in frame.columns[1:] for cell in frame[column].to_list())
            assert np.isfinite(np.array(frame["0.9"].to_list())).all()


@pytest.mark.filterwarnings("ignore")  # whatever fev's own libraries warn of
def test_fev_itself_ranks_the_models(forecasting, tmp_path):
    fev = pytest.importorskip("fev", reason="fev is not installed: its datasets holds fsspec below what s3fs needs")
    assert invoke(["export", str(forecasting), "--fev", str(tmp_path)]) == 0
    table = fev.leaderboard(str(tmp_path / "summaries.csv"), baseline_model="seasonal-naive")
    rows = {row["model"]: row for row in Board.read(forecasting).rows if row["status"] == "ok"}
    assert next(iter(table.index)) == min(rows, key=lambda model: rows[model]["mase"])


def test_fev_refuses_a_run_without_forecasts(churn, tmp_path, capsys):
    assert invoke(["export", str(churn), "--fev", str(tmp_path)]) == 2
    assert "--task forecasting" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlcroissant's libraries
def test_croissant_reads_the_log_by_its_description(churn, tmp_path):
    mlc = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    assert invoke(["export", str(churn), "--croissant", str(tmp_path)]) == 0
    log = churn.parent / "calm.csv"
    (tmp_path / log.name).write_bytes(log.read_bytes())
    described = mlc.Dataset(jsonld=str(tmp_path / "calm.json"))
    assert not described.metadata.issues.errors
    assert described.metadata.name == "calm"
    first = next(iter(described.records(record_set="rows-of-calm.csv")))
    row = pl.read_csv(log).row(0, named=True)
    assert first["rows-of-calm.csv/user"].decode() == row["user"]
    assert first["rows-of-calm.csv/value"] == pytest.approx(row["value"])


def test_croissant_names_data_whose_files_are_gone(churn, tmp_path, capsys):
    for name in ("run.json", "leaderboard.parquet", "trials.parquet"):
        (tmp_path / name).write_bytes((churn / name).read_bytes())
    document = json.loads((tmp_path / "run.json").read_text())
    document["config"]["datasets"] = ["events=gone/calm.csv", "events=gone/wild.csv"]
    (tmp_path / "run.json").write_text(json.dumps(document))
    assert invoke(["export", str(tmp_path), "--croissant", str(tmp_path / "cards")]) == 0
    assert "simulated or gone: calm, wild" in capsys.readouterr().out
    card = json.loads((tmp_path / "cards" / "calm.json").read_text())
    assert "distribution" not in card
    assert card["identifier"] == document["datasets"][0]["fingerprint"]


def test_an_export_without_a_form_and_of_no_run_is_refused(tmp_path, churn, capsys):
    assert invoke(["export", str(churn)]) == 2
    assert "--mlflow, --tensorboard" in capsys.readouterr().err
    assert invoke(["export", str(tmp_path), "--optuna", str(tmp_path / "s.db")]) == 2
    assert "no run lies there" in capsys.readouterr().err
    assert not (tmp_path / "s.db").exists()
