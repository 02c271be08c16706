"""Churn curves against scikit-learn and statsmodels, and what the charts say of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from bench.report.churn_charts import churn_charts, read_at
from bench.report.churn_figures import BINS, MOST_POINTS, collect

labels = st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=60).filter(lambda rows: len({y for y, _ in rows}) == 2)


def figure(y, p, **others):
    return collect(np.asarray(y), {"mine": np.asarray(p, float), **others}, "mine", "base", "2024-01-01")


def area(curve):
    x, y = np.array(curve, float).T
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


@settings(deadline=None)
@given(labels)
def test_the_curves_hold_the_known_areas(rows):
    y, p = np.array([int(y) for y, _ in rows]), np.array([p / 20 for _, p in rows])
    curves = figure(y, p)["models"]["mine"]
    assert area(curves["roc"]) == pytest.approx(roc_auc_score(y, p), abs=1e-5)
    recall, precision = np.array(curves["pr"], float).T
    assert float(np.sum(np.diff(recall) * precision[1:])) == pytest.approx(average_precision_score(y, p), abs=1e-5)
    # the gain curve's area: that of ROC, weighted by the share that stays, and half of the churners' own
    assert area(curves["gain"]) == pytest.approx(roc_auc_score(y, p) * (1 - y.mean()) + y.mean() / 2, abs=1e-5)


def test_a_long_curve_is_thinned_and_stays_where_it_was():
    rng = np.random.default_rng(0)
    y = rng.random(20_000) < 0.3
    p = np.clip(rng.normal(0.3 + 0.3 * y, 0.2), 0, 1)
    curves = figure(y.astype(int), p)["models"]["mine"]
    for name in ("roc", "pr", "gain"):
        assert len(curves[name]) <= MOST_POINTS + 1
    assert curves["roc"][0] == curves["gain"][0] == [0, 0]
    assert curves["roc"][-1] == curves["gain"][-1] == [1, 1]
    assert area(curves["roc"]) == pytest.approx(roc_auc_score(y, p), abs=1e-3)


def test_bins_have_equal_mass_and_wilsons_interval():
    rng = np.random.default_rng(1)
    p = rng.random(1_000)
    y = (rng.random(1_000) < p).astype(int)
    bins = figure(y, p)["models"]["mine"]["bins"]
    assert len(bins) == BINS
    assert {b["n"] for b in bins} <= {99, 100, 101}
    for b in bins:
        low, high = proportion_confint(round(b["rate"] * b["n"]), b["n"], method="wilson")
        assert (b["low"], b["high"]) == pytest.approx((low, high), abs=1e-5)


def test_users_with_one_probability_share_a_bin():
    (only,) = figure([0, 1, 1, 0], [0.5] * 4)["models"]["mine"]["bins"]
    assert (only["mean"], only["rate"], only["n"]) == (0.5, 0.5, 4)


def test_the_charts_say_what_the_curves_hold_and_put_the_reference_beside():
    y = np.r_[np.ones(10), np.zeros(90)].astype(int)
    perfect, chance = y * 0.9, np.full(100, 0.1)
    drawn = {chart.key: chart for chart in churn_charts(figure(y, perfect, base=chance), "mine")}
    assert drawn["churn-gain"].finding == "The tenth of users most at risk holds 100% of those who churned, 10.0 times its share."
    assert drawn["churn-roc"].finding.endswith("100% of the churners are found.")
    assert drawn["churn-pr"].finding == "Where half of the churners are found, 100% of those alarmed do churn; 10% of all users do."
    assert drawn["churn-gain"].head == ("users asked", "mine", "base")
    assert drawn["churn-gain"].rows[1] == ("10%", "100%", "10%")
    assert [trace["name"] for trace in drawn["churn-roc"].traces] == ["mine", "base", "by chance"]
    assert churn_charts(figure(y, perfect), "unknown") == []


def test_reading_between_points_is_straight():
    assert read_at([[0, 0], [0, 0.5], [1, 1]], 0.5) == pytest.approx(0.75)
