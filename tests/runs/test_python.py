"""Python as people write it: keyword arguments, frames, classes, one name where a list is meant, and what a board can do."""

from __future__ import annotations

import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import run_kit
from run_kit import purchases

import bench
from bench.errors import BenchError, ConfigError, RunFolderError
from bench.runs.python import as_arguments
from bench.sources.load import cache_frame, holds_series

LOG = purchases(0.006, seed=1).rename({"user": "client_no"})
HELPER = 0.5


def half(n: int) -> np.ndarray:
    return np.full(n, HELPER)


class Half(bench.ArrayModel):
    """A class that uses names of its module."""

    name = "half"
    tasks = frozenset({"churn"})
    deterministic = True

    def fit(self, train, ctx):
        self.state = {"n": np.array(len(train))}

    def predict(self, inputs, ctx):
        return half(len(inputs))


def quick(data: object = LOG, **more: object) -> bench.RunBoard:
    usual = {"models": "recency", "horizon": "14d", "profile": "smoke", "workers": 1, "user": "client_no"}
    return bench.run("churn", data, **{**usual, **more})


def test_the_api_is_shown_has_types_and_a_docstring_that_names_every_argument() -> None:
    assert {"run", "predict", "load", "Board", "Model"} <= set(dir(bench))
    assert not [name for name in dir(bench) if name.startswith("_") and name != "__version__"]
    for call in (bench.run, bench.predict):
        parameters = [p for p in inspect.signature(call).parameters.values() if p.kind is not p.VAR_KEYWORD]
        assert all(p.annotation is not p.empty for p in parameters)
        words = set((call.__doc__ or "").replace(",", " ").replace(":", " ").replace(".", " ").replace("`", " ").split())
        assert {p.name for p in parameters} <= words


def test_frames_of_every_library_are_the_same_run_and_titled_by_their_name(tmp_path: Path) -> None:
    LOG.write_csv(tmp_path / "first.csv")
    LOG.sample(fraction=1.0, shuffle=True, seed=1).write_csv(tmp_path / "second.csv")
    assert len({cache_frame(form) for form in (LOG, LOG.lazy(), LOG.to_arrow())}) == 1, "one file: then one run, too"
    forms = {"pandas": LOG.to_pandas(), "file": tmp_path / "second.csv", "named": tmp_path / "first.csv"}
    boards = [quick(form, out=tmp_path / key, name="shop" if key == "named" else None) for key, form in forms.items()]
    assert [board.rows[0]["dataset"] for board in boards] == ["data", "second", "shop"]
    assert len({board.rows[0]["roc_auc"] for board in boards}) == 1
    assert len({board.rows[0]["fingerprint"] for board in boards}) == 1
    assert cache_frame(LOG, "shop").stem == "shop"


def test_the_order_of_rows_and_the_name_of_a_file_change_neither_trials_nor_scores(tmp_path: Path) -> None:
    LOG.write_csv(tmp_path / "a.csv")
    LOG.sample(fraction=1.0, shuffle=True, seed=5).write_csv(tmp_path / "b.csv")
    forms = {"a": tmp_path / "a.csv", "b": tmp_path / "b.csv", "frame": LOG}
    trials, scores = [], []
    for name, form in forms.items():
        board = quick(form, models="rfm-lightgbm", trials=5, out=tmp_path / name)
        found = pl.read_parquet(tmp_path / name / "trials.parquet")
        trials.append(found.sort("number")["params"].to_list())
        scores.append([row["roc_auc"] for row in board.rows])
    assert len(trials[0]) >= 3
    assert trials[0] == trials[1] == trials[2]
    assert scores[0] == scores[1] == scores[2]


def test_a_class_takes_part_with_what_its_module_gives_it(tmp_path: Path) -> None:
    board = quick(models=["recency", Half], out=tmp_path / "run")
    assert {row["model"]: row["status"] for row in board.rows} == {"recency": "ok", "half": "ok"}
    assert board.predict(LOG, user="client_no", model="half")["p_churn"].unique().to_list() == [HELPER]


