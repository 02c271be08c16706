"""ETS and Theta against statsforecast and published scores; the guard around them, and the contract."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from plugins.baseline_kit import (
    CTX,
    LEVELS,
    MEDIAN,
    assert_contract,
    assert_independent,
    assert_saved,
    assert_untouched,
    awkward,
    fitted,
    forecast,
    m4_hourly,
    mase,
    ordinary,
    panel_of,
    smape,
)
from statsmodels.tsa.seasonal import seasonal_decompose
from statsmodels.tsa.stattools import acf

from bench.execute.describe_plugin import metadata
from bench_plugins import _stats_guard as guard
from bench_plugins.forecast_floors import SeasonalNaive

peer = pytest.importorskip("statsforecast.models")
forecast_stats = pytest.importorskip("bench_plugins.forecast_stats")
MODELS = {m.name: m for m in forecast_stats.bench_models()}
both = pytest.mark.parametrize("name", MODELS)


class StandardTheta(MODELS["theta"]):
    """The method of Assimakopoulos and Nikolopoulos (2000), whose scores are published: one of the forms that `theta` chooses from."""

    method = "Theta"


PUBLISHED = {"seasonal-naive": SeasonalNaive, "theta": StandardTheta, "ets": MODELS["ets"]}


@pytest.fixture(scope="module")
def air() -> np.ndarray:
    """International airline passengers, 1949 to 1960 (Box and Jenkins, series G)."""
    return np.asarray(pytest.importorskip("statsforecast.utils").AirPassengers, float)


@both
@pytest.mark.parametrize("counts", [False, True])
def test_any_series_gets_a_finite_forecast_in_silence(name, counts, capfd):
    panel = awkward(counts=counts)

    answer = forecast(MODELS[name], panel)

    assert_contract(answer, panel)
    assert answer.fallback[panel.lengths < guard.SHORTEST].all()
    assert not answer.fallback[-1]
    assert capfd.readouterr() == ("", "")


@both
@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (1, 1)])
def test_a_panel_without_series_or_without_steps_is_served(name, shape):
    n, steps = shape
    panel = panel_of([np.ones(steps)] * max(n, 1)).take(np.arange(n))

    assert_contract(forecast(MODELS[name], panel), panel)


@both
def test_series_do_not_influence_each_other(name):
    model = fitted(MODELS[name], ordinary())

    assert model.local
    assert model.deterministic
    assert_independent(model, ordinary(6))


@both
def test_the_panel_is_left_as_it_was(name):
    assert_untouched(MODELS[name], ordinary(3))


@both
def test_a_saved_model_forecasts_the_same(name, tmp_path):
    assert_saved(fitted(MODELS[name], ordinary()), ordinary(3), tmp_path)


@both
def test_quantiles_are_the_bounds_of_statsforecasts_intervals_around_its_mean(name):
    panel = ordinary(8, 120)
    method = {"ets": peer.AutoETS, "theta": peer.AutoTheta}[name]

    answer = forecast(MODELS[name], panel)

    assert not answer.fallback.any()
    for n in range(len(panel)):
        direct = method(season_length=7).forecast(panel.series(n), h=10, level=[20, 80, 98])
        assert answer.mean[n] == pytest.approx(direct["mean"])
        assert (answer.quantiles[n, :, MEDIAN] == answer.mean[n]).all()
        for level, bound in {0.1: "lo-80", 0.4: "lo-20", 0.6: "hi-20", 0.9: "hi-80", 0.99: "hi-98"}.items():
            assert answer.quantiles[n, :, LEVELS.index(level)] == pytest.approx(direct[bound])


@pytest.mark.parametrize(("name", "published"), [("seasonal-naive", (10.57, 1.571)), ("theta", (5.41, 0.864)), ("ets", (7.45, 1.170))])
def test_air_passengers_gives_the_published_scores(name, published, air):
    panel = panel_of([air[:-12]], season=12, horizon=12)

    median = forecast(PUBLISHED[name], panel).quantiles[..., MEDIAN]

    scores = smape(median, air[-12:]), mase(median, air[None, -12:], panel)
    assert scores == pytest.approx(published, abs=0.006)
    assert scores[1] == pytest.approx(published[1], abs=0.0006)


def test_theta_on_m4_hourly_scores_as_it_did_when_the_whole_gave_the_published_scores(real):
    """Of all 414 series `tests/benchmarks/bench_m4.py` computes them, in minutes; these are every sixth one's."""
    panel, truth = m4_hourly(real)
    rows = np.arange(0, len(panel), 6)
    panel, truth = panel.take(rows), truth[rows]

    answer = forecast(StandardTheta, panel, replace(CTX, quantiles=(0.5,)))

    assert not answer.fallback.any()
    assert (smape(answer.quantiles[..., 0], truth), mase(answer.quantiles[..., 0], truth, panel)) == pytest.approx(
        (19.715, 2.440), rel=0.01
    )


