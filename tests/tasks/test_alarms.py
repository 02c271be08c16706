"""Alarms for people: merged, lasting, within their budget, never moved by what comes later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.tasks.anomaly.alarms import WEEK, Rule, limits, merged, raised, summary, within_budget

RULE = Rule(gap=5, least=3, hold=50)


def test_what_stands_out_is_merged_across_gaps_and_left_out_where_it_is_short():
    score = np.zeros(2000)
    score[[1200, 1201, 1206, 1300]] = 1.0
    found = raised(score, 1000, RULE)
    assert np.flatnonzero(found).tolist() == list(range(1200, 1207))


def test_a_lasting_change_is_no_alarm_for_ever():
    rng = np.random.default_rng(0)
    score = np.abs(rng.normal(size=3000)) + np.where(np.arange(3000) >= 1000, 5.0, 0.0)
    fixed = (score > np.quantile(score[:500], 0.99))[500:].mean()
    found = raised(score, 500, RULE)
    assert fixed > 0.7
    assert found[1000:1009].all(), "it is noticed at once"
    assert found.sum() <= 0.01 * 3000 + 3 * RULE.least, "and fills no more than the budget"


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.9))
def test_alarms_never_fill_more_than_the_budget_of_the_steps_so_far(seed, share):
    rng = np.random.default_rng(seed)
    score = np.where(rng.random(1500) < share, 9.0 + rng.random(1500), rng.random(1500))
    score[:300] = rng.random(300)
    found = raised(score, 300, RULE)
    so_far = np.cumsum(found) / np.arange(1, 1501)
    # a gap is bridged when the step after it stands out: by then its steps are paid, at most one gap too late
    beside = 8 * RULE.least + RULE.gap + 1  # an excess of at most 10 doubles a few times
    assert so_far.max() <= RULE.budget + beside / 300
    assert found.sum() <= RULE.budget * 1500 + beside


def test_single_steps_that_are_no_alarm_cost_nothing():
    excess = np.zeros(3000)
    excess[1000:2900:40] = 1.0  # each alone
    excess[2900:2940] = 1.0
    fresh = within_budget(np.where(np.arange(3000) >= 2900, excess, 0), RULE)
    assert 0 < fresh.sum() < 40
    assert np.array_equal(within_budget(excess, RULE)[2900:], fresh[2900:])


def test_what_is_worst_so_far_is_raised_when_the_budget_is_spent():
    excess = np.zeros(2000)
    excess[300:900] = 1.0
    excess[920:930] = 1.9
    excess[1500:1510] = 9.0
    found = within_budget(excess, RULE)
    assert found[300 : 300 + RULE.least].all()
    assert found[920:930].sum() < RULE.least
    assert found[1500 : 1500 + RULE.least].all()


def test_what_comes_later_ends_no_alarm_that_was_raised():
    rng = np.random.default_rng(4)
    score = np.where(rng.random(2000) < 0.1, 5.0, rng.random(2000))
    score[:400] = rng.random(400)
    whole = within_budget(score - limits(score, 400, RULE), RULE)
    for at in (700, 1200, 1900):
        assert np.array_equal(within_budget(score[:at] - limits(score[:at], 400, RULE), RULE), whole[:at])


@pytest.mark.parametrize("drift", [0.0, 0.5, 1.0])
def test_a_budget_of_one_percent_is_kept_also_where_the_level_drifts(drift):
    rng = np.random.default_rng(1)
    each = [np.abs(rng.normal(size=4000)) * np.exp(drift * np.arange(4000) / 4000) for _ in range(5)]
    out = np.mean([(s > limits(s, 600, RULE))[600:].mean() for s in each])
    assert out < 0.025
    assert np.mean([raised(s, 600, RULE)[600:].mean() for s in each]) < 0.025


@given(st.integers(0, 2**32 - 1), st.integers(60, 199))
def test_later_scores_move_no_limit(seed, at):
    rng = np.random.default_rng(seed)
    score = rng.random(200)
    changed = np.where(np.arange(200) >= at, 100 * rng.random(200), score)
    assert np.array_equal(limits(score, 50, RULE)[: at + 1], limits(changed, 50, RULE)[: at + 1])


def test_without_a_prefix_nothing_is_raised():
    assert not raised(np.ones(20), 0, RULE).any()
    assert raised(np.zeros(0), 0, RULE).shape == (0,)


def test_runs_are_merged_by_the_gap_between_them():
    out = np.isin(np.arange(30), [2, 3, 6, 20])
    assert merged(out, 0) == [(2, 4), (6, 7), (20, 21)]
    assert merged(out, 2) == [(2, 7), (20, 21)]


def test_the_summary_counts_alarms_windows_and_delay():
    y, alarm = np.zeros(100, bool), np.zeros(100, bool)
    y[10:20], y[50:60] = True, True
    alarm[14:25], alarm[80:82] = True, True
    found = summary([y], [alarm], WEEK // 10)
    assert found == {"alarms": 2, "precision": 0.5, "recall": 0.5, "delay": 4.0, "share": 0.13, "alarms_a_week": 0.2}
    nothing = summary([y[:5]], [alarm[:5]], 0)
    assert (nothing["alarms"], nothing["precision"], nothing["recall"], nothing["alarms_a_week"]) == (0, None, None, None)
