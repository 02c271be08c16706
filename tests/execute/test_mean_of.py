"""A mean of configurations is a model like any other: fitted, saved, loaded and asked as one."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from execute.kit import steady
from plugins.network_kit import panel as panel_of

import bench
from bench.api import Context
from bench.data.panel import Forecast
from bench.execute.mean_of import KEY, MeanOf, configurations, counted, fitted, make, params_of
from bench.execute.prediction_files import read_prediction
from bench.registry import discover
from bench.report.words import params_table
from bench.runs import cost
from bench.runs.cell import Cell
from bench.runs.run_events import JobRetried
from bench.sources.load import loaded, requested
from bench.tasks.churn.task import Churn
from bench.tasks.profiles import profile
from bench.tune.ledger import read_lines

CTX = Context(quantiles=(0.1, 0.5, 0.9))


class Constant:
    """Answer with what its parameter says; it needs no data."""

    def __init__(self, params: Any) -> None:
        self.level, self.deadline, self.drawn = params["level"], 0.0, 0.0

    def fit(self, train: Any, ctx: Context) -> None:
        self.deadline, self.drawn = ctx.deadline, float(np.random.default_rng(ctx.seed).random())

    def predict(self, inputs: Any, ctx: Context) -> Any:
        if inputs == "forecast":
            return Forecast(np.full((2, 3, 3), self.level), fallback=np.array([self.level > 1, False]))
        return np.full(4, self.level)

    def save(self, folder: Path) -> None:
        (folder / "level").write_text(str(self.level))

    def load(self, folder: Path) -> None:
        self.level = float((folder / "level").read_text())


class Reasoned(Constant):
    def contributions(self, inputs: Any) -> Any:
        return np.full((4, 2), 10 * self.level)


def of(*levels: float, model_class: Any = Constant) -> Any:
    made = make(model_class, params_of([{"level": level} for level in levels]))
    made.fit(None, CTX)
    return made


def test_one_configuration_is_the_model_itself() -> None:
    assert isinstance(of(2.0), Constant)
    assert params_of([{"level": 2.0}]) == {"level": 2.0}
    assert configurations(params_of([{"a": 1}, {"a": 2}])) == [{"a": 1}, {"a": 2}]


def test_probabilities_and_quantiles_are_averaged_and_a_fallback_of_one_is_one_of_all() -> None:
    mean = of(0.5, 1.0, 3.0)
    assert mean.predict("rows", CTX).tolist() == [1.5] * 4
    forecast = mean.predict("forecast", CTX)
    assert (forecast.quantiles == 1.5).all()
    assert forecast.mean is None
    assert forecast.fallback.tolist() == [True, False]


def test_scores_are_averaged_in_deviations_of_each_rows_own_training_steps() -> None:
    panel = panel_of(np.random.default_rng(0).normal(size=(3, 40)), "anomaly")
    scores = [np.random.default_rng(n).normal(size=panel.values.shape) * 100**n for n in range(2)]

    class Scores(Constant):
        def predict(self, inputs: Any, ctx: Context) -> Any:
            return scores[int(self.level)]

    found = of(0, 1, model_class=Scores).predict(panel, CTX)
    for n in range(len(panel)):
        until = panel.until[n]
        expected = np.mean([(score[n] - score[n, :until].mean()) / score[n, :until].std() for score in scores], axis=0)
        assert found[n] == pytest.approx(expected)


def test_it_is_saved_and_loaded_as_one(tmp_path: Path) -> None:
    mean = of(0.5, 1.5)
    mean.save(tmp_path)
    again = make(Constant, params_of([{"level": 8.0}, {"level": 9.0}]))
    again.load(tmp_path)
    assert again.predict("rows", CTX).tolist() == mean.predict("rows", CTX).tolist() == [1.0] * 4


def test_a_configuration_that_is_taken_over_is_loaded_and_not_fitted(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    Constant({"level": 5.0}).save(tmp_path / "before")
    mean = make(Constant, params_of([{"level": 1.0}, {"level": 2.0}, {"level": 3.0}]), taken={1: tmp_path / "before"})
    now = time.monotonic()
    mean.fit(None, replace(CTX, deadline=now + 300.0))
    first, taken, last = mean.models
    assert taken.deadline == 0.0
    assert [round((one.deadline - now) / 150) for one in (first, last)] == [1, 2], "the others share the time"
    assert mean.predict("rows", CTX).tolist() == [3.0] * 4
    (tmp_path / "mean").mkdir()
    mean.save(tmp_path / "mean")
    assert [(tmp_path / "mean" / str(at) / "level").read_text() for at in range(3)] == ["1.0", "5.0", "3.0"]


def test_a_configuration_that_counts_twice_is_fitted_once_or_taken_over(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    Constant({"level": 5.0}).save(tmp_path / "before")
    for taken, mean_level in (({}, 2.0), ({0: tmp_path / "before"}, 4.0)):
        mean = make(Constant, params_of([{"level": 1.0}, {"level": 1.0}, {"level": 3.0}, {"level": 3.0}]), taken=taken)
        now = time.monotonic()
        mean.fit(None, replace(CTX, deadline=now + 300.0))
        once, twice, other, again = mean.models
        assert (once, other) == (twice, again)
        assert [round((one.deadline - now) / 150) for one in (once, other) if one.deadline] == ([2] if taken else [1, 2])
        assert mean.predict("rows", CTX).tolist() == [mean_level] * 4
    mean.save(tmp_path)
    loaded = make(Constant, params_of([{"level": 7.0}, {"level": 7.0}, {"level": 8.0}, {"level": 8.0}]))
    loaded.load(tmp_path)
    assert loaded.predict("rows", CTX).tolist() == [4.0] * 4


def test_reasons_are_there_where_every_configuration_gives_them() -> None:
    assert not hasattr(of(1.0, 2.0), "contributions")
    assert of(1.0, 2.0, model_class=Reasoned).contributions("rows").tolist() == [[15.0, 15.0]] * 4


def test_each_fit_has_its_share_of_the_time_that_is_left() -> None:
    mean = make(Constant, params_of([{"level": 1.0}, {"level": 2.0}, {"level": 3.0}]))
    assert isinstance(mean, MeanOf)
    now = time.monotonic()
    mean.fit(None, replace(CTX, deadline=now + 300.0))
    assert [round((model.deadline - now) / 100) for model in mean.models] == [1, 2, 3]  # type: ignore[attr-defined]


def test_a_tuned_row_is_the_mean_of_its_configurations_and_is_loaded_as_such(tmp_path: Path) -> None:
    out = tmp_path / "run"
    plugin = str(Path(__file__).with_name("noisy.py"))
    board = bench.run("churn", datasets=["retail"], models=["noisy"], plugins=[plugin], trials=20, profile="smoke", out=out)
    rows = {row["tuning"]: row for row in pl.read_parquet(out / "leaderboard.parquet").to_dicts() if row["model"] == "noisy"}
    tuned, few = rows["tuned"], json.loads(rows["tuned"]["params"])[KEY]
    assert "averaged" in tuned["flags"]
    assert 2 <= len(few) <= 3
    assert tuned["roc_auc"] > rows["default"]["roc_auc"] + 0.02
    own = [e for _, _, e in read_lines(out / "ledger.jsonl") if e["model"] == "noisy"]
    mean = next(e for e in own if e["stage"] == "final" and KEY in e["params"])
    stored = read_prediction(out / mean["prediction"])[0]["prediction"]
    for stage in {e["stage"] for e in own} - {"final"}:
        (validated,) = [e for e in own if e["stage"] == stage and KEY in e["params"]]
        each = [e for e in own if e["stage"] == stage and e["params"] in few]
        assert validated["value"] > max(e["value"] for e in each), "the mean is what was scored on validation"
    model = board.model("noisy")
    assert isinstance(model, MeanOf)
    assert [dict(one.params) for one in model.models] == few
    # the loaded configurations, asked about the same users one by one, have the stored prediction as their mean
    caps = profile("smoke")
    (request,) = requested(("retail",), None, discover((), ()), holds=("events",))
    data = loaded(request, discover((), ()), {}, size=caps.users, seed=0)
    (split,) = Churn().splits(data.data, {}, caps, 0, simulated=True)
    inputs = split.stages["final"].parts[0]
    assert np.mean([one.predict(inputs, CTX) for one in model.models], axis=0) == pytest.approx(stored, abs=1e-12)


def test_a_mean_takes_the_defaults_final_fit_over_and_is_fitted_whole_where_that_cannot_be_loaded(tmp_path: Path) -> None:
    told: list[Any] = []
    source = Path(__file__).with_name("noisy.py").read_text().replace("deterministic = True", "deterministic = False")
    found = {}
    for name, load in (("good", "super().load(folder)"), ("bad", 'raise OSError("it cannot be read")')):
        plugin = tmp_path / f"{name}.py"
        plugin.write_text(source.replace("    def fit(", f"    def load(self, folder):\n        {load}\n\n    def fit(", 1))
        common: dict[str, Any] = {"datasets": ["retail"], "models": ["noisy"], "plugins": [str(plugin)], "profile": "smoke"}
        bench.run("churn", **common, trials=20, seeds=2, out=tmp_path / name, listen=told.append)
        finals = [e for _, _, e in read_lines(tmp_path / name / "ledger.jsonl") if e["stage"] == "final"]
        assert {e["status"] for e in finals} == {"ok"}
        defaults, means = ({e["seed"]: e for e in finals if (KEY in e["params"]) == averaged} for averaged in (False, True))
        assert set(defaults) == set(means) == {0, 1}
        for seed, mean in means.items():
            assert mean["params"][KEY][0] == defaults[seed]["params"]
            assert mean.get("taken_over") == (defaults[seed]["fit_seconds"] if name == "good" else None)
            assert mean["fit_seconds"] > mean.get("taken_over", 0.0)
        found[name] = [read_prediction(tmp_path / name / mean["prediction"])[0]["prediction"] for _, mean in sorted(means.items())]
    assert np.array_equal(found["good"], found["bad"])
    (once, twice) = [event for event in told if isinstance(event, JobRetried)]
    assert "it cannot be read" in once.reason
    assert "it cannot be read" in twice.reason


def test_what_a_foreign_plugin_saved_when_it_knew_a_later_parts_truth_is_not_taken_over() -> None:
    def cell(*, parts: int, shipped: bool) -> Cell:
        stage, plugin = SimpleNamespace(parts=range(parts)), SimpleNamespace(source=SimpleNamespace(shipped=shipped))
        return Cell("log", SimpleNamespace(stages={"final": stage}), plugin, "cpu", {}, {})  # type: ignore[arg-type]

    default: dict[str, Any] = {
        "stage": "final",
        "seed": 3,
        "params": {"a": 1},
        "status": "ok",
        "saved": "models/k",
        "unsaved": "",
        "cut_short": False,
    }
    mean: Any = SimpleNamespace(stage="final", seed=3, params=params_of([{"a": 0}, {"a": 1}]))
    for parts, shipped, taken in ((1, False, True), (2, True, True), (2, False, False)):
        assert cell(parts=parts, shipped=shipped).taken_over(mean, [default]) == ((1, default) if taken else None)
    for other in (
        {"seed": 4},
        {"stage": "search"},
        {"status": "failed"},
        {"saved": None},
        {"unsaved": "why"},
        {"cut_short": True},
        {"params": {"a": 2}},
    ):
        assert cell(parts=1, shipped=True).taken_over(mean, [{**default, **other}]) is None


def test_validations_that_were_removed_are_fitted_again_for_a_larger_budget(tmp_path: Path) -> None:
    plugins = [str(Path(__file__).with_name("noisy.py")), str(steady(tmp_path))]
    common: dict[str, Any] = {"datasets": ["retail"], "models": ["steady", "noisy"], "plugins": plugins, "profile": "smoke"}
    bench.run("churn", **common, trials=12, out=tmp_path / "grown")
    bench.run("churn", **common, trials=20, out=tmp_path / "grown")
    bench.run("churn", **common, trials=20, out=tmp_path / "whole")
    columns = ["model", "tuning", "roc_auc", "log_loss", "valid_score", "params", "trials", "fits"]
    grown, whole = (pl.read_parquet(tmp_path / name / "leaderboard.parquet", columns=columns) for name in ("grown", "whole"))
    assert grown.equals(whole)


def test_a_fit_that_worked_once_and_not_again_ends_with_a_reason(tmp_path: Path) -> None:
    """A run is killed before the mean is made, its predictions are lost and the plugin breaks: it still ends, and says why."""
    marker, plugin = tmp_path / "broken", tmp_path / "noisy.py"
    text = Path(__file__).with_name("noisy.py").read_text()
    check = f"        from pathlib import Path\n        if Path({str(marker)!r}).exists():\n            raise RuntimeError('it broke')\n"
    plugin.write_text(text.replace("        self.state = ", check + "        self.state = "))
    common: dict[str, Any] = {"datasets": ["retail"], "models": ["noisy"], "plugins": [str(plugin)], "profile": "smoke"}
    bench.run("churn", **common, trials=12, out=tmp_path / "run", sandbox="off")
    for file in (tmp_path / "run" / "valid").iterdir():
        file.unlink()
    ledger = tmp_path / "run" / "ledger.jsonl"
    ledger.write_text("".join(line for line in ledger.read_text().splitlines(keepends=True) if KEY not in json.loads(line)["params"]))
    marker.touch()
    bench.run("churn", **common, trials=12, out=tmp_path / "run", sandbox="off")
    means = [e for _, _, e in read_lines(ledger) if e["model"] == "noisy" and e["stage"] != "final" and KEY in e["params"]]
    assert any(e["reason"] == "a configuration could not be fitted again: failed: RuntimeError: it broke" for e in means)
    rows = pl.read_parquet(tmp_path / "run" / "leaderboard.parquet").filter(pl.col("model") == "noisy")
    assert set(rows["tuning"]) == {"default", "tuned"}


def test_one_that_counts_several_times_is_fitted_once_and_shown_once() -> None:
    mean = params_of([{"x": 1}, {"x": 1}, {"x": 2}, {"x": 3}])
    assert counted(mean) == [({"x": 1}, 2), ({"x": 2}, 1), ({"x": 3}, 1)]
    assert (fitted(mean), len(configurations(mean)), fitted({"x": 1})) == (3, 4, 1)
    entry = {"params": mean, "fit_seconds": 6.0, "predict_seconds": 0.0, "status": "ok"}
    assert cost.spent(entry).configurations == 3
    head, rows = params_table(json.dumps(mean))
    assert head == ("parameter", "configuration 1, counts 2 times", "configuration 2", "configuration 3")
    assert rows == [("x", "1", "2", "3")]
