"""What every model must keep, as plain functions: `check(model_class, task, ctx)` raises `CheckError`, or returns.

A check's name is its function's, read as a sentence. None needs pytest.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from bench.api import ChurnInputs, Context, Insight, Model
from bench.errors import BenchError
from bench.execute.task_space import space_of
from bench.testing.answers import (
    CLOSE,
    EXACT,
    CheckError,
    NotApplicableError,
    changed,
    difference,
    disturbed,
    fit_and_predict,
    fit_model,
    predict_checked,
    rows_of,
)  # fmt: skip
from bench.testing.data import alone, constant, context, example
from bench.testing.pickles import pickled

Call: TypeAlias = Callable[[Any, str, Context], None]
DRAWS = 2
"""Points of the search space that are tried."""
PATIENCE = 10
"""Times that `fit` may ask on after it was told to stop."""
PANELS = frozenset({"forecasting", "anomaly"})
EVERY = PANELS | {"churn", "next-event"}


@lru_cache(maxsize=1)
def first_fit(model: type[Model], task: str, ctx: Context) -> tuple[Model, str]:
    """Fit on the task's problem, once for all checks that only ask: a slow model's fits are what a check costs.

    The second item names the field of its training data that `fit` has changed; empty: none.
    """
    problem = example(task)
    before = copy.deepcopy(problem.train)
    fit = fit_model(model, problem, ctx)
    return fit, changed(before, problem.train)


def once(model: type[Model], task: str, ctx: Context) -> Model:
    """Return the model of the first fit."""
    return first_fit(model, task, ctx)[0]


@dataclass(frozen=True)
class Check:
    """One check and the tasks that it belongs to; none: it is run once, whatever the task."""

    call: Call
    tasks: frozenset[str]

    @property
    def name(self) -> str:
        """Return the function's name as a sentence."""
        return self.call.__name__.replace("_", " ")

    def run(self, model: type[Model], task: str) -> None:
        """Run it on a model in the context of the task's small problem."""
        self.call(model, task, context(task) if task else Context())


def its_default_lies_inside_its_space(model: type[Model], task: str, ctx: Context) -> None:  # noqa: ARG001 - one signature for all
    """Compare metadata, space and default with what the runner takes, and that a model keeps its parameters."""
    from bench.execute.describe_plugin import metadata
    from bench.tasks.lookup import names

    metadata(model.name, model)
    known = {*EVERY, *names()}
    if unknown := sorted(set(model.tasks) - known) or ([] if model.tasks else ["no task"]):
        raise CheckError(f"tasks holds {unknown[0]!r}; known: {', '.join(sorted(known))}")
    given = dict(model.default())
    if model(given).params != given:
        raise CheckError("the model does not keep its parameters; call super().__init__(params)")


def it_imports_without_a_gpu(model: type[Model], task: str, ctx: Context) -> None:  # noqa: ARG001 - as above
    """Import the plugin's module in a process of its own that sees no GPU."""
    from bench.testing.importing import import_alone

    import_alone(model)


def it_answers_every_row_with_finite_numbers(model: type[Model], task: str, ctx: Context) -> None:
    """Look for the task's shape and type: P(churn) [N]; quantiles [N, H, Q]; scores [N, T]; a ranking [N, K]."""
    predict_checked(once(model, task, ctx), example(task).inputs, ctx)


def the_same_seed_gives_the_same_answer(model: type[Model], task: str, ctx: Context) -> None:
    """Fit twice."""
    problem = example(task)
    if off := difference(predict_checked(once(model, task, ctx), problem.inputs, ctx), fit_and_predict(model, problem, ctx), EXACT):
        raise CheckError(f"fitted twice with seed {ctx.seed}, it gives two answers: {off}; draw from ctx.seed alone")


def the_seed_changes_nothing_where_it_is_deterministic(model: type[Model], task: str, ctx: Context) -> None:
    """Fit with two seeds: a model that is called deterministic gets a single final fit."""
    if not model.deterministic:
        raise NotApplicableError("it does not call itself deterministic")
    problem, other = example(task), replace(ctx, seed=ctx.seed + 1)
    if off := difference(predict_checked(once(model, task, ctx), problem.inputs, ctx), fit_and_predict(model, problem, other), EXACT):
        raise CheckError(f"deterministic is True, but another seed gives another answer: {off}")


def inputs_are_left_as_they_were(model: type[Model], task: str, ctx: Context) -> None:
    """Compare both inputs, before and after."""
    fit, spoilt = first_fit(model, task, ctx)
    if spoilt:
        raise CheckError(f"fit changes {spoilt!r} of its inputs; work on a copy")
    inputs = example(task).inputs
    before = copy.deepcopy(inputs)
    predict_checked(fit, inputs, ctx)
    if name := changed(before, inputs):
        raise CheckError(f"predict changes {name!r} of its inputs; work on a copy")


