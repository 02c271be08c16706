import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report.kit import ATTACK, HORIZON, LEVELS, MODELS, anomalies, forecasts

from bench.metrics.rounding import listed, picks, rounded
from bench.report.figures import anomaly_chart, forecast_chart, horizon_chart
from bench.report.palette import DARK, LIGHT, dark_colours, style
from bench.tasks.anomaly.figures import thinned
from bench.tasks.forecasting import figures as forecast_figures


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_reach_three_to_one_on_their_ground():
    assert min(contrast(colour, "#ffffff") for colour in LIGHT) >= 3
    assert min(contrast(colour, "#121212") for colour in DARK) >= 3


def test_every_colour_has_one_for_dark_pages_and_no_two_share_it():
    found = dark_colours()
    assert len(set(found.values())) == len(found)
    assert not set(found) & set(found.values())


def test_no_two_of_forty_two_series_share_dash_and_shape():
    looks = [style(at) for at in range(42)]
    assert len({(look["line"]["dash"], look["marker"]["symbol"]) for look in looks}) == 42


def test_the_best_the_median_and_the_worst_series_stand_whatever_their_order():
    scores = np.array([0.5, np.nan, 0.1, 0.9, 0.7, 0.3])
    assert picks(scores) == [("best", 2), ("median", 0), ("worst", 3)]
    assert picks(np.array([np.nan, 2.0])) == [("best", 1)]
    assert picks(np.array([np.nan])) == []


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_numbers_are_rounded_to_six_digits_or_are_null(x):
    found = rounded(x)
    assert found is None if not np.isfinite(x) else found == pytest.approx(x, rel=1e-5, abs=1e-300)


def test_nested_arrays_become_nested_lists_with_null_for_what_is_missing():
    assert listed(np.array([[1.0, np.nan], [2.123456789, 3.0]])) == [[1, None], [2.12346, 3]]


def test_collected_forecasts_are_json_and_small():
    figure = forecasts()
    text = json.dumps(figure, allow_nan=False)
    assert len(text) < 150_000
    assert len(figure["time"]) == 4 * HORIZON + 2 * HORIZON
    assert figure["cutoffs"] == [4 * HORIZON, 5 * HORIZON]
    assert all([pick["role"] for pick in own] == ["best", "median", "worst"] for own in figure["models"].values())


def test_the_collected_curves_are_those_of_the_chosen_series_and_levels():
    values = np.arange(2 * 60.0).reshape(2, 60)
    quantiles = np.arange(2 * 5 * 9.0).reshape(2, 5, 9)
    parts = {"m": [{"quantiles": quantiles}]}
    figure = forecast_figures.collect(["a", "b"], list(range(60)), values, [55], 5, LEVELS, parts, {"m": np.array([2.0, 1.0])}, "m")
    best = figure["models"]["m"][0]
    assert (best["series"], best["score"]) == ("1", 1)
    assert best["low"] == [list(quantiles[1, :, 0])]
    assert best["median"] == [list(quantiles[1, :, 4])]
    assert best["high"] == [list(quantiles[1, :, 8])]
    assert figure["series"]["1"]["values"] == list(values[1, 35:])


def test_long_horizons_give_up_history_and_then_early_windows_but_never_the_last():
    horizon, steps = 168, 168 * 10
    values = np.zeros((1, steps))
    cutoffs = [steps - k * horizon for k in (3, 2, 1)]
    parts = {"m": [{"quantiles": np.full((1, horizon, 9), k)} for k in range(3)]}
    figure = forecast_figures.collect(["a"], list(range(steps)), values, cutoffs, horizon, LEVELS, parts, {"m": np.array([1.0])}, "m")
    (pick,) = figure["models"]["m"]
    assert len(figure["time"]) <= 504
    assert figure["time"][figure["cutoffs"][-1]] == cutoffs[-1]
    assert pick["median"][-1][0] == 2
    assert "of 3 test windows" in forecast_chart(figure, "m", 0).note


