"""The Keras plugins hold the same networks as their torch twins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed")
pytest.importorskip("keras", reason="keras is not installed")
torch = pytest.importorskip("torch", reason="torch, which the networks are compared with, is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from plugins.network_kit import QUICK, answer, data, every_task, fitted  # noqa: E402

from bench.neural import keras_loop, loop  # noqa: E402
from bench.neural.sizes import Sizes  # noqa: E402
from bench_plugins import keras_lstm, keras_vae, lstm, vae  # noqa: E402

SIZES = {
    "churn": Sizes("churn", f=5, longest=6, beside=2),
    "forecasting": Sizes("forecasting", f=4, steps=3, each=3, longest=8, levels=(0.1, 0.5, 0.9)),
    "anomaly": Sizes("anomaly", f=3, steps=4, longest=8),
}
LOSS = {"churn": "bce", "forecasting": "pinball", "anomaly": "huber"}
PARAMS = {"hidden": 16, "latent": 4, "beta": 1.0}


def batch(task):
    """Give x [N, T, F], length [N] and target of four rows."""
    rng, sizes = np.random.default_rng(0), SIZES[task]
    x = rng.normal(size=(4, 8, sizes.f)).astype(np.float32)
    x[..., sizes.f - sizes.beside :] = x[:, :1, sizes.f - sizes.beside :]
    length = np.array([8, 8, 8, 8] if task == "anomaly" else [3, 5, 8, 4])
    target = rng.normal(size=(4, sizes.steps)).astype(np.float32)
    return x, length, (target > 0).astype(np.float32) if task == "churn" else target


def arrays(module):
    """Give a torch module's weights in its own order."""
    return [p.detach().numpy() for p in module.parameters()]


def recurrent(layer):
    """Turn torch's LSTM weights into Keras's: transposed, its two biases added; both order the gates i, f, c, o."""
    into, back, first, second = arrays(layer)
    return [into.T, back.T, first + second]


def layers(module):
    """Turn torch's dense weights into Keras's: transposed."""
    return [w.T for w in arrays(module)]


def lstms(task):
    """Give the LSTM in torch and in Keras, with the same weights."""
    sizes = SIZES[task]
    torch.manual_seed(0)
    ours = lstm.Net(sizes.f, sizes.o, 8, 0.0, sizes.steps).eval()
    twin = keras_lstm.Net(sizes.f, sizes.o, 8, 0.0, sizes.steps)
    twin.set_weights([*recurrent(ours.lower), *recurrent(ours.upper), *layers(ours.dense)])
    return ours, twin


def vaes(task):
    """Give the autoencoder in torch and in Keras, with the same weights."""
    torch.manual_seed(0)
    ours, twin = vae.NETS[task](SIZES[task], PARAMS).eval(), keras_vae.NETS[task](SIZES[task], PARAMS)
    for name, module in ours.named_children():
        getattr(twin, name).set_weights(layers(module))
    return ours, twin


def both(ours, twin, task):
    x, length, _ = batch(task)
    with torch.no_grad():
        return ours(torch.from_numpy(x), torch.from_numpy(length)).numpy(), twin(x, length).numpy()


@every_task
@pytest.mark.parametrize("pair", [lstms, vaes])
def test_the_same_weights_give_the_answers_of_torch(pair, task):
    expected, found = both(*pair(task), task)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5
    assert np.abs(expected).max() > 1e-3


@every_task
def test_the_same_latent_gives_the_objective_of_torch_and_its_gradient(task, monkeypatch):
    ours, twin = vaes(task)
    monkeypatch.setattr(torch, "randn_like", lambda mean: torch.full_like(mean, 0.7))
    monkeypatch.setattr(keras_loop.keras.random, "normal", lambda shape, **_: tf.fill(shape, 0.7))
    x, length, target = batch(task)
    if task != "churn":
        target[0, 1:] = np.nan
    levels = SIZES[task].levels
    name = LOSS[task]
    with tf.GradientTape() as tape:
        found = twin.objective(x, length, target, lambda raw, y: keras_loop.LOSSES[name](raw, y, tf.constant(levels, tf.float32)))
    given = (torch.from_numpy(part) for part in (x, length, target))
    expected = ours.objective(*given, lambda raw, y: loop.LOSSES[name](raw, y, torch.tensor(levels)))
    expected.backward()
    assert float(found) == pytest.approx(expected.item(), rel=1e-5)
    slopes = dict(zip([id(w) for w in twin.trainable_variables], tape.gradient(found, twin.trainable_variables), strict=True))
    for child, module in ours.named_children():
        for w, p in zip(getattr(twin, child).trainable_variables, module.parameters(), strict=True):
            assert np.allclose(slopes[id(w)].numpy(), p.grad.numpy().T, atol=1e-4)


@every_task
@pytest.mark.parametrize("pair", [lstms, vaes])
def test_what_stands_behind_the_last_step_is_never_looked_at(pair, task):
    _, twin = pair(task)
    x, length, _ = batch(task)
    other = np.where((np.arange(8) >= length[:, None])[..., None], np.float32(1e6), x)
    assert (twin(x, length).numpy() == twin(other, length).numpy()).all()


def test_defaults_and_spaces_are_those_of_the_torch_plugins():
    for ours, twin in ((lstm.LSTM, keras_lstm.KerasLSTM), (vae.Vae, keras_vae.KerasVae)):
        assert ours.default() == twin.default()
        assert ours.space() == twin.space()
        assert ours.choices("churn") == twin.choices("churn") != {}
        assert (ours.tasks - {"next-event"}, ours.view, ours.causal) == (twin.tasks - {"next-event"}, twin.view, twin.causal)
        assert twin.runtime == "tensorflow"
    assert keras_lstm.bench_models() == [keras_lstm.KerasLSTM]
    assert keras_vae.bench_models() == [keras_vae.KerasVae]


def test_a_causal_score_depends_on_no_later_step():
    _, inputs = data("anomaly")
    model = fitted(keras_lstm.KerasLSTM, {"hidden": 8, "dropout": 0.0, "lr": 0.01, "batch": 32}, data("anomaly")[0])
    later = replace(inputs, values=np.where(np.arange(60) < 53, inputs.values, -3e5))
    before, after = answer(model, inputs, QUICK), answer(model, later, QUICK)
    assert (before[:, :53] == after[:, :53]).all()
    assert (before[:, 53:] != after[:, 53:]).any()
