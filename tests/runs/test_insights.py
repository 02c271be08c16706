"""Models are asked what they show of themselves: whatever they answer, their rows stay, and what is wrong is a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from execute.kit import odd

import bench
from bench.runs import insights

SHOWN = "def insight(self, inputs, ctx):\n    {}"
HOSTILE = {
    "broad": 'return {"embedding": np.broadcast_to(np.float64(1), (len(inputs), 100_000_000))}',
    "unknown": 'return {"users": np.zeros(3)}',
    "outside": 'return {"../../escaped": np.zeros((len(inputs), 2))}',
    "objects": 'return {"embedding": np.array([[object(), object()]] * len(inputs))}',
    "infinite": 'return {"embedding": np.full((len(inputs), 2), np.inf)}',
    "raises": 'raise ValueError("nothing to see")',
    "leaves": "os._exit(3)",
    "sleeps": "time.sleep(600)",
    "listed": "return [1, 2]",
    "forges": "[np.save(Path(f'../out/part-0.x{n}.npy'), np.zeros(2)) for n in range(50)]\n    return {}",
    "asks": 'return {"embedding": inputs.y[:, None] * np.ones(2)}',
}
WORDS = {
    "broad": "expected at most",
    "unknown": "names 'users'",
    "outside": "expected a dict of arrays by name",
    "objects": "array of object",
    "infinite": "not finite",
    "raises": "ValueError: nothing to see",
    "leaves": "exit code 3",
    "sleeps": "took longer than",
    "listed": "insight returned list",
    "asks": "no attribute 'y'",
}
RANKED = "return 1 / (1 + np.exp(-inputs.static[:, 0]))"
TIMED = {"created", "search_seconds", "fit_seconds", "predict_seconds", "peak_memory_mb", "git_commit"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("insights")
    good = 'return {"embedding": inputs.static[:, :3] * 1.0, "step_weights": np.ones(int(inputs.offsets[-1]))}'
    plugins = [odd(folder, name, predict=RANKED, body=SHOWN.format(text)) for name, text in {**HOSTILE, "good": good}.items()]
    plugins.append(odd(folder, "silent", predict=RANKED))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(folder / "cache"))
        patch.setattr(insights, "SECONDS", 4.0)
        models = ["base-rate", *(p.stem for p in plugins)]
        bench.run("churn", datasets=["retail"], profile="smoke", trials=1, workers=1, models=models, plugins=plugins, out=folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def found(made: Path) -> dict[str, Any]:
    (churn,) = (one for one in json.loads((made / "figures.json").read_text()) if one["kind"] == "churn")
    shown: dict[str, Any] = churn["insights"]
    return shown


@pytest.mark.parametrize("name", WORDS)
def test_a_hostile_answer_is_a_reason(found: dict[str, Any], name: str) -> None:
    assert WORDS[name] in found[name]["reason"]
    assert not {"map", "ages"} & set(found[name])


def test_files_that_a_model_writes_itself_are_read_by_no_other_name(made: Path, found: dict[str, Any]) -> None:
    assert found["forges"]["reason"]
    assert not list(made.parent.rglob("*escaped*"))


def test_no_row_is_lost_and_all_models_of_one_answer_score_the_same(made: Path) -> None:
    rows = pl.read_parquet(made / "leaderboard.parquet")
    assert set(rows["status"]) == {"ok"}
    scored = rows.filter(~pl.col("model").is_in(["base-rate", "ensemble", "mean-of-3"]))
    assert len(scored) == len(HOSTILE) + 2
    assert scored["roc_auc"].n_unique() == 1


def test_what_has_the_right_form_is_counted_and_who_shows_nothing_has_no_entry(found: dict[str, Any]) -> None:
    assert found["good"]["reason"] == ""
    assert found["good"]["map"]["numbers"] == 3
    assert all(abs(one["share"] - one["even"]) < 1e-4 for one in found["good"]["ages"])
    assert not {"silent", "base-rate"} & set(found)
