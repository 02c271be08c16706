"""The join of a series' windows with those of its past: stumpy's values, a naive join's, and what rounding must not touch."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_plugins import _self_join
from bench_plugins._self_join import nearest

UNTIL = 120
AT = (0, 5, 36, 40, 64, 97, 100, 108, 150, 180, 210, 216)
LATER = (30, 60, 70, 90)


def series():
    """Make noisy cycles with two constant stretches, a level shift and an exact repeat."""
    i = np.arange(240)
    x = np.sin(2 * np.pi * i / 24) + ((31 * i * i + 17 * i) % 997) / 997.0
    x[100:130], x[170:200] = x[100], 2.5
    x[215:223] += 3
    x[40:52] = x[64:76]
    return x


# stumpy 1.14.1 (numba 0.68.1, numpy 2.4.6): stump(x, W) at `AT` and its sum; then stump(x[120 - W + 1:], W, x[:120],
# ignore_trivial=False) at `LATER`, and its sum from beyond the excluded ones on; where windows of one shape are 0 apart it
# says up to 1.2e-6, so sums are compared less closely
REFERENCE = {
    (True, 8): (
        [0.25489941236639313, 1.4966686896180035, 1.203772418072242, 0.0, 0.0, 0.3003382948241358, 0.0, 0.0, 1.2726696264636423, 0.0,
         0.9517742263425798, 0.9883133796690664], 115.33307662825229,
        [0.7996445338765362, 0.0, 0.0, 0.8443982598902395], 94.03488188071888,
    ),
    (True, 24): (
        [1.732875433434888, 1.2766594812344836, 1.6067092658267716, 1.6350114730508378, 0.6002071948543606, 0.46016638148746436, 0.0,
         1.3764104740401812, 1.8891467330875356, 1.3739495987542052, 2.3517680060607855, 2.3341594651705546], 303.7720688909136,
        [1.5225260162572734, 1.4683174751902308, 1.0424963119228763, 2.6197795481344808], 308.41172806784294,
    ),
    (False, 8): (
        [0.32205806134407594, 0.6941952934649336, 0.7216390305941384, 0.0, 0.0, 0.572650911527718, 0.0, 0.0, 0.8845213384018258, 0.0,
         2.658334001207848, 4.538735611751103], 146.60057281320152,
        [0.46687273468916485, 2.81728554015694, 2.8172855401569366, 0.805223243186617], 213.65974799142953,
    ),
    (False, 24): (
        [1.5203962721947206, 1.1699518816367729, 1.2652389378902276, 1.283698351566194, 0.5531701631517577, 1.3079700184967824,
         0.3108599072950009, 0.522240071473788, 2.8020731600164246, 3.0069924358013265, 7.92895045778409, 5.1941682646912835],
        495.3544251658581, [1.1701626480708014, 3.7010235044626754, 4.696002249545979, 5.486832961836796], 479.4593424884147,
    ),
}  # fmt: skip


def naive(x, width, k, apart, *, shape):
    """Join window by window, step by step: O(n k W), in extended precision."""
    points = []
    for i in range(len(x) - width + 1):
        w = x[i : i + width].astype(np.longdouble)
        if shape:
            w = (w - w.mean()) / w.std() if np.ptp(w) > 0 else np.zeros(width)
        points.append(w)
    found = []
    for i, one in enumerate(points):
        far = [math.sqrt(((one - points[j]) ** 2).sum()) for j in range(k) if abs(i - j) > apart]
        found.append(min(far, default=math.inf))
    return np.array(found)


@pytest.mark.parametrize(("shape", "width"), REFERENCE)
def test_the_distances_are_those_of_stumpy(shape, width):
    x, apart = series(), math.ceil(width / 4)
    own, total, later, beyond = REFERENCE[shape, width]
    n = len(x) - width + 1
    found = nearest(x, width, n, apart, shape=shape)
    np.testing.assert_allclose(found[list(AT)], own, rtol=1e-9, atol=1e-12)
    assert found.sum() == pytest.approx(total, abs=1e-5)
    k = UNTIL - width + 1
    found = nearest(x, width, k, apart, shape=shape)[k:]
    np.testing.assert_allclose(found[list(LATER)], later, rtol=1e-9, atol=1e-12)
    assert found[apart + 1 :].sum() == pytest.approx(beyond, abs=1e-5)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_distances_are_those_of_a_naive_join(data):
    x = np.array(data.draw(st.lists(st.integers(-4, 4) | st.floats(-1e6, 1e6), min_size=4, max_size=30)), float)
    width = data.draw(st.integers(3, min(9, len(x))))
    n = len(x) - width + 1
    k, apart, shape = data.draw(st.integers(1, n)), data.draw(st.integers(0, 4)), data.draw(st.booleans())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_self_join, "ROWS", data.draw(st.integers(1, 9)))
        patch.setattr(_self_join, "COLUMNS", data.draw(st.integers(1, 9)))
        found, wanted = nearest(x, width, k, apart, shape=shape), naive(x, width, k, apart, shape=shape)
    assert (np.isinf(found) == np.isinf(wanted)).all()
    known = np.isfinite(wanted)
    # which of two neighbours is the nearer is told by a product, whose rounding grows with the squares that it is made of
    size = 1.0 if shape else max(float(np.abs(x).max()), 1.0)
    assert (np.abs(found[known] ** 2 - wanted[known] ** 2) <= 1e-12 * width * size**2).all()


def test_of_two_constant_windows_none_is_far_and_of_one_the_other_is_as_far_as_the_origin():
    x = np.concatenate([np.full(10, 0.1), np.full(10, -3e9), np.sin(np.arange(10.0))])
    found = nearest(x, 5, len(x) - 4, 2, shape=True)
    np.testing.assert_array_equal(found[:6], 0.0)
    np.testing.assert_array_equal(found[10:16], 0.0)
    np.testing.assert_allclose(nearest(x, 5, 1, 2, shape=True)[20:], math.sqrt(5))


def test_equal_windows_are_no_distance_apart_even_behind_a_spike():
    x = np.random.default_rng(0).normal(size=400)
    x[50] = 1e6
    x[300:340] = x[100:140]
    for shape in (True, False):
        found = nearest(x, 20, 200, 5, shape=shape)
        np.testing.assert_array_equal(found[300:321], 0.0)
        assert (found[321:] > 0).all()


def test_the_shape_of_huge_and_of_tiny_numbers_is_seen():
    x = np.random.default_rng(0).normal(size=60)
    wanted = nearest(x, 8, 30, 2, shape=True)
    for factor in (1e300, 1e-300):
        np.testing.assert_allclose(nearest(x * factor, 8, 30, 2, shape=True), wanted, rtol=1e-9)


@pytest.mark.parametrize("shape", [True, False])
def test_later_steps_change_no_bit_of_an_earlier_distance(shape):
    x = np.sin(np.arange(900) * 2 * np.pi / 24)  # all windows of a phase are equal but for rounding: it alone says which is nearest
    whole = nearest(x, 20, 300, 5, shape=shape)
    for end in (320, 321, 531, 532, 533, 800):
        np.testing.assert_array_equal(nearest(x[:end], 20, 300, 5, shape=shape), whole[: end - 19])


def test_memory_does_not_grow_with_the_square_of_the_steps():
    import tracemalloc

    x = np.random.default_rng(0).normal(size=6000)
    tracemalloc.start()
    nearest(x, 8, 5993, 2, shape=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e7  # all distances at once are 288 MB