def test_ets_on_eight_series_of_m4_hourly_is_statsforecasts_autoets(real):
    panel = m4_hourly(real)[0].take(np.arange(0, 400, 50))
    panel = panel_of(list(panel.values[:, -240:]), season=24, horizon=48)
    direct = [peer.AutoETS(season_length=24).forecast(y, h=48)["mean"] for y in panel.values]

    answer = forecast(MODELS["ets"], panel, replace(CTX, quantiles=(0.5,)))

    assert not answer.fallback.any()
    assert answer.mean == pytest.approx(np.stack(direct))


@both
def test_without_statsforecast_the_models_are_skipped_with_the_command_that_installs_it(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "statsforecast", None)
    told = metadata(name, MODELS[name])
    assert told["status"] == "skipped"
    assert told["tasks"] == ["forecasting"], "the row stands on the boards that it would serve, and on no other"
    assert re.search(r"needs statsforecast, .*'seqbench\[stats\]'", told["reason"])


# ---- the form of a series


def cut(panel, steps):
    """Cut a panel of one grid before step `steps`."""
    return panel.ending(np.full(len(panel), steps))


@pytest.fixture(scope="module")
def seasons() -> np.ndarray:
    """Four series that differ in trend, season and noise; [4, 150]."""
    t, rng = np.arange(150), np.random.default_rng(8)
    shapes = [50 + 9 * np.sin(2 * np.pi * t / 7), 30 + 0.4 * t, 20 + np.zeros(150), 40 + 0.2 * t + 6 * np.cos(2 * np.pi * t / 7)]
    return np.stack(shapes) + rng.normal(0, 1.5, (4, 150))


def asked_twice(name, values, monkeypatch):
    """Ask for a window and for the next one; return both answers and with which arguments each model was made."""
    made = []
    method = {"ets": "AutoETS", "theta": "AutoTheta"}[name]
    own = getattr(peer, method)
    monkeypatch.setattr(peer, method, lambda season_length, **form: (made.append(form), own(season_length=season_length, **form))[1])
    panel = panel_of(list(values), horizon=10)
    model = fitted(MODELS[name], cut(panel, 130))
    return model.predict(cut(panel, 130), CTX), model.predict(cut(panel, 140), CTX), made


@both
def test_the_form_is_chosen_once_for_a_series_that_is_asked_about_again(name, seasons, monkeypatch):
    first, second, made = asked_twice(name, seasons, monkeypatch)
    assert not first.fallback.any()
    assert made[:4] == [{}] * 4, "the first window is searched"
    assert all("model" in form for form in made[4:]), "the second is not"
    direct = {"ets": peer.AutoETS, "theta": peer.AutoTheta}[name]
    for n, form in enumerate(made[4:]):
        wanted = direct(season_length=7, **form).forecast(seasons[n, :140], h=10)["mean"]
        assert second.mean[n] == pytest.approx(wanted), "its parameters are estimated on all its steps"


