import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from bench.metrics import vus
from bench.metrics.anomaly import (
    FAR,
    METRICS,
    Interval,
    alert_counts,
    event_f1,
    intervals,
    ranks,
    row_standards,
    series_scores,
    spread,
    threshold,
    undefined,
    user_auc,
)

few = settings(max_examples=80, deadline=None)  # seconds on a busy machine
scores = st.lists(st.one_of(st.integers(-3, 3).map(float), st.floats(-1e300, 1e300)), min_size=1, max_size=30).map(np.array)


def test_the_metrics_are_the_columns_of_the_board_and_each_has_a_description():
    assert all(metric.higher_is_better and metric.help and metric.label and metric.name == name for name, metric in METRICS.items())


def test_one_series_has_every_metric_but_that_of_entities():
    y = np.array([0, 0, 1, 1, 0, 0, 0, 1, 0, 0])
    score = np.array([0.0, 0, 5, 1, 0, 3, 0, 0, 0, 0])
    got = series_scores(y, score, np.array([0.0, 1, 2, 0]), 4)
    assert list(got) == [name for name in METRICS if name != "user_auc"]
    assert (got["vus_roc"], got["vus_pr"]) == vus(y, score, 4)
    # one of two segments is met, by one of the two steps above 2
    assert got["event_f1"] == got["f1_at_01"] == got["f1_at_1"] == pytest.approx(0.5)
    assert got["oracle_f1"] == pytest.approx(2 * (2 / 3) ** 2 / (4 / 3), abs=1e-5)


@pytest.mark.parametrize(
    ("y", "reason"),
    [
        ([], "fewer than 2 steps"),
        ([1], "fewer than 2 steps"),
        ([0, 0, 0], "no labelled step"),
        ([1, 1], "every step is labelled"),
    ],
)
def test_what_is_undefined_is_nan_for_a_reason_in_words(y, reason):
    assert undefined(np.array(y)) == reason
    got = series_scores(np.array(y), np.zeros(len(y)), np.zeros(3), 5)
    assert all(math.isnan(v) for v in got.values())


def test_three_steps_are_enough():
    y = np.array([False, True, False])
    assert undefined(y) == ""
    assert all(math.isfinite(v) for v in series_scores(y, np.array([0.0, 2, 1]), np.array([0.5]), 1).values())


@pytest.mark.parametrize("score", [np.zeros(8), np.full(8, 1e300), np.array([0, 1e300, 0, -1e300, 0, 0, 1, 2])])
def test_constant_scores_and_huge_spikes_have_finite_values(score):
    y = np.array([0, 1, 1, 0, 0, 0, 0, 0])
    got = series_scores(y, score, score[:3], 3)
    assert all(0 <= v <= 1 for v in got.values())


def test_a_score_that_never_exceeds_its_training_maximum_raises_no_alert():
    got = series_scores(np.array([0, 1, 0]), np.array([1.0, 1, 1]), np.array([1.0, 1]), 2)
    assert (got["event_f1"], got["f1_at_1"]) == (0, 0)


def test_without_training_scores_only_the_alert_metrics_are_undefined():
    got = series_scores(np.array([0, 1, 0]), np.array([1.0, 2, 1]), np.array([]), 2)
    assert {name for name, v in got.items() if math.isnan(v)} == {"event_f1", "f1_at_01", "f1_at_1"}


@pytest.mark.parametrize(("n", "budget", "above"), [(2900, 0.01, 29), (3000, 0.001, 3), (999, 0.001, 0), (700, 0.01, 7), (50, 0.0, 0)])
def test_the_threshold_spends_the_budget_on_the_training_scores(n, budget, above):
    prefix = np.random.default_rng(0).permutation(n) * 0.1
    assert np.sum(prefix > threshold(prefix, budget)) == above


@few
@given(scores, st.floats(0, 1))
def test_no_more_training_steps_exceed_the_threshold_than_the_budget_allows(prefix, budget):
    at = threshold(prefix, budget)
    assert np.sum(prefix > at) <= budget * len(prefix) + 1e-6
    assert at in prefix


