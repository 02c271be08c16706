"""`bench predict`: a table on stdout or in a file, and one line for what cannot be."""

from __future__ import annotations

import io
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import run_kit
from run_kit import SERIES, START

from bench.cli import invoke


def test_the_table_goes_to_stdout_or_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = run_kit.forecasting()
    command = ["predict", str(place / "run"), "--data", str(place / "series.csv"), "--model", "climatology"]
    assert invoke(command) == 0
    captured = capsys.readouterr()
    assert captured.err == "climatology, of the board series; 14 steps (D) from 2024-06-09 on\n"
    shown = pl.read_csv(io.StringIO(captured.out), try_parse_dates=True)
    assert shown.columns[:3] == ["unique_id", "ds", "mean"]
    assert len(shown) == 14 * SERIES
    assert shown["ds"].min() == START + timedelta(days=run_kit.STEPS)
    assert invoke([*command, "--out", str(tmp_path / "found.parquet")]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"112 rows in {tmp_path / 'found.parquet'}" in captured.err
    assert pl.read_parquet(tmp_path / "found.parquet")["mean"].to_list() == pytest.approx(shown["mean"].to_list())


def test_of_several_anomaly_families_the_board_that_is_asked_is_named_and_can_be_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["data", "simulate", "social", str(tmp_path / "social"), "--size", "60", "--seed", "1"]) == 0
    log = str(next(f for f in sorted((tmp_path / "social").iterdir()) if f.suffix == ".txt"))
    models = ["--model", "random", "--model", "rolling-mean"]
    out = ["--out", str(tmp_path / "run"), "--profile", "smoke", "--trials", "1", "--quiet"]
    assert invoke(["run", "--task", "anomaly", "--dataset", f"social={log}", *models, *out]) == 0
    capsys.readouterr()
    families = [d["facts"]["family"] for d in json.loads((tmp_path / "run" / "run.json").read_text())["datasets"]]
    assert len(families) >= 2
    command = ["predict", str(tmp_path / "run"), "--data", log, "--model", "rolling-mean", "--out", str(tmp_path / "found.csv")]
    for chosen, words in (([], families[0]), (["--family", families[-1]], families[-1])):
        assert invoke([*command, *chosen]) == 0
        said = capsys.readouterr().err.splitlines()[0]
        others = ", ".join(f"--family {f}" for f in families if f != words)
        assert said.startswith("rolling-mean, of the board ")
        assert f" {words}; other boards: {others}; every step after" in said
    assert invoke([*command, "--family", "other"]) == 2
    assert f"no board of family 'other' on {said.split()[4]}; it has {', '.join(families)}" in capsys.readouterr().err


def test_who_is_not_eligible_is_counted_with_the_reason_and_kept_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = run_kit.purchases(0.01, users=60, seed=8).rename({"user": "client_no", "time": "at"})
    log.write_csv(tmp_path / "new.csv")
    command = ["predict", str(run_kit.churn() / "run"), "--dataset", "calm", "--model", "rfm-logit", "--data", str(tmp_path / "new.csv")]
    command += ["--user", "client_no", "--time", "at", "--cutoff", "2024-03-01"]
    assert invoke(command) == 0
    captured = capsys.readouterr()
    scored = pl.read_csv(io.StringIO(captured.out))
    assert scored.columns == ["user", "cutoff", "horizon_days", "p_churn", "model"]
    assert set(scored.select("cutoff", "horizon_days", "model").rows()) == {("2024-03-01", 14.0, "rfm-logit")}
    late = log["client_no"].n_unique() - len(scored)
    assert captured.err.splitlines() == [
        "rfm-logit, of the board calm; churn within 14 days from 2024-03-01 on",
        f"{len(scored)} scored; {late} not eligible: no activity in the 14 days before 2024-03-01",
    ]
    assert invoke([*command, "--all"]) == 0
    everybody = pl.read_csv(io.StringIO(capsys.readouterr().out))
    assert sorted(everybody["user"]) == sorted(log["client_no"].unique())
    assert everybody.filter(pl.col("p_churn").is_null())["reason"].to_list() == ["no activity in the 14 days before 2024-03-01"] * late
    assert everybody.filter(pl.col("p_churn").is_not_null())["reason"].to_list() == [""] * len(scored)


def test_a_user_alone_in_a_file_gets_the_answer_of_the_same_user_among_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = run_kit.purchases(0.01, users=60, seed=8)
    answers = []
    for name, some in (("alone", log.filter(pl.col("user") == "u003")), ("all", log)):
        some.write_csv(tmp_path / f"{name}.csv")
        command = [
            "predict",
            str(run_kit.churn() / "run"),
            "--dataset",
            "calm",
            "--data",
            str(tmp_path / f"{name}.csv"),
            "--model",
            "rfm-logit",
        ]
        assert invoke([*command, "--cutoff", "2024-02-01"]) == 0
        answers.append(pl.read_csv(io.StringIO(capsys.readouterr().out)).filter(pl.col("user") == "u003")["p_churn"].to_list())
    assert len(answers[0]) == 1
    assert answers[0] == pytest.approx(answers[1], rel=1e-12)


