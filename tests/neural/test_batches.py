"""Length-bucketed batches waste little, lose nothing and are the same each time."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.neural.batches import Sequences, batches, pad, useful_share

lengths_of_rows = st.lists(st.integers(0, 60), min_size=1, max_size=80).map(np.array)


def pareto(n):
    return np.floor(np.random.default_rng(0).pareto(1.2, n) + 1).astype(np.int64)


def test_nine_tenths_of_the_padded_steps_are_real_on_pareto_lengths():
    lengths = pareto(20_000)
    for seed in (None, 1):
        cut = batches(lengths, 32, seed)
        assert useful_share(lengths, cut) >= 0.9
        assert len(cut) < 1.1 * len(lengths) / 32  # and not by cutting everything small


@settings(deadline=None)
@given(lengths_of_rows, st.integers(1, 40), st.none() | st.integers(0, 5))
def test_every_row_is_in_exactly_one_batch(lengths, size, seed):
    cut = batches(lengths, size, seed)
    assert sorted(np.concatenate(cut)) == list(range(len(lengths)))
    assert max(map(len, cut)) <= size


@settings(deadline=None)
@given(lengths_of_rows)
def test_no_batch_is_mostly_padding(lengths):
    assert all(useful_share(lengths[rows], [np.arange(len(rows))]) >= 0.8 for rows in batches(lengths, 32, 0))


def test_a_seed_gives_one_order_and_another_seed_another():
    lengths = pareto(500)
    first, again, other = (np.concatenate(batches(lengths, 32, seed)) for seed in ((3, 0), (3, 0), (3, 1)))
    assert (first == again).all()
    assert (first != other).any()


def test_training_mixes_rows_of_equal_length_and_the_order_of_batches():
    lengths = np.repeat([1, 2, 3], 64)
    cut = batches(lengths, 32, 0)
    assert {len(set(lengths[rows])) for rows in cut} == {1}
    assert [lengths[rows[0]] for rows in cut] != sorted(lengths[rows[0]] for rows in cut)
    assert (np.diff(cut[0]) != 1).any()


def test_prediction_takes_rows_in_plain_order():
    assert [rows.tolist() for rows in batches(np.array([2, 1, 2, 1, 1]), 3)] == [[1, 3, 4], [0, 2]]


def test_no_row_gives_no_batch():
    assert batches(np.zeros(0, np.int64), 32) == []


@settings(deadline=None)
@given(lengths_of_rows, st.randoms(use_true_random=False))
def test_padding_agrees_with_a_plain_loop(lengths, random):
    offsets = np.r_[0, np.cumsum(lengths)]
    features = np.arange(2.0 * offsets[-1]).reshape(-1, 2) + 1
    rows = np.array(random.sample(range(len(lengths)), len(lengths)))
    padded = pad(offsets, features, rows)
    assert padded.dtype == np.float32
    assert padded.shape == (len(rows), max(1, lengths.max()), 2)
    for at, row in enumerate(rows):
        assert (padded[at, : lengths[row]] == features[offsets[row] : offsets[row + 1]]).all()
        assert (padded[at, lengths[row] :] == 0).all()


def test_a_row_without_steps_counts_as_one_zero_step_beside_its_context():
    rows = Sequences(np.array([0, 0, 1]), np.full((1, 2), 7.0), np.array([[5.0], [6.0]]), np.zeros((0, 1)))
    x, length = rows.padded(np.array([0, 1]))
    assert length.tolist() == [1, 1]
    assert x.tolist() == [[[0, 0, 5]], [[7, 7, 6]]]
