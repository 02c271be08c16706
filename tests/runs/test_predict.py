"""A run's models on new data: the same answers as in the run itself, without what they were trained on."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import run_kit
from run_kit import SERIES, START, cycle, purchases, stored, waves

from bench.board import Board
from bench.board.schema import write_rows
from bench.errors import ConfigError, DataError, PluginError, RunFolderError
from bench.runs.predict import predict

LEVELS = [f"q{q / 10:g}" for q in range(1, 10)]


def facts(place: Path, dataset: str) -> dict:
    document = json.loads((place / "run" / "run.json").read_text())
    return next(d["facts"] for d in document["datasets"] if d["name"] == dataset)


def rows_of(place: Path, model: str) -> list[dict]:
    return [row for row in Board.read(place / "run").rows if row["model"] == model]


@pytest.mark.parametrize(
    ("model", "dataset"),
    [("rfm-logit", "calm"), ("rfm-lightgbm", "wild"), ("base-rate", "calm"), ("base-rate", "wild"), ("mean-of-3", "calm")],
)
def test_users_are_scored_as_in_the_run_itself_by_the_fit_of_their_own_data_set(model: str, dataset: str) -> None:
    place = run_kit.churn()
    cutoff = facts(place, dataset)["test_cutoff"]
    found = predict(place / "run", place / f"{dataset}.csv", model=model, dataset=dataset, options={"cutoff": cutoff})
    members = pl.read_parquet(place / "run" / "members.parquet").filter(pl.col("dataset") == dataset)
    want = dict(zip(members["user"], stored(place / "run", model, dataset)[0]["prediction"], strict=True))
    assert dict(zip(found["user"], found["p_churn"], strict=True)) == pytest.approx(want, rel=1e-12)
    assert found["cutoff"].unique().to_list() == [cutoff]
    assert found["p_churn"].is_sorted(descending=True)


def test_the_churn_runs_models_are_worth_telling_apart() -> None:
    place = run_kit.churn()
    rates = {name: stored(place / "run", "base-rate", name)[0]["prediction"][0] for name in ("calm", "wild")}
    assert rates["calm"] != rates["wild"], "one model, seed and parameters, two data sets"
    seeds = [row["roc_auc"] for row in rows_of(place, "rfm-lightgbm") if row["tuning"] == "tuned" and row["dataset"] == "wild"]
    assert len(set(seeds)) == 2
    weights = {row["dataset"]: json.loads(row["params"]) for row in rows_of(place, "mean-of-3")}
    assert len(weights["calm"]) == 3


def test_without_a_cut_off_the_users_active_before_the_end_of_the_new_log_are_scored(tmp_path: Path) -> None:
    log = purchases(0.01, users=50, days=60, seed=5)
    log.write_csv(tmp_path / "new.csv")
    found = predict(run_kit.churn() / "run", tmp_path / "new.csv", dataset="calm", model="rfm-logit")
    end = log["time"].max() + timedelta(days=1)
    recent = log.filter(pl.col("time") > end - timedelta(days=14))["user"].unique()
    assert sorted(found["user"]) == sorted(recent)
    assert found["cutoff"].unique().to_list() == [end.isoformat()]
    assert found["p_churn"].is_between(0, 1).all()
    assert found["p_churn"].n_unique() > 5


def test_a_run_that_was_moved_predicts_when_its_training_data_is_gone(tmp_path: Path) -> None:
    waves().write_csv(tmp_path / "series.csv")
    run_kit.run("forecasting", tmp_path / "run", datasets=[f"series={tmp_path / 'series.csv'}"], models=["climatology"])
    waves(series=3, seed=9).write_csv(tmp_path / "new.csv")
    before = predict(tmp_path / "run", tmp_path / "new.csv")
    shutil.move(tmp_path / "run", tmp_path / "elsewhere" / "moved")
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "series.csv").unlink()
    assert predict(tmp_path / "elsewhere" / "moved", tmp_path / "new.csv").equals(before)


def test_what_is_saved_is_in_open_formats_and_holds_no_objects() -> None:
    files = [f for place in (run_kit.churn(), run_kit.forecasting(), run_kit.anomaly()) for f in (place / "run" / "models").rglob("*.*")]
    assert {file.suffix for file in files} >= {".npz", ".txt"}
    assert {file.suffix for file in files} <= {".json", ".npz", ".txt", ".safetensors"}
    for file in files:
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                assert all(arrays[name].dtype.kind in "fiubU" for name in arrays.files)


def test_a_frame_is_read_as_a_file_of_the_same_content_is(tmp_path: Path) -> None:
    place, log = run_kit.churn(), purchases(0.01, users=60, seed=8)
    (tmp_path / "day=1").mkdir()
    log.write_csv(tmp_path / "day=1" / "new.csv")
    by_file = predict(place / "run", tmp_path / "day=1" / "new.csv", dataset="calm", model="base-rate")
    assert len(by_file) > 10
    assert predict(place / "run", f"events={tmp_path / 'day=1' / 'new.csv'}", dataset="calm", model="base-rate").equals(by_file)
    assert predict(place / "run", log.to_pandas(), dataset="calm", model="base-rate").equals(by_file)


@pytest.mark.parametrize(
    ("model", "window"),
    [("climatology", 1), ("seasonal-naive", 0), ("state-space", 0), ("state-space", 1), ("level", 0), ("level", 1), ("mean-of-3", 1)],
)
def test_steps_are_forecast_as_in_the_run_itself(model: str, window: int, tmp_path: Path) -> None:
    place = run_kit.forecasting()
    cutoff, ahead = (facts(place, "series")[key][window] for key in ("test_cutoffs", "test_times"))
    waves().filter(pl.col("ds") < date.fromisoformat(cutoff)).write_csv(tmp_path / "until.csv")
    found = predict(place / "run", tmp_path / "until.csv", model=model)
    want = stored(place / "run", model, "series")[window]
    assert found["ds"].to_list() == ahead * SERIES
    assert found["unique_id"].unique(maintain_order=True).to_list() == [f"s{n}" for n in range(SERIES)]
    np.testing.assert_allclose(found["mean"].to_numpy(), want["mean"].ravel(), rtol=1e-9)
    np.testing.assert_allclose(found.select(LEVELS).to_numpy(), want["quantiles"].reshape(-1, 9), rtol=1e-9)


def test_a_forecast_goes_on_after_the_last_step_of_the_new_data() -> None:
    found = predict(run_kit.forecasting() / "run", waves(series=3, steps=100, seed=4))
    horizon = [(START + timedelta(days=100 + h)).isoformat() for h in range(14)]
    assert found["ds"].to_list() == horizon * 3
    assert all(found[low].le(found[high]).all() for low, high in pairwise(LEVELS))
    truth = cycle(3, np.arange(100, 114)).ravel()
    assert np.abs(found["mean"].to_numpy() - truth).mean() < 2, "noise of 1 on a cycle of 10"
    assert ((found["q0.1"].to_numpy() <= truth) & (truth <= found["q0.9"].to_numpy())).mean() > 0.6


def test_a_model_whose_plugin_is_gone_is_named(tmp_path: Path) -> None:
    place = run_kit.forecasting()
    shutil.copytree(place / "run", tmp_path / "run")
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [Path(p).stem for p in document["config"]["plugins"]] == ["spare", "level"], "the first file is not the one that is needed"
    document["config"]["plugins"] = document["config"]["plugins"][:1]
    (tmp_path / "run" / "run.json").write_text(json.dumps(document))
    with pytest.raises(PluginError, match="model 'level' is not installed here; install the plugin that brought it"):
        predict(tmp_path / "run", place / "series.csv", model="level")


def test_a_plugin_given_by_a_relative_path_is_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waves().write_csv(tmp_path / "series.csv")
    for folder, name in ((tmp_path, "level"), (tmp_path / "more", "lower")):
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(run_kit.LEVEL.format(name=name))
    monkeypatch.chdir(tmp_path)
    data = {"datasets": [f"series={tmp_path / 'series.csv'}"], "models": ["level", "lower"], "trials": 1}
    run_kit.run("forecasting", tmp_path / "run", **data, plugins=["level.py"], plugins_dirs=["more"])
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert (config["plugins"], config["plugins_dirs"]) == ([str(tmp_path / "level.py")], [str(tmp_path / "more")])
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    for model in ("level", "lower"):
        assert len(predict(tmp_path / "run", tmp_path / "series.csv", model=model)) == 14 * SERIES


def test_a_plugin_that_was_changed_and_run_again_predicts_with_its_latest_fit(tmp_path: Path) -> None:
    waves().write_csv(tmp_path / "series.csv")
    plugin, found = tmp_path / "level.py", []
    more = {"datasets": [f"series={tmp_path / 'series.csv'}"], "models": ["level"], "plugins": [plugin], "trials": 1}
    for shift in (0, 100):
        plugin.write_text(run_kit.LEVEL.format(name="level").replace('{"spread": np', f'{{"spread": {shift} + np'))
        run_kit.run("forecasting", tmp_path / "run", **more)
        found.append(predict(tmp_path / "run", tmp_path / "series.csv"))
    assert (found[1]["q0.5"] - found[0]["q0.5"]).to_numpy() == pytest.approx(100)


def test_a_model_that_fails_on_the_new_data_says_so_in_one_line(tmp_path: Path) -> None:
    place = run_kit.forecasting()
    shutil.copytree(place / "run", tmp_path / "run")
    for file in (tmp_path / "run").glob("models/**/state.npz"):
        file.write_bytes(b"no arrays")
    with pytest.raises(PluginError, match="model 'level' failed on the new data: ") as caught:
        predict(tmp_path / "run", place / "series.csv", model="level")
    assert "\n" not in str(caught.value)


def alarms_of(out: list[bool], gap: int, least: int) -> list[bool]:
    """Merge the steps that stand out across short gaps, and drop alarms of too few: step by step, as one would by hand."""
    found, run = [False] * len(out), []
    for at, stands in enumerate([*out, *[False] * (gap + 1)]):
        if stands:
            run.append(at)
        elif run and at - run[-1] > gap:
            if len(run) >= least:
                found[run[0] : run[-1] + 1] = [True] * (run[-1] + 1 - run[0])
            run = []
    return found


@pytest.mark.parametrize("model", ["rolling-mean", "iforest"])
def test_steps_are_flagged_as_in_the_run_itself(model: str) -> None:
    place = run_kit.anomaly()
    found = predict(place / "run", place / "marked.csv", model=model)
    want = stored(place / "run", model, "marked")[0]["prediction"]
    buffer = json.loads((place / "run" / "run.json").read_text())["datasets"][0]["facts"]["buffer"]
    until = dict(pl.read_parquet(place / "run" / "members.parquet").select("entity", "until").iter_rows())
    for n, name in enumerate(f"s{n}" for n in range(8)):
        own = found.filter(pl.col("entity") == name)
        np.testing.assert_allclose(own["score"].to_numpy(), want[n, until[name] :], rtol=1e-9)
        assert own["time"].to_list() == [(START + timedelta(days=d)).isoformat() for d in range(until[name], 240)]
        trained, limit = want[n, : until[name]], own["threshold"][0]
        assert (trained > limit).mean() <= 0.01
        assert np.isclose(trained, limit, rtol=1e-9).any()
        unbounded = alarms_of((own["score"] > own["threshold"]).to_list(), buffer // 2, max(buffer // 20, 1))
        flagged = own["alarm"].to_list()
        assert all(every or not flag for every, flag in zip(unbounded, flagged, strict=True))
        assert flagged.index(True) == unbounded.index(True), "the first is raised, later ones while the budget lasts"


def test_several_detectors_are_averaged_in_deviations_of_the_prefix_and_raise_their_alarms_where_the_cycle_is_gone(tmp_path: Path) -> None:
    place = run_kit.anomaly()
    shutil.copytree(place / "run", tmp_path / "run")
    weights = {"iforest": 0.75, "sub-pca": 0.25}
    rows = [{**r, "params": json.dumps(weights)} if r["model"] == "mean-of-3" else r for r in Board.read(tmp_path / "run").rows]
    write_rows(tmp_path / "run" / "leaderboard.parquet", rows)
    found = predict(tmp_path / "run", place / "marked.csv", model="mean-of-3")
    frame = pl.read_csv(place / "marked.csv").select(entity="unique_id", time="ds", label="label").join(found, on=["entity", "time"])
    assert len(frame) == len(found)
    met = frame.filter(label=1).group_by("entity").agg(pl.col("alarm").any())["alarm"]
    assert met.mean() >= 0.75, "windows in which an alarm was raised"
    assert frame.filter(label=0)["alarm"].mean() < 0.05
    parts = {name: stored(place / "run", name, "marked", tuning="label-free")[0]["prediction"] for name in weights}
    until = pl.read_parquet(place / "run" / "members.parquet")["until"].to_list()
    for n, end in enumerate(until):
        own = {name: parts[name][n] for name in weights}
        z = {name: (score - score[:end].mean()) / score[:end].std() for name, score in own.items()}
        # beyond 100 deviations only the logarithm counts
        z = {name: np.where(np.abs(x) > 100, np.sign(x) * 100 * (1 + np.log(np.abs(x) / 100)), x) for name, x in z.items()}
        want = sum(share * z[name][end:] for name, share in weights.items())
        np.testing.assert_allclose(found.filter(pl.col("entity") == f"s{n}")["score"].to_numpy(), want, rtol=1e-9)


def test_an_entity_of_which_nothing_is_learnt_raises_no_alarm() -> None:
    late = (pl.col("unique_id") == "s1") & (pl.col("ds") < date(2024, 3, 20))
    frame = waves(series=2, steps=100).with_columns(y=pl.when(late).then(None).otherwise("y"))
    found = predict(run_kit.anomaly() / "run", frame, model="rolling-mean")
    assert found.filter(pl.col("entity") == "s0").height == 60
    assert not found.filter(pl.col("entity") == "s1")["alarm"].any()


def test_an_unfinished_run_and_a_folder_that_is_none_are_refused(tmp_path: Path) -> None:
    place = run_kit.forecasting()
    shutil.copytree(place / "run", tmp_path / "run")
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({**document, "finished": False}))
    with pytest.raises(RunFolderError, match="the run is not finished; give its command again"):
        predict(tmp_path / "run", place / "series.csv")
    with pytest.raises(RunFolderError, match="no run lies there"):
        predict(tmp_path, place / "series.csv")


def test_a_fit_whose_folder_was_removed_is_named_and_the_same_command_fits_it_anew(tmp_path: Path) -> None:
    waves().write_csv(tmp_path / "series.csv")
    plugin = tmp_path / "level.py"
    plugin.write_text(run_kit.LEVEL.format(name="level"))
    more = {"datasets": [f"series={tmp_path / 'series.csv'}"], "models": ["level"], "plugins": [plugin], "trials": 1}
    run_kit.run("forecasting", tmp_path / "run", **more)
    before = predict(tmp_path / "run", tmp_path / "series.csv")
    shutil.rmtree(tmp_path / "run" / "models")
    with pytest.raises(RunFolderError, match="that 'level' was saved in is gone; give the run's command again"):
        predict(tmp_path / "run", tmp_path / "series.csv")
    run_kit.run("forecasting", tmp_path / "run", **more)
    assert predict(tmp_path / "run", tmp_path / "series.csv").equals(before)


def test_a_set_that_was_registered_with_column_names_is_read_by_them_in_new_data_too(tmp_path: Path) -> None:
    from bench.cli import invoke

    waves().rename({"unique_id": "shop", "y": "sold"}).write_csv(tmp_path / "shops.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CONFIG", str(tmp_path / "config"))
        columns = ["--set", "series.series=shop", "--set", "series.value=sold"]
        assert invoke(["data", "add", "shops", str(tmp_path / "shops.csv"), "--adapter", "series", *columns]) == 0
        run_kit.run("forecasting", tmp_path / "run", datasets=["shops"], models=["climatology"])
        found = predict(tmp_path / "run", tmp_path / "shops.csv")
    assert len(found) == 14 * SERIES


def test_cdnow_is_scored_as_in_the_run_itself(real: Path, tmp_path: Path) -> None:
    file = real / "cdnow" / "CDNOW_sample.txt"
    options = {"horizon": "91d", "cutoffs": 1, "eligible": "ever"}
    run_kit.run("churn", tmp_path / "run", datasets=[f"retail={file}"], models=["rfm-logit", "rfm-lightgbm"], options=options)
    found = predict(tmp_path / "run", file, model="ensemble", options={"cutoff": "1998-03-31"})
    members = pl.read_parquet(tmp_path / "run" / "members.parquet")
    want = dict(zip(members["user"], stored(tmp_path / "run", "ensemble", "cdnow-sample")[0]["prediction"], strict=True))
    assert len(want) == 2357
    assert dict(zip(found["user"], found["p_churn"], strict=True)) == pytest.approx(want, rel=1e-12)


def test_given_cut_offs_are_those_of_the_new_data() -> None:
    from bench.data.events import Events
    from bench.tasks.churn.new_data import inference_inputs
    from bench.tasks.profiles import PROFILES

    log = purchases(0.01, users=30, seed=2).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
    days = [(START + timedelta(days=60 + n % 3)) for n in range(6)]
    cutoffs = pl.Series(days).cast(pl.Datetime("us", "UTC"))
    labels = pl.DataFrame({"user": [f"u{n:03d}" for n in range(6)], "cutoff": cutoffs, "y": [0, 1] * 3})
    events = Events.build(log, name="labelled", activity=("purchase",), labels=labels, horizon="10d")
    run = {"task_id": "churn/v1", "context": {}, "facts": {"kinds": ["?", "purchase"], "horizon_days": 10.0, "eligible": "given"}}
    asked = inference_inputs(events, run, {}, PROFILES["smoke"])
    found = dict(zip(asked.columns["user"], asked.columns["cutoff"], strict=True))
    assert found == {f"u{n:03d}": day.isoformat() for n, day in enumerate(days)}
    everybody = inference_inputs(events, run, {"cutoff": "2024-03-01"}, PROFILES["smoke"])
    assert set(everybody.columns["cutoff"]) == {"2024-03-01"}
    assert len(everybody.columns["user"]) > 20


def test_a_cut_off_is_a_moment_wherever_it_was_written() -> None:
    from bench.tasks.churn.new_data import _moment

    assert _moment("2024-03-01") == _moment("2024-03-01T05:00:00+05:00") == 1_709_251_200_000_000
    with pytest.raises(ConfigError, match="cutoff='soon' is no day; write it as 2011-05-01"):
        _moment("soon")


def test_a_log_without_anybody_to_ask_about_is_refused() -> None:
    with pytest.raises(DataError, match="no user is active in the 14 days before 2020-01-01; give a later log"):
        predict(run_kit.churn() / "run", purchases(0.01, users=5), dataset="calm", options={"cutoff": "2020-01-01"})


@pytest.mark.parametrize("model", ["rfm-logit", "mean-of-3"])
def test_asked_to_explain_each_user_gets_reasons_and_the_same_chance(model: str) -> None:
    place = run_kit.churn()
    options = {"cutoff": facts(place, "calm")["test_cutoff"]}
    plain, told = (
        predict(place / "run", place / "calm.csv", model=model, dataset="calm", options=options, explain=e) for e in (False, True)
    )
    assert told.drop("reasons").equals(plain)
    assert (told["reasons"] != "").all()
    assert told["reasons"].str.contains("without").all()


def test_trees_explain_themselves_exactly(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    purchases(0.02).write_csv(file)
    run_kit.run("churn", tmp_path / "run", datasets=[f"events={file}"], models=["gbm"], options={"horizon": "28d"})
    told = predict(tmp_path / "run", file, model="gbm", explain=True)
    assert told["reasons"].str.contains(r"(raised|lowered) by .*\([+-]\d\.\d\d\)").all()
