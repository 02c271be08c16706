"""Mixtures of Markov chains: EM finds who walks which way, one chain is the plain chain, and the likelihood never falls."""

from __future__ import annotations

import numpy as np
import pytest
from neural.test_next_event_network import histories

from bench.api import Context
from bench_plugins import _chains_and_past as beside
from bench_plugins import _markov_mixture as mixture
from bench_plugins.next_links import Markov
from bench_plugins.state_space import StateSpace

ITEMS = 12
CTX = Context()


def walkers(users: int, seed: int):
    """Draw users who go round a circle, every second one backwards, with leaps."""
    rng = np.random.default_rng(seed)
    way = np.where(np.arange(users) % 2, -1, 1)
    steps = np.where(rng.random((users, 12)) < 0.85, way[:, None], rng.integers(0, ITEMS, (users, 12)))
    return histories((np.cumsum(steps, 1) % ITEMS).tolist(), ITEMS), way


def test_two_chains_find_who_walks_which_way_where_one_cannot():
    (train, _), (asked, way) = walkers(200, 0), walkers(100, 1)
    last = asked.item[asked.offsets[1:] - 1]
    right = {}
    for chains in (1, 2):
        right[chains] = (mixture.scores(asked, mixture.learn(train, chains, 1.0, CTX)).argmax(1) == (last + way) % ITEMS).mean()
    assert right[2] > 0.95
    assert right[1] < 0.7


def test_one_chain_is_the_plain_markov_chain():
    train, _ = walkers(50, 2)
    plain = Markov({"smoothing": 3.0})
    plain.fit(train, CTX)
    assert mixture.scores(train, mixture.learn(train, 1, 3.0, CTX)) == pytest.approx(plain.scores(train), rel=1e-4)


def test_scores_are_probabilities_and_nobody_known_gets_popularity():
    train, _ = walkers(60, 3)
    state = mixture.learn(train, 3, 2.0, CTX)
    asked = histories([[], [ITEMS], [3, ITEMS, 5], [0, 1, 2]], ITEMS)
    scores = mixture.scores(asked, state)
    assert scores.sum(1) == pytest.approx(np.ones(4), abs=1e-5)
    assert scores[:2] == pytest.approx(np.tile(state["share"], (2, 1)), abs=1e-6)


def test_responsibilities_follow_the_formula_pair_by_pair():
    train, _ = walkers(8, 4)
    state = mixture.learn(train, 2, 1.5, CTX)
    row, before, after = mixture.neighbours(train)
    at = np.searchsorted(state["key"], before * ITEMS + after)
    found = mixture.responsibilities(state, ITEMS, row, before, at, len(train))
    tables = np.zeros((2, ITEMS, ITEMS))
    tables[:, state["key"] // ITEMS, state["key"] % ITEMS] = state["count"]
    chance = (tables + 1.5 * state["share"]) / (tables.sum(2, keepdims=True) + 1.5)
    for user in range(len(train)):
        own = row == user
        joint = state["prior"] * np.array([chance[k, before[own], after[own]].prod() for k in range(2)])
        assert found[user] == pytest.approx(joint / joint.sum(), rel=1e-6)


def test_what_was_foretold_of_a_pair_is_the_score_after_the_events_before_it():
    (train, _), (other, _) = walkers(40, 5), walkers(3, 6)
    state = mixture.learn(train, 2, 1.5, CTX)
    item = other.item.reshape(3, -1)
    for user in range(3):
        for end in (1, 4, 11):
            asked = histories([item[user, :end].tolist()], ITEMS)
            expected = mixture.scores(asked, state)[0, item[user, end]]
            assert mixture.foretold(state, other).reshape(3, -1)[user, end - 1] == pytest.approx(expected, rel=1e-4)


def test_the_own_past_counts_where_users_repeat_themselves_and_chains_where_they_walk():
    rng = np.random.default_rng(7)
    habits = histories([(rng.integers(0, ITEMS) * np.ones(12, int)).tolist() for _ in range(80)], ITEMS)
    walk = beside.learn(walkers(80, 8)[0], 2, 1.0, CTX)["gate"]
    assert walk[0] > 0.8
    model = StateSpace({**StateSpace.default(), "classes": 2, "stay": 1.0})
    model.fit(walkers(80, 8)[0], CTX)
    asked, way = walkers(40, 9)
    assert (model.predict(asked, CTX).items[:, 0] == (asked.item[asked.offsets[1:] - 1] + way) % ITEMS).mean() > 0.9
    model.fit(habits, CTX)
    assert (model.predict(habits, CTX).items[:, 0] == habits.item[habits.offsets[:-1]]).all()