def test_a_script_with_a_class_is_not_run_again_by_the_workers(tmp_path: Path) -> None:
    LOG.write_csv(tmp_path / "log.csv")
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        from pathlib import Path
        import numpy as np
        import bench

        LEVEL = 0.25

        class Mine(bench.ArrayModel):
            name = "mine"
            tasks = frozenset({"churn"})

            def fit(self, train, ctx):
                self.state = {"a": np.zeros(1)}

            def predict(self, inputs, ctx):
                return np.full(len(inputs), LEVEL)

        with Path("calls.txt").open("a") as file:
            file.write("x")
        board = bench.run("churn", "log.csv", user="client_no", models=[Mine], horizon="14d", profile="smoke", workers=1, out="run")
        print(board.rows[0]["status"])
        """)
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
    assert (tmp_path / "calls.txt").read_text() == "x"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"user": "client"}, "data: no column 'client'; did you mean 'client_no'?"),
        ({"user": None}, "no column is known as the user; did you mean 'client_no'? Name it with user=COLUMN"),
        ({"trials": 0}, "trials 0 leaves nothing to do"),
        ({"horizn": "7d"}, "unknown argument 'horizn'; did you mean 'horizon'?"),
        ({"models": [int]}, "class int does not inherit bench.Model"),
        ({"models": []}, "models=[] names no model; leave it out for all"),
        ({"metric": "mase"}, "metric mase: mase ranks no board of churn"),
        ({"sampler": "randm"}, "unknown sampler 'randm'; did you mean 'random'?"),
        ({"models": "recencyy"}, "unknown model 'recencyy'; did you mean 'recency'?"),
        ({"horizon": "soon"}, "horizon='soon' is no duration"),
        ({"name": "a/b"}, "'a/b' is no name for a data set"),
        ({"data": 3}, "data is a int"),
    ],
)
def test_errors_speak_of_arguments_and_never_of_a_temporary_file(given: dict[str, object], words: str) -> None:
    with pytest.raises(BenchError) as error:
        quick(**given)
    assert words in str(error.value)
    assert "--" not in str(error.value)
    assert ".parquet" not in str(error.value)


def test_options_of_the_command_line_are_spelt_as_arguments() -> None:
    assert as_arguments("give a later log, or --set cutoff=2024-01-01") == "give a later log, or cutoff=2024-01-01"
    assert as_arguments("choose with --dataset NAME, raise --job-seconds") == "choose with datasets=NAME, raise job_seconds"


@pytest.mark.parametrize("place", [run_kit.churn, run_kit.forecasting, run_kit.anomaly])
def test_a_board_knows_its_best_draws_itself_and_gives_its_models(place: object) -> None:
    board = bench.load(place() / "run")
    which = {"dataset": "calm"} if place is run_kit.churn else {}
    best = board.best(**which)
    assert best["status"] == "ok"
    assert best["rank"] in {1, None}, "a board with few users ranks nobody"
    forest, pareto = board.plot(**which), board.plot("pareto", **which)
    models = {row["model"] for row in board.rows if row["status"] == "ok" and (not which or row["dataset"] == "calm")}
    assert set(forest.data[0].y) <= models
    assert best["model"] in forest.data[0].y
    assert set(pareto.data[0].text) == set(forest.data[0].y)
    assert len(pareto.data[1].x) <= len(pareto.data[0].x)


def test_a_fitted_model_is_given_as_the_run_saved_it() -> None:
    board = bench.load(run_kit.churn() / "run")
    model = board.model("base-rate", dataset="calm")
    assert isinstance(model, bench.Model)
    wanted = run_kit.stored(run_kit.churn() / "run", "base-rate", "calm")[0]["prediction"][0]

    class Rows:
        def __len__(self) -> int:
            return 3

    assert model.predict(Rows(), None) == pytest.approx([wanted] * 3)
    with pytest.raises(ConfigError, match="several data sets"):
        board.model("base-rate")
    with pytest.raises(RunFolderError, match="no such leaderboard"):
        bench.load("nowhere")
    with pytest.raises(ConfigError, match="several boards"):
        board.best()


def test_columns_that_pandas_holds_in_its_index_are_columns() -> None:
    frame = LOG.to_pandas()
    kept = {cache_frame(form).read_bytes() for form in (frame.set_index("client_no"), frame.set_index(["client_no", "time"]))}
    assert kept == {cache_frame(frame).read_bytes()}, "both are the columns that the log has, in its order"
    assert holds_series(frame.rename(columns={"client_no": "unique_id", "time": "ds", "value": "y"}).set_index("ds"))


def test_a_lazy_frame_is_kept_as_the_frame_that_it_becomes() -> None:
    assert cache_frame(LOG.lazy()) == cache_frame(LOG)
