"""What a network plugin must keep in all three tasks, as a class to inherit, with the data for it. It imports no framework."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest
from plugins.baseline_kit import panel_of

from bench.api import FEATURES, STATIC, ChurnInputs, ChurnTrain, Context, Model, Panel
from bench.errors import PluginError
from bench.execute.describe_plugin import gpus

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
QUICK = Context(epochs=2, history=16, horizon=7, quantiles=LEVELS, rows=300)
TASKS = ("churn", "forecasting", "anomaly")

every_task = pytest.mark.parametrize("task", TASKS)


def users(n, seed=0, shortest=0):
    """Make rows in which only order tells: churned where the last `a` comes after the last `b`."""
    rng = np.random.default_rng(seed)
    length = rng.integers(shortest, 9, n)
    offsets = np.r_[0, np.cumsum(length)]
    kind = rng.integers(1, 4, offsets[-1]).astype(np.int16)  # [E] of a, b, c
    row, at = np.repeat(np.arange(n), length), np.arange(offsets[-1])
    last_a, last_b = np.full(n, -1), np.full(n, -1)
    np.maximum.at(last_a, row[kind == 1], at[kind == 1])
    np.maximum.at(last_b, row[kind == 2], at[kind == 2])
    gap = rng.exponential(5, offsets[-1]).astype(np.float32)
    return ChurnTrain(
        offsets=offsets,
        days_before_cutoff=gap[::-1].copy(),
        gap=gap,
        kind=kind,
        value=rng.normal(0, 30, offsets[-1]).astype(np.float32),
        count=np.ones(offsets[-1], np.float32),
        static=rng.exponential(3, (n, len(STATIC))),
        cutoff=np.full(n, 12_000.0),
        group=np.arange(n) + 10_000 * seed,
        kinds=("?", "a", "b", "c"),
        y=(last_a > last_b).astype(np.int8),
    )


def shoppers(n, seed=0):
    """Make users with FEATURES and items; those of odd rows had odd items alone, and one item is rare."""
    rng, train = np.random.default_rng(seed), users(n, seed=seed, shortest=1)
    offsets = np.r_[0, np.cumsum(rng.integers(0, 4, len(train.kind)))]
    row = np.repeat(np.repeat(np.arange(n), train.lengths), np.diff(offsets))
    item = 2 * rng.integers(0, 10, len(row)) + row % 2
    item[:3] = 100
    features = rng.exponential(2.0, (n, len(FEATURES))) ** 3
    return replace(train, features=features.astype(np.float32), item=item.astype(np.uint32), item_offsets=offsets)


def weekly(n=8, steps=120, seed=0, noise=1.0, slope=0.1):
    """Simulate values with a trend, a week and noise, float [N, T]."""
    rng = np.random.default_rng(seed)
    t = np.arange(steps)
    week = rng.normal(0, 5, (n, 7))[:, t % 7]
    return 50 + rng.normal(0, slope, (n, 1)) * t + week + rng.normal(0, noise, (n, steps))


def panel(values, task, until=None) -> Panel:
    """Make a daily panel; an anomaly task has no horizon, and learns up to `until`."""
    made = panel_of(list(values), horizon=7 if task == "forecasting" else 0)
    return made if until is None else replace(made, until=np.full(len(made), until))


def ragged():
    """Make ten series of 0 to 60 steps, with gaps."""
    values = weekly(10, 60)
    values[np.random.default_rng(0).random(values.shape) < 0.1] = np.nan
    return [row[60 - length :] for row, length in zip(values, (0, 1, 2, 3, 7, 8, 20, 33, 59, 60), strict=True)]


def data(task):
    """Give what a task trains on, and the inputs of a prediction."""
    match task:
        case "churn":
            test = users(60, seed=1)
            return users(120), ChurnInputs(**{f.name: getattr(test, f.name) for f in fields(ChurnInputs)})
        case "forecasting":
            return panel(ragged(), task), panel(ragged(), task)
        case _:
            return panel(ragged(), task).ending(np.full(10, 45)), panel(ragged(), task, until=45)


HOSTILE = {
    "constant": np.full((3, 40), 7.0),
    "zero": np.zeros((3, 40)),
    "huge": weekly(3, 40) * 1e12,
    "tiny": weekly(3, 40) * 1e-12,
    "a spike beyond all measure": np.where(np.arange(40) == 30, 1e300, weekly(3, 40)),
    "one step": weekly(3, 1),
    "three steps": weekly(3, 3),
    "nothing observed": np.full((3, 40), np.nan),
    "every other step": np.where(np.arange(40) % 2, np.nan, weekly(3, 40)),
    "no series": [],
}


def hostile(name, task):
    """Give a panel of one of the `HOSTILE` kinds."""
    if name == "no series":
        return panel(weekly(3, 40), task).take(np.zeros(0, np.int64))
    values = HOSTILE[name]
    return panel(values, task, until=None if task == "forecasting" else values.shape[1] * 3 // 4)


def fitted(kind, params, train, ctx=QUICK) -> Model:
    """Fit a model."""
    model = kind(params)
    model.fit(train, ctx)
    return model


def answer(model, inputs, ctx=QUICK):
    """Predict; P(churn) [N], quantiles [N, H, Q] or scores [N, T]."""
    found = model.predict(inputs, ctx)
    return found.quantiles if isinstance(inputs, Panel) and inputs.horizon else found


@cache
def known(kind, task) -> Any:
    """Give a model that was fitted once, with the parameters `TINY` of its contract."""
    return fitted(kind, TINY[kind.name], data(task)[0])


VARIATIONAL = {"hidden": 32, "latent": 4, "beta": 1.0, "lr": 0.01, "batch": 32}
ATTENTION = {"width": 16, "layers": 2, "dropout": 0.1, "lr": 0.01, "batch": 32}
RECURRENT = {"hidden": 16, "dropout": 0.1, "lr": 0.01, "batch": 32}
TINY = {
    "vae": VARIATIONAL,
    "keras-vae": VARIATIONAL,
    "keras-lstm": RECURRENT,
    "seq2seq": RECURRENT,
    "self-attention": ATTENTION,
}


class NetworkContract:
    """Inherit, and name the model and the files that it saves."""

    kind: ClassVar[type[Model]]
    files: ClassVar[set[str]]

    @every_task
    def test_a_row_is_answered_alone_as_among_others(self, task):
        model, (_, inputs) = known(self.kind, task), data(task)
        together = answer(model, inputs)
        rows = [0, 1, 5, len(inputs) - 1]  # of the panels: no step, one step, some, all
        alone = np.concatenate([answer(model, inputs.take(np.array([n]))) for n in rows])
        assert np.abs(together[rows] - alone).max() < 1e-5 * np.abs(together).max()

    @every_task
    def test_what_was_saved_answers_the_same_and_holds_no_pickle(self, task, tmp_path):
        model, (_, inputs) = known(self.kind, task), data(task)
        model.save(tmp_path)
        assert {file.name for file in tmp_path.iterdir()} == self.files
        again = self.kind(TINY[self.kind.name])
        again.load(tmp_path)
        assert (answer(again, inputs) == answer(model, inputs)).all()

    @every_task
    def test_a_gpu_learns_and_answers_as_the_cpu_does(self, task):
        if not gpus(self.kind.runtime):
            pytest.skip(f"{self.kind.runtime} sees no GPU on this machine")
        train, inputs = data(task)
        there = replace(QUICK, device="cuda:0")
        model = fitted(self.kind, TINY[self.kind.name], train, there)
        moved, expected = answer(model, inputs, there), answer(model, inputs)
        assert np.abs(moved - expected).max() < 1e-3 * np.abs(expected).max()

    @every_task
    def test_an_answer_has_the_shape_and_type_that_the_task_asks_for(self, task):
        found = answer(known(self.kind, task), data(task)[1])
        assert found.dtype == np.float64
        assert np.isfinite(found).all()
        assert found.shape == {"churn": (60,), "forecasting": (10, 7, 5), "anomaly": (10, 60)}[task]

    @every_task
    def test_another_seed_gives_another_answer_and_leaves_inputs_and_the_callers_random_numbers_alone(self, task):
        """That one seed gives one answer is among the checks that every shipped model passes in each of its tasks."""
        train, inputs = data(task)
        expected = answer(known(self.kind, task), inputs)
        for given in (train, inputs):
            for f in fields(given):
                if isinstance(getattr(given, f.name), np.ndarray):
                    getattr(given, f.name).flags.writeable = False  # a write would raise
        before, numbers = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002 - the global generator is the point
        found = answer(fitted(self.kind, TINY[self.kind.name], train, replace(QUICK, seed=1)), inputs)
        assert np.isfinite(found).all()
        assert (found != expected).any()
        assert (random.getstate(), np.random.get_state()[1].tolist()) == (before, numbers)  # noqa: NPY002 - as above

    @pytest.mark.parametrize("name", HOSTILE)
    @pytest.mark.parametrize("task", ["forecasting", "anomaly"])
    def test_hostile_series_get_a_finite_answer(self, task, name):
        assert np.isfinite(answer(known(self.kind, task), hostile(name, task))).all()

    @pytest.mark.parametrize("name", ["a spike beyond all measure", "nothing observed", "no series"])
    @pytest.mark.parametrize("task", ["forecasting", "anomaly"])
    def test_hostile_series_can_be_learnt_from(self, task, name):
        inputs = hostile(name, task)
        own = fitted(self.kind, TINY[self.kind.name], inputs.ending(inputs.until), replace(QUICK, epochs=1))
        assert np.isfinite(answer(own, inputs)).all()

    def test_missing_aggregates_huge_values_and_rows_without_events_get_a_probability(self):
        test = users(20, seed=3)
        test.static[::2], test.value[::3] = np.nan, 3e38
        none = ("days_before_cutoff", "gap", "kind", "value", "count")
        empty = replace(test, offsets=np.zeros(21, np.int64), **{name: getattr(test, name)[:0] for name in none})
        for inputs in (test, empty, test.take(np.zeros(0, np.int64))):
            p = answer(known(self.kind, "churn"), inputs)
            assert ((p >= 0) & (p <= 1)).all()
            assert p.shape == (len(inputs),)
        assert np.isfinite(answer(fitted(self.kind, TINY[self.kind.name], empty), test)).all()

    def test_one_user_is_enough_to_run(self):
        for seed in (0, 7):  # the holdout takes the only user with the second alone
            model = fitted(self.kind, TINY[self.kind.name], users(1, seed=5, shortest=3), replace(QUICK, seed=seed))
            assert np.isfinite(answer(model, users(3))).all()

    def test_with_all_that_can_be_shown_a_row_is_answered_alone_and_a_stored_model_answers_the_same(self, tmp_path):
        """Users whose items nobody had in training are among those asked."""
        shown = {name: values[-1] for name, values in self.kind.choices("churn").items()} | {"context": "features"}
        train, test = shoppers(200), shoppers(40, seed=1)
        test = replace(test, item=np.where(np.arange(len(test.item)) % 3, test.item, 77).astype(np.uint32))
        model = fitted(self.kind, TINY[self.kind.name] | shown, train)
        p = answer(model, test)
        assert np.abs(p - answer(fitted(self.kind, TINY[self.kind.name], train), test)).max() > 1e-4
        alone = np.concatenate([answer(model, test.take(np.array([n]))) for n in range(5)])
        assert np.abs(p[:5] - alone).max() < 1e-5
        model.save(tmp_path)
        again = self.kind(TINY[self.kind.name] | shown)
        again.load(tmp_path)
        assert (answer(again, test) == p).all()

    def test_a_pattern_of_order_is_learnt(self):
        from sklearn.metrics import roc_auc_score

        model = fitted(self.kind, TINY[self.kind.name], users(800, shortest=2), replace(QUICK, epochs=15))
        test = users(400, seed=1, shortest=2)
        assert roc_auc_score(test.y, answer(model, test)) > 0.9

    def test_a_forecast_beats_seasonal_naive_where_there_is_a_week_and_noise(self):
        values = weekly(12, 127)
        train, truth = panel(values[:, :-7], "forecasting"), values[:, -7:]
        found = answer(fitted(self.kind, TINY[self.kind.name], train, replace(QUICK, epochs=8, history=21)), train)
        assert pinball(found, truth) < 0.75 * pinball(train.values[:, -7:, None].repeat(len(LEVELS), axis=2), truth)

    def test_a_spike_scores_higher_than_what_was_learnt(self):
        values = weekly(4, 400, noise=0.3, slope=0.0)
        values[:, 330] += 25
        inputs = panel(values, "anomaly", until=280)
        ctx = replace(QUICK, epochs=12, history=28, rows=400)
        score = answer(fitted(self.kind, TINY[self.kind.name], inputs.ending(inputs.until), ctx), inputs)
        # behind the first window, of whose steps nothing is known but those few; a score is the mean of a window's errors
        assert (score[:, 330] > 1.5 * score[:, 96:280].max(axis=1)).all()

    def test_the_default_lies_inside_the_space(self):
        space, default = self.kind.space(), self.kind.default()
        assert space.keys() == default.keys()
        assert all(space[name]._contains(space[name].to_internal_repr(value)) for name, value in default.items())

    def test_asking_too_early_is_a_clear_error(self):
        with pytest.raises(PluginError, match=f"{self.kind.name} was asked before `fit` or `load`"):
            self.kind(self.kind.default()).predict(users(3), QUICK)


def pinball(quantiles, truth):
    """Average the quantile loss of sorted quantiles [N, H, Q]; `truth`: [N, H]."""
    departure = truth[..., None] - np.sort(quantiles, axis=2)
    return np.maximum(np.array(LEVELS) * departure, (np.array(LEVELS) - 1) * departure).mean()
