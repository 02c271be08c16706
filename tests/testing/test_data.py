"""The small problems that models are checked on hold what real ones may hold."""

from __future__ import annotations

import numpy as np
import pytest

from bench.errors import ConfigError
from bench.testing.answers import changed
from bench.testing.data import alone, constant, example


def test_the_churn_problem_holds_what_a_real_one_may():
    problem = example("churn")
    train, inputs = problem.train, problem.inputs
    assert 0 < train.y.mean() < 1
    assert (np.diff(train.offsets) == 1).any()
    assert (train.kind > 0).all()
    assert 0 < (inputs.kind == 0).mean() < 1
    assert len(set(train.group)) < len(train)
    same = constant(problem)
    assert len(np.unique(same.train.static, axis=0)) == 1
    assert 0 < same.train.y.mean() < 1


@pytest.mark.parametrize("task", ["forecasting", "anomaly"])
def test_a_panel_problem_holds_gaps_a_constant_and_a_short_series_and_trains_on_no_step_that_is_asked_for(task):
    problem = example(task)
    train, inputs = problem.train, problem.inputs
    observed = [inputs.values[n, inputs.mask[n]] for n in range(len(inputs))]
    assert any(np.ptp(values) == 0 for values in observed)
    assert (inputs.start > 0).any()
    assert any(not inputs.mask[n, inputs.start[n] :].all() for n in range(len(inputs)))
    assert train.steps < inputs.steps
    assert (train.until == train.steps).all()
    assert np.array_equal(train.values, inputs.values[:, : train.steps])
    assert inputs.time.shape[1] == inputs.known.shape[1] == inputs.steps + inputs.horizon


@pytest.mark.parametrize("task", ["churn", "forecasting", "anomaly", "next-event"])
def test_a_seed_makes_one_problem_and_another_seed_another(task):
    assert changed(example(task).inputs, example(task).inputs) == ""
    assert changed(example(task).inputs, example(task, seed=1).inputs) != ""


@pytest.mark.parametrize("task", ["churn", "forecasting", "anomaly", "next-event"])
def test_one_user_or_series_is_the_same_in_training_and_when_asked(task):
    one = alone(example(task))
    assert len(one.train) == len(one.inputs) == 1
    if task == "churn":
        assert one.train.group == one.inputs.group


def test_an_unknown_task_is_refused_with_the_likely_one():
    with pytest.raises(ConfigError, match="did you mean 'churn'"):
        example("chrun")
