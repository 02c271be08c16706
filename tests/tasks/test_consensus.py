"""Agreement with the floors' consensus: what steers an anomaly search beside injections."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from bench.data.series import Series
from bench.tasks.anomaly.agreement import open_steps
from bench.tasks.anomaly.consensus import Agreement, LabelFree
from bench.tasks.anomaly.steering import ScoredPart
from bench.tasks.base import Split
from tests.tasks.test_anomaly import series, split_of


def part_of(entities: int, steps: int) -> ScoredPart:
    """The last two thirds of the steps are open; the first entity begins later."""
    mask = np.ones((entities, steps), bool)
    mask[0, : steps // 6] = False
    start = np.where(np.arange(entities) == 0, steps // 6, 0)
    return ScoredPart(mask, start, np.full(entities, steps // 3), np.full(entities, steps), np.zeros((entities, steps), bool))


@given(seed=st.integers(0, 199), entities=st.integers(2, 5))
def test_it_is_spearmans_correlation_over_the_open_steps(seed: int, entities: int) -> None:
    rng, part = np.random.default_rng(seed), part_of(entities, 30)
    score, reference = rng.random((2, entities, 30)).round(1)
    seen = open_steps(part)
    found = Agreement.of(score, reference, part).score(np.ones((1, entities)))[0]
    assert found == pytest.approx(spearmanr(score[seen], reference[seen]).statistic)


def test_an_entity_counts_by_its_weight_and_one_without_weight_not_at_all() -> None:
    rng, part = np.random.default_rng(0), part_of(3, 60)
    reference = rng.random((3, 60))
    score = reference.copy()
    score[2] = -reference[2]
    found = Agreement.of(score, reference, part).score(np.array([[1.0, 1, 0], [1, 1, 1], [1, 1, 2], [2, 2, 4]]))
    assert found[0] > 0.9 > found[1] > found[2]
    assert found[2] == pytest.approx(found[3])


def test_a_constant_score_agrees_with_nothing_and_no_weight_is_no_error() -> None:
    part, reference = part_of(2, 30), np.random.default_rng(0).random((2, 30))
    found = Agreement.of(np.zeros((2, 30)), reference, part).score(np.array([[1.0, 1], [0, 0]]))
    assert found.tolist() == [0.0, 0.0]


@pytest.fixture(scope="module")
def split() -> Split:
    return split_of(series(8, 600, seed=3))


def test_the_consensus_itself_is_taken_rather_than_noise_or_its_opposite(split: Split) -> None:
    truth = replace(split.truths["search"], labelled=None)  # the draws of injections alone
    noise = np.random.default_rng(0).random(truth.consensus.shape)
    own, worse, other = (
        truth.objectives([{"prediction": score} for _ in truth.draws])["label-free"] for score in (truth.consensus, -truth.consensus, noise)
    )
    assert isinstance(own, LabelFree)
    assert own.agreement.score(np.ones((1, 8)))[0] == pytest.approx(1.0)
    assert own.value > other.value > worse.value
    assert own.value == pytest.approx((own.volume.value + 1) / 2)


def test_nothing_after_a_prefix_moves_the_consensus(split: Split) -> None:
    data, until = series(8, 600, seed=3), int(split.truths["final"].until.max())
    late = pl.int_range(pl.len()).over("series") >= until
    changed = data.frame.with_columns(value=pl.when(late).then(pl.col("value") * 50 + 7).otherwise("value"))
    other = split_of(Series.build(changed, name="made"))
    np.testing.assert_array_equal(split.truths["search"].consensus, other.truths["search"].consensus)
