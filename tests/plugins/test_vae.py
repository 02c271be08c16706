"""The variational autoencoders: the bound, the draws of a forecast, and what every network keeps."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from plugins.network_kit import QUICK, NetworkContract, every_task, users  # noqa: E402
from scipy import stats  # noqa: E402

from bench.neural.loop import LOSSES, Objective  # noqa: E402
from bench.neural.sizes import Sizes  # noqa: E402
from bench_plugins import _vae_shared as shared  # noqa: E402
from bench_plugins.vae import NETS, Vae, bench_models  # noqa: E402

SIZES = {
    "churn": Sizes("churn", f=5, longest=6, beside=2),
    "forecasting": Sizes("forecasting", f=4, steps=3, each=3, longest=8, levels=(0.1, 0.5, 0.9)),
    "anomaly": Sizes("anomaly", f=3, steps=4, longest=8),
}
LOSS = {"churn": "bce", "forecasting": "pinball", "anomaly": "huber"}


class TestVae(NetworkContract):
    kind = Vae
    files: ClassVar = {"weights.safetensors", "state.json"}


def net(task, **params):
    torch.manual_seed(0)
    return NETS[task](SIZES[task], {"hidden": 16, "latent": 4, "beta": 1.0} | params).eval()


def batch(task):
    """Give x [N, T, F], length [N] and target of four rows."""
    rng = np.random.default_rng(0)
    sizes = SIZES[task]
    x = torch.from_numpy(rng.normal(size=(4, 8, sizes.f)).astype(np.float32))
    x[..., sizes.f - sizes.beside :] = x[:, :1, sizes.f - sizes.beside :]  # what stands beside is the same at all steps
    length = torch.tensor([8, 8, 8, 8] if task == "anomaly" else [3, 5, 8, 4])
    target = torch.from_numpy(rng.normal(size=(4, sizes.steps)).astype(np.float32))
    return x, length, (target > 0).float() if task == "churn" else target


def objective(task, network, x, length, target):
    levels = torch.tensor(SIZES[task].levels)
    torch.manual_seed(1)
    return network.objective(x, length, target, lambda raw, y: LOSSES[LOSS[task]](raw, y, levels))


@every_task
def test_what_stands_behind_the_last_step_is_never_looked_at(task):
    network, (x, length, target) = net(task), batch(task)
    behind = torch.arange(8) >= length[:, None]  # [N, T]
    other = x.masked_fill(behind[..., None], torch.nan)
    assert network(x, length).shape == (4, SIZES[task].o)
    assert torch.equal(network(x, length), network(other, length))
    assert torch.equal(objective(task, network, x, length, target), objective(task, network, other, length, target))


@every_task
def test_every_weight_learns_from_the_objective(task):
    network, (x, length, target) = net(task), batch(task)
    assert isinstance(network, Objective)
    objective(task, network, x, length, target).backward()
    assert all(p.grad is not None and (p.grad != 0).any() for p in network.parameters())


@pytest.mark.parametrize("task", ["forecasting", "anomaly"])
def test_steps_without_a_target_teach_nothing(task):
    network, (x, length, target) = net(task), batch(task)
    target[0, 1:], target[1] = torch.nan, torch.nan
    loss = objective(task, network, x, length, target)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_the_divergence_is_that_of_two_normal_distributions():
    network, (x, length, _) = net("anomaly"), batch("anomaly")
    window = network.window(x, length)
    mean, logvar = network.posterior(window)
    _, divergence = network.sampled(window)
    posterior = torch.distributions.Normal(mean, (logvar / 2).exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(divergence, expected, atol=1e-5)
    assert torch.allclose(net("anomaly", beta=3.0).sampled(window)[1], 3 * expected, atol=1e-5)


def test_the_latent_is_drawn_from_the_posterior():
    network, (x, length, _) = net("anomaly"), batch("anomaly")
    window = network.window(x, length)[:1].expand(20_000, -1)
    z, _ = network.sampled(window)
    mean, logvar = network.posterior(window[:1])
    assert torch.allclose(z.mean(0), mean[0], atol=0.05)
    assert torch.allclose(z.var(0), logvar[0].exp(), rtol=0.05)


def test_it_shows_the_latents_mean_from_which_it_predicts():
    data = users(40, shortest=1)
    model = Vae(Vae.default())
    model.fit(data, QUICK)
    shown = model.insight(data, QUICK)["embedding"]
    assert shown.shape == (40, Vae.default()["latent"])
    logit = model.network.dense(torch.from_numpy(shown)).detach().numpy()[:, 0]
    np.testing.assert_allclose(1 / (1 + np.exp(-logit)), model.predict(data, QUICK), rtol=1e-4)
    model.encoder = object()
    assert model.insight(data, QUICK) == {}


def test_with_a_latent_that_says_nothing_a_forecast_has_the_quantiles_of_a_laplace_distribution():
    network, (x, length, _) = net("forecasting"), batch("forecasting")
    first = network.decoder[0][0]
    with torch.no_grad():
        first.weight[:, :4] = 0.0  # the latent comes first in what the decoder reads
        median, spread = network.decoded(torch.zeros(4, 4), *network.read(x, length))
        found = network(x, length).view(4, 3, 3)
    expected = stats.laplace.ppf([0.1, 0.5, 0.9], median[..., None], spread[..., None])
    assert np.allclose(found, expected, rtol=0.01, atol=0.01)


def test_the_draws_are_the_same_each_time_and_spread_as_they_should():
    normal, laplace = shared.normal(8), shared.laplace(5)
    assert (normal == shared.normal(8)).all()
    assert (laplace == shared.laplace(5)).all()
    assert np.abs(normal.mean(0)).max() < 1e-6
    assert all(stats.kstest(laplace[:, step], "laplace").statistic < 0.01 for step in range(5))
    assert np.abs(np.corrcoef(laplace.T) - np.eye(5)).max() < 0.4


def test_quantiles_of_draws_are_read_by_hazens_ranks():
    low, high, between = shared.ranks((0.1, 0.5, 0.995))
    x = np.sort(np.random.default_rng(0).normal(size=shared.DRAWS))
    found = x[low] + between * (x[high] - x[low])
    assert np.allclose(found, np.quantile(x, (0.1, 0.5, 0.995), method="hazen"))


def test_the_default_is_the_reference_configuration():
    network = NETS["anomaly"](SIZES["anomaly"], Vae.default())
    widths = [layer.out_features for layer in network.modules() if isinstance(layer, torch.nn.Linear)]
    assert widths == [64, 32, 2 * 8, 32, 64, 4]


def test_the_hook_gives_the_model_which_is_not_causal():
    assert bench_models() == [Vae]
    assert not Vae.causal
