import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.forecast_kit import LEVELS, by_hand, case, cases

from bench.metrics import forecasting
from bench.metrics.forecasting import FLOOR, METRICS, Scales, by_horizon, by_series, parts, score

few = settings(max_examples=60, deadline=None)
EXACT = {"rel": 1e-10, "abs": 1e-12, "nan_ok": True}
SCALED = ("mase", "rmsse", "sql")


def single(c):
    """Call each metric's own function."""
    low, lower, median, upper, high = (c.quantiles[:, :, c.levels.index(a)] for a in (0.1, 0.2, 0.5, 0.8, 0.9))
    return {
        "mase": forecasting.mase(c.y, median, c.scales, c.mask),
        "rmsse": forecasting.rmsse(c.y, c.mean, c.scales, c.mask),
        "smape": forecasting.smape(c.y, median, c.mask),
        "wape": forecasting.wape(c.y, median, c.mask),
        "sql": forecasting.sql(c.y, c.quantiles, c.levels, c.scales, c.mask),
        "wql": forecasting.wql(c.y, c.quantiles, c.levels, c.mask),
        "bias": forecasting.bias(c.y, c.mean, c.mask),
        "poisson_deviance": forecasting.poisson_deviance(c.y, c.mean, c.mask),
        "coverage_60": forecasting.coverage(c.y, lower, upper, c.mask),
        "coverage_80": forecasting.coverage(c.y, low, high, c.mask),
        "total_wape": forecasting.total_wape(c.y, c.mean, c.mask),
    }


def test_the_metrics_are_the_columns_of_a_leaderboard_in_its_order():
    assert all(m.name == name and m.help and m.label and m.digits for name, m in METRICS.items())


@few
@given(cases(), st.integers(0, 999))
def test_every_metric_equals_its_formula_under_any_weighting(c, seed):
    weights = np.random.default_rng(seed).integers(0, 3, (3, len(c.y))) * 0.75
    got = score(c.parts, weights)
    for b, w in enumerate(weights):
        assert {name: v[b] for name, v in got.items()} == pytest.approx(by_hand(c, w), **EXACT)


@few
@given(cases())
def test_weights_of_one_give_the_plain_value_of_each_function(c):
    assert c.score == pytest.approx(single(c), **EXACT)


@few
@given(cases(below=0), st.integers(0, 999))
def test_a_weight_counts_a_row_as_often_as_repeating_it(c, seed):
    times = np.random.default_rng(seed).integers(0, 4, len(c.y))
    weighted = {name: v[0] for name, v in c.parts.score(times[None]).items()}
    assert weighted == pytest.approx(c.take(np.repeat(np.arange(len(c.y)), times)).score, **EXACT)


@few
@given(cases(), st.integers(0, 999))
def test_the_order_of_the_series_changes_nothing(c, seed):
    assert c.take(np.random.default_rng(seed).permutation(len(c.y))).score == pytest.approx(c.score, **EXACT)


@few
@given(cases(), st.floats(1e-3, 1e6))
def test_a_change_of_units_changes_only_the_poisson_deviance(c, factor):
    # powers of two keep every tie between a truth and a quantile
    got, expected = c.times(2.0 ** round(math.log2(factor))).score, c.score
    for name in METRICS:
        if name != "poisson_deviance":
            assert got[name] == pytest.approx(expected[name], **EXACT), name


@few
@given(cases(), st.sampled_from([0.0, 3.0, np.nan, np.inf]))
def test_steps_that_are_not_scored_may_hold_anything_and_change_nothing(c, fill):
    def padded(x):
        return np.concatenate([x, np.full((x.shape[0], 2, *x.shape[2:]), fill)], axis=1)

    wide = {name: padded(getattr(c, name)) for name in ("y", "quantiles", "mean")}
    longer = replace(c, **wide, mask=np.pad(c.mask, ((0, 0), (0, 2))))
    assert longer.score == pytest.approx(c.score, **EXACT)
    assert single(longer) == pytest.approx(single(c), **EXACT)
    for name, value in by_horizon(*longer.arguments).items():
        np.testing.assert_array_equal(value, np.append(by_horizon(*c.arguments)[name], [np.nan, np.nan]))


@few
@given(cases(rate=50.0, below=0))
def test_a_perfect_forecast_scores_zero_and_covers_all(c):
    y = np.where(c.mask, c.y, 0)
    got = replace(c, quantiles=np.repeat(y[:, :, None], len(c.levels), axis=2), mean=y).score
    for name, value in c.score.items():
        best = 1.0 if name.startswith("coverage") else 0.0
        assert got[name] == best or (math.isnan(value) and math.isnan(got[name])), name


