import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from metrics.plain_vus import picks, plain_vus
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

import bench.metrics
from bench.metrics import volume, vus
from bench.metrics.areas import SMOOTH, segments
from bench.metrics.volume import pooled, vus_of

few = settings(max_examples=60, deadline=None)  # seconds on a busy machine


def reference():
    """Give the labels and scores that the published values belong to."""
    i = np.arange(400)
    y = np.zeros(400, int)
    for first, last in ((50, 59), (200, 239), (250, 255), (300, 300), (390, 399)):
        y[first : last + 1] = 1
    return y, ((31 * i**2 + 17 * i) % 997) / 997 + 0.5 * y


@st.composite
def labelled(draw, least=1):
    """Draw (y, score): runs of labels of any length, at the ends too; scores distinct, tied or constant."""
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    y = np.repeat((np.arange(len(lengths)) + draw(st.integers(0, 1))) % 2, lengths)
    y = np.pad(y, (0, max(0, least - len(y))))
    grid = draw(st.sampled_from([0, 1, 3, 10_000]))
    score = np.array(draw(st.lists(st.integers(0, grid), min_size=len(y), max_size=len(y)))) / 7
    return y, score


def one_class(y):
    return y.all() or not y.any()


@pytest.mark.parametrize(
    ("buffer", "roc", "pr"),
    [(0, 0.8909192775, 0.7496161270), (10, 0.9066908308, 0.7708305794), (40, 0.9367619139, 0.8212036418)],
)
def test_the_reference_values_are_reproduced(buffer, roc, pr):
    assert vus(*reference(), buffer) == pytest.approx((roc, pr), abs=1e-8)


def test_the_reference_values_of_the_other_areas_are_reproduced():
    got = {name: value[0] for name, value in vus_of(pooled([reference()], 0), np.ones((1, 1))).items()}
    assert (got["auc_roc"], got["auc_pr"], got["oracle_f1"]) == pytest.approx((0.891220, 0.753548, 0.723805), abs=5e-7)


@few
@given(labelled(), st.integers(0, 30))
@example((np.array([1, 0]), np.array([0.0, 0.0])), 5)
@example((np.array([1]), np.array([0.5])), 3)
@example((np.array([1, 0, 1, 0, 1]), np.array([1.0, 1, 2, 0, 0])), 2)  # buffers of neighbours share their only step
@example((np.array([1, 0, 0, 1, 0, 0, 0, 1]), np.array([0.0, 3, 0, 1, 2, 0, 0, 0])), 3)
@example((np.array([0, 0, 1, 1, 0, 0]), np.full(6, 4.0)), 9)
def test_vus_equals_a_plain_transcription_of_its_definition(case, buffer):
    y, score = case
    if one_class(y):
        assert all(math.isnan(v) for v in vus(y, score, buffer))
    else:
        assert vus(y, score, buffer) == pytest.approx(plain_vus([case], buffer, picks(score)), abs=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_vus_equals_the_plain_transcription_where_thresholds_skip_scores(seed):
    rng = np.random.default_rng(seed)
    y = np.repeat(rng.random(90) < 0.3, 7).astype(int)
    score = rng.normal(size=len(y)).round(seed) + y
    assert vus(y, score, 21) == pytest.approx(plain_vus([(y, score)], 21, picks(score)), abs=1e-10)


@few
@given(st.lists(labelled(), min_size=1, max_size=4), st.integers(0, 12), st.integers(0, 999))
def test_pooled_entities_with_counts_equal_as_many_copies_under_the_plain_definition(parts, buffer, seed):
    counts = np.random.default_rng(seed).integers(0, 4, (3, len(parts)))
    got = vus_of(pooled(parts, buffer, K=40), counts)
    thresholds = picks(np.concatenate([score for _, score in parts]), 40)
    for b, count in enumerate(counts):
        copies = [part for part, n in zip(parts, count, strict=True) for _ in range(n)]
        if not copies or one_class(np.concatenate([y for y, _ in copies])):
            assert all(math.isnan(value[b]) for value in got.values())
        else:
            assert (got["vus_roc"][b], got["vus_pr"][b]) == pytest.approx(plain_vus(copies, buffer, thresholds), abs=1e-10)


@few
@given(st.lists(labelled(), min_size=1, max_size=4), st.integers(0, 999))
def test_the_areas_point_by_point_equal_those_of_scikit_learn_on_copies(parts, seed):
    counts = np.random.default_rng(seed).integers(0, 4, (2, len(parts)))
    got = vus_of(pooled(parts, 0, K=3), counts)
    for b, count in enumerate(counts):
        copies = [part for part, n in zip(parts, count, strict=True) for _ in range(n)]
        y, score = (np.concatenate([[], *side]) for side in zip(*copies, strict=True)) if copies else (np.ones(1), np.ones(1))
        if one_class(y):
            continue
        assert got["auc_roc"][b] == pytest.approx(roc_auc_score(y, score), abs=1e-12)
        assert got["auc_pr"][b] == pytest.approx(average_precision_score(y, score), abs=1e-12)
        p, r, _ = precision_recall_curve(y, score)
        assert got["oracle_f1"][b] == pytest.approx(max(2 * p * r / (p + r + 1e-5)), abs=1e-12)


@few
@given(labelled(), st.integers(0, 20))
def test_one_entity_of_weight_one_gives_what_vus_gives(case, buffer):
    got = vus_of(pooled([case], buffer), np.ones((1, 1)))
    assert (got["vus_roc"][0], got["vus_pr"][0]) == pytest.approx(vus(*case, buffer), abs=0, nan_ok=True)


@few
@given(labelled(least=2), st.integers(0, 20), st.sampled_from([lambda s: 3 * s - 1e6, np.arctan, lambda s: s * 1e300]))
def test_only_the_order_of_the_scores_counts(case, buffer, turned):
    y, score = case
    assert vus(y, turned(score), buffer) == pytest.approx(vus(y, score, buffer), abs=1e-12, nan_ok=True)


@few
@given(labelled(least=2), st.integers(0, 20))
def test_time_turned_round_gives_the_same_volume(case, buffer):
    y, score = case
    assert vus(y[::-1], score[::-1], buffer) == pytest.approx(vus(y, score, buffer), abs=1e-12, nan_ok=True)


def test_no_segment_and_no_buffer_crosses_into_the_next_entity():
    one = np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    other = np.array([1, 1, 0, 0, 0]), np.array([0.5, 0.1, 0.9, 0.3, 0.2])
    apart = vus_of(pooled([one, other], 4), np.ones((1, 2)))
    assert (apart["vus_roc"][0], apart["vus_pr"][0]) == pytest.approx(plain_vus([one, other], 4, picks(np.append(one[1], other[1]))))
    assert apart["vus_pr"][0] != pytest.approx(vus(np.append(one[0], other[0]), np.append(one[1], other[1]), 4)[1])


def test_the_order_of_the_entities_changes_nothing():
    rng = np.random.default_rng(5)
    parts = [(rng.random(40) < 0.1, rng.random(40)) for _ in range(6)]
    weights = rng.integers(0, 3, (4, 6))
    one, other = vus_of(pooled(parts, 7), weights), vus_of(pooled(parts[::-1], 7), weights[:, ::-1])
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values, rtol=1e-12, err_msg=name)


