"""What every task must keep, as plain functions: `check(case)` raises `CheckError`, or returns.

A check's name is its function's, read as a sentence. Letters for shapes: N scored rows, B weightings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from bench.api import Array, Context, Forecast, Model
from bench.data.events import Events
from bench.data.ranking import Ranking
from bench.data.series import Series
from bench.errors import BenchError
from bench.execute.task_space import default_of
from bench.tasks.base import Prediction, Split, Stage, StageName, Task
from bench.tasks.profiles import PROFILES
from bench.testing.answers import CheckError, NotApplicableError
from bench.testing.same import other
from bench.testing.task_data import changed_after, deleted_after, example_events, example_series, rebuilt, shuffled

TaskCall: TypeAlias = Callable[["TaskCase"], None]
Repeat: TypeAlias = Callable[[Any, Prediction, Array], tuple[Any, Prediction]]
SEED = 3
PROFILE = PROFILES["smoke"]
HOSTILE = ("", " ", "x", "-1", "0", "1e999", "nan", "0.5.1", "7d7", "a/b", "9" * 40, "\N{SNOWMAN}", "true\n")
"""What somebody may give for an option."""


@dataclass(frozen=True)
class TaskCase:
    """A task under test, with data to cut, a model that serves it, and how its rows are repeated."""

    task: type[Task]
    model: type[Model] | None = None
    data: Events | Series | None = None
    options: Mapping[str, str] | None = None
    """Those that fix the cut-offs, where the log's later events would move them."""
    repeat: Repeat | None = None
    not_repeatable: Mapping[str, str] | None = None
    """Metric -> why a weight does not count as repetition there."""

    @cached_property
    def log(self) -> Events | Series:
        """Return the data: the author's, or the example that the task holds."""
        if self.data is not None:
            return self.data
        return example_events() if "events" in self.task.holds else example_series()

    def splits(self, data: Events | Series | None = None, options: Mapping[str, str] | None = None) -> list[Split]:
        """Cut data as a run would."""
        own = dict(self.options or {})
        return self.task().splits(self.log if data is None else data, {**own, **(options or {})}, PROFILE, SEED, simulated=False)

    @cached_property
    def first(self) -> Split:
        """Return the first split that can be scored."""
        usable = [split for split in self.splits() if not split.reason]
        if not usable:
            raise CheckError("it can score nothing on the data of the checks; give data that it can")
        return usable[0]

    @cached_property
    def predictions(self) -> Mapping[StageName, Prediction]:
        """Fit the model on both kinds of stage and ask it, as a worker does."""
        return {name: self._predictions(self.first, name) for name in (self.first.validations[0], "final")}

    def _predictions(self, split: Split, name: StageName) -> Prediction:
        if self.model is None:
            raise NotApplicableError("no model that serves the task is at hand")
        model, ctx = (
            self.model(default_of(self.model, self.task.name)),
            Context(epochs=2, history=16, rows=PROFILE.rows, seed=SEED, **split.context),
        )
        stage, task = split.stages[name], self.task()
        model.fit(stage.train, ctx)
        given = [_arrays(model.predict(part, ctx)) for part in stage.parts]
        for at, arrays in enumerate(given):
            if fault := task.invalid(split, name, at, arrays):
                raise CheckError(f"it refuses what {self.model.name} answers: {fault}")
        return task.finished(split, name, given, causal=bool(getattr(self.model, "causal", False))).prediction


@dataclass(frozen=True)
class TaskCheck:
    """One check of a task."""

    call: TaskCall

    @property
    def name(self) -> str:
        """Return the function's name as a sentence."""
        return self.call.__name__.replace("_", " ")


def its_metrics_and_rankings_agree(case: TaskCase) -> None:
    """Look for each ranking's metrics among the task's own, a reference, and a line of help for every option."""
    for level, rule in case.task.rankings.items():
        if lacking := [m for m in (rule.metric, rule.second) if m and m not in case.task.metrics]:
            raise CheckError(f"rankings[{level!r}] names {lacking[0]!r}, which is none of its metrics")
        if not rule.reference:
            raise CheckError(f"rankings[{level!r}] names no reference; name the model that skill is measured against")
        if rule.higher != case.task.metrics[rule.metric].higher_is_better:
            raise CheckError(f"rankings[{level!r}] and the metric {rule.metric!r} disagree about which way is better")
    if wordless := [key for key, text in case.task.options.items() if not text.strip()]:
        raise CheckError(f"its option {wordless[0]!r} has no line of help")


