"""Stored forecasts come back as frames whose numbers are the run's own, in the forms of other tools."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
import run_kit
from run_kit import SERIES, STEPS

from bench.board import Board
from bench.board.forecasts import chosen_fits, forecasts, to_nixtla
from bench.errors import ConfigError, RunFolderError

LEVELS = [f"q{q / 10:g}" for q in range(1, 10)]
MODELS = {"climatology", "seasonal-naive", "state-space", "level", "mean-of-3", "ensemble"}


@pytest.fixture(scope="module")
def place():
    return run_kit.forecasting()


@pytest.fixture(scope="module")
def board(place):
    return Board.read(place / "run")


@pytest.fixture(scope="module")
def long(board):
    return board.forecasts()


def truth():
    frame = run_kit.waves().to_pandas()
    return frame.assign(ds=pd.to_datetime(frame["ds"]))


def test_the_long_frame_has_a_row_for_each_fit_series_cut_off_and_step(long):
    assert list(long.columns) == ["dataset", "unique_id", "cutoff", "ds", "model", "tuning", "seed", "mean", *LEVELS]
    sizes = long.groupby(["model", "tuning", "seed"]).size()
    assert set(sizes) == {SERIES * 2 * 14}
    assert set(sizes.index.get_level_values("model")) == MODELS
    assert set(sizes.index.get_level_values("tuning")) == {"default", "tuned"}
    assert long["ds"].dtype == long["cutoff"].dtype == "datetime64[us]"
    first = pd.Timestamp(run_kit.START) + pd.Timedelta(days=STEPS - 28)
    assert set(long["cutoff"]) == {first, first + pd.Timedelta(days=14)}
    assert ((long["ds"] - long["cutoff"]).dt.days.between(0, 13)).all()
    assert long[["mean", *LEVELS]].notna().all(axis=None)


def test_the_numbers_are_those_that_were_scored(board, long):
    """MASE by its definition, on the frame and the data alone: Hyndman & Koehler 2006, season 7."""
    y = truth()
    first = long["cutoff"].min()
    before = y[y["ds"] < first].sort_values(["unique_id", "ds"])
    scale = before.groupby("unique_id")["y"].apply(lambda v: np.abs(v.to_numpy()[7:] - v.to_numpy()[:-7]).mean())
    for row in board.rows:
        own = long[(long["model"] == row["model"]) & (long["tuning"] == row["tuning"])].merge(y, on=["unique_id", "ds"])
        error = (own["y"] - own["q0.5"]).abs().groupby(own["unique_id"]).mean()
        assert (error / scale).mean() == pytest.approx(row["mase"], rel=1e-9)


def test_models_can_be_chosen_and_an_unknown_one_is_named(board):
    assert set(board.forecasts(["level", "mean-of-3"])["model"]) == {"level", "mean-of-3"}
    with pytest.raises(ConfigError, match="the run has no forecasts of 'levle'; did you mean 'level'"):
        board.forecasts(["levle"])
    with pytest.raises(ConfigError, match="form='wide' of forecasts is unknown; use long, nixtla or fev"):
        board.forecasts(form="wide")


def test_nixtlas_frame_has_one_row_a_step_and_the_tuned_fit_of_each_model(board, long):
    wide = board.forecasts(form="nixtla")
    assert len(wide) == SERIES * 2 * 14
    for model in MODELS:
        assert {model, *(f"{model}-{end}" for end in ("median", "lo-80", "hi-80", "lo-60", "hi-60"))} <= set(wide.columns)
        assert (wide[f"{model}-lo-80"] <= wide[f"{model}-lo-60"]).all()
        assert (wide[f"{model}-lo-60"] <= wide[f"{model}-median"]).all()
    tuned = long[(long["model"] == "level") & (long["tuning"] == "tuned")].sort_values(["unique_id", "ds"])
    np.testing.assert_array_equal(wide["level-hi-80"], tuned["q0.9"])
    np.testing.assert_array_equal(wide["level"], tuned["mean"])


def test_nixtlas_own_metrics_read_the_frame_and_agree(board):
    """The mean absolute scaled error of utilsforecast, over both cut-offs, against the board's."""
    losses = pytest.importorskip("utilsforecast.losses")
    y = truth()
    wide = board.forecasts(form="nixtla").merge(y, on=["unique_id", "ds"])
    train = y[y["ds"] < wide["cutoff"].min()]
    found = losses.mase(wide, [f"{m}-median" for m in sorted(MODELS)], seasonality=7, train_df=train).mean(numeric_only=True)
    for row in board.rows:
        if row["tuning"] == "tuned" or not row["trials"]:
            assert found[f"{row['model']}-median"] == pytest.approx(row["mase"], rel=1e-9)


