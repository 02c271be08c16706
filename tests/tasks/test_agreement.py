"""Agreement of detectors: those that see the same resemble each other, noise resembles nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from bench.board.families import agreement_words
from bench.tasks.anomaly.agreement import LEAST, agreements


def test_three_that_see_the_same_agree_and_noise_does_not() -> None:
    rng = np.random.default_rng(0)
    seen = rng.random(500)
    found = agreements([seen + rng.normal(0, noise, 500) for noise in (0.1, 0.2, 0.3)] + [rng.random(500)])
    assert found.argmin() == 3
    assert found[:3].min() > 0.5 > abs(found[3])


@given(seed=st.integers(0, 99), k=st.integers(LEAST, 6))
def test_it_is_spearmans_correlation_with_the_mean_of_the_others_whatever_the_order(seed: int, k: int) -> None:
    ranks = list(np.random.default_rng(seed).random((k, 30)))
    found = agreements(ranks)
    assert found[0] == pytest.approx(spearmanr(ranks[0], np.mean(ranks[1:], axis=0)).statistic)
    assert agreements(ranks[::-1])[::-1] == pytest.approx(found)


def test_a_constant_score_agrees_with_nobody_and_two_are_too_few() -> None:
    some = list(np.random.default_rng(1).random((3, 30)))
    assert np.isnan(agreements([*some, np.zeros(30)])).tolist() == [False, False, False, True]
    assert np.isnan(agreements(some[:2])).all()


def rows(scores: list[tuple[float, float]], family: str = "labelled") -> list[dict[str, object]]:
    base = {"task_id": f"anomaly/v2/family={family}", "dataset": "nab", "by": "steering", "at": "agreement", "tuning": "tuned"}
    return [{**base, "model": f"m{n}", "search_score": agreed, "vus_pr": vus} for n, (agreed, vus) in enumerate(scores)]


def test_a_labelled_board_says_how_agreement_ranks_its_models_and_what_it_would_have_taken() -> None:
    scores = [(0.1, 0.2), (0.2, 0.3), (0.3, 0.4), (0.4, 0.5), (0.6, 0.6), (0.5, 0.7)]
    (words,) = agreement_words([*rows(scores), {**rows(scores)[0], "at": "injections"}])
    assert words.startswith("nab, labelled: rank correlation of the models' agreement")
    assert words.endswith("with VUS-PR +.94 over 6 models; m4 agrees most (.600), m5 is best (.700)")
    assert agreement_words(rows(scores[:5])) == [], "five are too few"
    assert agreement_words(rows(scores, "spliced")) == []
    assert agreement_words([{"task_id": "churn/v2", "dataset": "x", "model": "m", "cutoff": "2020"}]) == []