def test_levels_without_the_band_are_refused_and_so_are_models_without_scores():
    values, parts = np.zeros((1, 20)), {"m": [{"quantiles": np.zeros((1, 5, 1))}]}
    with pytest.raises(ValueError, match="80 % band"):
        forecast_figures.collect(["a"], list(range(20)), values, [15], 5, [0.5], parts, {"m": np.array([1.0])}, "m")
    with pytest.raises(ValueError, match="scores of m are missing"):
        forecast_figures.collect(["a"], list(range(20)), values, [15], 5, LEVELS, parts, {}, "m")


def test_a_forecast_chart_counts_what_lies_inside_the_band_and_parts_its_windows():
    figure = forecasts()
    chart = forecast_chart(figure, MODELS[0], 0)
    pick = figure["models"][MODELS[0]][0]
    actual = np.array(figure["series"][pick["series"]]["values"][4 * HORIZON :], float)
    inside = (np.ravel(pick["low"]) <= actual) & (actual <= np.ravel(pick["high"]))
    assert f"; {inside.sum()} of {np.isfinite(actual).sum()} actual values lie inside" in chart.finding
    names = {trace["name"]: trace for trace in chart.traces}
    assert set(names) == {"history", "actual", "80 % band", "median forecast"}
    assert names["median forecast"]["y"].count(None) == 1
    assert len(chart.layout["shapes"]) == 2
    assert len(chart.rows) == 2 * HORIZON


def test_lines_of_one_chart_differ_in_more_than_colour():
    charts = [horizon_chart(forecasts()), forecast_chart(forecasts(), MODELS[0], 0)]
    for chart in charts:
        looks = [(t["mode"], t.get("fill"), t["line"].get("dash", "solid"), t.get("marker", {}).get("symbol")) for t in chart.traces]
        assert len(set(looks)) == len(looks)


def test_the_error_by_horizon_begins_with_the_leader_and_is_absent_where_not_measured():
    chart = horizon_chart(forecasts())
    assert chart.head[1] == MODELS[0]
    assert len(chart.rows) == HORIZON
    assert horizon_chart({**forecasts(), "by_step": {}}) is None


def test_names_cannot_be_markup_in_any_figure():
    figure = forecasts()
    for chart in (horizon_chart(figure), *(forecast_chart(figure, model, 0) for model in MODELS)):
        assert "<img" not in json.dumps(chart.spec())
        assert "<b>" not in json.dumps(chart.spec())


@given(st.integers(1, 3000), st.integers(0, 10_000))
def test_thinning_keeps_the_spikes_and_never_more_than_asked(steps, seed):
    curve = np.random.default_rng(seed).normal(size=steps)
    at = thinned(curve)
    assert len(at) <= 500
    assert {int(curve.argmin()), int(curve.argmax())} <= set(at.tolist())
    assert (np.diff(at) > 0).all()


def test_thinning_passes_over_what_is_missing():
    assert thinned(np.array([np.nan, 1.0, np.nan, 2.0])).tolist() == [1, 3]


def test_a_timeline_outlines_each_true_window_and_says_how_many_were_found():
    figure = anomalies()
    pick = figure["models"]["rolling-mean"][1]
    chart = anomaly_chart(figure, "rolling-mean", 1)
    spans = [s for s in chart.layout["shapes"] if s["type"] == "rect"]
    assert len(spans) == len(pick["spans"]) == 2
    assert "passes the threshold in 2 of 2 true windows" in chart.finding
    assert {a["text"] for a in chart.layout["annotations"]} == {"true 1", "true 2", "scored from here"}
    assert chart.layout["yaxis2"]["domain"][1] < chart.layout["yaxis"]["domain"][0]
    assert len(chart.rows) == 2 + 10


def test_anomalies_are_json_and_small_and_only_series_with_windows_stand():
    figure = anomalies()
    for own in figure["models"].values():
        assert len(json.dumps(own, allow_nan=False)) < 150_000
        assert "cpu-2" not in {pick["name"] for pick in own}
    assert ATTACK in {pick["name"] for pick in figure["models"]["rolling-mean"]}
