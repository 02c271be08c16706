"""The direct network: better than what it begins from, the same alone as among others, and a mean of independent members."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from plugins.baseline_kit import MEDIAN, awkward, fitted, forecast, ordinary, panel_of

torch = pytest.importorskip("torch", reason="torch is not installed")

from bench.api import Context  # noqa: E402
from bench.errors import PluginError  # noqa: E402
from bench_plugins.direct import Direct, Net  # noqa: E402
from bench_plugins.forecast_floors import SeasonalNaive  # noqa: E402

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
QUICK = Context(epochs=1, history=16, horizon=10, quantiles=LEVELS, rows=2000)
TINY = {"members": 2, "width": 16, "dropout": 0.1, "lr": 3e-3, "batch": 128}


def learnt(train, ctx=QUICK, **more):
    return fitted(Direct, train, ctx, **{**TINY, **more})


def years(n=20, steps=260, seed=0):
    """Make weekly series with a year of their own; the metric is told of none."""
    rng, t = np.random.default_rng(seed), np.arange(steps)
    year = rng.normal(0, 4, (n, 52))[:, t % 52]
    return 30 + year + rng.normal(0, 1, (n, steps))


def error(quantiles, truth):
    return np.abs(quantiles[..., MEDIAN] - truth).mean()


def test_it_finds_a_year_that_neither_season_nor_history_tells_of():
    values = years()
    train, truth = panel_of(values[:, :-10], season=1), values[:, -10:]
    naive = forecast(SeasonalNaive, train).quantiles
    year = values[:, -10 - 52 : -52]
    found = learnt(train, replace(QUICK, epochs=4)).predict(train, QUICK).quantiles
    assert error(found, truth) < 0.5 * error(naive, truth)
    assert error(found, truth) < np.abs(year - truth).mean()


@pytest.mark.parametrize("counts", [False, True])
def test_any_series_gets_a_finite_forecast(counts):
    panel = awkward(counts=counts)
    answer = learnt(panel).predict(panel, QUICK)
    assert np.isfinite(answer.quantiles).all()
    assert not counts or (answer.quantiles >= 0).all()


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (1, 1), (2, 3)])
def test_a_panel_with_next_to_nothing_in_it_is_served(shape):
    n, steps = shape
    panel = panel_of([np.ones(steps)] * max(n, 1)).take(np.arange(n))
    assert learnt(panel).predict(panel, QUICK).quantiles.shape == (n, 10, len(LEVELS))


def test_a_series_is_answered_alone_as_among_others():
    panel = ordinary(6)
    model = learnt(panel)
    together = model.predict(panel, QUICK).quantiles
    alone = np.concatenate([model.predict(panel.take(np.array([n])), QUICK).quantiles for n in range(6)])
    assert np.abs(together - alone).max() < 1e-5 * np.abs(together).max()


def test_what_lies_before_the_context_and_before_a_start_changes_no_answer():
    panel = ordinary(6)
    model = learnt(panel)
    longest = model.encoder.anchor.context
    longer = panel_of([np.concatenate([np.full(50, 1e6), panel.values[n]]) for n in range(6)])
    longer = replace(
        longer, start=panel.start + 50, mask=np.pad(panel.mask, ((0, 0), (50, 0))), known=np.pad(panel.known, ((0, 0), (50, 0), (0, 0)))
    )
    assert longest <= panel.steps
    assert np.allclose(model.predict(longer, QUICK).quantiles, model.predict(panel, QUICK).quantiles)


def test_a_seed_gives_one_answer_and_what_was_saved_gives_it_again(tmp_path):
    panel = ordinary(6)
    first, again, other = learnt(panel), learnt(panel), learnt(panel, replace(QUICK, seed=1))
    expected = first.predict(panel, QUICK).quantiles
    assert (again.predict(panel, QUICK).quantiles == expected).all()
    assert (other.predict(panel, QUICK).quantiles != expected).any()
    first.save(tmp_path)
    stored = Direct(TINY)
    stored.load(tmp_path)
    assert (stored.predict(panel, QUICK).quantiles == expected).all()
    assert json.loads((tmp_path / "state.json").read_text())["task"] == "direct"


def test_members_learn_alone_and_are_averaged():
    sizes = learnt(ordinary(4)).encoder.sizes
    net = Net(sizes, 3, 8, 0.0)
    x, length, target = torch.randn(5, 1, sizes.f), torch.ones(5, dtype=torch.int64), torch.randn(5, sizes.o)
    assert torch.allclose(net(x, length), net.each(x).mean(0))
    net.objective(x, length, target, lambda raw, y: ((raw - y) ** 2).sum()).backward()
    whole = net.write.weight.grad[1].clone()
    net.zero_grad()
    ((net.each(x)[1] - target) ** 2).sum().backward()
    assert torch.allclose(net.write.weight.grad[1], whole, atol=1e-4)
    assert (net.write.weight.grad[[0, 2]] == 0).all()


def test_the_panel_is_left_as_it_was_and_another_horizon_is_refused():
    panel = ordinary(3)
    model = learnt(panel)
    with pytest.raises(PluginError, match="trained to forecast 10 steps and is asked for 5"):
        model.predict(replace(panel, horizon=5), QUICK)
    frozen = ordinary(3)
    frozen.values.flags.writeable = False
    assert np.isfinite(learnt(frozen).predict(frozen, QUICK).quantiles).all()


def test_the_default_lies_inside_the_space():
    space, default = Direct.space(), Direct.default()
    assert space.keys() == default.keys()
    assert all(space[name]._contains(space[name].to_internal_repr(value)) for name, value in default.items())
