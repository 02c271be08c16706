"""What the three recurrent and attention plugins inherit for forecasts and anomalies."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from bench.api import Context, Panel  # noqa: E402
from bench.data.panel import calendar, filled  # noqa: E402
from bench.errors import PluginError  # noqa: E402
from bench.neural.anomaly import AnomalyEncoder  # noqa: E402
from bench.neural.torch_model import TorchModel  # noqa: E402
from bench_plugins.lstm import LSTM  # noqa: E402
from bench_plugins.self_attention import SelfAttention  # noqa: E402
from bench_plugins.seq2seq import Seq2Seq  # noqa: E402

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
DAY = 86_400_000_000
TINY = {
    LSTM: {"hidden": 16, "dropout": 0.1, "lr": 0.01, "batch": 32},
    Seq2Seq: {"hidden": 16, "dropout": 0.1, "lr": 0.01, "batch": 32},
    SelfAttention: {"width": 16, "layers": 2, "dropout": 0.1, "lr": 0.01, "batch": 32},
}
QUICK = Context(epochs=2, history=16, horizon=7, quantiles=LEVELS, rows=300)

every_model = pytest.mark.parametrize("kind", TINY, ids=lambda kind: kind.name)


def panel(values, horizon=7, season=7, until=None, **more):
    """Make a daily panel from values, float [N, T], NaN where missing."""
    values, mask, start = filled(np.asarray(values, float))
    n, steps = values.shape
    number = np.arange(steps + horizon)
    time = 19_000 * DAY + number * DAY
    return Panel(
        values=values,
        mask=mask,
        start=start,
        until=np.full(n, steps) if until is None else np.full(n, until),
        time=time[None],
        known=calendar(time, number, season, DAY)[None],
        freq="1d",
        season=season,
        horizon=horizon,
        **more,
    )


def weekly(n=8, steps=120, seed=0, noise=1.0, slope=0.1):
    """Simulate values with a trend, a week and noise, float [N, T]."""
    rng = np.random.default_rng(seed)
    t = np.arange(steps)
    week = rng.normal(0, 5, (n, 7))[:, t % 7]
    return 50 + rng.normal(0, slope, (n, 1)) * t + week + rng.normal(0, noise, (n, steps))


def ragged(seed=0):
    """Make ten series of 0 to 60 steps, with gaps."""
    values = weekly(10, 60, seed)
    values[np.random.default_rng(seed).random(values.shape) < 0.1] = np.nan
    for n, length in enumerate((0, 1, 2, 3, 7, 8, 20, 33, 59, 60)):
        values[n, : 60 - length] = np.nan
    return values


def fitted(kind, train, ctx=QUICK, **params):
    model = kind(TINY[kind] | params)
    model.fit(train, ctx)
    return model


def answer(model, inputs, ctx=QUICK):
    """Predict; quantiles [N, H, Q] or scores [N, T]."""
    found = model.predict(inputs, ctx)
    return found.quantiles if inputs.horizon else found


def tasks():
    """Give a training panel and the inputs of a prediction for each task."""
    ahead = panel(ragged())
    watched = panel(ragged(), horizon=0)
    return {"forecasting": (ahead, ahead), "anomaly": (watched.ending(np.full(10, 45)), panel(ragged(), horizon=0, until=45))}


@pytest.fixture(scope="module")
def models():
    return {(kind, task): fitted(kind, train) for kind in TINY for task, (train, _) in tasks().items()}


every_task = pytest.mark.parametrize("task", ["forecasting", "anomaly"])


def pinball(quantiles, truth):
    departure = truth[..., None] - np.sort(quantiles, axis=2)
    return np.maximum(np.array(LEVELS) * departure, (np.array(LEVELS) - 1) * departure).mean()


@every_model
def test_a_forecast_beats_seasonal_naive_where_there_is_a_week_and_noise(kind):
    values = weekly(12, 134)
    train, truth = panel(values[:, :-14], horizon=14), values[:, -14:]
    ctx = Context(epochs=5, history=21, horizon=14, quantiles=LEVELS, rows=320)
    found = answer(fitted(kind, train, ctx), train, ctx)
    naive = np.tile(train.values[:, -7:], 2)[..., None].repeat(len(LEVELS), axis=2)
    assert pinball(found, truth) < 0.75 * pinball(naive, truth)


@every_model
def test_a_spike_scores_higher_than_what_was_learnt(kind):
    values = weekly(4, 400, noise=0.3, slope=0.0)
    values[:, 330] += 25
    inputs = panel(values, horizon=0, until=280)
    ctx = Context(epochs=12, history=28, rows=400)
    score = answer(fitted(kind, inputs.ending(np.full(4, 280)), ctx), inputs, ctx)
    # behind the first window, of whose steps nothing is known but those few
    assert (score[:, 330] > 2 * np.quantile(score[:, 96:280], 0.99, axis=1)).all()


@every_model
@every_task
def test_a_series_is_answered_alone_as_among_others(models, kind, task):
    _, inputs = tasks()[task]
    together = answer(models[kind, task], inputs)
    alone = np.concatenate([answer(models[kind, task], inputs.take(np.array([n]))) for n in range(len(inputs))])
    assert np.abs(together - alone).max() < 1e-5 * np.abs(together).max()


@every_model
@every_task
def test_what_was_saved_answers_the_same_and_holds_no_pickle(models, kind, task, tmp_path):
    _, inputs = tasks()[task]
    models[kind, task].save(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"weights.safetensors", "state.json"}
    again = kind(TINY[kind])
    again.load(tmp_path)
    assert (answer(again, inputs) == answer(models[kind, task], inputs)).all()


@every_model
@every_task
def test_a_seed_gives_one_answer_and_another_seed_another(models, kind, task):
    train, inputs = tasks()[task]
    expected = answer(models[kind, task], inputs)
    assert (answer(fitted(kind, train), inputs) == expected).all()
    assert (answer(fitted(kind, train, replace(QUICK, seed=1)), inputs) != expected).any()


@every_model
@every_task
def test_an_answer_has_the_shape_and_type_that_the_task_asks_for(models, kind, task):
    _, inputs = tasks()[task]
    found = answer(models[kind, task], inputs)
    assert found.dtype == np.float64
    assert np.isfinite(found).all()
    assert found.shape == ((10, 7, 5) if task == "forecasting" else (10, 60))


@every_model
@every_task
def test_inputs_are_not_changed(kind, task):
    for given in tasks()[task]:
        for f in fields(given):
            if isinstance(getattr(given, f.name), np.ndarray):
                getattr(given, f.name).flags.writeable = False  # a write would raise
        assert np.isfinite(answer(fitted(kind, given), given)).all()


@every_model
def test_what_stands_behind_until_changes_no_training_of_a_detector(kind):
    values = weekly(3, 90)
    later = values.copy()
    later[:, 60:] = 1e6
    test = panel(weekly(3, 90, seed=1), horizon=0, until=60)
    first, second = (answer(fitted(kind, panel(x, horizon=0, until=60)), test) for x in (values, later))
    assert (first == second).all()


@every_model
def test_a_forecast_uses_what_is_known_in_advance(models, kind):
    inputs = panel(weekly(5, 60))
    other = replace(inputs, known=np.where(np.arange(67)[:, None] < 60, inputs.known, 0.0).astype(np.float32))
    assert (answer(models[kind, "forecasting"], inputs) != answer(models[kind, "forecasting"], other)).any()


def test_a_causal_score_depends_on_no_later_step_and_the_others_say_that_theirs_do(models):
    inputs = panel(weekly(5, 61), horizon=0, until=30)
    later = replace(inputs, values=np.where(np.arange(61) < 47, inputs.values, -3e5))
    for kind in TINY:
        before, after = (answer(models[kind, "anomaly"], x) for x in (inputs, later))
        assert kind.causal == bool((before[:, :47] == after[:, :47]).all())
        assert (before[:, 47:] != after[:, 47:]).all()


def test_a_causal_score_does_not_change_when_the_series_goes_on(models):
    inputs = panel(weekly(5, 61), horizon=0, until=30)
    score = answer(models[LSTM, "anomaly"], inputs)
    shorter = replace(inputs.ending(np.full(5, 50)), until=inputs.until)
    assert np.abs(answer(models[LSTM, "anomaly"], shorter) - score[:, :50]).max() < 1e-5 * score.max()


HOSTILE = {
    "constant": np.full((3, 40), 7.0),
    "zero": np.zeros((3, 40)),
    "huge": weekly(3, 40) * 1e12,
    "tiny": weekly(3, 40) * 1e-12,
    "negative": -weekly(3, 40),
    "a spike beyond all measure": np.where(np.arange(40) == 30, 1e300, weekly(3, 40)),
    "one step": weekly(3, 1),
    "two steps": weekly(3, 2),
    "three steps": weekly(3, 3),
    "nothing observed": np.full((3, 40), np.nan),
    "every other step": np.where(np.arange(40) % 2, np.nan, weekly(3, 40)),
    "one series much longer": np.where((np.arange(2000) < 1998) & (np.arange(3) > 0)[:, None], np.nan, weekly(3, 2000)),
    "no series": np.zeros((0, 40)),
}


@every_model
@every_task
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_series_get_a_finite_answer(models, kind, task, name):
    horizon = 7 if task == "forecasting" else 0
    inputs = panel(HOSTILE[name], horizon=horizon, until=HOSTILE[name].shape[1] * 3 // 4 if task == "anomaly" else None)
    own = fitted(kind, inputs.ending(inputs.until), replace(QUICK, epochs=1))
    for model in (own, models[kind, task]):
        assert np.isfinite(answer(model, inputs)).all()


@every_model
@every_task
def test_a_panel_without_a_step_gets_a_finite_answer(models, kind, task):
    inputs = panel(weekly(3, 5), horizon=7 if task == "forecasting" else 0).ending(np.zeros(3, np.int64))
    for model in (fitted(kind, inputs), models[kind, task]):
        assert np.isfinite(answer(model, inputs)).all()


@every_model
def test_the_forecast_of_a_constant_stays_near_it_and_counts_do_not_go_below_zero(models, kind):
    flat = answer(models[kind, "forecasting"], panel(np.full((1, 40), 7e6)))
    assert np.abs(flat / 7e6 - 1).max() < 3
    rare = (np.random.default_rng(0).random((5, 60)) < 0.1).astype(float)
    counted, plain = (answer(models[kind, "forecasting"], panel(rare, counts=counts)) for counts in (True, False))
    assert counted.min() >= 0
    assert plain.min() < 0


@every_model
@every_task
def test_units_do_not_matter(models, kind, task):
    inputs = tasks()[task][1].take(np.array([7, 8, 9]))  # a series needs a past to have a unit
    scaled = replace(inputs, values=inputs.values * 1024.0)
    factor = 1024.0 if task == "forecasting" else 1.0
    assert np.allclose(answer(models[kind, task], scaled) / factor, answer(models[kind, task], inputs), rtol=1e-4, atol=1e-4)


def test_each_series_is_shown_what_stood_its_own_season_before():
    values = np.random.default_rng(0).normal(size=(2, 60))
    mixed = panel(values, horizon=0, seasons=np.array([4, 7]))
    encoder = AnomalyEncoder.fit(mixed, replace(QUICK, history=16), "lagged")
    whole = encoder.prediction_rows(mixed).features(np.arange(len(encoder.prediction_rows(mixed).target)))
    for n, season in enumerate((4, 7)):
        alone = panel(values[[n]], horizon=0, season=season)
        own = encoder.prediction_rows(alone)
        half = len(whole) // 2
        np.testing.assert_array_equal(whole[n * half : (n + 1) * half, :, :5], own.features(np.arange(len(own.target)))[..., :5])
    assert not np.array_equal(whole[:half, :, 3], encoder.prediction_rows(panel(values[[0]], horizon=0)).features(np.arange(half))[..., 3])


@every_model
def test_steps_that_were_not_observed_score_nothing(models, kind):
    _, inputs = tasks()["anomaly"]
    score = answer(models[kind, "anomaly"], inputs)
    assert (score[~inputs.mask] == 0).all()
    assert (score[inputs.mask] > 0).mean() > 0.9


@every_model
def test_a_forecast_of_another_horizon_or_without_levels_is_a_clear_error(models, kind):
    with pytest.raises(PluginError, match="trained to forecast 7 steps and is asked for 5"):
        models[kind, "forecasting"].predict(panel(ragged(), horizon=5), QUICK)
    with pytest.raises(PluginError, match=r"ctx\.quantiles is empty"):
        fitted(kind, panel(ragged()), replace(QUICK, quantiles=()))


@every_model
def test_the_default_lies_inside_the_space(kind):
    space, default = kind.space(), kind.default()
    assert space.keys() == default.keys()
    assert all(space[name]._contains(space[name].to_internal_repr(value)) for name, value in default.items())


class Plain(torch.nn.Module):
    """Answer once a row, from its last step."""

    def __init__(self, f, o):
        super().__init__()
        self.rnn, self.dense = torch.nn.GRU(f, 8, batch_first=True), torch.nn.Linear(8, o)

    def forward(self, x, length):
        h, _ = self.rnn(x)
        return self.dense(h[torch.arange(len(x)), length - 1])


class ThirdParty(TorchModel):
    name = "third-party"
    tasks = frozenset({"forecasting", "anomaly"})

    def net(self, f, o):
        return Plain(f, o)


@every_task
def test_a_network_that_knows_two_sizes_only_serves_panels_too(task):
    train, inputs = tasks()[task]
    model = ThirdParty({})
    model.fit(train, QUICK)
    assert np.isfinite(answer(model, inputs)).all()
    assert not ThirdParty.causal


def test_a_plugin_without_a_network_is_told_what_to_write():
    class Nothing(TorchModel):
        name = "nothing"
        tasks = frozenset({"anomaly"})

    with pytest.raises(PluginError, match=r"nothing makes no network of .* write `net` or `make`"):
        Nothing({}).fit(tasks()["anomaly"][0], QUICK)


class Watched(LSTM):
    """Note what each training of the network is given."""

    def __init__(self, params):
        super().__init__(params)
        self.trained = []

    def run(self, network, recipe, rows, ctx):
        best = super().run(network, recipe, rows, ctx)
        self.trained.append((float(np.nanmax(rows[0].target)), rows[1] is not None, ctx.epochs, best))
        return best


def late(horizon=7):
    """Make series whose last horizon is unlike all before."""
    values = weekly(6, 90, slope=0.0)
    values[:, -horizon:] += 1e3
    return panel(values, horizon=horizon)


def test_few_epochs_leave_nothing_to_stop_and_the_last_steps_are_learnt_from():
    model = Watched(TINY[LSTM])
    model.fit(late(), replace(QUICK, epochs=2))
    ((largest, judged, epochs, _),) = model.trained
    assert largest > 100
    assert (judged, epochs) == (False, 2)


def test_of_many_epochs_the_best_number_is_found_on_the_last_steps_and_then_all_is_learnt_from():
    model = Watched(TINY[LSTM] | {"patience": 1})
    model.fit(late(), replace(QUICK, epochs=4))
    (without, judged, _, best), (whole, again, epochs, _) = model.trained
    assert (judged, again) == (True, False)
    assert epochs == best
    assert without < 100 < whole


def test_a_second_training_that_was_cut_short_leaves_the_first(monkeypatch):
    model = Watched(TINY[LSTM] | {"patience": 1})
    first = Watched.learnt

    def then_stop(self, *given):
        found = first(self, *given)
        self.kept = self.network
        return found

    monkeypatch.setattr(Watched, "learnt", then_stop)
    ctx = replace(QUICK, epochs=2)
    model.fit(late(), ctx)
    assert model.network is not model.kept

    def late_stop(self):
        stop = hasattr(model, "kept") and self.on_stop is not None  # not before the second
        if stop:
            self.on_stop()
        return stop

    del model.kept
    monkeypatch.setattr(Context, "should_stop", late_stop)
    model.fit(late(), ctx)
    assert model.network is model.kept
