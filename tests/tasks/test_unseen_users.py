"""Churn stages that confirm what a search found: half of the users are learnt from, the others are asked about."""

from __future__ import annotations

import numpy as np
from tasks.test_churn import FULL, random_log

from bench.tasks.churn.rows import Labelled
from bench.tasks.churn.task import Churn
from bench.tasks.churn.unseen import unseen_stages


def test_half_of_the_users_are_asked_about_by_who_has_learnt_from_the_other_half_at_all_cutoffs() -> None:
    split = Churn().split(random_log(3), {"horizon": "14d"}, FULL, 0)
    final, users, asked = split.stages["final"].train, [], []
    assert split.unseen == ("unseen-1", "unseen-2")
    assert not set(split.unseen) & set(split.validations), "nothing is searched by them"
    for name in split.unseen:
        train, inputs = split.stages[name].train, split.stages[name].parts[0]
        assert not set(train.group.tolist()) & set(inputs.group.tolist())
        assert set(train.cutoff.tolist()) == set(final.cutoff.tolist())
        assert len(split.truths[name].y) == len(inputs)
        assert split.known_until[name] == (split.known_until["final"][0], split.known_until["search"][0])
        users.append(set(train.group.tolist()))
        asked += list(zip(inputs.group.tolist(), inputs.cutoff.tolist(), split.truths[name].y.tolist(), strict=True))
    assert users[0] | users[1] == set(final.group.tolist())
    validations = [(split.stages[name].parts[0], split.truths[name].y) for name in split.validations]
    wanted = [row for x, y in validations for row in zip(x.group.tolist(), x.cutoff.tolist(), y.tolist(), strict=True)]
    assert sorted(asked) == sorted(wanted), "every row of every validation is asked about once, with its label"


def test_where_half_of_the_users_are_of_one_class_there_are_no_such_stages() -> None:
    inputs = Churn().split(random_log(3), {"horizon": "14d"}, FULL, 0).stages["search"].parts[0].take(np.arange(6))
    users, ids = np.arange(6), np.array(list("abcdef"))
    mixed, one = (Labelled(inputs, np.array(y, np.int8), users) for y in ([0, 1, 0, 1, 0, 1], [1] * 6))
    assert unseen_stages(ids, [mixed], [one], None, 0) == unseen_stages(ids, [one], [mixed], None, 0) == {}