@both
def test_a_series_with_another_past_or_after_another_fit_is_searched_anew(name, seasons, monkeypatch):
    changed = seasons.copy()
    made = asked_twice(name, seasons, monkeypatch)[2]
    made.clear()
    panel, changed[1] = panel_of(list(seasons), horizon=10), seasons[2]
    model = fitted(MODELS[name], panel)
    model.predict(cut(panel, 130), CTX)
    made.clear()
    model.predict(cut(panel_of(list(changed), horizon=10), 140), CTX)
    assert [not form for form in made] == [False, True, False, False]
    model.fit(panel, CTX)
    made.clear()
    model.predict(panel, CTX)
    assert made == [{}] * 4


def test_theta_is_the_form_with_the_least_squared_error(seasons):
    forms = {"STM", "OTM", "DSTM", "DOTM"}
    model = fitted(MODELS["theta"], panel_of(list(seasons), horizon=10))
    model.predict(panel_of(list(seasons), horizon=10), CTX)
    chosen = [fit.forms[7]["model"] for fit in model.before[1]]
    for y, form in zip(seasons, chosen, strict=True):
        errors = {f: peer.AutoTheta(season_length=7, model=f).fit(y).model_["mse"] for f in forms}
        assert errors[form] == min(errors.values())


# ---- the guard


def served(fit, rows, **panel) -> tuple:
    given = panel_of(rows, **panel)
    return guard.serve(given, LEVELS, lambda _: fit), forecast(SeasonalNaive, given)


def flat(mean: float, width: float):
    """Make a fit that gives the same normal-like quantiles for each step."""

    def fit(_y, _season, horizon):
        return np.full(horizon, mean), mean + np.tile(np.linspace(-width, width, len(LEVELS)), (horizon, 1))

    return fit


NOISE = np.random.default_rng(0).normal(size=60)


def raising(_y, _season, _horizon):
    raise ValueError("no model")


@pytest.mark.parametrize("fit", [raising, flat(np.nan, 1), flat(np.inf, 1), flat(4e14, 1), flat(-1e3, 1)])
def test_a_fit_that_fails_or_explodes_is_replaced_by_the_seasonal_naive_and_marked(fit):
    answer, floor = served(fit, [NOISE, NOISE])

    assert answer.fallback.all()
    assert (answer.quantiles == floor.quantiles).all()
    assert (answer.mean == floor.mean).all()


@pytest.mark.parametrize("width", [4e14, 1e3, np.nan, np.inf])
def test_quantiles_that_explode_are_replaced_by_those_of_the_seasonal_naive_moved_to_the_mean(width):
    answer, floor = served(flat(0.25, width), [NOISE])

    assert answer.fallback.all()
    assert (answer.mean == 0.25).all()
    assert answer.quantiles - 0.25 == pytest.approx(floor.quantiles - floor.mean[..., None])


def test_a_wide_but_sane_forecast_is_kept():
    answer, _ = served(flat(0.25, 9 * np.ptp(NOISE)), [NOISE])

    assert not answer.fallback.any()
    assert np.ptp(answer.quantiles[0, 0]) == pytest.approx(18 * np.ptp(NOISE))


def test_one_bad_series_does_not_touch_the_others():
    def fit(y, season, horizon):
        return raising(y, season, horizon) if y[0] > 100 else flat(0.5, 1)(y, season, horizon)

    answer, floor = served(fit, [NOISE, NOISE + 1000, NOISE])

    assert (answer.fallback == [False, True, False]).all()
    assert (answer.mean[[0, 2]] == 0.5).all()
    assert (answer.quantiles[1] == floor.quantiles[1]).all()


