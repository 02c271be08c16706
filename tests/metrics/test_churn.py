import math
import warnings
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from bench.metrics import churn
from bench.metrics.churn import CLIP, METRICS, calibration_bins, churn_metrics, ranked, score

few = settings(max_examples=40, deadline=None)  # seconds on a busy machine


@st.composite
def scored(draw):
    """Draw (y, p, weights [B, N]) with both classes under every weighting; few distinct scores, so ties abound."""
    n = draw(st.integers(2, 40))
    y = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    y[:2] = 0, 1
    grid = draw(st.sampled_from([1, 2, 5, 1000]))
    p = np.array(draw(st.lists(st.integers(0, grid), min_size=n, max_size=n))) / grid
    weights = np.random.default_rng(draw(st.integers(0, 999))).integers(0, 5, (2, n)).astype(float)
    weights[:, :2] += 1
    return y, p, weights


def oracle(y, p, w):
    q = np.clip(p, CLIP, 1 - CLIP)
    return {
        "roc_auc": roc_auc_score(y, p, sample_weight=w),
        "ap_churn": average_precision_score(y, p, sample_weight=w),
        "ap_stay": average_precision_score(1 - y, -p, sample_weight=w),
        "log_loss": log_loss(y, q, sample_weight=w),
        "brier": brier_score_loss(y, p, sample_weight=w),
    }


@few
@given(scored())
def test_weighted_metrics_equal_those_of_scikit_learn(case):
    y, p, weights = case
    ours = churn_metrics(y, p, 0.5, weights)
    for b, w in enumerate(weights):
        for name, theirs in oracle(y, p, w).items():
            assert ours[name][b] == pytest.approx(theirs, abs=1e-12), name


@few
@given(scored(), st.floats(0.05, 0.95))
def test_fractional_weights_agree_with_scikit_learn_too(case, factor):
    y, p, weights = case
    ours = churn_metrics(y, p, 0.5, weights * factor + 0.01)
    for b, w in enumerate(weights * factor + 0.01):
        for name, theirs in oracle(y, p, w).items():
            assert ours[name][b] == pytest.approx(theirs, abs=1e-9), name


@few
@given(scored())
def test_counts_mean_the_same_as_repeated_rows(case):
    y, p, weights = case
    ours = churn_metrics(y, p, 0.4, weights)
    for b, w in enumerate(weights.astype(int)):
        repeated = churn_metrics(np.repeat(y, w), np.repeat(p, w), 0.4)
        for name in METRICS.keys() - {"ece"}:  # its bins are fixed on the full data
            assert ours[name][b] == pytest.approx(repeated[name][0], abs=1e-12), name


@few
@given(scored(), st.randoms(use_true_random=False))
def test_no_metric_depends_on_the_order_of_the_rows(case, random):
    y, p, weights = case
    turned = np.array(random.sample(range(len(y)), len(y)))
    one, other = churn_metrics(y, p, 0.3, weights), churn_metrics(y[turned], p[turned], 0.3, weights[:, turned])
    for name in METRICS:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-12, atol=1e-14, err_msg=name)


@few
@given(scored())
def test_the_unweighted_value_does_not_change_by_a_bit_when_rows_are_permuted(case):
    y, p, _ = case
    one, other = churn_metrics(y, p, 0.3), churn_metrics(y[::-1], p[::-1], 0.3)
    assert {name: v[0] for name, v in one.items()} == {name: v[0] for name, v in other.items()}


@few
@given(scored())
def test_the_point_value_is_the_bootstrap_with_every_row_drawn_once(case):
    y, p, _ = case
    point, ones = churn_metrics(y, p, 0.3), churn_metrics(y, p, 0.3, np.ones((2, len(y))))
    for name in METRICS:
        assert list(ones[name]) == pytest.approx([point[name][0]] * 2, rel=1e-13)


def test_every_metric_has_a_direction_and_a_description():
    assert list(churn_metrics(np.array([0, 1]), np.array([0.2, 0.7]), 0.5)) == list(METRICS)
    assert {name for name, metric in METRICS.items() if not metric.higher_is_better} == {"log_loss", "brier", "ece"}
    assert all(metric.help and metric.label and metric.digits and metric.name == name for name, metric in METRICS.items())


