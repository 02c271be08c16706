"""Fit a model on a small problem, ask it as a worker would, and compare answers.

Letters for shapes: N rows or series, T steps, H horizon, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np

from bench.api import Array, Context, Model, Params
from bench.data.panel import Forecast, Panel
from bench.data.ranking import NextInputs, Ranking
from bench.errors import BenchError
from bench.execute.task_space import default_of
from bench.testing.data import Example

Answer: TypeAlias = Mapping[str, Array]
EXACT, CLOSE = 1e-9, 1e-4
"""Largest differences, as shares of an answer's size and spread, that count as none: run twice; and in 32 bits, summed otherwise."""


class CheckError(BenchError):
    """Report, in one line, what a plugin does not keep of its contract."""


class NotApplicableError(Exception):
    """Report that a check says nothing about this plugin, and why."""


def fit_model(model_class: type[Model], problem: Example, ctx: Context, params: Params | None = None) -> Model:
    """Make a model and fit it, the global generators seeded as a worker does."""
    from bench.execute.worker import seed_all

    model = model_class(default_of(model_class, problem.task) if params is None else params)
    seed_all(ctx.seed)
    model.fit(problem.train, ctx)
    return model


def predict_checked(model: Model, inputs: Any, ctx: Context) -> Answer:
    """Ask for predictions; raise `CheckError` where the runner would refuse them."""
    given = model.predict(inputs, ctx)
    arrays = given.arrays() if isinstance(given, Forecast | Ranking) else {"prediction": np.asarray(given)}
    if fault := refusal(inputs, arrays, ctx):
        raise CheckError(fault)
    return arrays


def fit_and_predict(model_class: type[Model], problem: Example, ctx: Context, params: Params | None = None) -> Answer:
    """Fit and ask."""
    return predict_checked(fit_model(model_class, problem, ctx, params), problem.inputs, ctx)


def refusal(inputs: Any, arrays: Answer, ctx: Context) -> str:
    """Explain why the runner would refuse an answer; empty: it would not. The words are the task's own."""
    from bench.tasks.anomaly.new_data import Observed
    from bench.tasks.base import Split, Stage
    from bench.tasks.lookup import task_named

    truth: Any
    facts = {}
    if isinstance(inputs, NextInputs):
        task, truth, facts = "next-event", SimpleNamespace(), {"target": inputs.target}
    elif not isinstance(inputs, Panel):
        task, truth = "churn", SimpleNamespace(y=np.zeros(len(inputs), np.int8))
    elif inputs.horizon:
        task, truth = "forecasting", SimpleNamespace(y=np.zeros((1, len(inputs), inputs.horizon)))
    else:
        task, truth = "anomaly", Observed(inputs.mask, inputs.until)
    split = Split("check/v1", {"search": Stage(None, (inputs,))}, {"search": truth}, facts, context={"quantiles": ctx.quantiles})
    return task_named(task)().invalid(split, "search", 0, arrays)


def difference(left: Answer, right: Answer, tolerance: float) -> str:
    """Describe where two answers differ by more than `tolerance` of their size and spread; empty: nowhere."""
    if set(left) != set(right):
        return f"{', '.join(sorted(left))} against {', '.join(sorted(right))}"
    for name, a in left.items():
        b = right[name]
        if a.shape != b.shape:
            return f"{name} of shape {list(a.shape)} against {list(b.shape)}"
        wide, other = a.astype(np.float64), b.astype(np.float64)
        allowed = tolerance * (np.abs(wide) + (wide.std() if wide.size else 0.0)) + 1e-12
        if (off := np.abs(wide - other) > allowed).any():
            at = tuple(int(k) for k in np.argwhere(off)[0])
            return f"{name}{list(at)} is {wide[at]:.6g} against {other[at]:.6g}"
    return ""


def rows_of(answer: Answer, rows: Array) -> Answer:
    """Select the rows of an answer."""
    return {name: array[rows] for name, array in answer.items()}


def changed(before: Any, after: Any) -> str:
    """Name the field in which two inputs differ; empty: none. Each is a frozen dataclass of arrays and plain values."""
    for field in fields(before):
        a, b = getattr(before, field.name), getattr(after, field.name)
        same = np.array_equal(a, b, equal_nan=a.dtype.kind == "f") if isinstance(a, np.ndarray) else a == b
        if not same:
            return field.name
    return ""


def disturbed(panel: Panel, first: Array) -> Panel:
    """Change the values of each series from its own step `first` on, int64 [N]."""
    later = np.arange(panel.steps) >= first[:, None]
    return replace(panel, values=np.where(later, 3.0 * panel.values[:, ::-1] + 17.0, panel.values))
