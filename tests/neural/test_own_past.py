"""What the own past and everybody say of what comes next: formulas by hand, nothing from later, and one answer twice."""

from __future__ import annotations

import numpy as np
import pytest
from neural.test_next_event_network import histories

from bench.data.ranking import NextTrain
from bench.neural import own_past as past


def at_times(lists: list[list[tuple[float, int]]], items: int, until: float) -> NextTrain:
    """Make histories of (day, item)."""
    plain = histories([[item for _, item in one] for one in lists], items)
    time = np.array([day for one in lists for day, _ in one])
    return NextTrain(offsets=plain.offsets, item=plain.item, kind=plain.kind, time=time, group=plain.group, items=items, until=until)


def test_an_own_share_fades_by_moments_and_events_of_one_moment_do_not_tell_of_each_other():
    train = at_times([[(0, 1), (0, 2), (1, 1), (2, 1), (2, 3), (3, 1)], [(5, 0), (6, 4), (7, 0)]], 4, 10.0)
    share, there = past.own_shares(train)
    assert not there[[0, 1, 6]].any()
    assert there[[2, 3, 4, 5, 7, 8]].all()
    for k, keep in enumerate(past.KEEP):
        # before the last moment of the first user: 1 and 2 at first, then 1, then 1 and 3
        whole = 2 * keep**3 + keep**2 + 2 * keep
        assert share[5, k] == pytest.approx((keep**3 + keep**2 + keep) / whole)
        assert share[2, k] == pytest.approx(0.5)
        assert share[4, k] == 0.0
        assert share[8, k] == pytest.approx(1.0)  # item 4 is not in the catalogue
        assert share[7, k] == 0.0


def test_shares_of_everybody_know_nothing_of_later_events():
    rng = np.random.default_rng(0)
    lists = [[(float(day), int(rng.integers(0, 5))) for day in range(40)] for _ in range(3)]
    whole = past.counted(at_times(lists, 5, 40.0), 8.0)
    before = past.counted(at_times([one[:24] for one in lists], 5, 40.0), 8.0)
    assert np.array_equal(whole[:, 2:], before[:, 2:])
    assert not np.array_equal(whole[:, :2], before[:, :2])
    assert whole.sum(2) == pytest.approx(np.ones(whole.shape[:2]), abs=1e-5)
    crowd = past.Everybody(whole[0], 40.0, 8.0)
    assert crowd.snapshot(np.array([40.0, 39.9, 32.0, 31.9, 0.0, -1000.0])).tolist() == [0, 1, 1, 2, 5, len(whole[0]) - 1]


def test_the_weights_follow_what_the_log_is_made_by():
    rng = np.random.default_rng(1)
    habits = [[(float(day), user % 7 if rng.random() < 0.9 else int(rng.integers(0, 7))) for day in range(20)] for user in range(40)]
    crowd = [[(float(day), int(min(rng.geometric(0.4), 7) - 1)) for day in range(20)] for _ in range(40)]
    assert past.learnt(at_times(habits, 7, 20.0), 4.0)[1][1:].sum() > 0.8
    assert past.learnt(at_times(crowd, 7, 20.0), 4.0)[1][0] > 0.8


def test_a_mixture_sums_to_one_and_has_the_simple_models_as_corners():
    train = at_times([[(0, 1), (1, 2), (1, 3), (2, 1)], [], [(0, 5)]], 5, 3.0)
    everybody = past.Everybody(np.array([[0.4, 0.3, 0.1, 0.1, 0.1]], np.float32), 3.0, 1.0)
    network = np.full((3, 5), 0.2, np.float32)
    gates = np.eye(past.COMPONENTS)
    found = np.stack([past.mixed(train, network, np.tile(gate, (3, 1)), everybody) for gate in gates])
    assert found.sum(2) == pytest.approx(np.ones(found.shape[:2]), abs=1e-6)
    assert found[0] == pytest.approx(network)
    assert found[1, 0] == pytest.approx([0.0, 0.5, 0.25, 0.25, 0.0])  # all that the user had, alike
    assert found[-1, 0].argmax() == 1  # the last moment counts most
    assert found[1:, 1:] == pytest.approx(np.broadcast_to(everybody.share[0], (past.COMPONENTS - 1, 2, 5)))


def test_training_and_prediction_say_the_same_of_the_own_past():
    rng = np.random.default_rng(2)
    lists = [[(float(day), int(rng.integers(0, 6))) for day in np.sort(rng.integers(0, 9, 12))] for _ in range(10)]
    lists = [sorted(set(one)) for one in lists]
    train = at_times(lists, 5, 10.0)
    share, there = past.own_shares(train)
    everybody = past.Everybody(np.zeros((1, 5), np.float32), 10.0, 1.0)
    for k in range(len(past.KEEP)):
        for user, one in enumerate(lists):
            asked = at_times([[event for event in one if event[0] < one[-1][0]]], 5, 10.0)
            gate = np.eye(past.COMPONENTS)[[1 + k]]
            found = past.mixed(asked, np.zeros((1, 5), np.float32), gate, everybody)[0]
            event = train.offsets[user + 1] - 1
            if there[event, k] and one[-1][1] < 5:
                assert share[event, k] == pytest.approx(found[one[-1][1]], rel=1e-5)


def test_what_is_told_of_the_past_counts_events_and_repeats():
    told = past.told(histories([[1, 1, 2, 1], [1]], 3))
    assert told[:, 0] == pytest.approx(np.log1p([1, 2, 3, 4, 1]) / 4)
    assert told[:, 1] == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2, 0])