@few
@given(cases())
def test_each_series_alone_has_the_score_that_is_told_for_it(c):
    told = by_series(c.parts)
    for n in range(len(c.y)):
        assert {name: v[n] for name, v in told.items()} == pytest.approx(c.take(np.array([n])).score, **EXACT)


@few
@given(cases())
def test_each_step_ahead_alone_has_the_score_that_is_told_for_it(c):
    told = by_horizon(*c.arguments)
    for h in range(c.y.shape[1]):
        at = slice(h, h + 1)
        alone = replace(c, y=c.y[:, at], quantiles=c.quantiles[:, at], mean=c.mean[:, at], mask=c.mask[:, at]).score
        assert {name: v[h] for name, v in told.items()} == pytest.approx({name: alone[name] for name in told}, **EXACT)


def test_the_median_alone_makes_sql_mase_and_wql_wape():
    c = case(3)
    median = c.quantiles[:, :, [4]]
    assert forecasting.sql(c.y, median, (0.5,), c.scales) == pytest.approx(c.score["mase"])
    assert forecasting.wql(c.y, median, (0.5,)) == pytest.approx(c.score["wape"])


def test_each_metric_reads_only_the_functional_it_is_taken_on():
    c = case(5, rate=20.0)
    other_mean = replace(c, mean=c.mean + 1).score
    other_tails = replace(c, quantiles=c.quantiles[:, :, [1, *range(1, 8), 7]]).score
    other_median = replace(c, quantiles=c.quantiles + np.where(np.isin(LEVELS, 0.5), 1e-3, 0)).score
    changed = [{name for name in METRICS if other[name] != c.score[name]} for other in (other_mean, other_tails, other_median)]
    assert changed == [
        {"rmsse", "bias", "poisson_deviance", "total_wape"},
        {"sql", "wql", "coverage_80"},
        {"mase", "smape", "wape", "sql", "wql"},
    ]


def test_zero_truth_has_no_relative_error_and_no_warning():
    c = case(0, n=3)
    zero = replace(c, y=np.zeros_like(c.y), quantiles=np.zeros_like(c.quantiles), mean=np.zeros_like(c.mean))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = zero.score
    assert {name for name, v in got.items() if math.isnan(v)} == {"wape", "wql", "bias", "total_wape"}
    assert got["smape"] == 0
    assert got["poisson_deviance"] == pytest.approx(2 * FLOOR)
    assert (got["coverage_60"], got["coverage_80"]) == (1, 1)


def test_a_forecast_of_zero_that_errs_costs_a_finite_deviance_as_does_one_below_zero():
    y = np.array([[1.0]])
    expected = 2 * (math.log(1 / FLOOR) - 1 + FLOOR)
    for forecast in (0.0, -3.0, FLOOR):
        assert forecasting.poisson_deviance(y, np.array([[forecast]])) == pytest.approx(expected)
    assert forecasting.poisson_deviance(y, np.array([[2 * FLOOR]])) < expected


def test_a_scored_negative_truth_leaves_the_poisson_deviance_undefined_and_nothing_else():
    c = case(1, n=3)
    negative = replace(c, y=c.y - np.eye(3, 4) * 99)
    with_it, hidden = negative.score, replace(negative, mask=~np.eye(3, 4, dtype=bool)).score
    assert {name for name, v in with_it.items() if math.isnan(v)} == {"poisson_deviance"}
    assert not math.isnan(hidden["poisson_deviance"])
    assert math.isnan(negative.parts.score(np.array([[0.0, 0, 0], [0, 1, 1]]))["poisson_deviance"][1])  # whatever its weight


def test_series_without_a_scale_or_a_scored_step_are_left_out_of_means_over_series():
    c = case(2, n=4, h=2)
    history = c.history.copy()
    history[0], history[1] = 5, np.nan
    mask = np.array([[True, True], [True, True], [False, False], [True, True]])
    odd = replace(c, history=history, mask=mask)
    for name in SCALED:
        assert np.isnan(by_series(odd.parts)[name]).tolist() == [True, True, True, False]
        assert odd.score[name] == pytest.approx(c.take(np.array([3])).score[name])
    assert odd.score["smape"] == pytest.approx(c.take(np.array([0, 1, 3])).score["smape"])
    assert forecasting.undefined(odd.scales).tolist() == [True, True, False, False]