def the_same_data_is_cut_the_same_way_twice(case: TaskCase) -> None:
    """Cut twice and compare ids, inputs, truths and facts."""
    _compare(case.splits(), case.splits(), "cut twice, the same data gives another split")


def the_order_of_rows_changes_nothing(case: TaskCase) -> None:
    """Cut the same rows in another order."""
    _compare(case.splits(), case.splits(shuffled(case.log)), "rows in another order give another split")


def no_later_event_changes_what_a_model_sees(case: TaskCase) -> None:
    """Change, then delete, every event later than a cut-off: training data and inputs stay as they were, bit by bit."""
    log = case.log
    if not isinstance(log, Events):
        raise NotApplicableError("its data are series: what lies behind the cut-off is compared for event logs")
    if not case.first.known_until:
        raise NotApplicableError("its splits name no cut-offs; give them as Split.known_until")
    for name, moments in case.first.known_until.items():
        for at, moment in enumerate(moments):
            if moment is not None:
                for what, later in (("changed", changed_after(log, moment)), ("deleted", deleted_after(log, moment))):
                    _refuse_leak(case, later, name, at, what)


def what_a_model_sees_travels_through_a_pipe(case: TaskCase) -> None:
    """Pickle each stage and read it again; facts become JSON, as they stand in `run.json`."""
    for split in case.splits():
        for name, stage in split.stages.items():
            train, first = stage.payloads[0].read()
            if where := other((stage.train, stage.parts[0]), (train, first)):
                raise CheckError(f"stage {name!r} comes out of a pipe changed: {where}")
        try:
            json.dumps(split.facts, allow_nan=True)
        except TypeError as error:
            raise CheckError(f"facts cannot be written as JSON: {error}; use plain numbers, strings, lists and dicts") from error


def what_is_no_answer_is_refused(case: TaskCase) -> None:
    """Show it an answer without fields, one with a row too many, one with a gap, and one that is not a number."""
    split, name = case.first, "final"
    good = case.predictions[name][0]
    for what, arrays in _spoilt(good):
        fault = case.task().invalid(split, name, 0, arrays)
        if not isinstance(fault, str) or not fault:
            raise CheckError(f"invalid() finds nothing wrong with {what}")
        if "\n" in fault:
            raise CheckError(f"invalid() describes {what} in several lines")


def every_metric_is_scored_under_any_weights(case: TaskCase) -> None:
    """Score a model's answer under three weightings: float [B] each, the metric that ranks finite."""
    split = case.first
    scores = case.task().scorer(split, case.predictions["final"]).score(np.ones((3, _rows(split))))
    if foreign := sorted(set(scores) - set(case.task.metrics)):
        raise CheckError(f"the scorer returns {foreign[0]!r}, which is none of its metrics")
    for metric, values in scores.items():
        if np.asarray(values).shape != (3,):
            raise CheckError(f"the scorer returns {metric} of shape {list(np.asarray(values).shape)}, expected [3]: one a weighting")
    if split.ranking.metric not in scores or not np.isfinite(scores[split.ranking.metric]).all():
        raise CheckError(f"the scorer returns no finite {split.ranking.metric}, which ranks")


def a_weight_counts_as_repetition(case: TaskCase) -> None:
    """Compare whole weights with rows that are repeated so many times; a weight of 0 with rows left out."""
    split, repeat = case.first, case.repeat or repeated
    weights = np.random.default_rng(SEED).poisson(1.0, (2, _rows(split))).astype(np.float64)
    found = case.task().scorer(split, case.predictions["final"]).score(weights)
    for at, row in enumerate(weights):
        rows = np.repeat(np.arange(len(row)), row.astype(int))
        truth, prediction = repeat(split.truths["final"], case.predictions["final"], rows)
        again = replace(split, truths={**split.truths, "final": truth})
        plain = case.task().scorer(again, prediction).score(np.ones((1, len(rows))))
        for metric, values in found.items():
            alike = np.isclose(values[at], plain[metric][0], rtol=1e-6, atol=1e-9, equal_nan=True)
            if metric not in (case.not_repeatable or {}) and not alike:
                raise CheckError(f"{metric} is {values[at]:.6g} by weights, {plain[metric][0]:.6g} where the rows are repeated")


