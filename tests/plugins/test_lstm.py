"""The LSTM plugin, and through it what every torch plugin inherits."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from plugins.network_kit import users  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402

from bench.api import ChurnInputs, Context  # noqa: E402
from bench.errors import PluginError  # noqa: E402
from bench_plugins.lstm import LSTM, Net, bench_models  # noqa: E402

TINY = {"hidden": 16, "dropout": 0.0, "lr": 0.02, "batch": 32}
QUICK = Context(epochs=2)


def inputs_of(train):
    return ChurnInputs(**{f.name: getattr(train, f.name) for f in fields(ChurnInputs)})


def fitted(train=None, ctx=QUICK, **params):
    model = LSTM(TINY | params)
    model.fit(users(120) if train is None else train, ctx)
    return model


def weights(model):
    return torch.cat([w.ravel() for w in model.network.state_dict().values()])


@pytest.fixture(scope="module")
def model():
    return fitted()


def test_it_learns_a_pattern_of_order():
    model = fitted(users(800, shortest=2), Context(epochs=15))
    test = users(400, seed=1, shortest=2)
    assert roc_auc_score(test.y, model.predict(inputs_of(test), QUICK)) > 0.9


def test_permuted_labels_give_chance_on_other_rows():
    train = users(600, shortest=2)
    model = fitted(replace(train, y=np.random.default_rng(0).permutation(train.y)), Context(epochs=8))
    test = users(600, seed=1, shortest=2)
    assert 0.4 < roc_auc_score(test.y, model.predict(inputs_of(test), QUICK)) < 0.6


def test_a_row_scores_the_same_alone_as_in_a_batch(model):
    test = inputs_of(users(100, seed=2))
    together = model.predict(test, QUICK)
    alone = [model.predict(test.take(np.array([row])), QUICK)[0] for row in range(len(test))]
    assert np.abs(together - alone).max() < 1e-6


def test_the_order_of_rows_does_not_matter(model):
    test = inputs_of(users(700, seed=2))
    order = np.random.default_rng(0).permutation(len(test))
    assert np.abs(model.predict(test.take(order), QUICK) - model.predict(test, QUICK)[order]).max() < 1e-6


def test_what_stands_behind_the_last_step_is_never_looked_at():
    net = Net(f=3, o=2, hidden=8, dropout=0.0)
    x, length = torch.randn(4, 6, 3), torch.tensor([1, 3, 6, 2])
    behind = torch.arange(6) >= length[:, None]  # [N, T]
    assert torch.equal(net(x, length), net(x.masked_fill(behind[..., None], torch.nan), length))


def test_predictions_are_probabilities_in_float64(model):
    p = model.predict(inputs_of(users(50, seed=3)), QUICK)
    assert p.dtype == np.float64
    assert p.shape == (50,)
    assert ((p >= 0) & (p <= 1)).all()


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(model):
    assert torch.equal(weights(model), weights(fitted()))
    assert not torch.equal(weights(model), weights(fitted(ctx=replace(QUICK, seed=1))))


def test_fitting_leaves_the_callers_random_numbers_alone():
    before = torch.random.get_rng_state()
    fitted(users(20))
    assert torch.equal(before, torch.random.get_rng_state())


def test_what_was_saved_predicts_the_same_and_holds_no_pickle(model, tmp_path):
    model.save(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"weights.safetensors", "state.json"}
    again = LSTM(TINY)
    again.load(tmp_path)
    test = inputs_of(users(60, seed=4))
    assert (again.predict(test, QUICK) == model.predict(test, QUICK)).all()


def test_inputs_are_not_changed():
    train = users(60)
    for f in fields(train):
        if f.name != "kinds":
            getattr(train, f.name).flags.writeable = False  # a write would raise
    assert len(fitted(train).predict(train, QUICK)) == len(train)


def test_the_holdout_loss_is_reported_each_epoch():
    told = []
    fitted(ctx=Context(epochs=3, on_report=lambda epoch, loss: told.append((epoch, loss))))
    assert [epoch for epoch, _ in told] == [0, 1, 2]
    assert all(0 < loss < 2 for _, loss in told)


def test_one_user_is_enough_to_run():
    for seed in range(8):  # whether or not the holdout takes the only user
        p = fitted(users(1, seed=5, shortest=3), replace(QUICK, seed=seed)).predict(inputs_of(users(3)), QUICK)
        assert np.isfinite(p).all()


def test_rows_without_events_get_an_answer():
    none = users(30).take(np.arange(30))
    none = replace(
        none, offsets=np.zeros(31, np.int64), **{c: getattr(none, c)[:0] for c in ("days_before_cutoff", "gap", "kind", "value", "count")}
    )
    assert np.isfinite(fitted(none).predict(inputs_of(none), QUICK)).all()
    assert np.isfinite(fitted().predict(inputs_of(none), QUICK)).all()


def test_no_row_gives_no_prediction(model):
    assert model.predict(inputs_of(users(5)).take(np.zeros(0, np.int64)), QUICK).shape == (0,)


def test_columns_that_were_constant_in_training_are_ignored_later():
    train = users(60)
    flat = replace(train, static=np.ones_like(train.static), value=np.full_like(train.value, 3), gap=np.zeros_like(train.gap))
    model = fitted(flat)
    test = replace(flat, static=flat.static * 50, value=flat.value * -1e6)
    assert (model.predict(inputs_of(test), QUICK) == model.predict(inputs_of(flat), QUICK)).all()


def test_missing_aggregates_and_huge_values_stay_finite(model):
    test = inputs_of(users(20))
    test.static[::2] = np.nan
    test.value[::3] = 3e38
    assert np.isfinite(model.predict(test, QUICK)).all()


def test_kinds_are_known_by_name_and_new_ones_count_as_unknown(model):
    test = inputs_of(users(40, seed=6))
    expected = model.predict(test, QUICK)
    renumbered = replace(test, kinds=("?", "new", "c", "b", "a"), kind=np.array([0, 4, 3, 2], np.int16)[test.kind])
    assert (model.predict(renumbered, QUICK) == expected).all()
    unknown = model.predict(replace(test, kind=np.zeros_like(test.kind)), QUICK)
    assert (model.predict(replace(test, kinds=("?", "x", "y", "z")), QUICK) == unknown).all()


def test_the_default_lies_inside_the_space_and_is_the_reference_configuration():
    space, default = LSTM.space(), LSTM.default()
    assert space.keys() == default.keys()
    assert all(space[name]._contains(space[name].to_internal_repr(value)) for name, value in default.items())
    net = LSTM(default).net(10, 1)
    assert (net.lower.hidden_size, net.upper.hidden_size, net.dropout.p) == (128, 64, 0.2)


def test_the_hook_gives_the_model_and_asking_too_early_is_a_clear_error():
    assert bench_models() == [LSTM]
    with pytest.raises(PluginError, match="lstm was asked before `fit` or `load`"):
        LSTM(LSTM.default()).predict(inputs_of(users(3)), QUICK)