def test_nothing_scored_and_no_series_are_undefined_everywhere():
    c = case(0)
    assert all(math.isnan(v) for v in replace(c, mask=np.zeros_like(c.mask)).score.values())
    assert all(math.isnan(v) for v in c.take(np.arange(0)).score.values())
    assert all(v.shape == (0,) for v in c.parts.score(np.ones((0, 5))).values())


def test_draws_do_not_depend_on_the_draws_beside_them():
    c, rng = case(4, n=300), np.random.default_rng(0)
    weights = rng.integers(0, 4, (9, 300)).astype(float)
    whole, one_by_one = c.parts.score(weights), [c.parts.score(w[None]) for w in weights]
    for name in METRICS:
        np.testing.assert_array_equal(whole[name], [draw[name][0] for draw in one_by_one])


def test_an_exploded_forecast_scores_infinity_without_a_warning():
    c = case(0)
    assert replace(c, mean=np.full_like(c.mean, 1e300)).score["rmsse"] == math.inf


def test_forecasts_in_float32_are_summed_in_float64():
    mean = np.full((1, 1000), 1e8 + 8, np.float32)
    y = np.full((1, 1000), 1e8)
    assert forecasting.total_wape(y, mean) == pytest.approx(8e-8, rel=1e-9)


def test_float32_and_float64_forecasts_of_the_same_numbers_score_the_same():
    c = case(0, scored=0.8)
    c = replace(c, quantiles=c.quantiles.astype(np.float32), mean=c.mean.astype(np.float32))
    assert c.score == replace(c, quantiles=c.quantiles.astype(float), mean=c.mean.astype(float)).score


def test_rows_that_lack_either_scale_are_left_out_of_all_three_scaled_metrics():
    c = case(2, n=5)
    known = Scales(np.array([0, np.nan, 1e-200, 1e200, 1]), np.array([1, 1, 0, np.inf, 1]))
    for name in SCALED:
        assert np.isnan(by_series(parts(*c.arguments[:-1], known))[name]).tolist() == [True] * 4 + [False]
    one = c.take(np.array([4]))
    assert forecasting.rmsse(c.y, c.mean, known) == pytest.approx(forecasting.rmsse(one.y, one.mean, known.take(np.array([4]))))


def test_blocks_do_not_change_the_result(monkeypatch):
    c = case(3, n=40, scored=0.8)
    whole, ahead = c.parts, by_horizon(*c.arguments)
    monkeypatch.setattr(forecasting.rows, "AT_ONCE", 100)  # two rows a block
    np.testing.assert_array_equal(c.parts.numerator, whole.numerator)
    np.testing.assert_array_equal(c.parts.denominator, whole.denominator)
    for name, values in by_horizon(*c.arguments).items():
        np.testing.assert_allclose(values, ahead[name], rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["y", "quantiles", "mean"])
def test_a_scored_number_that_is_not_finite_is_refused_by_name(name, bad):
    c = case(0)
    broken = getattr(c, name).copy()
    broken[1, 2] = bad
    with pytest.raises(ValueError, match=f"{name} holds nan or infinity"):
        parts(*replace(c, **{name: broken}).arguments)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mean": np.zeros((5, 3))}, "mean has shape"),
        ({"mean": np.zeros((5, 4, 1))}, "mean has shape"),
        ({"quantiles": np.zeros((5, 4, 2))}, r"expected \(N, H, 9\)"),
        ({"quantiles": np.zeros((5, 4, 3)), "levels": (0.1, 0.5, 0.9)}, r"need 0\.2 among them"),
        ({"mask": np.ones((5, 4))}, "bool of the same shape"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change, says):
    with pytest.raises(ValueError, match=says):
        parts(*replace(case(0), **change).arguments)


def test_each_row_needs_a_scale_and_each_weight_a_row():
    c = case(0)
    with pytest.raises(ValueError, match="scales for 1 rows, y has 5"):
        parts(*c.arguments[:-1], Scales(np.ones(1), np.ones(1)))
    with pytest.raises(ValueError, match="scales for 1 rows, y has 5"):
        forecasting.mase(c.y, c.mean, Scales(np.ones(1), np.ones(1)))
    with pytest.raises(ValueError, match=r"expected \(B, 5\)"):
        c.parts.score(np.ones((1, 4)))