def a_search_can_be_steered(case: TaskCase) -> None:
    """Look for the objectives of a validation: a finite score, and a group for each row."""
    split = case.first
    if split.no_search_reason:
        raise NotApplicableError(f"it steers no search here: {split.no_search_reason}")
    name = split.validations[0]
    found = case.task().objectives(split, name, case.predictions[name])
    if not found or not all(found.values()):
        raise CheckError("objectives() returns none; return at least one for the tuning 'tuned'")
    for tuning, each in found.items():
        if not all(np.isfinite(one.value) for one in each):
            raise CheckError(f"the objective of {tuning!r} is not finite for a valid answer")


def little_data_is_refused_in_words(case: TaskCase) -> None:
    """Cut a log of one user, of one item, of one event, and one without events in the validation."""
    if not isinstance(case.log, Events):
        raise NotApplicableError("its data are series")
    for what, log in _little(case):
        _refuse_surprise(case, what, log, {})


def hostile_options_are_refused_in_words(case: TaskCase) -> None:
    """Set every option to what nobody should: a task may take it, or raise `BenchError` in one line."""
    for key in case.task.options:
        for value in HOSTILE:
            _refuse_surprise(case, f"{key}={value!r}", case.log, {key: value})


def new_data_is_answered(case: TaskCase) -> None:
    """Ask the model about data as `bench predict` does, and lay out what it answers."""
    if case.model is None:
        raise NotApplicableError("no model that serves the task is at hand")
    split, task = case.first, case.task()
    run = json.loads(json.dumps({"task_id": split.task_id, "facts": split.facts, "context": split.context}))
    found = task.inference_inputs(case.log, run, dict(case.options or {}), PROFILE)
    model, ctx = (
        case.model(default_of(case.model, case.task.name)),
        Context(epochs=2, history=16, rows=PROFILE.rows, seed=SEED, **split.context),
    )
    model.fit(split.stages["final"].train, ctx)
    arrays = _arrays(model.predict(found.inputs, ctx))
    done = task.finished(found.split, "final", [arrays], causal=bool(getattr(model, "causal", False)))
    frame = task.answer_frame(found, done.prediction[0])
    if not isinstance(frame, pl.DataFrame) or not len(frame):
        raise CheckError("answer_frame() lays out no row")


def repeated(truth: Any, prediction: Prediction, rows: Array) -> tuple[Any, Prediction]:
    """Select rows of a truth and of its prediction, in one part: by the truth's `take`, or array by array.

    Raises `NotApplicableError` where neither fits: then a task's tests say how (`TaskTests.repeat`).
    """
    n = len(truth.group)
    if len(prediction) != 1 or any(len(array) != n for array in prediction[0].values()):
        raise NotApplicableError("its predictions are not one row a group; say in `repeat` how its rows are repeated")
    chosen = [{name: array[rows] for name, array in prediction[0].items()}]
    if hasattr(truth, "take"):
        return truth.take(rows), chosen
    if not is_dataclass(truth) or isinstance(truth, type):
        raise NotApplicableError("its truth is no dataclass of arrays; say in `repeat` how its rows are repeated")
    columns = {f.name: getattr(truth, f.name) for f in fields(truth)}
    own = {name: value[rows] for name, value in columns.items() if isinstance(value, np.ndarray) and len(value) == n}
    return replace(truth, **own), chosen


def _arrays(given: Any) -> dict[str, Array]:
    return given.arrays() if isinstance(given, Forecast | Ranking) else {"prediction": np.asarray(given)}


def _rows(split: Split) -> int:
    return len(split.truths["final"].group)