def test_an_alert_that_lasts_for_ever_earns_the_precision_of_chance():
    y = np.repeat([0, 1, 0, 1, 0], [30, 5, 30, 5, 30])
    assert event_f1(alert_counts(y, np.ones(100), 0.5)) == pytest.approx(2 * 0.1 / 1.1)


def test_event_f1_counts_segments_for_recall_and_steps_for_precision():
    y = np.repeat([1, 0, 1, 0, 1], [3, 3, 1, 3, 2])
    score = np.zeros(12)
    score[[2, 3, 6, 9]] = 1  # two of three segments are met; two of four alerted steps are right
    assert alert_counts(y, score, 0.0).tolist() == [3, 2, 4, 2]
    assert event_f1(alert_counts(y, score, 0.0)) == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))


def test_an_alert_between_two_segments_meets_neither():
    assert alert_counts(np.array([1, 0, 1]), np.array([0.0, 1, 0]), 0.0).tolist() == [2, 0, 1, 0]


@few
@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=9), min_size=1, max_size=4), st.integers(0, 99))
def test_alert_counts_of_entities_add_up(labels, seed):
    rng = np.random.default_rng(seed)
    parts = [(np.array([*y, False]), np.append(rng.integers(0, 2, len(y)), 0)) for y in labels]  # no segment touches the next entity
    whole = alert_counts(*(np.concatenate(side) for side in zip(*parts, strict=True)), 0.5)
    counts = np.array([alert_counts(y, score, 0.5) for y, score in parts])
    np.testing.assert_array_equal(np.ones((1, len(parts))) @ counts, [whole])
    assert event_f1(counts).shape == (len(parts),)


@few
@given(scores, scores)
@example(np.array([1.0, 1 + 1e-15, 1e300, 1.7e300]), np.array([0.0]))
@example(np.array([5e-324, 1e-323, 1.0]), np.array([0.0, 0.0]))
@example(np.array([1e308, -1e308]), np.array([-1e308, -1e308]))
def test_ranks_keep_the_order_and_tell_all_scores_above_the_training_maximum_apart(score, prefix):
    got = ranks(score, prefix)
    for i, j in zip(*np.triu_indices(len(score)), strict=True):
        low, high = (i, j) if score[i] <= score[j] else (j, i)
        assert got[low] <= got[high]
        if score[low] < score[high] and score[high] > prefix.max():
            assert got[low] < got[high]
        if score[low] == score[high]:
            assert got[low] == got[high]


@few
@given(scores, scores)
def test_ranks_above_one_are_those_above_the_training_maximum_and_stay_close_to_one(score, prefix):
    got = ranks(score, prefix)
    np.testing.assert_array_equal(got > 1, score > prefix.max())
    assert ((got >= 0) & (got <= 1 + 1 / (len(prefix) + 1) + 1e-14)).all()


def test_a_rank_is_the_share_of_training_scores_below_with_ties_half():
    got = ranks(np.array([0.0, 1, 1.5, 2, 3]), np.array([1.0, 2, 2, 3]))
    assert got.tolist() == [0, 0.125, 0.25, 0.5, 0.875]


def test_the_training_scores_themselves_have_ranks_of_mean_one_half():
    prefix = np.random.default_rng(0).integers(0, 9, 50).astype(float)
    assert ranks(prefix, prefix).mean() == pytest.approx(0.5)


def test_beyond_the_maximum_a_rank_follows_its_formula():
    prefix = np.array([0.0, 1, 2, 3, 4])  # quartiles 1 and 3
    assert ranks(np.array([10.0]), prefix)[0] == pytest.approx(1 + math.log(4) / (1 + math.log(4)) / 6)


@few
@given(st.lists(st.integers(-50, 50), min_size=2, max_size=30), st.integers(1, 20), st.sampled_from([0.25, 4.0, 1024.0]))
def test_ranks_do_not_depend_on_the_unit_of_the_scores(values, n, unit):
    score, prefix = np.array(values, float), np.array((values * n)[:n], float)
    if np.any(prefix):
        np.testing.assert_allclose(ranks(score * unit, prefix * unit), ranks(score, prefix), rtol=1e-14)


