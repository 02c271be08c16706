"""A search without labels: the default counts as often as all others, and a small advantage is none however sure it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import bench
from bench.execute.mean_of import configurations
from bench.publish.proven import _of_choice
from bench.publish.publish import publish
from bench.publish.verify import verify
from bench.registry import discover
from bench.tasks.base import LABEL_FREE, TUNED, RankingRule
from bench.tune.decide import LEAST, decide, standing
from bench.tune.trials import Trial

BOARD = RankingRule("vus_pr")
STEPS = 400


def trial(number: int, score: float, *names: str) -> Trial:
    """Make a trial with a score that is sure, for some tunings."""
    names = names or (LABEL_FREE, TUNED)
    scores, drawn = (dict.fromkeys(names, value) for value in ([score], [score] * 50))
    return Trial(number, {"x": number}, {"search": {"status": "ok", "scores": scores, "replicates": drawn}})


def test_without_labels_the_default_counts_as_often_as_all_others_together() -> None:
    default, one, other = (trial(n, 0.5) for n in range(3))
    assert standing([one, default, other], default, LABEL_FREE) == [default, default, one, other]
    assert standing([one, default], default, LABEL_FREE) == [default, one]
    assert standing([one, default, other], default, TUNED) == [one, default, other]


def test_where_the_default_did_not_work_or_nothing_else_did_nothing_counts_twice() -> None:
    default, one, other = (trial(n, 0.5) for n in range(3))
    assert standing([one, other], default, LABEL_FREE) == [one, other]
    assert standing([default], default, LABEL_FREE) == [default]


@pytest.mark.parametrize(("advantage", "kept"), [(LEAST + 0.01, False), (LEAST - 0.01, True), (-0.01, True)])
def test_a_small_advantage_without_labels_is_none_however_sure(advantage: float, kept: bool) -> None:
    default, found = trial(0, 0.5), trial(1, 0.5 + advantage)
    assert decide(found, default, LABEL_FREE, BOARD).kept_default is kept
    assert decide(found, default, TUNED, BOARD).kept_default is (advantage < 0), "by labels it is one"
    assert decide(found, default, LABEL_FREE, BOARD, least=0.0).kept_default is (advantage < 0)


def record(number: int, params: Mapping[str, Any], score: float) -> dict[str, Any]:
    common = {"number": number, "params": dict(params), "validations": 1, "status": "ok", "kept_default": False}
    return {**common, "scores": {LABEL_FREE: [score]}, "replicates": {LABEL_FREE: [score] * 9}}


def test_a_published_choice_is_judged_by_the_rule_that_made_it() -> None:
    """In a run of before each configuration counted once, and no advantage was too small."""
    tried, default = [trial(n, 0.5 + 0.01 * n, LABEL_FREE) for n in range(3)], record(0, {"x": 0}, 0.5)

    def judged(order: tuple[int, ...], score: float) -> str:
        return _of_choice(tried, record(0, {"mean_of": [{"x": n} for n in order]}, score), default, LABEL_FREE, BOARD, 3)

    assert judged((0, 0, 1, 2), 0.5 + LEAST + 0.01) == ""
    assert "not better" in judged((0, 0, 1, 2), 0.5 + LEAST - 0.01)
    assert judged((0, 1, 2), 0.5 + LEAST - 0.01) == ""
    assert "not better" in judged((0, 1, 2), 0.49)
    assert "neither the default nor the mean" in judged((0, 1, 1, 2), 0.9)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Search series with a changed stretch, with one worker and with two."""
    folder, rng = tmp_path_factory.mktemp("free"), np.random.default_rng(0)
    (folder / "data").mkdir()
    for k in range(8):
        value = 10 + np.sin(2 * np.pi * np.arange(STEPS) / 7) + rng.normal(size=STEPS)
        value[300:330] += 4 * rng.normal(size=30)
        days = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=d) for d in range(STEPS)]
        label = np.isin(np.arange(STEPS), range(300, 330)).astype(int)
        pl.DataFrame({"time": days, "value": value, "label": label}).write_csv(folder / "data" / f"s{k}.csv")
    for workers in (1, 2):
        searched(folder, folder / str(workers), workers)
    return [folder / "1", folder / "2"]


def searched(folder: Path, out: Path, workers: int) -> None:
    bench.run(
        "anomaly", datasets=[f"series={folder / 'data'}"], models=["random", "matrix-profile", "rolling-ecod"], trials=8, seeds=1,
        workers=workers, options={"series.label": "label", "prefix": ".5"}, out=out,
    )  # fmt: skip


def choices(run: Path, tuning: str = LABEL_FREE) -> dict[str, dict[str, Any]]:
    rows = pl.read_parquet(run / "choices.parquet").filter(pl.col("tuning") == tuning).to_dicts()
    return {r["model"]: {**r, "params": json.loads(r["params"])} for r in rows}


def test_workers_do_not_matter_and_a_run_given_again_fits_nothing(runs: list[Path]) -> None:
    one, two = (choices(run) for run in runs)
    assert one.keys() == two.keys() == {"matrix-profile", "rolling-ecod"}
    for model, own in one.items():
        assert [own[k] for k in ("params", "scores", "kept_default")] == [two[model][k] for k in ("params", "scores", "kept_default")]
    before = (runs[0] / "ledger.jsonl").read_bytes()
    searched(runs[0].parent, runs[0], 1)
    assert (runs[0] / "ledger.jsonl").read_bytes() == before


def test_what_stands_is_the_mean_in_which_the_default_counts_as_often(runs: list[Path]) -> None:
    default = choices(runs[0], "default")["matrix-profile"]["params"]
    found = configurations(choices(runs[0])["matrix-profile"]["params"])
    assert found.count(default) == 2
    assert len(found) == 4


def test_a_published_run_of_it_is_verified(runs: list[Path], tmp_path: Path) -> None:
    publish(runs[0], str(tmp_path / "place"))
    assert verify(str(tmp_path / "place"), discover()).failures == []
