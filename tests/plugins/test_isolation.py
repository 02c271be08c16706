"""The forests of `iforest` beside scikit-learn's: the same path lengths of the same trees, the same law of trees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.ensemble import IsolationForest

from bench_plugins._isolation import Forest, anomaly, grown, still


def windows(seed, steps=160, width=5):
    rng = np.random.default_rng(seed)
    # halves: float32, in which scikit-learn looks at them, holds them exactly
    return sliding_window_view(np.append(rng.poisson(3, steps - 10) / 2, rng.poisson(9, 10) / 2), width)


def taken_over(forest):
    """Lay the trees of scikit-learn out as ours are."""
    trees = [tree.tree_ for tree in forest.estimators_]
    first, roots = len(trees), len(trees)
    feature, threshold, left, length = (np.zeros(sum(t.node_count + 1 for t in trees) + roots) for _ in range(4))
    left[:] = np.arange(len(left))
    threshold[:] = np.inf
    at = first
    for number, (tree, columns) in enumerate(zip(trees, forest.estimators_features_, strict=True)):
        place, depth, stack = {0: number}, {0: 0}, [0]
        while stack:
            node = stack.pop()
            children = tree.children_left[node], tree.children_right[node]
            if children[0] < 0:
                length[place[node]] = depth[node] + still(np.array([tree.n_node_samples[node]]))[0]
                continue
            feature[place[node]], threshold[place[node]], left[place[node]] = columns[tree.feature[node]], tree.threshold[node], at
            for child in children:
                place[child], depth[child] = at, depth[node] + 1
                at += 1
                stack.append(child)
    levels = max(tree.max_depth for tree in trees)
    return Forest(roots, levels, feature.astype(np.int32), threshold, left.astype(np.int32), length)


@pytest.mark.parametrize(("samples", "features"), [(100, 1.0), (30, 0.5), (2, 1.0)])
def test_the_same_trees_give_the_scores_of_scikit_learn(samples, features):
    rows = windows(1)
    forest = IsolationForest(n_estimators=40, max_samples=samples, max_features=features, random_state=3).fit(rows[:100])
    found = anomaly(taken_over(forest).lengths(rows), samples)
    np.testing.assert_allclose(found, -forest.score_samples(rows), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("samples", "features"), [(100, 1.0), (40, 0.6)])
def test_forests_score_on_average_as_those_of_scikit_learn(samples, features):
    rows, seeds = windows(2), range(40)
    mine = np.array([anomaly(grown(rows[:100], 100, samples, features, s).lengths(rows), samples) for s in seeds])
    settings = {"n_estimators": 100, "max_samples": samples, "max_features": features}
    theirs = np.array([-IsolationForest(random_state=s, **settings).fit(rows[:100]).score_samples(rows) for s in seeds])
    error = np.sqrt((mine.var(axis=0) + theirs.var(axis=0)) / len(seeds))
    z = (mine.mean(axis=0) - theirs.mean(axis=0)) / error
    # of 156 windows that overlap, and so err together: a law that is another one is many errors off
    assert np.abs(z).max() < 4
    assert np.sqrt(np.mean(z**2)) < 1.5
    assert mine.std(axis=0).mean() == pytest.approx(theirs.std(axis=0).mean(), rel=0.2)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 4), st.integers(1, 60), st.floats(0.1, 1.0), st.integers(0, 5))
def test_each_tree_parts_its_rows(k, width, samples, features, seed):
    rows = np.random.default_rng(seed).integers(0, 3, (k, width)).astype(float)
    samples = min(samples, k)
    forest = grown(rows, 3, samples, features, seed)
    inner = np.isfinite(forest.threshold)
    assert (forest.length[inner] == 0).all()
    # two children each, behind the roots, each node the child of one
    children = np.sort(np.concatenate([forest.left[inner], forest.left[inner] + 1]))
    np.testing.assert_array_equal(children, np.arange(3, len(forest.left)))
    found = forest.lengths(rows)
    assert np.isfinite(found).all()
    assert (found <= np.ceil(np.log2(max(samples, 2))) + still(np.array([samples])) + 1e-9).all()
    # rows that are alike are scored alike
    for row in np.unique(rows, axis=0):
        assert len(set(found[(rows == row).all(axis=1)])) == 1


def test_rows_that_are_all_alike_need_no_cut():
    rows = np.ones((50, 3))
    forest = grown(rows, 10, 50, 1.0, 0)
    np.testing.assert_array_equal(anomaly(forest.lengths(rows), 50), 0.5)
    np.testing.assert_array_equal(anomaly(grown(rows[:1], 10, 1, 1.0, 0).lengths(rows), 1), 0.5)


def test_the_feature_of_a_cut_is_any_that_varies_as_likely_as_another():
    rows = np.random.default_rng(0).normal(size=(40, 4))
    rows[:, 1] = 7.0
    roots = grown(rows, 3000, 40, 1.0, 1).feature[:3000]
    share = np.bincount(roots, minlength=4) / 3000
    np.testing.assert_allclose(share, [1 / 3, 0, 1 / 3, 1 / 3], atol=0.03)


def test_a_seed_gives_one_forest_and_scores_do_not_depend_on_what_stands_beside():
    rows = windows(4)
    one, again, other = (grown(rows[:100], 100, 64, 1.0, seed).lengths(rows) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    forest = grown(rows[:100], 100, 64, 1.0, 5)
    np.testing.assert_array_equal(np.concatenate([forest.lengths(rows[at : at + 7]) for at in range(0, len(rows), 7)]), one)
