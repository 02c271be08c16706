"""What networks are shown of users beside the usual: FEATURES, items and the calendar."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from plugins.network_kit import shoppers, users

from bench.api import FEATURES, STATIC
from bench.neural.churn import FAR, ChurnEncoder, calendar_columns, row_columns, step_columns
from bench.neural.continued import RECENCY, Continued
from bench.neural.encode import encoder_from
from bench.neural.item_vectors import ItemVectors, latest_rows
from bench.neural.shown import Shown, shown_choices

HORIZON = 28.0
EVERY = Shown("features", "events", "events")


def test_what_is_not_asked_for_changes_nothing() -> None:
    train = shoppers(300)
    train.static[7] = 1e9
    encoder = ChurnEncoder.fit(train, HORIZON)
    rows = encoder.prediction_rows(train)
    assert encoder.sizes.f == 4 + 3 + len(STATIC)
    assert (rows.features == encoder.steps.scale(step_columns(train, HORIZON, encoder.kinds))).all()
    assert (rows.context == encoder.rows.scale(row_columns(train))).all()
    assert np.abs(rows.context).max() > FAR  # as before, nothing is cut
    assert encoder == ChurnEncoder.fit(replace(train, item=np.zeros(0, np.uint32), item_offsets=np.zeros(0, np.int64)), HORIZON)


def test_features_stand_beside_the_aggregates_standardised_and_bounded() -> None:
    train = shoppers(300)
    encoder = ChurnEncoder.fit(train, HORIZON, Shown("features"))
    context = encoder.prediction_rows(train).context
    assert context.shape == (len(train), len(STATIC) + len(FEATURES) + 1) == (len(train), encoder.sizes.beside)
    assert np.abs(context).max() <= FAR
    own = context[:, len(STATIC) : len(STATIC) + len(FEATURES)]
    assert np.abs(own.mean(0)).max() < 0.1
    assert np.abs(own.std(0) - 1).max() < 0.2
    logs = np.log1p(train.features)
    assert np.corrcoef(own[:, 0], logs[:, 0])[0, 1] > 0.99
    assert len(np.unique(context[:, -1])) == 2  # whether there is a gap that could be described


def test_the_scalers_know_training_rows_alone() -> None:
    train, test = shoppers(300), shoppers(300, seed=1)
    encoder = ChurnEncoder.fit(train, HORIZON, EVERY)
    alone = [encoder.prediction_rows(test.take(np.array([n]))) for n in range(5)]
    together = encoder.prediction_rows(test)
    assert (np.concatenate([rows.context for rows in alone]) == together.context[:5]).all()
    assert (np.concatenate([rows.features for rows in alone]) == together.features[: test.offsets[5]]).all()


def test_items_that_the_same_users_had_lie_near_each_other_and_labels_play_no_part() -> None:
    train = shoppers(300)
    found = ItemVectors.fit(train)
    assert found.ids == list(range(20))  # 100 had too few users
    vectors = np.array(found.vectors)
    near = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = near @ near.T
    own = np.add.outer(np.arange(20), np.arange(20)) % 2 == 0
    assert alike[own].mean() > alike[~own].mean() + 0.1
    assert found == ItemVectors.fit(replace(train, y=1 - train.y))
    assert found == ItemVectors.fit(train.take(np.arange(len(train))[::-1]))


def test_what_nobody_had_in_training_is_counted_and_has_no_vector() -> None:
    found = ItemVectors(ids=[3, 7], vectors=[[1.0, 0.0], [0.0, 2.0]])
    item, offsets = np.array([3, 7, 8, 9, 7], np.uint32), np.array([0, 2, 4, 4, 5])
    x, y, unseen, seen = found.described(item, offsets)
    assert x.tolist() == [0.5, 0.0, 0.0, 0.0]
    assert y.tolist() == [1.0, 0.0, 0.0, 2.0]
    assert unseen.tolist() == [0.0, 1.0, 0.0, 0.0]
    assert np.expm1(seen).round(6).tolist() == [2.0, 0.0, 0.0, 1.0]


def test_the_items_of_a_past_are_those_of_all_its_steps() -> None:
    train = shoppers(300)
    found = ItemVectors.fit(train)
    whole, steps = found.of_rows(train), found.of_steps(train)
    count = np.diff(train.item_offsets)
    row = np.repeat(np.arange(len(train)), train.lengths)
    seen = np.expm1(steps[-1])
    mean = np.bincount(row, steps[0] * seen, len(train)) / np.maximum(np.bincount(row, seen, len(train)), 1)
    assert np.allclose(whole[0], mean)
    assert np.allclose(np.expm1(whole[-1]), np.bincount(row, count, len(train)) - np.bincount(row, steps[-2] * count, len(train)))


def test_the_latest_row_of_a_user_tells_of_its_items() -> None:
    train = shoppers(4)
    twice = replace(train, group=np.array([1, 2, 1, 2]), cutoff=np.array([5.0, 9.0, 8.0, 6.0]))
    kept = latest_rows(twice)
    assert (kept.group.tolist(), kept.cutoff.tolist()) == ([2, 1], [9.0, 8.0])


@pytest.mark.parametrize("items", [np.zeros(0, np.uint32), np.arange(3, dtype=np.uint32)])
def test_a_log_of_no_items_or_of_few_has_none_to_describe(items: Any) -> None:
    train = users(50, shortest=1)
    offsets = np.minimum(np.arange(len(train.kind) + 1), len(items))
    train = replace(train, item=items, item_offsets=offsets)
    encoder = ChurnEncoder.fit(train, HORIZON, Shown(items="events"))
    assert encoder.sizes.f == ChurnEncoder.fit(train, HORIZON).sizes.f
    assert len(encoder.prediction_rows(train)) == 50


def test_a_step_tells_its_hour_and_its_weekday() -> None:
    train = users(2, shortest=1)
    one = replace(train, cutoff=np.array([19_723.75, 19_723.75]), days_before_cutoff=np.full(len(train.kind), 0.5, np.float32))
    day = calendar_columns(one)  # six in the morning of a Monday, days since a Thursday
    assert np.allclose([column[0] for column in day], [1.0, 0.0, np.sin(2 * np.pi * 4.25 / 7), np.cos(2 * np.pi * 4.25 / 7)], atol=1e-6)
    later = calendar_columns(replace(one, cutoff=one.cutoff + 7))
    assert np.allclose(day, later, atol=1e-6)


@pytest.mark.parametrize("shown", [Shown(), Shown("features"), Shown(items="past"), EVERY])
def test_a_stored_encoder_shows_the_same(shown: Shown) -> None:
    train, test = shoppers(300), shoppers(300, seed=1)
    encoder = ChurnEncoder.fit(train, HORIZON, shown)
    again = encoder_from(json.loads(json.dumps(encoder.state())))
    assert again == encoder
    first, second = encoder.prediction_rows(test), again.prediction_rows(test)
    assert (first.features == second.features).all()
    assert (first.context == second.context).all()


def test_encoders_of_older_models_are_read_as_they_were() -> None:
    encoder = ChurnEncoder.fit(users(50), HORIZON)
    state = {name: value for name, value in encoder.state().items() if name not in {"shown", "items"}}
    assert encoder_from(state) == encoder


def test_pre_training_tells_the_next_step_with_all_that_is_shown_of_it() -> None:
    train = shoppers(300)
    before = Continued(ChurnEncoder.fit(train, HORIZON, EVERY))
    rows = before.cut(before.encoder.prediction_rows(train), 0)
    assert rows.target.shape[1] == before.sizes.o == 4 - RECENCY + 3 + 10 + 4


def test_a_network_of_one_row_of_numbers_is_told_nothing_more_of_each_step() -> None:
    by_step, whole = shown_choices(by_step=True), shown_choices(by_step=False)
    assert [values[0] for values in by_step.values()] == ["history", "none", "none"]
    assert [values[0] for values in whole.values()] == ["features", "none"]
    assert "events" not in {value for values in whole.values() for value in values}
    for choices in (by_step, whole):
        assert Shown.of({name: values[-1] for name, values in choices.items()}) != Shown()
    assert Shown.of({"hidden": 3}) == Shown()


def test_only_churn_adds_to_the_space_of_networks_and_not_to_that_of_one_that_is_pre_trained() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from bench_plugins.lstm import LSTM
    from bench_plugins.seq2seq import Seq2Seq
    from bench_plugins.vae import Vae

    assert LSTM.choices("churn") == shown_choices(by_step=True)
    assert Vae.choices("churn") == shown_choices(by_step=False)
    assert Seq2Seq.choices("churn") == {}
    assert LSTM.choices("forecasting") == LSTM.choices("anomaly") == LSTM.choices("next-event") == {}
