"""A model that calls itself deterministic, and draws at random, carries a flag on its rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

import bench


class Honest(bench.ArrayModel):
    name = "honest"
    tasks = frozenset({"churn"})
    deterministic = True

    def fit(self, train, ctx):
        self.state = {"noise": np.zeros(1)}

    def predict(self, inputs, ctx):
        return 1.0 / (1.0 + np.exp(-inputs.static[:, 0] / 100.0 - self.state["noise"]))


class Lucky(Honest):
    name = "lucky"

    def fit(self, train, ctx):
        self.state = {"noise": np.random.default_rng(ctx.seed).normal(size=1)}


def test_a_deterministic_model_whose_seed_matters_is_flagged_and_has_one_row(tmp_path: Path) -> None:
    board = bench.run("churn", datasets="retail", models=[Honest, Lucky], profile="smoke", seeds=2, workers=1, out=tmp_path / "run")
    rows = {row["model"]: row for row in board.rows if row["model"] in {"honest", "lucky"}}
    assert {name: ("seed-matters" in row["flags"], row["status"]) for name, row in rows.items()} == {
        "honest": (False, "ok"),
        "lucky": (True, "ok"),
    }
    assert sum(row["model"] == "lucky" for row in board.rows) == 1
    # what was fitted to find out is no prediction of the board's
    assert pl.read_parquet(tmp_path / "run" / "predictions.parquet").filter(pl.col("model") == "lucky").height == 1
