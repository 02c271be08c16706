"""Whole forecasting runs: a simulator, users, one series alone, and the published numbers of M4 Hourly."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tasks.forecast_kit import START

import bench
from bench.board import Board
from bench.tasks.forecasting.task import DECILES, TAILS


def run(folder: Path, models: list[str], **more: object) -> Board:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(folder / "cache"))
        return bench.run(
            "forecasting", models=models, out=folder / "run", workers=1, **{"profile": "smoke", "trials": 1, "seeds": 1, **more}
        )


FLOORS = ["naive", "seasonal-naive", "climatology", "zero"]


@pytest.fixture(scope="module")
def retail(tmp_path_factory: pytest.TempPathFactory) -> tuple[Board, Path]:
    folder = tmp_path_factory.mktemp("retail")
    return run(folder, FLOORS, datasets=["retail"], options={"level": "item"}), folder


def test_a_run_on_the_simulator_ends_with_a_valid_row_for_each_floor(retail: tuple[Board, Path]) -> None:
    rows = {row["model"]: row for row in retail[0].rows}
    assert sorted(rows) == sorted([*FLOORS, "mean-of-3"])
    for row in rows.values():
        assert (row["status"], row["simulated"], row["level"]) == ("ok", True, "item")
        assert row["objective"] == "wql", "most items of so small a shop sell nothing on most days"
        assert row["reference"] == "climatology"
        assert all(
            np.isfinite(row[name]) for name in ("mase", "rmsse", "smape", "wape", "sql", "wql", "bias", "poisson_deviance", "total_wape")
        )
        assert all(0 <= row[name] <= 1 for name in ("coverage_60", "coverage_80"))
        assert row["valid_score"] is not None
    assert rows["zero"]["wape"] == rows["zero"]["wql"] == pytest.approx(1.0)
    assert rows["zero"]["bias"] == pytest.approx(-1.0)
    assert rows["climatology"]["skill"] == 0


def test_the_same_command_again_computes_nothing_and_gives_the_same_board(retail: tuple[Board, Path]) -> None:
    board, folder = retail
    ledger = (folder / "run" / "ledger.jsonl").read_bytes()
    again = run(folder, FLOORS, datasets=["retail"], options={"level": "item"})
    assert (folder / "run" / "ledger.jsonl").read_bytes() == ledger
    assert again.to_polars().drop("created").equals(board.to_polars().drop("created"))


def test_at_level_user_the_board_ranks_by_wql_against_climatology(tmp_path: Path) -> None:
    board = run(tmp_path, ["climatology", "zero", "naive"], datasets=["retail"], options={"level": "user"})
    rows = {row["model"]: row for row in board.rows}
    assert {(row["objective"], row["reference"], row["level"], row["status"]) for row in rows.values()} == {
        ("wql", "climatology", "user", "ok")
    }
    assert rows["zero"]["wql"] == pytest.approx(2 * np.mean((*DECILES, *TAILS)))
    assert rows["zero"]["skill"] == pytest.approx(rows["climatology"]["wql"] - rows["zero"]["wql"])
    assert rows["climatology"]["wql"] < rows["zero"]["wql"], "the history beats the forecast of nothing, which by MASE might win"
    order = sorted(rows.values(), key=lambda row: row["wql"])
    assert [row["rank"] for row in order] == sorted(row["rank"] for row in order)


@pytest.mark.parametrize(("options", "flags"), [({}, ["underpowered"]), ({"windows": 8}, [])])
def test_one_series_ranks_only_with_more_windows(tmp_path: Path, options: dict, flags: list[str]) -> None:
    file = tmp_path / "views.csv"
    day = np.arange(400)
    views = 50 + 10 * np.sin(2 * np.pi * day / 7) + np.random.default_rng(0).normal(0, 2, 400)
    pl.DataFrame({"ds": [(START + timedelta(days=int(d))).date() for d in day], "y": views}).write_csv(file)
    board = run(tmp_path, ["naive", "seasonal-naive"], datasets=[f"series={file}"], options=options)
    for row in board.rows:
        assert (row["status"], row["flags"], row["n_test"]) == ("ok", flags, 1)
        assert (row["rank"] is None) == bool(flags)
    by_name = {row["model"]: row["mase"] for row in board.rows}
    assert by_name["seasonal-naive"] < by_name["naive"]


def test_the_naive_forecasts_score_on_m4_hourly_as_published(real: Path, tmp_path: Path) -> None:
    board = run(tmp_path, ["naive", "seasonal-naive"], datasets=[f"series={real / 'm4_hourly'}"], options={"season": 24}, profile="full")
    rows = {row["model"]: row for row in board.rows}
    assert {name: (round(row["mase"], 3), round(row["smape"], 3), row["n_test"]) for name, row in rows.items()} == {
        "naive": (11.608, 43.003, 414),
        "seasonal-naive": (1.193, 13.912, 414),
    }


PATHOLOGICAL = {
    "constant": np.full(120, 3.0),
    "zero": np.zeros(120),
    "one": np.array([5.0]),
    "two": np.array([5.0, 6.0]),
    "three": np.array([1.0, 2.0, 3.0]),
    "gaps": np.where(np.arange(120) % 7 == 3, np.nan, np.arange(120) % 5),
    "huge": 1e12 * (1 + np.arange(120) % 3),
    "negative": -10 - np.arange(120) % 4.0,
    "normal": np.arange(120) % 7.0,
    "long": np.arange(3000) % 9.0,  # a thousand times as long as the shortest three
}
FORECASTERS = (
    "zero", "naive", "seasonal-naive", "window-average", "climatology", "ets", "theta", "croston-sba", "tsb", "adida", "lightgbm-lags",
    "lightgbm-counts", "arima", "state-space", "lstm", "seq2seq", "self-attention", "direct", "negbin", "seasonal-quantiles",
)  # fmt: skip


def test_a_pathological_panel_runs_through_every_model_with_scores_or_reasons(tmp_path: Path) -> None:
    lines = ["unique_id,ds,y"]
    for name, values in PATHOLOGICAL.items():
        days = np.datetime64("2024-06-30") - np.arange(len(values))[::-1]
        lines += [f"{name},{day},{value}" for day, value in zip(days, values, strict=True) if np.isfinite(value)]
    (tmp_path / "odd.csv").write_text("\n".join(lines) + "\n")
    data = f"series={tmp_path / 'odd.csv'}"
    board = bench.run("forecasting", datasets=[data], models=FORECASTERS, profile="smoke", trials=1, out=tmp_path / "run")
    assert {row["model"] for row in board.rows} >= set(FORECASTERS)
    for row in board.rows:
        assert row["status"] == "ok" or row["reason"], row["model"]
        assert row["status"] != "ok" or np.isfinite([row["mase"], row["sql"], row["mase_low"], row["mase_high"]]).all()
    assert {row["status"] for row in board.rows if row["model"] in {"naive", "state-space", "seq2seq"}} == {"ok"}
    assert all("fallback" in row["flags"] for row in board.rows if row["model"] == "seasonal-naive"), "of three steps and less"