def test_constant_training_scores_still_rank():
    assert ranks(np.array([0.0, 1, 2, 3]), np.ones(4)).round(4).tolist() == [0, 0.5, 1.0819, 1.1047]
    assert [spread(np.array(p)) for p in ([0.0, 0], [-2.0], [1.0, 1, 1, 1, 9], [0.0, 4])] == [1, 2, 8, 2]


def test_ranks_without_training_scores_are_refused():
    with pytest.raises(ValueError, match="no training scores"):
        ranks(np.array([1.0]), np.array([]))


def test_intervals_list_runs_above_the_threshold_with_their_severity():
    score = np.array([3.0, 0, 1, 2, 5, 1, 0, 4])
    assert intervals(score, 1.0, scale=2.0) == [Interval(0, 1, 1.0), Interval(3, 5, 2.0), Interval(7, 8, 1.5)]
    assert intervals(score, 5.0) == []
    assert intervals(np.array([]), 0.0) == []


def test_the_severity_of_an_interval_is_its_highest_excess():
    for start, end, severity in intervals(np.sin(np.arange(50.0)), 0.5):
        assert np.sin(np.arange(50.0))[start:end].max() == pytest.approx(0.5 + severity)


@few
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=20))
def test_the_auc_of_entities_is_that_of_scikit_learn(rows):
    y, score = (np.array(side) for side in zip(*rows, strict=True))
    if y.all() or not y.any():
        assert math.isnan(user_auc(y, score))
    else:
        assert user_auc(y, score) == pytest.approx(roc_auc_score(y, score), abs=1e-12)


# ---- standardised scores


def masked(n, steps, learnt):
    return np.ones((n, steps), bool), np.broadcast_to(np.arange(steps) < learnt, (n, steps))


def test_standardised_scores_have_mean_0_and_deviation_1_over_the_prefix_and_keep_their_order():
    score = np.random.default_rng(0).lognormal(0, 3, (4, 200))
    found = row_standards(score, *masked(4, 200, 80))
    np.testing.assert_allclose(found[:, :80].mean(axis=1), 0, atol=0.3)  # tails are compressed
    assert (np.argsort(found, axis=1) == np.argsort(score, axis=1)).all()
    mild = np.random.default_rng(0).normal(size=(4, 200))
    found = row_standards(mild, *masked(4, 200, 80))
    np.testing.assert_allclose((found[:, :80].mean(axis=1), found[:, :80].std(axis=1)), (np.zeros(4), np.ones(4)), atol=1e-12)
    np.testing.assert_allclose(row_standards(1e6 * mild + 5, *masked(4, 200, 80)), found, atol=1e-6)


@pytest.mark.parametrize(
    "prefix", [np.zeros(10), np.full(10, 0.1), np.full(10, 1e300), np.tile([1e300, -1e300], 5), np.arange(10) * 5e-324]
)
@pytest.mark.parametrize("later", [0.0, 1.0, -1e308, 1e308])
def test_standardised_scores_are_finite_and_no_spike_outvotes_all(prefix, later):
    found = row_standards(np.append(prefix, later)[None], *masked(1, 11, 10))
    assert np.isfinite(found).all()
    assert np.abs(found).max() < FAR * 1500  # log(1.8e308 / 5e-324) is 1453


def test_rows_without_a_training_step_and_steps_that_do_not_exist_are_0():
    real = np.array([[True, True, False], [True, True, True]])
    learnt = np.array([[True, False, False], [False, False, False]])
    found = row_standards(np.array([[1.0, 3.0, 9.0], [1.0, 2.0, 3.0]]), real, learnt)
    assert found[0, 1] > 0
    assert found[0, [0, 2]].tolist() == [0, 0]
    assert found[1].tolist() == [0, 0, 0]
