import math

import numpy as np
import pytest

from bench.board.schema import SCHEMA
from bench.board.statistics import compare
from bench.metrics.churn import METRICS, churn_metrics, ranked
from bench.tasks.base import RankingRule


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    z = rng.normal(size=600)
    y = (rng.random(600) < 1 / (1 + np.exp(-2 * z))).astype(int)
    noise = rng.normal(size=600)
    made = {"rfm-logit": z + 0.3 * noise, "twin": z + 0.3 * noise, "near": z + 0.31 * noise, "far": z + 3 * noise}
    return y, np.arange(600), {name: 1 / (1 + np.exp(-s)) for name, s in made.items()}


def compared(data, **more):
    y, group, predictions = data
    options = {"reference": "rfm-logit", "leader_among": set(predictions), "seed": 3, "n_draws": 200}
    scorers = {name: ranked(y, p, base_rate=0.5) for name, p in predictions.items()}
    return compare(scorers, group, RankingRule("roc_auc"), **(options | more))


class Error:
    """Score a mean error, of which less is better."""

    def __init__(self, errors):
        self.errors = errors

    def score(self, weights):
        return {"mase": weights @ self.errors / weights.sum(axis=1)}


def test_where_less_is_better_the_smallest_error_leads_and_skill_still_means_better():
    rng = np.random.default_rng(2)
    base = rng.gamma(2.0, 1.0, 300)
    scorers = {"reference": Error(base), "good": Error(0.5 * base), "bad": Error(2 * base)}
    options = {"reference": "reference", "leader_among": set(scorers), "seed": 1, "n_draws": 200}
    results = compare(scorers, np.arange(300), RankingRule("mase", higher=False), **options)
    assert results["bad"].leader == "good"
    assert results["good"].skill.low > 0 > results["bad"].skill.high
    assert results["bad"].behind.low > 0
    assert results["good"].metrics["mase"].value == pytest.approx(0.5 * base.mean())


def test_every_metric_has_a_point_and_an_interval_around_it(data):
    y, _, predictions = data
    for name, result in compared(data).items():
        assert list(result.metrics) == list(METRICS)
        assert result.metrics["roc_auc"].value == pytest.approx(churn_metrics(y, predictions[name], 0.5)["roc_auc"][0])
        assert result.metrics["roc_auc"].low < result.metrics["roc_auc"].value < result.metrics["roc_auc"].high


def test_draws_are_paired_so_equal_predictions_differ_by_exactly_nothing(data):
    twin = compared(data)["twin"].skill
    assert (twin.value, twin.low, twin.high) == (0, 0, 0)


def test_pairing_makes_the_interval_of_a_difference_far_narrower_than_that_of_a_score(data):
    near = compared(data)["near"]
    assert near.skill.high - near.skill.low < 0.2 * (near.metrics["roc_auc"].high - near.metrics["roc_auc"].low)


def test_skill_and_behind_are_differences_of_the_point_values(data):
    results = compared(data)
    auc = {name: result.metrics["roc_auc"].value for name, result in results.items()}
    best = max(auc.values())
    for name, result in results.items():
        assert result.skill.value == auc[name] - auc["rfm-logit"]
        assert result.behind.value == best - auc[name]


def test_the_leader_and_its_equals_are_not_separable_and_the_far_one_is(data):
    results = compared(data)
    leader = results["far"].leader
    assert leader in {"rfm-logit", "twin"}
    assert {name for name in ("rfm-logit", "twin", "far") if results[name].separable} == {"far"}
    assert (results[leader].behind.low, results[leader].behind.high) == (0, 0)


def test_equal_leaders_are_told_apart_by_name_alone(data):
    assert compared(data, leader_among={"twin", "rfm-logit"})["far"].leader == "rfm-logit"


def test_the_leader_is_chosen_among_those_that_may_lead(data):
    results = compared(data, leader_among={"far", "not-run"})
    assert results["near"].leader == "far"
    assert results["near"].behind.value < 0


def test_without_the_reference_skill_is_nan_and_the_rest_stands(data):
    result = compared(data, reference="absent")["near"]
    assert math.isnan(result.skill.value)
    assert math.isnan(result.skill.low)
    assert not math.isnan(result.behind.low)


def test_without_anything_that_may_lead_behind_is_nan_and_nothing_is_separable(data):
    result = compared(data, leader_among=())["near"]
    assert (result.leader, result.separable) == ("", False)
    assert math.isnan(result.behind.value)


def test_one_class_gives_nan_and_no_leader(data):
    _, group, predictions = data
    result = compared((np.zeros(600, int), group, predictions))["near"]
    assert math.isnan(result.metrics["roc_auc"].value)
    assert math.isnan(result.skill.low)
    assert result.leader == ""
    assert result.metrics["brier"].low < result.metrics["brier"].high


def test_the_same_seed_gives_the_same_result_whichever_models_stand_beside(data):
    y, group, predictions = data
    two = {name: predictions[name] for name in ("rfm-logit", "near")}
    assert compared((y, group, two))["near"].skill == compared(data)["near"].skill
    assert compared(data)["near"] == compared(data)["near"]
    assert compared(data, seed=4)["near"].skill.low != compared(data)["near"].skill.low


def test_permuting_the_rows_changes_no_interval(data):
    y, group, predictions = data
    turned = np.random.default_rng(1).permutation(600)
    other = compared((y[turned], group[turned], {name: p[turned] for name, p in predictions.items()}))
    for name, result in compared(data).items():
        for key, number in result.columns().items():
            assert other[name].columns()[key] == pytest.approx(number, rel=1e-9, abs=1e-12, nan_ok=True)


def test_users_with_many_rows_widen_the_interval(data):
    y, _, predictions = data
    alone = compared(data)["far"].metrics["roc_auc"]
    pooled = compared((y, np.arange(600) // 30, predictions))["far"].metrics["roc_auc"]
    assert pooled.value == alone.value
    assert (pooled.low, pooled.high) != (alone.low, alone.high)


def test_the_result_fits_the_columns_of_the_leaderboard(data):
    assert set(compared(data)["near"].columns()) <= set(SCHEMA.names)