def test_constant_series_keep_their_value_unmarked_and_unfitted():
    answer, _ = served(raising, [np.full(50, 3.0), np.zeros(50)])

    assert not answer.fallback.any()
    assert (answer.quantiles[0] == 3).all()
    assert (answer.quantiles[1] == 0).all()


def test_counts_are_cut_off_at_zero():
    answer, _ = served(flat(-0.5, 2), [np.abs(NOISE)], counts=True)

    assert (answer.quantiles >= 0).all()
    assert (answer.mean == 0).all()


def seen_by_fit(rows, season) -> list[tuple[int, int]]:
    calls = []

    def fit(y, m, horizon):
        calls.append((len(y), m))
        return flat(y.mean(), 1)(y, m, horizon)

    guard.serve(panel_of(rows, season=season), LEVELS, lambda _: fit)
    return calls


def test_history_and_season_are_bounded():
    long = np.random.default_rng(1).normal(size=5000)

    assert seen_by_fit([long], 7) == [(1000, 7)]
    assert seen_by_fit([long[:300]], 24) == [(300, 24)]
    assert seen_by_fit([long[:40]], 24) == [(40, 1)]  # fewer than two seasons
    assert seen_by_fit([long], 168) == [(1000, 1)]
    assert seen_by_fit([long[:300]], 168) == [(300, 1)]
    assert seen_by_fit([long[:7]], 1) == []


def test_without_a_season_of_the_metric_each_series_is_fitted_to_the_cycle_that_it_shows_alone():
    steps, rng = np.arange(300), np.random.default_rng(3)
    wave = np.sin(2 * np.pi * steps / 12) + rng.normal(0, 0.2, 300)

    calls = [seen_by_fit(rows, season=m)[0] for rows, m in (([wave], 1), ([wave], 7), ([rng.normal(size=300)], 1), ([wave[:40]], 1))]

    assert [m for _, m in calls] == [12, 7, 1, 1]  # found; the metric's; nothing to find; fewer than four turns


@both
def test_a_cycle_that_is_found_is_forecast(name):
    steps = np.arange(240)
    y = 100 + 20 * np.sin(2 * np.pi * steps / 12) + np.random.default_rng(2).normal(size=240)

    answer = forecast(MODELS[name], panel_of([y[:-24]], season=1, horizon=24))

    assert np.abs(answer.mean[0] - y[-24:]).mean() < 3


@both
def test_a_long_season_is_taken_off_and_put_back(name):
    steps = np.arange(6 * 48 + 60)
    y = 100 + 0.05 * steps + 20 * np.sin(2 * np.pi * steps / 48) + np.random.default_rng(2).normal(size=len(steps))
    panel = panel_of([y[:-60]], season=48, horizon=60)

    answer = forecast(MODELS[name], panel)

    assert not answer.fallback.any()
    assert np.abs(answer.mean[0] - y[-60:]).mean() < 2
    assert (answer.quantiles[0, :, MEDIAN] == answer.mean[0]).all()


def test_a_long_season_that_the_data_does_not_show_is_left_out():
    noise = np.random.default_rng(5).normal(size=400)
    seen = []

    guard.bounded(noise, 48, 5, lambda y, m, h: (seen.append(y), flat(0, 1)(y, m, h))[1])

    assert (seen[0] == noise).all()


@pytest.mark.parametrize("season", [25, 48])
def test_the_pattern_is_that_of_classical_decomposition(season):
    y = np.random.default_rng(4).normal(size=5 * season + 11) + np.sin(np.arange(5 * season + 11) * 2 * np.pi / season)
    reference = seasonal_decompose(y, period=season).seasonal

    assert guard.seasonal_pattern(y, season)[-season:] == pytest.approx(reference[-season:])


def test_autocorrelations_are_those_of_statsmodels():
    y = np.random.default_rng(0).gamma(2, 3, 97).cumsum()
    np.testing.assert_allclose(guard.autocorrelations(y, 24), acf(y, nlags=24)[1:], rtol=1e-9, atol=1e-12)
