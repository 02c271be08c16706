"""Rankings: the highest of a row, equal ones by number, nothing that was had, chunks without effect."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data import ranking
from bench.data.ranking import NextInputs, best, probabilities, rank_rows


def inputs(lengths: list[int], items: int, **fields) -> NextInputs:
    offsets = np.r_[0, np.cumsum(lengths)].astype(np.int64)
    e = int(offsets[-1])
    rng = np.random.default_rng(e)
    return NextInputs(
        offsets=offsets, item=rng.integers(0, items + 1, e).astype(np.int32), kind=np.zeros(e, np.int16),
        time=np.arange(e, dtype=float), group=np.arange(len(lengths)), items=items, **fields,
    )  # fmt: skip


@given(rows=st.integers(1, 6), items=st.integers(1, 20), places=st.integers(1, 20), seed=st.integers(0, 99))
def test_the_best_are_those_of_a_stable_sort_of_full_rows(rows, items, places, seed):
    scores = np.random.default_rng(seed).integers(0, 4, (rows, items)).astype(np.float32)
    found = best(scores, min(places, items))
    order = np.argsort(-scores, axis=1, kind="stable")[:, : min(places, items)]
    assert (found.items == order).all()
    assert (found.scores == np.take_along_axis(scores, order, axis=1)).all()


def test_what_a_user_has_had_is_not_ranked_where_items_are_taken_once():
    asked = inputs([4, 0, 3], 5, once=True)
    found = rank_rows(asked, lambda part: np.zeros((len(part), 5), np.float32)).items
    for row in range(3):
        had = set(asked.item[asked.offsets[row] : asked.offsets[row + 1]]) - {5}
        left = [i for i in range(5) if i not in had]
        assert found[row].tolist() == left + [-1] * (5 - len(left))


def test_chunks_of_rows_change_nothing(monkeypatch):
    asked = inputs([3, 0, 7, 2, 5], 30)
    scores = np.random.default_rng(1).random((5, 30), np.float32)

    def score(part):
        return scores[part.group]

    whole = rank_rows(asked, score)
    monkeypatch.setattr(ranking, "CHUNK", 60)
    parts = rank_rows(asked, score)
    assert (whole.items == parts.items).all()
    assert (whole.scores == parts.scores).all()


def test_scores_of_kinds_become_probabilities():
    assert probabilities(np.array([[1.0, 3.0], [0.0, 0.0]])) == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5]]))
    assert probabilities(np.array([[0.0, -np.log(3.0)]])) == pytest.approx(np.array([[0.75, 0.25]]))
    found = rank_rows(inputs([1, 1], 2, target="kind"), lambda _: np.array([[1.0, 3.0], [3.0, 1.0]]))
    assert found.items.tolist() == [[1, 0], [0, 1]]
    assert found.scores == pytest.approx(0.5 + np.array([[0.25, -0.25]] * 2))


def test_taking_rows_keeps_their_events_together_and_the_latest_are_the_last():
    asked = inputs([3, 0, 2], 9)
    part = asked.take(np.array([2, 1]))
    assert part.item.tolist() == asked.item[3:].tolist()
    assert part.lengths.tolist() == [2, 0]
    late = asked.latest(2)
    assert late.item.tolist() == [*asked.item[1:3], *asked.item[3:]]
    assert late.lengths.tolist() == [2, 0, 2]
    assert replace(asked, once=True).take(np.array([0])).once


def test_scores_of_all_users_and_items_never_exist_at_once(monkeypatch):
    rows, items = 2_000, 5_000
    monkeypatch.setattr(ranking, "CHUNK", 1 << 19)
    asked, cells = inputs([0] * rows, items), []

    def score(part):
        cells.append(len(part) * items)
        return np.broadcast_to(-part.group[:, None].astype(np.float32), (len(part), items))

    tracemalloc.start()
    found = rank_rows(asked, score)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.items.shape == (rows, 100)
    assert max(cells) <= 1 << 19
    assert sum(cells) == rows * items
    assert peak < rows * items * 4
