"""Pre-training: rows cut behind a step, what the next one looks like, and what a classifier takes over."""

from __future__ import annotations

import numpy as np
import pytest
from plugins.network_kit import QUICK, answer, fitted, users

from bench.api import Context
from bench.neural.churn import ChurnEncoder
from bench.neural.continued import RECENCY, Continued

CTX = Context()


def test_a_row_is_cut_before_a_step_of_its_own_which_is_the_target():
    train = users(200)
    encoder = ChurnEncoder.fit(train, CTX.horizon)
    whole, cut = encoder.prediction_rows(train), Continued(encoder).training_rows(train, CTX)
    many = np.flatnonzero(whole.lengths > 1)
    assert len(cut) == len(many) > 100
    assert (cut.context == whole.context[many]).all()
    for row, origin in enumerate(many):
        own, begin, kept = cut.features[cut.offsets[row] : cut.offsets[row + 1]], whole.offsets[origin], cut.lengths[row]
        assert 1 <= kept < whole.lengths[origin]
        assert (own == whole.features[begin : begin + kept]).all()
        assert (cut.target[row] == whole.features[begin + kept, RECENCY:]).all()
    assert len(np.unique(cut.lengths)) == 7  # of rows of up to 8 steps


def test_the_network_has_a_number_for_each_feature_of_the_next_step():
    train = users(50)
    before = Continued(ChurnEncoder.fit(train, CTX.horizon))
    assert before.sizes.o == before.training_rows(train, CTX).target.shape[1] == 6  # gap, value, count, three kinds
    assert before.sizes.f == before.encoder.sizes.f


def test_labels_play_no_part_in_it():
    train = users(50)
    other = users(50)
    other.y[:] = 1 - other.y
    first, second = (Continued(ChurnEncoder.fit(rows, CTX.horizon)).training_rows(rows, CTX) for rows in (train, other))
    assert (first.target == second.target).all()
    assert (first.features == second.features).all()


def test_a_pre_trained_network_starts_where_pre_training_ended_but_for_its_last_layer():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    from bench_plugins.seq2seq import Seq2Seq

    class Watched(Seq2Seq):
        seen = ()

        def run(self, network, recipe, rows, ctx):
            before = {name: w.clone() for name, w in network.state_dict().items()}
            super().run(network, recipe, rows, ctx)
            self.seen = (*self.seen, (recipe.loss, before, {name: w.clone() for name, w in network.state_dict().items()}))

    (first, _, learnt), (second, begun, _) = fitted(Watched, Seq2Seq.default(), users(200)).seen
    assert (first, second) == ("huber", "bce")
    assert learnt["dense.weight"].shape != begun["dense.weight"].shape
    assert all(torch.equal(learnt[name], begun[name]) for name in learnt if not name.startswith("dense."))


def test_a_network_without_pre_training_is_trained_once():
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    from bench_plugins.lstm import LSTM

    class Watched(LSTM):
        seen = ()

        def run(self, network, recipe, rows, ctx):
            self.seen = (*self.seen, recipe.loss)

    assert fitted(Watched, LSTM.default(), users(50)).seen == ("bce",)


def test_a_deadline_ends_both_trainings():
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    from dataclasses import replace

    from bench_plugins.seq2seq import Seq2Seq

    told = []
    late = replace(QUICK, deadline=0.0, on_report=lambda *at: told.append(at))
    assert np.isfinite(answer(fitted(Seq2Seq, Seq2Seq.default(), users(50), late), users(5))).all()
    assert not told
