"""Floors and window detectors of anomalies: causal, each entity by itself, higher where more anomalous, finite for any input."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.covariance import EmpiricalCovariance

from bench.api import Context
from bench.data.panel import Panel, filled
from bench.metrics.areas import areas_of, collect
from bench_plugins import anomaly_floors, anomaly_windows, detector_mean, matrix_profile, rolling_ecod
from bench_plugins._windows import standardised
from bench_plugins.matrix_profile import distances

NAMES = (
    "random", "abs-median", "rolling-variance", "rolling-mean", "rolling-mean-centred", "seasonal-residual", "sub-pca", "iforest",
    "matrix-profile", "abs-median-centred", "rolling-variance-centred", "sub-pca-whole", "iforest-whole", "rolling-deviation",
    "rolling-ecod", "rolling-ecod-whole", "detector-mean", "detector-mean-whole",
)  # fmt: skip
CAUSAL = tuple(name for name in NAMES if not name.endswith(("-centred", "-whole")))
SEASON, STEPS, UNTIL = 12, 120, 70


@pytest.fixture(scope="module")
def models():
    """Give the models by name; forests of few trees."""
    found = {
        m.name: m
        for plugin in (anomaly_floors, anomaly_windows, detector_mean, matrix_profile, rolling_ecod)
        for m in plugin.bench_models()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anomaly_windows, "TREES", 10)
        yield found


@pytest.fixture(params=NAMES)
def model(models, request):
    return models[request.param]({})


@pytest.fixture(params=CAUSAL)
def causal(models, request):
    return models[request.param]({})


def panel(rows, until=UNTIL, season=SEASON):
    """Right-align rows of any lengths; NaN is a missing step."""
    steps = max(map(len, rows), default=0)
    grid = np.full((len(rows), steps), np.nan)
    for row, values in zip(grid, rows, strict=True):
        row[steps - len(values) :] = values
    values, mask, start = filled(grid)
    return Panel(
        values=values, mask=mask, start=start, until=np.clip(np.broadcast_to(until, len(rows)), start, steps), season=season, freq="",
        time=np.arange(steps)[None], known=np.zeros((1, steps, 8), np.float32),
    )  # fmt: skip


def usual(n=3, seed=0, steps=STEPS):
    """Make noisy cycles of different levels."""
    rng = np.random.default_rng(seed)
    cycle = np.sin(np.arange(steps) * 2 * np.pi / SEASON)
    return 10 * np.arange(n)[:, None] + cycle + 0.2 * rng.normal(size=(n, steps))


def odd():
    """Make everything that a source may hold."""
    rng = np.random.default_rng(0)
    one = usual(1)[0]
    spike = np.where(np.arange(STEPS) == 100, 1e300, one)
    early = np.where(np.arange(STEPS) == 20, 1e300, one)
    return [
        one, -one - 50, spike, -spike, early, 1e300 * one, 1e-300 * one, 1e-320 * one, np.full(STEPS, 5.0), np.zeros(STEPS),
        np.full(STEPS, np.nan), np.full(STEPS, 1.7e308), np.where(np.arange(STEPS) % 2, 1.7e308, -1.7e308), np.zeros(0), np.array([3.0]),
        np.array([3.0, 4]), np.array([1.0, np.nan, 2]), one[:60], one[:52], np.where(rng.random(STEPS) < 0.4, np.nan, one),
        np.where(np.arange(STEPS) < 70, np.nan, one), np.where(np.arange(STEPS) < 70, 2.0, one), np.where(np.arange(STEPS) > 69, 2.0, one),
        rng.poisson(0.05, STEPS).astype(float), np.arange(STEPS) ** 3.0,
    ]  # fmt: skip


def scores(model, given, seed=0):
    model.fit(given.ending(given.until), Context(seed=seed))
    return model.predict(given, Context(seed=seed))


def test_a_causal_score_does_not_change_when_later_steps_do(causal):
    given = panel([*usual(), *odd()])
    assert causal.causal
    before = scores(causal, given)
    for seed, at in enumerate((UNTIL, UNTIL + 1, 90, STEPS - 1)):
        rng = np.random.default_rng(seed)
        later = np.arange(STEPS) >= at
        values = np.where(later, rng.normal(size=given.values.shape) * 10.0 ** rng.integers(-3, 300, (len(given), 1)), given.values)
        mask = np.where(later, rng.random(given.mask.shape) < 0.8, given.mask)
        np.testing.assert_array_equal(scores(causal, replace(given, values=values, mask=mask))[:, :at], before[:, :at])


def test_a_causal_score_does_not_change_when_later_steps_are_missing_altogether(causal):
    given = panel([*usual(), *odd()])
    short = replace(given, values=given.values[:, :90], mask=given.mask[:, :90], start=np.minimum(given.start, 90))
    short = replace(short, until=np.minimum(given.until, 90), time=given.time[:, :90], known=given.known[:, :90])
    same = (given.until < 90) & (given.start < 90)
    assert same.sum() > 15
    np.testing.assert_allclose(scores(causal, short)[same], scores(causal, given)[same][:, :90], rtol=1e-12)


@pytest.mark.parametrize("name", ["rolling-mean-centred", "rolling-variance-centred", "sub-pca-whole"])
def test_what_is_centred_or_learns_from_the_whole_looks_ahead_and_says_so(models, name):
    model = models[name]({})
    assert not model.causal
    given = panel(usual())
    values = given.values.copy()
    values[:, 90] += 100
    assert (scores(model, replace(given, values=values))[:, 85:90] != scores(model, given)[:, 85:90]).all()


def test_an_entity_is_scored_as_if_it_stood_alone(model):
    given = panel([*usual(), *odd()])
    whole = scores(model, given)
    order = np.random.default_rng(0).permutation(len(given))
    np.testing.assert_allclose(scores(model, given.take(order)), whole[order], rtol=1e-12)
    for n in range(len(given)):
        np.testing.assert_allclose(scores(model, given.take(np.array([n])))[0], whole[n], rtol=1e-12)


def test_any_input_gets_finite_scores_and_none_where_nothing_was_observed(model):
    for until in (0, 1, 3, 5, UNTIL, STEPS):
        given = panel([*usual(), *odd()], until)
        found = scores(model, given)
        assert found.shape == given.values.shape
        assert found.dtype == np.float64
        assert np.isfinite(found).all()
        assert not found[~given.mask].any()


def test_panels_without_entities_or_steps_are_served(model):
    assert scores(model, panel(usual()).take(np.zeros(0, int))).shape == (0, STEPS)
    assert scores(model, panel([np.zeros(0), np.zeros(0)])).shape == (2, 0)


@pytest.mark.parametrize("season", [1, 2, 288, 100_000])
def test_any_season_is_served(model, season):
    given = panel(usual(), season=season)
    assert np.isfinite(scores(model, given)).all()


def test_inputs_are_left_as_they_are(model):
    given = panel([*usual(), *odd()])
    before = {f.name: np.array(getattr(given, f.name)).tobytes() for f in fields(given)}
    scores(model, given)
    assert {f.name: np.array(getattr(given, f.name)).tobytes() for f in fields(given)} == before


def test_the_same_seed_gives_the_same_scores(model):
    given = panel(usual())
    np.testing.assert_array_equal(scores(model, given), scores(model, given))
    differs = not np.array_equal(scores(model, given, 0), scores(model, given, 1))
    assert differs == (not model.deterministic)


def test_the_default_is_a_point_of_the_space_and_every_point_is_served(model):
    space, default = model.space(), model.default()
    assert set(space) == set(default)
    assert all(d._contains(d.to_internal_repr(default[k])) for k, d in space.items())
    given = panel(usual())
    for end in ("low", "high"):
        corner = {k: getattr(d, end) if hasattr(d, end) else d.choices[end == "high"] for k, d in space.items()}
        assert np.isfinite(scores(type(model)(corner), given)).all()


def test_a_planted_outlier_scores_above_all_that_is_usual(model):
    if model.name == "random":
        pytest.skip("chance sees nothing")
    if model.name == "matrix-profile":
        model.params["normalise"] = False  # four steps have little shape
    values = usual()
    values[:, 90:96] += np.array([9.0, 9, -3, 9, 9, 9])
    found = scores(model, panel(values))
    assert (found[:, 90:96].max(axis=1) > np.delete(found, np.s_[84:108], axis=1).max(axis=1)).all()


def test_the_forests_scores_are_higher_where_windows_are_strange(models):
    values = usual(steps=400)
    values[:, 300:310] = np.random.default_rng(1).uniform(-40, 40, (3, 10))
    given = panel(values, 250)
    found = scores(models["iforest"]({}), given)
    for row in found:
        assert row[303:310].min() > np.quantile(row[:250], 0.99)
        assert row[303:310].mean() > row[320:].max()
    assert found.min() >= 0
    assert found.max() <= 1


def test_random_scores_come_near_the_base_rate(models):
    rng = np.random.default_rng(0)
    given = panel(rng.normal(size=(60, 400)), 100)
    y = np.zeros((60, 400), bool)
    y[:, 200:220] = True
    found = scores(models["random"]({}), given)[:, 100:]
    areas = areas_of(collect([(a, b) for a, b in zip(y[:, 100:], found, strict=True)]), np.ones((1, 60)))
    assert areas["auc_pr"][0] == pytest.approx(20 / 300, abs=0.01)
    assert areas["auc_roc"][0] == pytest.approx(0.5, abs=0.04)
    assert len(np.unique(found)) == found.size  # every entity draws its own numbers
    assert found.min() < 0.001
    assert found.max() > 0.999


def test_the_widths_of_the_rolling_floors_follow_the_season():
    assert [anomaly_floors.width(panel(usual(), season=s)) for s in (1, 7, 9999)] == [100, 7, 2 * STEPS]


def test_without_a_ridge_sub_pca_is_the_mahalanobis_distance_and_with_a_large_one_the_plain_distance():
    windows = sliding_window_view(usual(1)[0], 4)
    learnt = windows[:60]
    covariance = EmpiricalCovariance().fit(learnt)
    found = anomaly_windows.SubPca({"ridge": 1e-12}).score(windows, learnt, Context())
    np.testing.assert_allclose(found, covariance.mahalanobis(windows), rtol=1e-6)
    plain = ((windows - learnt.mean(axis=0)) ** 2).sum(axis=1)
    found = anomaly_windows.SubPca({"ridge": 1e9}).score(windows, learnt, Context())
    np.testing.assert_allclose(found / found.sum(), plain / plain.sum(), rtol=1e-6)


def test_windows_are_scored_in_blocks_as_in_one_piece(monkeypatch):
    given = panel(usual())
    whole = scores(anomaly_windows.SubPca({}), given)
    monkeypatch.setattr(anomaly_windows, "AT_ONCE", 50)
    np.testing.assert_allclose(scores(anomaly_windows.SubPca({}), given), whole, rtol=1e-12)


def test_no_more_windows_are_learnt_from_than_the_profile_allows():
    seen = []

    class Counting(anomaly_windows.OnWindows):
        @staticmethod
        def default():
            return {"seasons": 0.33}

        def score(self, windows, learnt, ctx):
            seen.append(len(learnt))
            return np.zeros(len(windows))

    for rows in (None, 10):
        Counting({}).predict(panel(usual(1)), Context(rows=rows))
    assert seen == [67, 10]


def test_the_score_of_a_window_goes_to_its_last_step_and_earlier_steps_get_the_prefix_median():
    given = panel(usual(1), season=SEASON)
    own = anomaly_windows.SubPca({}).score
    z = standardised(given.values[0], given.values[0, :UNTIL])
    windows = sliding_window_view(z, 4)
    wanted = own(windows, windows[: UNTIL - 3], Context())
    found = scores(anomaly_windows.SubPca({}), given)[0]
    np.testing.assert_allclose(found[3:], wanted)
    assert found[:3] == pytest.approx(np.median(wanted[: UNTIL - 3]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=30), st.integers(0, 30))
def test_any_numbers_are_standardised_to_finite_ones(values, learnt):
    x = np.array(values, float)
    found = standardised(x, x[:learnt])
    assert np.isfinite(found).all()
    order = np.argsort(x, kind="stable")
    assert (np.diff(found[order]) >= 0).all()


@pytest.mark.parametrize("normalise", [True, False])
def test_the_matrix_profile_is_that_of_a_plain_search(models, normalise):
    assert models["matrix-profile"].causal
    z, width, until = usual(1)[0], 8, 64
    k, apart = until - width + 1, 2
    windows = sliding_window_view(z, width)
    if normalise:
        windows = (windows - windows.mean(axis=1, keepdims=True)) / windows.std(axis=1, keepdims=True)
    far = np.sqrt(((windows[:, None] - windows[None, :k]) ** 2).sum(axis=2))
    far[np.abs(np.arange(len(windows))[:, None] - np.arange(k)) <= apart] = np.inf
    np.testing.assert_allclose(distances(z, width, k, normalise=normalise), far.min(axis=1), atol=1e-6)