def test_chunks_do_not_change_the_result(monkeypatch):
    rng = np.random.default_rng(0)
    pool = pooled([(rng.random(60) < 0.2, rng.random(60)) for _ in range(5)], 9, K=6)
    weights = rng.integers(0, 3, (7, 5))
    whole = vus_of(pool, weights)
    monkeypatch.setattr(volume, "AT_ONCE", 12)
    for name, values in vus_of(pool, weights).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-13, err_msg=name)


def test_a_draw_without_the_highest_scores_is_scored_on_what_it_holds():
    low, high = (np.array([0, 1, 0]), np.array([0.1, 0.3, 0.2])), (np.array([0, 1, 0]), np.array([0.7, 0.9, 0.8]))
    got = vus_of(pooled([low, high], 0), np.array([[1, 0]]))
    assert {name: value[0] for name, value in got.items()} == pytest.approx(dict.fromkeys(got, 1.0), abs=SMOOTH)


def test_a_perfect_score_is_perfect_without_a_buffer_and_a_constant_one_has_the_base_rate():
    y = np.repeat([0, 1, 0], [30, 10, 60])
    assert vus(y, y.astype(float), 0) == (1, 1)
    assert vus(y, np.zeros(100), 0) == pytest.approx((0.5, 0.1))


def test_huge_buffers_and_huge_spikes_are_finite():
    y = np.array([0, 0, 1, 0, 0, 0])
    assert all(0 <= v <= 1 for v in vus(y, np.array([0, 1e300, 0, 0, -1e300, 0]), 500))


@pytest.mark.parametrize("y", [[], [0], [1], [0, 0, 0], [1, 1, 1]])
def test_labels_of_one_kind_or_none_give_nan(y):
    assert all(math.isnan(v) for v in vus(np.array(y), np.arange(len(y), dtype=float), 4))


def test_no_entities_and_no_draws_give_no_values():
    assert all(math.isnan(v[0]) for v in vus_of(pooled([], 3), np.ones((1, 0))).values())
    assert all(v.shape == (0,) for v in vus_of(pooled([reference()], 3), np.ones((0, 1))).values())


def test_segments_end_with_their_entity():
    first, last = segments(np.array([1, 1, 1, 0, 1], bool), np.array([0, 0, 1, 1, 1]))
    assert (first.tolist(), last.tolist()) == ([0, 2, 4], [1, 2, 4])


@pytest.mark.parametrize(
    ("y", "score", "buffer", "says"),
    [
        ([0, 1], [1.0], 1, "shape"),
        ([0, 2], [1.0, 2.0], 1, "other than 0 and 1"),
        ([0, 1], [1.0, np.nan], 1, "not finite"),
        ([0, 1], [1.0, np.inf], 1, "not finite"),
        ([0, 1], [1.0, 2.0], -1, "buffer is -1"),
    ],
)
def test_bad_values_are_refused_by_name(y, score, buffer, says):
    with pytest.raises(ValueError, match=says):
        vus(np.array(y), np.array(score), buffer)


def test_weights_of_another_number_of_entities_are_refused():
    with pytest.raises(ValueError, match=r"expected \(B, 1\)"):
        vus_of(pooled([reference()], 3), np.ones((1, 2)))


def test_the_function_is_a_name_of_the_package_which_imports_it_late():
    assert bench.metrics.vus is volume.vus
    code = "import sys, bench.metrics; assert 'bench.metrics.volume' not in sys.modules; bench.metrics.vus"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'vsu'"):
        _ = bench.metrics.vsu


@pytest.mark.parametrize("wanted", [("vus_pr",), ("vus_roc",), ("auc_pr",), ("auc_roc", "vus_pr")])
def test_what_is_asked_for_alone_is_what_it_is_among_all(wanted):
    rng = np.random.default_rng(7)
    pool = pooled([(rng.random(50) < 0.1, rng.random(50)) for _ in range(6)], 7)
    weights = rng.integers(0, 3, (40, 6))
    whole, found = vus_of(pool, weights), vus_of(pool, weights, wanted)
    assert set(found) == set(wanted)
    for name in wanted:
        np.testing.assert_array_equal(found[name], whole[name])
