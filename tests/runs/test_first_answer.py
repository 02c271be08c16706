"""The first command and the first lines of Python that the documentation shows end in a board that says something true."""

from __future__ import annotations

from pathlib import Path

import bench

MODELS = "gbm,rfm-logit,recency,base-rate"


def test_the_first_board_ranks_and_tells_the_baselines_apart_from_the_leader(tmp_path: Path) -> None:
    board = bench.run("churn", datasets="retail", models=MODELS, out=tmp_path / "run")
    rows = {row["model"]: row for row in board.rows if row["rank"]}
    assert set(MODELS.split(",")) <= set(rows), "nothing is underpowered, nothing fails"
    assert board.best()["model"] in {"gbm", "ensemble", "mean-of-3"}
    assert not rows["recency"]["tied"]
    assert not rows["base-rate"]["tied"]
    assert rows["base-rate"]["roc_auc"] == 0.5
    assert "leads" in board.table()