def _compare(one: Sequence[Split], two: Sequence[Split], words: str) -> None:
    if [s.task_id for s in one] != [s.task_id for s in two]:
        raise CheckError(f"{words}: task ids differ")
    for a, b in zip(one, two, strict=True):
        for name in a.stages:
            if where := other(_model_inputs(a.stages[name]), _model_inputs(b.stages[name])) or other(a.truths[name], b.truths[name]):
                raise CheckError(f"{words}: {where} of stage {name!r}")


def _model_inputs(stage: Stage) -> tuple[Any, ...]:
    return (stage.train, *stage.parts)


def _refuse_leak(case: TaskCase, later: Events, name: StageName, at: int, what: str) -> None:
    before = {split.task_id: split for split in case.splits()}
    for split in case.splits(later):
        if split.task_id not in before or split.known_until.get(name) not in {None, before[split.task_id].known_until[name]}:
            raise NotApplicableError("its cut-offs follow the later events; fix them by options, in TaskTests.options")
        if name not in split.stages:  # an earlier validation in which nothing can be scored now
            continue
        if where := other(_model_inputs(before[split.task_id].stages[name])[at], _model_inputs(split.stages[name])[at]):
            part = "the training data" if at == 0 else f"part {at}"
            raise CheckError(f"with later events {what}, {part} of stage {name!r} differ: {where}; a model would see its future")


def _spoilt(good: Mapping[str, Array]) -> Iterator[tuple[str, dict[str, Array]]]:
    yield "an answer without fields", {}
    yield "an answer with a row too many", {name: np.concatenate([array, array[:1]]) for name, array in good.items()}
    yield "an answer with a row too few", {name: array[:-1] for name, array in good.items()}
    floats = {name: array.copy() for name, array in good.items() if array.dtype.kind == "f"}
    for array in floats.values():
        array.reshape(-1)[0] = np.nan
    yield "an answer that is not a number", {**good, **floats}


def _little(case: TaskCase) -> Iterator[tuple[str, Events]]:
    log = case.log
    assert isinstance(log, Events)
    frame, time = log.frame, log.frame["time"].to_physical()
    busiest = frame["user"].cast(pl.String).value_counts(sort=True)["user"][0]
    yield "one user", rebuilt(log, frame.filter(pl.col("user").cast(pl.String) == busiest))
    yield "one item", rebuilt(log, frame.with_columns(item=pl.lit("only")))
    yield "one event", rebuilt(log, frame.head(1))
    for name, moments in case.first.known_until.items():
        if name != "final" and moments[0] is not None:
            end = case.first.known_until["final"][0]
            yield f"nobody in the validation {name!r}", rebuilt(log, frame.filter((time <= moments[0]) | (time > end)))


def _refuse_surprise(case: TaskCase, what: str, log: Events | Series, options: Mapping[str, str]) -> None:
    """Cut, and take a refusal in one line for an answer; raise `CheckError` for any other exception."""
    found: list[Split] = []
    try:
        found = case.splits(log, options)
    except BenchError as error:
        if "\n" in str(error).strip():
            raise CheckError(f"{what} is refused in several lines") from error
    except Exception as error:
        raise CheckError(f"{what} raises {type(error).__name__}: {error}; raise ConfigError, DataError or ProtocolError") from error
    if any("\n" in split.task_id for split in found):
        raise CheckError(f"{what}: the task id runs over several lines; check what an option holds")


TASK_CHECKS: tuple[TaskCheck, ...] = (
    TaskCheck(its_metrics_and_rankings_agree),
    TaskCheck(the_same_data_is_cut_the_same_way_twice),
    TaskCheck(the_order_of_rows_changes_nothing),
    TaskCheck(no_later_event_changes_what_a_model_sees),
    TaskCheck(what_a_model_sees_travels_through_a_pipe),
    TaskCheck(what_is_no_answer_is_refused),
    TaskCheck(every_metric_is_scored_under_any_weights),
    TaskCheck(a_weight_counts_as_repetition),
    TaskCheck(a_search_can_be_steered),
    TaskCheck(little_data_is_refused_in_words),
    TaskCheck(hostile_options_are_refused_in_words),
    TaskCheck(new_data_is_answered),
)