def asked_twice_it_gives_the_same_answer(model: type[Model], task: str, ctx: Context) -> None:
    """Ask one fitted model twice: a cut-off's forecast must not depend on those asked before."""
    problem = example(task)
    fit = once(model, task, ctx)
    if off := difference(predict_checked(fit, problem.inputs, ctx), predict_checked(fit, problem.inputs, ctx), EXACT):
        raise CheckError(f"predict gives another answer when asked again: {off}; keep no state there")


def a_row_alone_gets_the_answer_it_gets_among_others(model: type[Model], task: str, ctx: Context) -> None:
    """Ask for three rows one by one, and for all at once: score(batch) == score(single)."""
    problem = example(task)
    fit = once(model, task, ctx)
    together = predict_checked(fit, problem.inputs, ctx)
    for row in np.unique(np.linspace(0, len(problem.inputs) - 1, 3).astype(int)):
        at = np.array([row])
        if off := difference(rows_of(together, at), predict_checked(fit, problem.inputs.take(at), ctx), CLOSE):
            raise CheckError(f"row {row} gets one answer among others, another one alone: {off}")


def the_order_of_rows_does_not_matter(model: type[Model], task: str, ctx: Context) -> None:
    """Ask for the rows in another order."""
    problem = example(task)
    fit = once(model, task, ctx)
    order = np.random.default_rng(1).permutation(len(problem.inputs))
    if off := difference(
        rows_of(predict_checked(fit, problem.inputs, ctx), order), predict_checked(fit, problem.inputs.take(order), ctx), CLOSE
    ):
        raise CheckError(f"in another order, rows get other answers: {off}")


def a_local_model_learns_nothing_across_series(model: type[Model], task: str, ctx: Context) -> None:
    """Fit on half of the series: a local model is handed panels in chunks, so that no series may tell of another."""
    if not model.local:
        raise NotApplicableError("it does not call itself local")
    problem, half = example(task), np.arange(2)
    part = replace(problem, train=problem.train.take(half), inputs=problem.inputs.take(half))
    whole = predict_checked(once(model, task, ctx), problem.inputs, ctx)
    if off := difference(rows_of(whole, half), fit_and_predict(model, part, ctx), CLOSE):
        raise CheckError(f"local is True, but without the other series the answer is another: {off}")


def a_causal_score_depends_on_no_later_step(model: type[Model], task: str, ctx: Context) -> None:
    """Change the steps from one on, and leave them out: scores before it must stay."""
    if not model.causal:
        raise NotApplicableError("it calls itself offline (causal is False)")
    problem = example(task)
    panel, fit = problem.inputs, once(model, task, ctx)
    at = int(panel.until[0]) + (panel.steps - int(panel.until[0])) // 2
    everywhere = np.full(len(panel), at)
    before = {"prediction": predict_checked(fit, panel, ctx)["prediction"][:, :at]}
    cut = replace(panel.ending(everywhere), until=panel.until)
    for what, other in (("change", disturbed(panel, everywhere)), ("are missing", cut)):
        if off := difference(before, {"prediction": predict_checked(fit, other, ctx)["prediction"][:, :at]}, CLOSE):
            raise CheckError(f"causal is True, but when the steps from {at} on {what}, an earlier score does: {off}")


@dataclass(frozen=True)
class Stopping(Context):
    """A context that says stop from the second time on that it is asked, and counts."""

    asks: list[bool] = field(default_factory=list)

    def should_stop(self) -> bool:
        """Describe no once, then yes."""
        self.asks.append(len(self.asks) > 0)
        return self.asks[-1]


def told_to_stop_it_ends_soon_and_still_predicts(model: type[Model], task: str, ctx: Context) -> None:
    """Describe stop when `fit` asks for the second time."""
    problem = example(task)
    told = Stopping(**{**vars(ctx), "epochs": 50})
    fit = fit_model(model, problem, told)
    asks = len(told.asks)
    if asks > 1 + PATIENCE:
        raise CheckError(f"fit asked {asks - 2} times more after should_stop() was True; wind down at once")
    predict_checked(fit, problem.inputs, told)
    if not told.asks:
        raise NotApplicableError("it never asks ctx.should_stop()")


