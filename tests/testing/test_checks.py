"""Each check catches the model that breaks what it is about, and no other check does; a good model passes them all."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
from optuna.distributions import FloatDistribution

from bench.api import ArrayModel, ChurnInputs, ChurnTrain, Context, Forecast
from bench.testing.answers import CheckError
from bench.testing.checks import CHECKS, it_imports_without_a_gpu
from bench.testing.verdicts import refuse_unsound, verdict_of

CASES = [(task, c) for task in ("", "anomaly", "churn", "forecasting") for c in CHECKS if task in c.tasks or not (task or c.tasks)]


class Good(ArrayModel):
    """Serve all tasks with means; what is broken below is broken in a subclass."""

    name = "good"
    tasks = frozenset({"churn", "forecasting", "anomaly"})
    deterministic = True
    local = True

    @staticmethod
    def space():
        return {"weight": FloatDistribution(0.0, 1.0)}

    @staticmethod
    def default():
        return {"weight": 0.5}

    def fit(self, train, ctx):
        self.state = {"rate": np.array(train.y.mean() if isinstance(train, ChurnTrain) else 0.0)}

    def predict(self, inputs, ctx):
        if isinstance(inputs, ChurnInputs):
            p = 0.5 + 0.4 * np.tanh(np.log1p(inputs.column("recency")) - 2)
            return self.params["weight"] * p + (1 - self.params["weight"]) * self.state["rate"]
        level = inputs.values[:, :-1].mean(axis=1) if inputs.horizon else inputs.values[:, 0]
        if inputs.horizon:
            return Forecast(np.broadcast_to(level[:, None, None], (len(inputs), inputs.horizon, len(ctx.quantiles))) + self.state["rate"])
        return np.abs(inputs.values - level[:, None]) + self.state["rate"]

    def insight(self, inputs, ctx):
        return {"embedding": inputs.static * 1.0, "step_weights": np.ones(int(inputs.offsets[-1]))}


def shifted(answer, by):
    """Move an answer of any task, [N, ...], by a number or one for each row."""
    values = answer.quantiles if isinstance(answer, Forecast) else answer
    moved = values + np.reshape(by, (-1,) + (1,) * (values.ndim - 1))
    return Forecast(moved) if isinstance(answer, Forecast) else moved


class DefaultOutside(Good):
    @staticmethod
    def space():
        return {"weight": FloatDistribution(0.6, 1.0)}


class ForgetsParameters(Good):
    @property
    def params(self):
        return {"weight": 0.25}

    @params.setter
    def params(self, given):
        pass


class WrongShape(Good):
    def predict(self, inputs, ctx):
        answer = super().predict(inputs, ctx)
        return Forecast(answer.quantiles[:, :1]) if isinstance(answer, Forecast) else answer[..., None]


class DrawsFromNowhere(Good):
    deterministic = False
    local = False

    def fit(self, train, ctx):
        super().fit(train, ctx)
        self.state["rate"] = self.state["rate"] + np.random.default_rng().uniform(0, 0.01)


class SaysDeterministic(Good):
    def fit(self, train, ctx):
        super().fit(train, ctx)
        self.state["rate"] = self.state["rate"] + np.random.default_rng(ctx.seed).uniform(0, 0.01)


class WritesIntoTraining(Good):
    def fit(self, train, ctx):
        super().fit(train, ctx)
        (train.cutoff if isinstance(train, ChurnTrain) else train.mask)[...] = 0


class WritesIntoInputs(Good):
    def predict(self, inputs, ctx):
        answer = super().predict(inputs, ctx)
        (inputs.cutoff if isinstance(inputs, ChurnInputs) else inputs.mask)[...] = 0
        return answer


class CountsItsCalls(Good):
    calls = 0

    def predict(self, inputs, ctx):
        self.calls += 1
        return shifted(super().predict(inputs, ctx), self.calls * 1e-3)


class LooksAround(Good):
    def predict(self, inputs, ctx):
        return shifted(super().predict(inputs, ctx), 0.05 * (len(inputs) > 1))


class LearnsAcross(Good):
    def fit(self, train, ctx):
        self.state = {"rate": np.array(train.y.mean() if isinstance(train, ChurnTrain) else train.values.mean())}


class LooksAhead(Good):
    def predict(self, inputs, ctx):
        answer = super().predict(inputs, ctx)
        return answer if isinstance(inputs, ChurnInputs) or inputs.horizon else answer / (1 + answer.max(axis=1, keepdims=True))


class CountsTheSteps(Good):
    def predict(self, inputs, ctx):
        answer = super().predict(inputs, ctx)
        return answer if isinstance(inputs, ChurnInputs) or inputs.horizon else answer + inputs.steps


class NeverStops(Good):
    def fit(self, train, ctx):
        super().fit(train, ctx)
        for _ in range(ctx.epochs):
            ctx.should_stop()


class StopsWithoutAModel(Good):
    def fit(self, train, ctx):
        super().fit(train, ctx)
        for _ in range(2):
            if ctx.should_stop():
                self.state = {}
                return


class Pickles(Good):
    def save(self, folder):
        (folder / "state.bin").write_bytes(pickle.dumps(self.state))

    def load(self, folder):
        self.state = pickle.loads((folder / "state.bin").read_bytes())


class ForgetsWhatItLearnt(Good):
    def load(self, folder):
        self.state = {"rate": np.array(0.125)}


class NeedsTwo(Good):
    def fit(self, train, ctx):
        if len(train) < 2:
            raise ValueError("too few\nrows")
        super().fit(train, ctx)


class DividesByTheSpread(Good):
    def fit(self, train, ctx):
        spread = np.ptp(train.static, axis=0) if isinstance(train, ChurnTrain) else np.ptp(train.values, axis=1)
        if len(train) > 1 and not spread.any():
            raise ZeroDivisionError
        super().fit(train, ctx)


class KnowsEveryKind(Good):
    def predict(self, inputs, ctx):
        if isinstance(inputs, ChurnInputs) and not inputs.kind.any():
            raise KeyError("?")
        return super().predict(inputs, ctx)


class ShowsTooFew(Good):
    def insight(self, inputs, ctx):
        return {"embedding": inputs.static[1:]}


class ShowsNoArrays(Good):
    def insight(self, inputs, ctx):
        return [inputs.static]


class ShowsNoise(Good):
    def insight(self, inputs, ctx):
        return {"embedding": np.random.default_rng().normal(size=(len(inputs), 2))}


class SpoilsWhenItShows(Good):
    def insight(self, inputs, ctx):
        inputs.cutoff[...] = 0
        return {}


class LikesItsDefault(Good):
    def fit(self, train, ctx):
        if self.params != self.default():
            raise ValueError("singular matrix")
        super().fit(train, ctx)


class Never(Good):
    def fit(self, train, ctx):
        raise CheckError("never")


BROKEN = [
    (DefaultOutside, {""}, {"its default lies inside its space"}),
    (ForgetsParameters, {""}, {"its default lies inside its space"}),
    (DrawsFromNowhere, {"churn", "forecasting", "anomaly"}, {"the same seed gives the same answer"}),
    (SaysDeterministic, {"churn", "forecasting", "anomaly"}, {"the seed changes nothing where it is deterministic"}),
    (WritesIntoTraining, {"churn", "forecasting", "anomaly"}, {"inputs are left as they were"}),
    (WritesIntoInputs, {"churn", "forecasting", "anomaly"}, {"inputs are left as they were"}),
    (LooksAround, {"churn", "forecasting", "anomaly"}, {"a row alone gets the answer it gets among others"}),
    (LearnsAcross, {"forecasting", "anomaly"}, {"a local model learns nothing across series"}),
    (LooksAhead, {"anomaly"}, {"a causal score depends on no later step"}),
    (CountsTheSteps, {"anomaly"}, {"a causal score depends on no later step"}),
    (NeverStops, {"churn", "forecasting", "anomaly"}, {"told to stop it ends soon and still predicts"}),
    (StopsWithoutAModel, {"churn", "forecasting", "anomaly"}, {"told to stop it ends soon and still predicts"}),
    (Pickles, {"churn", "forecasting", "anomaly"}, {"saved and loaded it gives the same answer without a pickle"}),
    (ForgetsWhatItLearnt, {"churn", "forecasting", "anomaly"}, {"saved and loaded it gives the same answer without a pickle"}),
    (NeedsTwo, {"churn", "forecasting", "anomaly"}, {"one user or series is answered or refused in one line"}),
    (DividesByTheSpread, {"churn", "forecasting", "anomaly"}, {"constant data gets an answer"}),
    (KnowsEveryKind, {"churn"}, {"kinds unseen in training get an answer"}),
    *(
        (model, {"churn"}, {"what it shows of itself can be drawn"})
        for model in (ShowsTooFew, ShowsNoArrays, ShowsNoise, SpoilsWhenItShows)
    ),
    (LikesItsDefault, {"churn", "forecasting", "anomaly"}, {"it fits at seeded draws from its space"}),
]
"""Model, the tasks in which it is caught, and the checks that catch it: no other may."""


def failures(model) -> set[tuple[str, str]]:
    verdicts = [verdict_of(model.__name__, task, c.name, partial(c.run, model, task)) for task, c in CASES]
    return {(v.task, v.check) for v in verdicts if v.status == "failed"}


def failing(check: str, model, task: str):
    (found,) = (c for c in CHECKS if c.name == check)
    return verdict_of("m", task, check, partial(found.run, model, task))


@pytest.mark.parametrize(("task", "check"), CASES, ids=[f"{task} {c.name}" for task, c in CASES])
def test_a_good_model_passes(task, check):
    verdict = verdict_of("good", task, check.name, partial(check.run, Good, task))
    assert verdict.status == ("skipped" if "told to stop" in check.name else "ok"), verdict.reason


@pytest.mark.parametrize(("model", "tasks", "checks"), BROKEN, ids=[m.__name__ for m, *_ in BROKEN])
def test_a_broken_model_is_caught_by_the_check_that_is_about_it_and_by_no_other(model, tasks, checks):
    assert failures(model) == {(task, check) for task in tasks for check in checks}


@pytest.mark.parametrize("task", ["churn", "forecasting", "anomaly"])
def test_an_answer_of_another_shape_is_refused_in_the_runners_words(task):
    verdict = failing("it answers every row with finite numbers", WrongShape, task)
    assert verdict.status == "failed"
    assert "shape" in verdict.reason


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("task", ["churn", "forecasting", "anomaly"])
def test_an_answer_that_is_not_finite_is_refused(task, bad):
    model = type("Bad", (Good,), {"predict": lambda self, inputs, ctx: shifted(Good.predict(self, inputs, ctx), bad)})
    verdict = failing("it answers every row with finite numbers", model, task)
    assert (verdict.status, "not finite" in verdict.reason) == ("failed", True)


@pytest.mark.parametrize("task", ["churn", "forecasting", "anomaly"])
def test_a_model_that_counts_its_calls_is_caught_when_it_is_asked_twice(task):
    assert failing("asked twice it gives the same answer", CountsItsCalls, task).status == "failed"


def test_a_model_that_answers_by_position_is_caught_by_another_order():
    model = type(
        "Numbers", (Good,), {"predict": lambda self, inputs, ctx: shifted(Good.predict(self, inputs, ctx), np.arange(len(inputs)))}
    )
    for task in ("forecasting", "anomaly"):
        assert failing("the order of rows does not matter", model, task).status == "failed"


def test_a_plugin_that_needs_a_gpu_to_be_imported_is_caught(tmp_path, monkeypatch):
    from bench.registry import Source, models

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    path = tmp_path / "hungry.py"
    body = 'class Hungry(bench.ArrayModel):\n    name = "hungry"\n    tasks = frozenset({"churn"})\n'
    body += "@bench.hookimpl\ndef bench_models():\n    return [Hungry]\n"
    path.write_text(f'import os\nimport bench\nif os.environ.get("CUDA_VISIBLE_DEVICES") == "":\n    raise RuntimeError("no GPU")\n{body}')
    model = models(Source("hungry", str(path), is_file=True))["hungry"]
    with pytest.raises(CheckError, match="without a GPU, fails: RuntimeError: no GPU"):
        it_imports_without_a_gpu(model, "", Context())


def test_a_refusal_in_words_is_an_answer_to_a_single_row_and_to_nothing_else():
    def fit(self, train, ctx):
        if len(train) < 2:
            raise CheckError("two users at least")
        Good.fit(self, train, ctx)

    model = type("Choosy", (Good,), {"fit": fit})
    assert failing("one user or series is answered or refused in one line", model, "churn").status == "ok"

    assert failing("it answers every row with finite numbers", Never, "churn").reason == "never"


def test_a_failure_names_its_place_in_the_plugin():
    verdict = failing("constant data gets an answer", DividesByTheSpread, "churn")
    assert verdict.reason.startswith("ZeroDivisionError (test_checks.py:")


def test_an_expected_failure_keeps_its_reason_and_one_that_passes_is_a_failure():
    def raises():
        raise CheckError("no")

    assert verdict_of("m", "churn", "c", raises, "it draws").status == "expected failure"
    assert verdict_of("m", "churn", "c", raises, "it draws").reason == "it draws"
    passing = verdict_of("m", "churn", "c", lambda: None, "it draws")
    assert (passing.status, "take it off the list" in passing.reason) == ("failed", True)


@pytest.mark.parametrize(("key", "reason", "words"), [("c", " ", "no reason"), ("churn: c", "", "no reason"), ("d", "x", "is no check")])
def test_an_excuse_for_nothing_or_without_words_is_refused(key, reason, words):
    refuse_unsound({"c": "because"}, ["c"])
    refuse_unsound({"churn: c": "because"}, ["c"])
    with pytest.raises(CheckError, match=words):
        refuse_unsound({key: reason}, ["c"])
