"""A thief of the truth and a saboteur take part in a run: they end as rows with their reason, and nobody else's row changes."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from execute.kit import odd

import bench
from bench.errors import ConfigError
from bench.execute.sandbox import obstacle
from bench.publish.publish import publish
from bench.publish.verify import verify
from bench.registry import discover

HONEST = ["base-rate", "recency", "rfm-logit"]
# it makes the log of the run again, with the seed that runs have unless told otherwise, and cuts it as the task does
FORGER = """
from pathlib import Path
from bench_datasets.retail import Retail
from bench.tasks.churn.task import Churn
from bench.tasks.profiles import profile
Path("again").mkdir()
Retail().simulate(Path("again"), profile("smoke").users, 0)
split = Churn().splits(Retail().read(Path("again"), {}), {}, profile("smoke"), 0, simulated=True)[0]
for name, stage in split.stages.items():
    if len(stage.parts[0]) == len(inputs) and np.array_equal(stage.parts[0].static, inputs.static):
        return split.truths[name].y * 1.0
raise ValueError("the data are of another seed")
"""
THIEF = """
caches = 0
for file in Path("/proc").glob("[0-9]*/environ"):
    try:
        caches += b"BENCH_CACHE=" in file.read_bytes()
    except OSError:
        continue
raise RuntimeError(f"found {caches} caches")
"""
TIMED = {"created", "search_seconds", "fit_seconds", "predict_seconds", "peak_memory_mb", "git_commit"}


def rows(folder: Path, models: list[str]) -> pl.DataFrame:
    frame = pl.read_parquet(folder / "leaderboard.parquet").filter(pl.col("model").is_in(models))
    return frame.drop(TIMED & set(frame.columns))


def run(folder: Path, plugins: list[Path], **more: object) -> None:
    models = [*HONEST, *(p.stem for p in plugins)]
    usual = {"datasets": ["retail"], "profile": "smoke", "trials": 2, "workers": 1}
    bench.run("churn", models=models, plugins=plugins, out=folder, **usual, **more)


@pytest.mark.skipif(bool(obstacle("namespaces")), reason="no sandbox here")
def test_the_thief_and_the_saboteur_end_as_rows_and_all_other_rows_are_those_of_a_run_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    thief = odd(tmp_path, "thief", fit=THIEF)
    saboteur = odd(tmp_path, "saboteur", head="np.save = lambda *a, **k: None\nnp.mean = lambda *a, **k: 0.0\nos.environ.clear()")
    run(tmp_path / "alone", [])
    run(tmp_path / "run", [thief, saboteur])
    assert rows(tmp_path / "run", HONEST).equals(rows(tmp_path / "alone", HONEST))
    ended = {r["model"]: (r["status"], r["reason"]) for r in rows(tmp_path / "run", ["thief", "saboteur"]).to_dicts()}
    assert ended == {
        "thief": ("failed", "RuntimeError: found 0 caches"),
        "saboteur": ("invalid", "the prediction cannot be read: its file is missing"),
    }


def test_a_plugin_that_makes_a_simulation_again_leads_unless_its_seed_is_drawn_in_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    forger = odd(tmp_path, "forger", predict=FORGER)
    run(tmp_path / "known", [forger])
    (known,) = rows(tmp_path / "known", ["forger"]).to_dicts()
    assert (known["status"], known["roc_auc"]) == ("ok", 1.0)
    run(tmp_path / "drawn", [forger], options={"truth-seed": "draw"})
    (drawn,) = rows(tmp_path / "drawn", ["forger"]).to_dicts()
    assert (drawn["status"], drawn["reason"]) == ("failed", "ValueError: the data are of another seed")

    # the seed is published with the run: anyone can make the data again, and score
    places = {}
    for name in ("known", "drawn"):
        publish(tmp_path / name, str(tmp_path / f"{name} place"))
        places[name] = verify(str(tmp_path / f"{name} place"), discover())
    assert places["drawn"].failures == []
    assert {line.level for line in places["drawn"].lines if line.row["status"] == "ok"} == {"re-scored"}
    assert [note for note in places["known"].notes if "forger: not the project's own, on simulated data of a seed" in note]
    assert not [note for note in places["drawn"].notes if "truth again" in note]
    about = json.loads((tmp_path / "drawn" / "run.json").read_text())
    assert about["truth_seed"] == int((tmp_path / "drawn" / "truth-seed").read_text())


def test_a_seed_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"truth-seed=soon: write truth-seed=draw, or a number below"):
        run(tmp_path / "run", [], options={"truth-seed": "soon"})
