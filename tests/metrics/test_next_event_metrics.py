"""Scores of rankings, against their definitions written as loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.next_event import KINDS, RANKED, Targets, kind_scorer, ranking_scorer

ITEMS, PLACES = 40, 15


def problem(seed: int, rows: int = 8) -> tuple[Targets, np.ndarray]:
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 14, rows)
    item = np.concatenate([rng.permutation(ITEMS)[:n] for n in size]).astype(np.int32)
    offsets = np.r_[0, np.cumsum(size)]
    targets = Targets(
        offsets, item, rng.random(len(item)) < 0.4, rng.random(rows) < 0.5, rng.random(rows) < 0.5, rng.integers(0, 4, rows), ITEMS
    )
    items = np.array([rng.permutation(ITEMS)[:PLACES] for _ in range(rows)], np.int32)
    items[0, 6:] = -1
    return targets, items


def by_hand(targets: Targets, items: np.ndarray) -> dict[str, float]:
    def ndcg(shown, wanted):
        gain = sum(1 / math.log2(at + 2) for at, item in enumerate(shown[:10]) if item in wanted)
        return gain / sum(1 / math.log2(at + 2) for at in range(min(10, len(wanted))))

    found: dict[str, list[float]] = {metric.name: [] for metric in RANKED}
    seen: set[int] = set()
    popular = places = 0
    for row, shown in enumerate(items.tolist()):
        at = slice(targets.offsets[row], targets.offsets[row + 1])
        wanted, repeat = targets.item[at].tolist(), targets.repeat[at]
        top = [i for i in shown[:10] if i >= 0]
        whole = ndcg(shown, wanted)
        found["ndcg_10"].append(whole)
        found["recall_10"].append(len(set(top) & set(wanted)) / len(wanted))
        found["mrr_10"].append(next((1 / (k + 1) for k, i in enumerate(top) if i in wanted), 0.0))
        found["hit_1"].append(float(shown[0] in wanted))
        for name, mask in (("repeat", repeat), ("explore", ~repeat)):
            part = [i for i, m in zip(wanted, mask, strict=True) if m]
            if part:
                found[f"ndcg_10_{name}"].append(ndcg(shown, part))
        if targets.last[row]:
            found["ndcg_10_last"].append(whole)
        found["ndcg_10_many" if targets.many[row] else "ndcg_10_few"].append(whole)
        seen |= set(top)
        popular += sum(i < ITEMS // 10 for i in top)
        places += len(top)
    return {
        **{n: np.mean(v) if v else math.nan for n, v in found.items()},
        "coverage_10": len(seen) / ITEMS,
        "popular_10": popular / places,
    }


@pytest.mark.parametrize("seed", range(20))
def test_every_metric_is_what_its_definition_says(seed):
    targets, items = problem(seed)
    scores = ranking_scorer(targets, items).score(np.ones((1, 8)))
    expected = by_hand(targets, items)
    assert set(scores) == {metric.name for metric in RANKED}
    for name, value in expected.items():
        assert scores[name][0] == pytest.approx(value, abs=1e-12, nan_ok=True), name


def repeated(targets: Targets, rows: np.ndarray) -> Targets:
    at = [np.arange(targets.offsets[r], targets.offsets[r + 1]) for r in rows]
    events = np.concatenate(at)
    offsets = np.r_[0, np.cumsum([len(a) for a in at])]
    return Targets(
        offsets, targets.item[events], targets.repeat[events], targets.last[rows], targets.many[rows], targets.group[rows], ITEMS
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999))
def test_a_weight_is_the_same_as_a_repetition(seed):
    targets, items = problem(seed)
    weights = np.random.default_rng(seed).integers(0, 3, 8)
    weights[0] = 1
    rows = np.repeat(np.arange(8), weights)
    weighted = ranking_scorer(targets, items).score(weights[None].astype(float))
    plain = ranking_scorer(repeated(targets, rows), items[rows]).score(np.ones((1, len(rows))))
    for name, value in plain.items():
        assert weighted[name][0] == pytest.approx(value[0], nan_ok=True), name


@pytest.mark.parametrize("seed", range(5))
def test_scores_of_kinds_agree_with_scikit_learn(seed):
    from sklearn.metrics import accuracy_score, f1_score, log_loss

    rng = np.random.default_rng(seed)
    chance = rng.dirichlet(np.ones(4), 60)
    came = rng.integers(0, 4, 60).astype(np.int32)
    targets = Targets(np.arange(61), came, np.zeros(60, bool), np.ones(60, bool), np.ones(60, bool), np.arange(60), 4)
    order = np.argsort(-chance, axis=1)
    scorer = kind_scorer(targets, order.astype(np.int32), np.take_along_axis(chance, order, 1))
    weights = rng.integers(0, 3, 60).astype(float)
    scores = scorer.score(weights[None])
    assert set(scores) == {metric.name for metric in KINDS}
    assert scores["accuracy"][0] == pytest.approx(accuracy_score(came, order[:, 0], sample_weight=weights))
    assert scores["kind_log_loss"][0] == pytest.approx(log_loss(came, chance, sample_weight=weights, labels=range(4)))
    kinds = sorted(set(came[weights > 0]))
    assert scores["macro_f1"][0] == pytest.approx(f1_score(came, order[:, 0], sample_weight=weights, labels=kinds, average="macro"))