def test_a_constant_score_is_chance():
    y = np.array([1, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    m = {name: v[0] for name, v in churn_metrics(y, np.full(10, 0.2), 0.2).items()}
    assert (m["roc_auc"], m["ap_churn"], m["ap_stay"]) == pytest.approx((0.5, 0.2, 0.8))
    assert [m[f"lift_{k}"] for k in (5, 10, 20)] == pytest.approx([1, 1, 1])
    assert [m[f"captured_{k}"] for k in (5, 10, 20)] == pytest.approx([0.05, 0.1, 0.2])
    assert m["ece"] == pytest.approx(0)
    assert m["log_loss_skill"] == pytest.approx(0)


def test_a_perfect_score_is_perfect():
    y = np.repeat([1, 0], [4, 36])
    m = {name: v[0] for name, v in churn_metrics(y, y.astype(float), 0.1).items()}
    assert (m["roc_auc"], m["ap_churn"], m["ap_stay"], m["brier"], m["ece"]) == (1, 1, 1, 0, 0)
    assert (m["captured_5"], m["captured_10"], m["captured_20"]) == pytest.approx((0.5, 1, 1))
    assert (m["lift_5"], m["lift_10"], m["lift_20"]) == pytest.approx((10, 10, 5))
    assert m["log_loss"] == pytest.approx(CLIP, rel=1e-3)


def test_a_sure_mistake_costs_a_bounded_log_loss():
    assert churn_metrics(np.array([1, 0]), np.array([0.0, 1.0]), 0.5)["log_loss"][0] == pytest.approx(-math.log(CLIP), rel=1e-6)


def test_lift_is_the_expected_value_over_random_orders_of_tied_rows():
    y, p = np.array([1, 0, 0, 1, 1]), np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    got = churn_metrics(y, p, 0.5)["captured_20"][0], churn_metrics(np.tile(y, 2), np.tile(p, 2), 0.5)["captured_20"][0]
    # five rows: the top 20 % is the first one; ten rows: it is both rows of the first score
    assert got == pytest.approx((1 / 3, 1 / 3))
    y, p = np.array([1, 0, 0, 0, 1]), np.array([0.9, 0.9, 0.9, 0.5, 0.1])
    mean = np.mean([y[list(order)][0] for order in permutations(range(3))]) / 2
    assert churn_metrics(y, p, 0.5)["captured_20"][0] == pytest.approx(mean)


def test_the_row_on_the_border_counts_in_part():
    y, p = np.array([1, 1, 0, 0, 0, 0, 0, 0]), np.linspace(0.9, 0.1, 8)
    assert churn_metrics(y, p, 0.5)["captured_20"][0] == pytest.approx(0.2 * 8 / 2)


def test_the_calibration_error_equals_its_definition_on_distinct_scores():
    rng = np.random.default_rng(3)
    p = rng.permutation(np.linspace(0.01, 0.99, 200))
    y = (rng.random(200) < p**2).astype(int)
    by_rank = np.argsort(p).reshape(10, 20)
    expected = np.mean([abs(p[rows].mean() - y[rows].mean()) for rows in by_rank])
    assert churn_metrics(y, p, 0.5)["ece"][0] == pytest.approx(expected)
    assert [list(np.unique(calibration_bins(p)[rows])) for rows in by_rank] == [[k] for k in range(10)]


@few
@given(scored())
def test_the_calibration_error_uses_the_published_bins_under_every_weighting(case):
    y, p, weights = case
    bins = calibration_bins(p)
    for w, got in zip(weights, churn_metrics(y, p, 0.5, weights)["ece"], strict=True):
        gaps = [abs(np.sum((w * (p - y))[bins == k])) for k in range(10)]
        assert got == pytest.approx(sum(gaps) / w.sum(), abs=1e-12)


def test_equal_scores_share_a_calibration_bin():
    p = np.array([0.1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.9])
    assert len(set(calibration_bins(p)[1:6])) == 1


def test_log_loss_skill_is_zero_for_the_training_base_rate_and_judged_on_the_weighted_rows():
    y, weights = np.array([1, 1, 0, 0, 0]), np.array([[3.0, 1, 0, 1, 0]])
    assert churn_metrics(y, np.full(5, 0.37), 0.37, weights)["log_loss_skill"][0] == pytest.approx(0, abs=1e-12)
    base = -(4 * math.log(0.2) + math.log(0.8)) / 5
    got = churn_metrics(y, np.full(5, 0.5), 0.2, weights)["log_loss_skill"][0]
    assert got == pytest.approx(1 - math.log(2) / base)


def test_log_loss_skill_is_also_measured_against_the_last_known_rate():
    y = np.array([1, 1, 0, 0, 0])
    found = churn_metrics(y, np.full(5, 0.4), 0.1, last_rate=0.4)
    assert found["log_loss_skill_last"][0] == pytest.approx(0, abs=1e-12)
    assert found["log_loss_skill"][0] > 0.1
    plain = churn_metrics(y, np.full(5, 0.4), 0.1)
    assert plain["log_loss_skill_last"] == plain["log_loss_skill"]
    with pytest.raises(ValueError, match=r"last_rate is 1\.5"):
        churn_metrics(y, np.full(5, 0.4), 0.1, last_rate=1.5)


@pytest.mark.parametrize(
    ("label", "undefined"),
    [(0, {"roc_auc", "ap_churn", *(f"{kind}_{k}" for kind in ("lift", "captured") for k in (5, 10, 20))}), (1, {"roc_auc", "ap_stay"})],
)
def test_one_class_makes_what_is_undefined_nan_without_a_warning(label, undefined):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = churn_metrics(np.full(6, label), np.linspace(0, 1, 6), 0.5)
    assert {name for name, v in got.items() if math.isnan(v[0])} == undefined


def test_a_weighting_without_any_weight_is_nan_and_leaves_the_others_alone():
    got = churn_metrics(np.array([0, 1]), np.array([0.1, 0.9]), 0.5, np.array([[0.0, 0], [1, 1]]))
    assert all(math.isnan(v[0]) for v in got.values())
    assert got["roc_auc"][1] == 1


def test_chunks_do_not_change_the_result(monkeypatch):
    rng = np.random.default_rng(0)
    p, y = rng.random(50).round(1), rng.integers(0, 2, 50)
    model, weights = ranked(y, p, 0.5), rng.integers(0, 3, (40, 50))
    whole = score(model, weights)
    monkeypatch.setattr(churn, "AT_ONCE", 120)
    for name, values in score(model, weights).items():
        np.testing.assert_array_equal(values, whole[name])


def test_no_draws_give_no_values():
    assert all(v.shape == (0,) for v in churn_metrics(np.array([0, 1]), np.array([0.1, 0.9]), 0.5, np.ones((0, 2))).values())


@pytest.mark.parametrize(
    ("y", "p", "base", "says"),
    [
        ([0, 1], [0.1, np.nan], 0.5, "p holds"),
        ([0, 1], [0.1, 1.2], 0.5, "p holds"),
        ([0, 2], [0.1, 0.2], 0.5, "y holds"),
        ([0, 1], [0.1], 0.5, "shape"),
        ([], [], 0.5, "not empty"),
        ([0, 1], [0.1, 0.2], 1.5, "base_rate"),
    ],
)
def test_bad_values_are_refused_by_name(y, p, base, says):
    with pytest.raises(ValueError, match=says):
        churn_metrics(np.array(y), np.array(p), base)


def test_weights_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"expected \(B, 2\)"):
        churn_metrics(np.array([0, 1]), np.array([0.1, 0.2]), 0.5, np.ones((1, 3)))


@few
@given(scored())
def test_scores_far_apart_or_next_to_each_other_rank_the_same(case):
    y, p, _ = case
    tight = 0.5 + p * 1e-12
    assert churn_metrics(y, tight, 0.5)["roc_auc"][0] == churn_metrics(y, p, 0.5)["roc_auc"][0]