def test_a_forecast_from_a_cut_off_is_the_one_of_data_that_ends_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = run_kit.forecasting()
    day = START + timedelta(days=100)
    run_kit.waves().filter(pl.col("ds") < day).write_csv(tmp_path / "until.csv")
    command = ["predict", str(place / "run"), "--model", "climatology", "--data"]
    assert invoke([*command, str(tmp_path / "until.csv")]) == 0
    wanted = capsys.readouterr().out
    assert invoke([*command, str(place / "series.csv"), "--cutoff", day.isoformat()]) == 0
    assert capsys.readouterr().out == wanted


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give runs, and data of other kinds."""
    folder = tmp_path_factory.mktemp("inputs")
    for name in ("churn", "forecasting", "anomaly"):
        (folder / name).symlink_to(getattr(run_kit, name)() / "run")
    shutil.copy(run_kit.churn() / "calm.csv", folder / "log.csv")
    shutil.copy(run_kit.forecasting() / "series.csv", folder / "series.csv")
    run_kit.purchases(0.01, users=40, kind="login").write_csv(folder / "logins.csv")
    hours = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=h) for h in range(60)]
    hourly = run_kit.waves(series=2, steps=60).with_columns(pl.Series("ds", hours * 2))
    hourly.write_csv(folder / "hourly.csv")
    (folder / "empty.csv").write_text("")
    (folder / "other.csv").write_text("who,what\na,b\n")
    (folder / "none").mkdir()
    return folder


CASES = {
    "series for a churn run": (["churn", "--dataset", "calm", "--data", "series=series.csv"], ["holds series", "fitted on an event log"]),
    "other kinds of events": (
        ["churn", "--dataset", "calm", "--data", "logins.csv"],
        ["kinds login share none with the run's (purchase)"],
    ),
    "a log for a run on series": (["forecasting", "--data", "events=log.csv"], ["log holds a log", "fitted on given series"]),
    "another step": (["forecasting", "--data", "hourly.csv"], ["its step is h, the run's is D"]),
    "another step of entities": (["anomaly", "--data", "hourly.csv"], ["its step is h, the run's is D"]),
    "an adapter that is none": (
        ["forecasting", "--data", "serie=series.csv"],
        ["unknown dataset adapter 'serie'", "did you mean 'series'"],
    ),
    "a file of another form": (["forecasting", "--data", "other.csv"], ["other.csv"]),
    "an empty file": (["forecasting", "--data", "empty.csv"], ["empty.csv"]),
    "no such file": (["forecasting", "--data", "nowhere.csv"], ["nowhere.csv: no such file or folder"]),
    "no path": (["forecasting", "--data", "series="], ["no such file or folder"]),
    "several data sets": (["churn", "--data", "log.csv"], ["several data sets (calm, wild); choose with --dataset NAME"]),
    "an unknown data set": (["churn", "--dataset", "clam", "--data", "log.csv"], ["no data set 'clam'", "did you mean 'calm'"]),
    "an unknown model": (["forecasting", "--model", "levle", "--data", "series.csv"], ["no model 'levle'", "did you mean 'level'"]),
    "no run": (["none", "--data", "series.csv"], ["no run lies there"]),
    "what the run has settled": (["forecasting", "--data", "series.csv", "--set", "horizon=3"], ["the run has settled horizon"]),
    "an unknown option": (["churn", "--dataset", "calm", "--data", "log.csv", "--set", "cutof=2024-03-01"], ["did you mean 'cutoff'"]),
    "an option of another task": (["forecasting", "--data", "series.csv", "--set", "cutoff=2024-03-01"], ["unknown option --set cutoff"]),
    "an option of another adapter": (["forecasting", "--data", "series.csv", "--set", "retail.x=1"], ["'series' reads this data"]),
    "an unknown option of the adapter": (["forecasting", "--data", "series.csv", "--set", "series.x=1"], ["no such option"]),
    "no day": (["churn", "--dataset", "calm", "--data", "log.csv", "--set", "cutoff=soon"], ["cutoff='soon' is no day"]),
    "a cut-off before everything": (
        ["forecasting", "--data", "series.csv", "--cutoff", "2020-01-01"],
        ["nothing lies before the cut-off 2020-01-01"],
    ),
    "a cut-off that is none": (["forecasting", "--data", "series.csv", "--cutoff", "soon"], ["cutoff='soon' is no day"]),
    "a column of data that is no own log": (
        ["churn", "--dataset", "calm", "--data", "retail=log.csv", "--user", "who"],
        ["--user names a column of your own data"],
    ),
    "a table of another form": (["forecasting", "--data", "series.csv", "--out", "x.xlsx"], ["ends in .csv or .parquet"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_is_one_clear_line_and_exit_code_2(
    case: str, inputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(inputs)
    arguments, words = CASES[case]
    assert invoke(["predict", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1, captured.err
    for word in words:
        assert word in captured.err
