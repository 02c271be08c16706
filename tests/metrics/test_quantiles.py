import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.metrics.quantiles import clipped, level_index, mean_from_quantiles, quantile_loss, sorted_quantiles

LEVELS = tuple(k / 10 for k in range(1, 10))
few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 9999)


def test_quantiles_in_order_come_back_as_they_are():
    quantiles = np.sort(np.random.default_rng(0).normal(size=(3, 4, 9)), axis=2)
    got, rate = sorted_quantiles(quantiles)
    assert got is quantiles
    assert rate == 0


def test_the_crossing_rate_counts_steps_not_pairs_and_overlooks_rounding():
    quantiles = np.tile(np.arange(1.0, 4), (2, 2, 1))  # four steps
    quantiles[0, 0] = 3, 2, 1
    quantiles[0, 1] = 1, 1 - 1e-8, 2
    got, rate = sorted_quantiles(quantiles)
    assert rate == 0.25
    assert (np.diff(got, axis=2) >= 0).all()
    assert got[0, 0].tolist() == [1, 2, 3]


@few
@given(seeds)
def test_sorting_never_raises_the_quantile_loss(seed):
    rng = np.random.default_rng(seed)
    y, quantiles = rng.normal(size=(3, 4)), rng.normal(size=(3, 4, 9))
    assert (quantile_loss(y, sorted_quantiles(quantiles)[0], LEVELS) <= quantile_loss(y, quantiles, LEVELS) + 1e-12).all()


@few
@given(seeds, st.sampled_from([(0.5,), (0.1, 0.5, 0.9), LEVELS, (*LEVELS, 0.95, 0.99)]))
def test_the_quantile_loss_is_twice_the_pinball_loss_averaged_over_levels(seed, levels):
    rng = np.random.default_rng(seed)
    y, quantiles = rng.integers(-2, 5, (2, 3)).astype(float), rng.integers(-2, 5, (2, 3, len(levels))).astype(float)
    got = quantile_loss(y, quantiles, levels)
    for n, h in np.ndindex(2, 3):
        each = [2 * max(a * (y[n, h] - q), (a - 1) * (y[n, h] - q)) for a, q in zip(levels, quantiles[n, h], strict=True)]
        assert got[n, h] == pytest.approx(np.mean(each), abs=1e-12)


def test_the_mean_of_a_symmetric_or_constant_forecast_is_its_median():
    normal = stats.norm(5, 2).ppf(LEVELS)[None, None]
    assert mean_from_quantiles(normal, LEVELS)[0, 0] == pytest.approx(5)
    assert mean_from_quantiles(np.full((1, 1, 3), 7.0), (0.1, 0.5, 0.6))[0, 0] == pytest.approx(7)


def test_the_mean_of_a_uniform_forecast_is_exact_but_for_the_flat_tails():
    levels = (0.1, 0.3, 0.9)
    by_hand = 0.1 * 0.1 + 0.2 * 0.2 + 0.6 * 0.6 + 0.1 * 0.9
    assert mean_from_quantiles(np.array([[levels]]), levels)[0, 0] == pytest.approx(by_hand)


def test_more_levels_bring_the_mean_of_a_skewed_forecast_nearer_from_below():
    skewed = stats.expon()
    coarse, fine = (mean_from_quantiles(skewed.ppf(a)[None, None], a)[0, 0] for a in (np.array(LEVELS), np.arange(1, 1000) / 1000))
    assert coarse < fine < 1
    assert fine == pytest.approx(1, abs=0.002)


def test_clipping_counts_the_steps_with_anything_below_zero():
    quantiles, mean = np.array([[[-1.0, 0, 1], [0, 1, 2]], [[0, 1, 2], [3, 4, 5]]]), np.array([[0.0, 1], [-0.5, 4]])
    got, average, share = clipped(quantiles, mean)
    assert share == 0.5
    assert (got.min(), average.min()) == (0, 0)
    assert got[1].tolist() == quantiles[1].tolist()
    same, _, none = clipped(got, average)
    assert same is got
    assert none == 0


def test_nothing_to_bring_in_order_is_in_order():
    empty = np.zeros((0, 4, 9))
    assert sorted_quantiles(empty)[1] == 0
    assert clipped(empty, np.zeros((0, 4)))[2] == 0
    assert mean_from_quantiles(empty, LEVELS).shape == (0, 4)


def test_a_level_is_found_although_its_last_bit_differs():
    quantiles = np.arange(3.0)[None, None]
    assert level_index(quantiles, (0.1, 0.1 + 0.2, 0.9), 0.3) == 1
    with pytest.raises(ValueError, match=r"need 0\.5 among them"):
        level_index(quantiles, (0.1, 0.3, 0.9), 0.5)


@pytest.mark.parametrize("levels", [(), (0.5, 0.1), (0.0, 0.5), (0.5, 1.0), (0.1, 0.1)])
def test_levels_that_do_not_ascend_between_0_and_1_are_refused(levels):
    with pytest.raises(ValueError, match="ascending"):
        mean_from_quantiles(np.zeros((1, 1, len(levels))), levels)


def test_levels_of_another_number_than_the_quantiles_are_refused():
    with pytest.raises(ValueError, match=r"expected \(N, H, 2\)"):
        quantile_loss(np.zeros((1, 1)), np.zeros((1, 1, 3)), (0.1, 0.5))
