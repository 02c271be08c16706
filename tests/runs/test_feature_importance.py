"""Saved churn models are asked what they look at: the worker gets inputs alone, and who cannot answer has a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import run_kit

from bench.api import ChurnInputs
from bench.board import Board
from bench.data.events import Events
from bench.execute.jobs import Plugin
from bench.execute.messages import Apply, Done, Result
from bench.registry import Source
from bench.runs.feature_importance import SLOW, Occlusion, measure_importances, models_to_probe
from bench.runs.problem import Problem
from bench.tasks.base import ModelResult
from bench.tasks.churn.task import Churn
from bench.tasks.profiles import PROFILES


@pytest.fixture(scope="module")
def problem() -> Problem:
    frame = run_kit.purchases(0.01)
    split = Churn().split(Events.build(frame, name="made", activity=("purchase",)), {"horizon": "14d"}, PROFILES["smoke"], 0)
    return Problem("made", False, "f", split, [Plugin("m", Source("m", "nowhere"))])


def shown(folder: Path, name: str = "m", **final: Any) -> ModelResult:
    (folder / "models").mkdir(exist_ok=True)
    return ModelResult(name, "default", None, {"key": "k", "params": {}, "seed": 0, "saved": "models", "unsaved": "", **final}, [])


class FakeExecutor:
    """Answers as a worker would, with a function of the inputs; keeps what it was handed."""

    def __init__(self, folder: Path, model: Any) -> None:
        self.folder, self.model, self.payloads, self.messages = folder, model, [], []

    def submit(self, ticket: int, request: Any, limits: Any, *, runtime: str, stage: Any, final: bool) -> None:
        self.payloads.append(stage.payloads)
        self.messages.append((ticket, request, final))

    def collect(self, timeout: float) -> list[Done]:
        out = self.folder / f"out-{len(self.payloads)}"
        out.mkdir(exist_ok=True)
        result = Result("ok", parts=({"prediction": out / "part-0.prediction.npy"},))
        inputs = self.payloads[-1][0].read()[1]
        got = self.model(inputs)
        if isinstance(got, str):
            result = Result("timeout" if got == SLOW else "failed", got)
        else:
            np.save(out / "part-0.prediction.npy", got)
        return [Done(self.messages[-1][0], result)]


def by_recency(inputs: ChurnInputs) -> np.ndarray:
    """Look at nothing but the days since the last event: without any, the user is gone."""
    last = np.array([d[-1] if len(d) else 200.0 for d in np.split(inputs.days_before_cutoff, inputs.offsets[1:-1])])
    return 1 - np.exp(-last / 30)


def asked(problem: Problem, folder: Path, model: Any, **final: Any) -> tuple[dict[str, Any], FakeExecutor]:
    executor = FakeExecutor(folder, model)
    occlusion = Occlusion(executor, 1000.0, {"epochs": 1})
    return occlusion.measure_importance(problem, shown(folder, **final), Churn(), folder), executor


def test_a_model_that_reads_the_last_event_loses_by_it_and_by_nothing_else(problem: Problem, tmp_path: Path) -> None:
    found, _ = asked(problem, tmp_path, by_recency)
    drops = {(row["group"], row["what"]): row for row in found["rows"]}
    last = drops["time", "the last 7 days"]
    assert last["low"] > 0
    assert last["low"] <= last["drop"] <= last["high"]
    assert drops["kind", "purchase"]["drop"] == pytest.approx(found["auc"] - 0.5, abs=1e-5)
    assert drops["time", "all before the last 28 days"]["drop"] == 0
    assert all(row["drop"] == row["low"] == row["high"] == 0 for (group, _), row in drops.items() if group == "aggregate")


def test_no_worker_sees_a_label_and_each_is_asked_as_after_a_final_fit(problem: Problem, tmp_path: Path) -> None:
    found, executor = asked(problem, tmp_path, by_recency)
    assert len(executor.payloads) == 1 + len(found["rows"])
    for (payload,) in executor.payloads:
        train, inputs = payload.read()
        assert train is None
        assert type(inputs) is ChurnInputs
        assert not hasattr(inputs, "y")
    assert all(isinstance(request, Apply) and final for _, request, final in executor.messages)
    assert not list(tmp_path.glob("out-*")), "answers are removed when they were read"


def test_asking_twice_gives_the_same(problem: Problem, tmp_path: Path) -> None:
    assert asked(problem, tmp_path, by_recency)[0] == asked(problem, tmp_path, by_recency)[0]


def test_a_fit_that_was_not_saved_or_is_gone_has_a_sentence(problem: Problem, tmp_path: Path) -> None:
    found, executor = asked(problem, tmp_path, by_recency, saved=None, unsaved="TypeError: no save")
    assert found["reason"] == "its fit could not be saved (TypeError: no save)"
    assert "is gone" in asked(problem, tmp_path, by_recency, saved="models/gone")[0]["reason"]
    assert not executor.payloads


def test_a_fit_that_fails_or_answers_nonsense_has_a_sentence(problem: Problem, tmp_path: Path) -> None:
    assert asked(problem, tmp_path, lambda _: "ValueError: broken")[0]["reason"].endswith("failed: ValueError: broken")
    assert "expected probabilities" in asked(problem, tmp_path, lambda x: by_recency(x) + 1)[0]["reason"]


def test_a_question_that_fails_is_a_row_with_its_reason_and_the_others_are_asked(problem: Problem, tmp_path: Path) -> None:
    found, _ = asked(problem, tmp_path, lambda x: by_recency(x) if x.lengths.min() else "IndexError: empty history")
    failed = [row for row in found["rows"] if row.get("reason")]
    assert {row["what"] for row in failed} >= {"purchase"}
    assert all(row["reason"] == "IndexError: empty history" and "drop" not in row for row in failed)
    assert [row for row in found["rows"] if row["group"] == "aggregate" and "drop" in row]


def test_after_a_question_that_takes_too_long_no_more_are_asked(problem: Problem, tmp_path: Path) -> None:
    found, executor = asked(problem, tmp_path, lambda x: by_recency(x) if x.lengths.min() else SLOW)
    assert found["rows"][0]["reason"] == SLOW
    assert all(row["reason"].startswith("not asked") for row in found["rows"][1:])
    assert len(executor.payloads) == 2


def test_leader_and_reference_are_asked_once_and_what_is_known_is_kept(problem: Problem, tmp_path: Path) -> None:
    of_all = [shown(tmp_path, name) for name in ("reference", "best", "other")]
    assert [one.model for one in models_to_probe(["ensemble", "best", "other"], of_all, "reference")] == ["best", "reference"]
    assert [one.model for one in models_to_probe(["reference"], of_all, "reference")] == ["reference"]
    executor = FakeExecutor(tmp_path, by_recency)
    occlusion = Occlusion(executor, 1000.0, {})
    known = {"m": {"key": "k", "reason": "kept"}}
    assert measure_importances(occlusion, problem, [shown(tmp_path)], Churn(), tmp_path, known)["m"]["reason"] == "kept"
    assert measure_importances(occlusion, problem, [shown(tmp_path, key="new")], Churn(), tmp_path, known)["m"]["reason"] == ""


def test_a_run_asks_its_leader_and_reference_and_they_answer_as_on_the_board() -> None:
    place = run_kit.churn()
    figures = json.loads((place / "run" / "figures.json").read_text())
    rows = Board.read(place / "run").rows
    for figure in [one for one in figures if one["kind"] == "churn"]:
        assert "rfm-logit" in figure["looks_at"]
        for model, found in figure["looks_at"].items():
            scores = {r["roc_auc"] for r in rows if (r["dataset"], r["model"]) == (figure["dataset"], model)}
            assert found["reason"] == ""
            assert any(found["auc"] == pytest.approx(score, abs=1e-6) for score in scores)
            drops = {row["what"]: row["drop"] for row in found["rows"] if row["group"] == "aggregate"}
            assert max(drops.values()) > 0.01
            assert all(row["drop"] == 0 for row in found["rows"] if row["group"] != "aggregate"), "these models read aggregates alone"
