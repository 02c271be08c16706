import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics import bootstrap
from bench.metrics.bootstrap import draws, interval


def all_draws(groups, n, seed):
    return np.concatenate(list(draws(np.asarray(groups), n, seed)))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-3, 9), min_size=1, max_size=30), st.integers(0, 2**40))
def test_users_are_drawn_whole_and_as_many_as_there_are(groups, seed):
    groups = np.array(groups)
    counts = all_draws(groups, 5, seed)
    _, first = np.unique(groups, return_index=True)
    assert counts.shape == (5, len(groups))
    assert (counts[:, first].sum(axis=1) == len(first)).all()
    for group in groups:
        assert (np.ptp(counts[:, groups == group], axis=1) == 0).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_change_who_is_drawn(groups, random):
    groups = np.array(groups)
    turned = np.array(random.sample(range(len(groups)), len(groups)))
    np.testing.assert_array_equal(all_draws(groups[turned], 3, 1), all_draws(groups, 3, 1)[:, turned])


def test_the_same_seed_gives_the_same_draws_and_another_one_others():
    groups = np.arange(50)
    np.testing.assert_array_equal(all_draws(groups, 20, 7), all_draws(groups, 20, 7))
    assert (all_draws(groups, 20, 7) != all_draws(groups, 20, 8)).any()
    assert (all_draws(groups, 2, 7)[0] != all_draws(groups, 2, 7)[1]).any()


def test_fewer_draws_are_the_first_of_more():
    groups = np.arange(9)
    np.testing.assert_array_equal(all_draws(groups, 4, 0), all_draws(groups, 40, 0)[:4])


def test_chunks_do_not_change_the_draws(monkeypatch):
    groups = np.arange(30)
    whole = all_draws(groups, 11, 5)
    monkeypatch.setattr(bootstrap, "AT_ONCE", 60)
    chunks = list(draws(groups, 11, 5))
    assert [len(chunk) for chunk in chunks] == [2, 2, 2, 2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(chunks), whole)


def test_a_chunk_stays_small_when_rows_are_many():
    assert len(next(draws(np.arange(500_000), 1000, 0))) * 500_000 <= bootstrap.AT_ONCE


def test_the_draws_stay_what_they_were_in_earlier_versions():
    assert all_draws(np.arange(8), 2, 42).astype(int).tolist() == [[1, 0, 0, 1, 0, 1, 4, 1], [0, 2, 1, 2, 0, 1, 1, 1]]


def test_counts_follow_the_law_of_sampling_with_replacement():
    counts = all_draws(np.arange(40), 2000, 0)
    assert counts.mean(axis=0) == pytest.approx(np.ones(40), abs=0.12)
    assert counts.var() == pytest.approx(1 - 1 / 40, abs=0.02)
    assert (counts == 0).mean() == pytest.approx((1 - 1 / 40) ** 40, abs=0.01)


def test_repeated_rows_of_one_user_do_not_narrow_the_interval():
    rng = np.random.default_rng(0)
    x = rng.normal(size=100)
    alone = interval(all_draws(np.arange(100), 2000, 1) @ x / 100)
    tenfold = all_draws(np.repeat(np.arange(100), 10), 2000, 1)
    assert interval(tenfold @ np.repeat(x, 10) / 1000) == pytest.approx(alone)
    naive = interval(all_draws(np.arange(1000), 2000, 1) @ np.repeat(x, 10) / 1000)
    assert naive[1] - naive[0] < 0.5 * (alone[1] - alone[0])


def test_an_interval_is_made_of_percentiles():
    assert interval(np.arange(1001.0)) == pytest.approx((25, 975))
    assert interval(np.arange(1001.0), 0.5) == pytest.approx((250, 750))


def test_undefined_draws_are_left_out_unless_they_are_half():
    assert interval(np.array([1.0, 1, 1, np.nan])) == (1, 1)
    assert all(np.isnan(interval(np.array([1.0, np.nan]))))
    assert all(np.isnan(interval(np.array([]))))