def saved_and_loaded_it_gives_the_same_answer_without_a_pickle(model: type[Model], task: str, ctx: Context) -> None:
    """Save, look at the files, load into a new model, and ask both."""
    problem = example(task)
    fit = once(model, task, ctx)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        fit.save(folder)
        if found := pickled(folder):
            raise CheckError(f"save writes a pickle, {found[0]}; write JSON, npz, safetensors or text")
        other = model(fit.params)
        other.load(folder)
        if off := difference(predict_checked(fit, problem.inputs, ctx), predict_checked(other, problem.inputs, ctx), EXACT):
            raise CheckError(f"what was saved and loaded answers otherwise: {off}")


def one_user_or_series_is_answered_or_refused_in_one_line(model: type[Model], task: str, ctx: Context) -> None:
    """Fit and ask with a single one; what cannot be fitted may be refused, as a `BenchError` in words."""
    problem = alone(example(task))
    try:
        fit = fit_model(model, problem, ctx)
    except BenchError as error:
        if not str(error).strip() or "\n" in str(error):
            raise CheckError(f"its refusal is not one line: {str(error)!r}") from error
        return
    predict_checked(fit, problem.inputs, ctx)


def constant_data_gets_an_answer(model: type[Model], task: str, ctx: Context) -> None:
    """Fit and ask where no series ever changes, or all users are alike."""
    fit_and_predict(model, constant(example(task)), ctx)


def kinds_unseen_in_training_get_an_answer(model: type[Model], task: str, ctx: Context) -> None:
    """Ask for rows all of whose events are of a kind that training never saw: number 0."""
    problem = example(task)
    inputs: ChurnInputs = problem.inputs
    predict_checked(once(model, task, ctx), replace(inputs, kind=np.zeros_like(inputs.kind)), ctx)


def what_it_shows_of_itself_can_be_drawn(model: type[Model], task: str, ctx: Context) -> None:
    """Ask for its insight as the runner does, twice: known names, shapes, numbers; inputs left alone, the same when it is asked again."""
    from bench.tasks.churn.insight import refusal

    fit, inputs = once(model, task, ctx), example(task).inputs
    if not isinstance(fit, Insight):
        raise NotApplicableError("it has no method insight")
    before, given = copy.deepcopy(inputs), [fit.insight(inputs, ctx) for _ in range(2)]
    if not all(isinstance(one, Mapping) for one in given):
        raise CheckError(f"insight returned {type(given[0]).__name__}, expected a dict of arrays by name")
    first, again = ({name: np.asarray(array) for name, array in one.items()} for one in given)
    if fault := refusal(first, inputs):
        raise CheckError(fault)
    if name := changed(before, inputs):
        raise CheckError(f"insight changes {name!r} of its inputs; work on a copy")
    if off := difference(first, again, EXACT):
        raise CheckError(f"insight gives another answer when asked again: {off}")


def it_fits_at_seeded_draws_from_its_space(model: type[Model], task: str, ctx: Context) -> None:
    """Fit and ask at a few points of the space."""
    import optuna

    space = space_of(model, task)
    if not space:
        raise NotApplicableError("its space is empty")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=ctx.seed))
    for _ in range(DRAWS):
        params = dict(study.ask(space).params)
        try:
            fit_and_predict(model, example(task), ctx, params)
        except Exception as error:
            raise CheckError(f"at {params}: {type(error).__name__}: {error}") from error


CHECKS: tuple[Check, ...] = (
    Check(its_default_lies_inside_its_space, frozenset()),
    Check(it_imports_without_a_gpu, frozenset()),
    Check(it_answers_every_row_with_finite_numbers, EVERY),
    Check(the_same_seed_gives_the_same_answer, EVERY),
    Check(the_seed_changes_nothing_where_it_is_deterministic, EVERY),
    Check(inputs_are_left_as_they_were, EVERY),
    Check(asked_twice_it_gives_the_same_answer, EVERY),
    Check(a_row_alone_gets_the_answer_it_gets_among_others, EVERY),
    Check(the_order_of_rows_does_not_matter, EVERY),
    Check(a_local_model_learns_nothing_across_series, PANELS),
    Check(a_causal_score_depends_on_no_later_step, frozenset({"anomaly"})),
    Check(told_to_stop_it_ends_soon_and_still_predicts, EVERY),
    Check(saved_and_loaded_it_gives_the_same_answer_without_a_pickle, EVERY),
    Check(one_user_or_series_is_answered_or_refused_in_one_line, EVERY),
    Check(constant_data_gets_an_answer, EVERY),
    Check(kinds_unseen_in_training_get_an_answer, frozenset({"churn"})),
    Check(what_it_shows_of_itself_can_be_drawn, frozenset({"churn"})),
    Check(it_fits_at_seeded_draws_from_its_space, EVERY),
)