def test_fevs_frames_have_a_row_a_series_with_a_list_for_each_level(board, long):
    found = board.forecasts(["level"], form="fev")
    assert len(found) == 2
    for (dataset, model, cutoff), frame in found.items():
        assert (dataset, model) == ("series", "level")
        assert list(frame.columns) == ["item_id", "predictions", *[c[1:] for c in LEVELS]]
        own = long[(long["model"] == "level") & (long["tuning"] == "tuned") & (long["cutoff"] == pd.Timestamp(cutoff))]
        for item, predictions, low in zip(frame["item_id"], frame["predictions"], frame["0.1"], strict=True):
            of_item = own[own["unique_id"] == item].sort_values("ds")
            np.testing.assert_array_equal(predictions, of_item["q0.5"])
            np.testing.assert_array_equal(low, of_item["q0.1"])


def test_of_several_seeds_the_lowest_stands_and_steps_without_time_are_numbers():
    base = {"dataset": "d", "unique_id": "a", "cutoff": "5", "ds": "6", "model": "m"} | dict.fromkeys(LEVELS, 1.0)
    rows = [{**base, "tuning": t, "seed": s, "mean": v} for t, s, v in (("default", 0, 1.0), ("tuned", 1, 2.0), ("tuned", 0, 3.0))]
    frame = pl.DataFrame(rows)
    assert chosen_fits(frame)["mean"].to_list() == [3.0]
    wide = to_nixtla(frame)
    assert wide["ds"].tolist() == [6]
    assert wide["cutoff"].dtype == "int64"


def test_a_run_of_another_task_and_a_folder_without_a_run_are_refused(tmp_path):
    with pytest.raises(RunFolderError, match="it holds no forecasts; give a finished run of --task forecasting"):
        forecasts(run_kit.churn() / "run")
    with pytest.raises(RunFolderError, match="No such file or directory; finish the run first"):
        forecasts(tmp_path)
    with pytest.raises(RunFolderError, match="it holds no forecasts"):
        Board.build([]).forecasts()


@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
def test_a_long_frame_is_run_as_series_and_its_forecasts_come_back_as_one(library, tmp_path):
    frame = run_kit.waves(series=2, steps=80)
    given = {"pandas": frame.to_pandas(), "polars": frame, "arrow": frame.to_arrow()}[library]
    board = run_kit.run("forecasting", tmp_path / "run", data=given, models=["seasonal-naive"], options={"windows": 1})
    assert json.loads((tmp_path / "run" / "run.json").read_text())["datasets"][0]["adapter"] == "series"
    found = board.forecasts()
    assert isinstance(found, pd.DataFrame)
    last = frame.filter(unique_id="s1")["y"].to_numpy()
    own = found[found["unique_id"] == "s1"].sort_values("ds")
    np.testing.assert_allclose(own["q0.5"], np.tile(last[-21:-14], 2))
    assert own["ds"].iloc[-1] == pd.Timestamp(run_kit.START) + pd.Timedelta(days=79)


def test_frames_are_known_as_series_by_their_columns():
    from bench.sources.load import holds_series

    nixtla, autogluon = ["unique_id", "ds", "y"], ["item_id", "timestamp", "target"]
    for columns in (nixtla, autogluon, [*nixtla, "label"]):
        empty = pl.DataFrame(schema=dict.fromkeys(columns, pl.Float64))
        assert holds_series(empty)
        assert holds_series(empty.to_pandas())
        assert holds_series(empty.to_arrow())
    for columns in (["user", "time"], ["ds", "y"], ["unique_id", "timestamp", "y"]):
        assert not holds_series(pl.DataFrame(schema=dict.fromkeys(columns, pl.Float64)).to_pandas())
    assert not holds_series([1, 2])
