"""Given labels: entities are split 60/20/20, stratified, each seen up to its own cut-off; labels lie in train alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.api import Context
from bench.data.events import Events
from bench.errors import ConfigError, DataError, ProtocolError
from bench.metrics.churn import churn_metrics
from bench.tasks.base import ModelResult
from bench.tasks.churn.given_labels import parts_of
from bench.tasks.churn.history import DAY, prepare, rows_at
from bench.tasks.churn.task import Churn
from bench.tasks.profiles import PROFILES, Profile
from bench_plugins.rfm_logit import RfmLogit

START = datetime(2024, 1, 1, tzinfo=UTC)
FULL = PROFILES["full"]
FIELDS = ("days_before_cutoff", "gap", "kind", "value", "count")


def labelled(seed=0, users=400, silent=20, horizon="10d", names="u{}"):
    """Make a log of users with their own cut-offs (day 30, 40 or 50); the busy stay; the last `silent` ones have no event."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(0.7, 10.0, users)
    n = np.where(np.arange(users) < users - silent, rng.poisson(rate) + 1, 0)
    user = np.repeat(np.arange(users), n)
    frame = pl.DataFrame({
        "user": [names.format(u) for u in user],
        "time": [START + timedelta(days=float(d)) for d in rng.uniform(0, 60, len(user))],
        "kind": np.where(rng.random(len(user)) < 0.3, "video", "access"),
        "value": rng.gamma(2, 3, len(user)).round(2),
        "count": rng.integers(1, 5, len(user)),
    })  # fmt: skip
    cutoff = [START + timedelta(days=30 + 10 * (u % 3)) for u in range(users)]
    y = (rng.random(users) > rate / (rate + 4)).astype(np.int8)
    labels = pl.DataFrame({"user": [names.format(u) for u in range(users)], "y": y, "cutoff": cutoff})
    return Events.build(frame, name="made", activity=("access", "video"), labels=labels, horizon=horizon)


def split(events, options=None, profile=FULL, seed=0):
    return Churn().split(events, options or {}, profile, seed)


def parts(made):
    search, final = made.stages["search"], made.stages["final"]
    return search.train, search.parts[0], final.train, final.parts[0]


def same(a, b):
    return all(getattr(a, f).tobytes() == getattr(b, f).tobytes() for f in (*FIELDS, "offsets", "static", "cutoff", "group"))


def test_entities_are_split_60_20_20_disjoint_and_complete():
    fit, valid, train, test = (set(p.group.tolist()) for p in parts(split(labelled())))
    assert len(fit) + len(valid) + len(test) == 400
    assert not fit & valid
    assert not train & test
    assert train == fit | valid
    assert [round(len(p) / 400, 2) for p in (fit, valid, test)] == [0.6, 0.2, 0.2]


def test_each_part_has_the_rate_of_the_whole():
    events = labelled()
    made = split(events)
    rates = made.facts["churn_by_cutoff"]
    assert list(rates) == ["fit", "valid", "test"]
    assert all(rate == pytest.approx(events.labels["y"].mean(), abs=0.01) for rate in rates.values())
    assert made.facts["base_rate"] == made.truths["final"].y.mean()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.text(min_size=1, max_size=5), st.integers(0, 1)), min_size=1, max_size=60, unique_by=lambda t: t[0]))
def test_parts_are_stratified_and_do_not_depend_on_the_order(pairs):
    ids, y = np.array([i for i, _ in pairs]), np.array([y for _, y in pairs], np.int8)
    if len(set(ids.tolist())) < len(ids):  # numpy strips trailing zero characters
        return
    part = parts_of(ids, y)
    for label in (0, 1):
        n = (y == label).sum()
        sizes = np.bincount(part[y == label], minlength=3)
        assert sizes.sum() == n
        assert abs(sizes - np.array([0.6, 0.2, 0.2]) * n).max() <= 1
    order = np.random.default_rng(0).permutation(len(ids))
    assert np.array_equal(parts_of(ids[order], y[order]), part[order])


def test_the_split_is_fixed_whatever_the_seed():
    one, other = (split(labelled(), seed=seed) for seed in (0, 1))
    assert all(same(a, b) for a, b in zip(parts(one), parts(other), strict=True))


def test_each_row_is_its_users_past_at_their_own_cutoff():
    events = labelled()
    history = prepare(events)
    test = split(events).stages["final"].parts[0]
    assert len(np.unique(test.cutoff)) == 3
    index = {int(g): u for u, g in enumerate(history.group)}
    for row in range(0, len(test), 7):
        alone = rows_at(history, np.array([index[int(test.group[row])]]), int(test.cutoff[row]) * DAY, 10 * DAY, FULL.history, test.kinds)
        assert same(test.take(np.array([row])), alone)


def test_nothing_after_a_users_cutoff_changes_their_row():
    events = labelled()
    frame = events.frame.with_columns(pl.col(c).cast(pl.String) for c in ("user", "kind", "item"))
    ends = events.labels.select(pl.col("user").cast(pl.String), "cutoff")
    late = frame.join(ends, on="user", how="left")["time"] > frame.join(ends, on="user", how="left")["cutoff"]
    assert late.any()
    changed = frame.with_columns(value=pl.when(late).then(-1e6).otherwise(pl.col("value")), count=pl.when(late).then(99).otherwise("count"))
    blind = Events.build(changed, name="made", activity=events.activity, labels=events.labels, horizon="10d")
    assert all(same(a, b) for a, b in zip(parts(split(events)), parts(split(blind)), strict=True))


def test_labels_lie_in_train_alone_and_those_scored_change_no_input():
    events = labelled()
    made = split(events)
    for stage in made.stages.values():
        assert not hasattr(stage.parts[0], "y")
    names = np.array(events.frame["user"].dtype.categories)
    by_name = dict(zip(events.labels["user"].cast(pl.String), events.labels["y"], strict=True))
    index = {int(g): u for u, g in enumerate(prepare(events).group)}
    for stage in ("search", "final"):
        train, truth = made.stages[stage].train, made.truths[stage]
        for group, y in ((train.group, train.y), (truth.group, truth.y)):
            assert [by_name[names[index[int(g)]]] for g in group] == y.tolist()
    assert np.array_equal(made.truths["final"].group, made.stages["final"].parts[0].group)


def test_kinds_that_only_others_show_are_unknown():
    events = labelled()
    fit = split(events).stages["search"].train
    assert fit.kinds == ("?", "access", "video")
    names = events.frame["user"].dtype.categories
    index = {int(g): u for u, g in enumerate(prepare(events).group)}
    tested = names[index[int(split(events).truths["final"].group[-1])]]
    frame = events.frame.with_columns(pl.col(c).cast(pl.String) for c in ("user", "kind", "item"))
    odd = frame[:1].with_columns(user=pl.lit(tested), kind=pl.lit("wiki"))
    more = Events.build(pl.concat([frame, odd]), name="made", activity=events.activity, labels=events.labels, horizon="10d")
    made = split(more)
    assert made.stages["search"].train.kinds == ("?", "access", "video")
    assert 0 in made.stages["final"].parts[0].kind


def test_users_without_any_event_have_empty_rows_that_models_can_score():
    events = labelled()
    made = split(events)
    inputs = made.stages["final"].parts[0]
    empty = inputs.lengths == 0
    assert empty.any()
    assert (inputs.static[empty] == 0).all()
    model = RfmLogit({"C": 1.0})
    model.fit(made.stages["final"].train, Context(horizon=10.0))
    assert Churn().invalid(made, "final", 0, {"prediction": model.predict(inputs, Context(horizon=10.0))}) == ""


def test_users_without_a_label_take_no_part():
    events = labelled()
    fewer = replace(events, labels=events.labels[::2])
    assert sum(len(stage) for stage in parts(split(fewer))[2:]) == 200


def test_the_profile_caps_training_rows_and_nothing_that_is_scored():
    small = Profile("tiny", users=0, rows=50, history=3, epochs=1, trials=1, seeds=1)
    capped, whole = split(labelled(), profile=small), split(labelled())
    assert [len(p) for p in parts(capped)] == [50, *[len(whole.stages["search"].parts[0])], 50, len(whole.stages["final"].parts[0])]
    assert capped.stages["final"].parts[0].lengths.max() == 3
    assert np.array_equal(capped.truths["final"].y, whole.truths["final"].y)
    assert any("trains on 50 of 320 rows" in note for note in capped.notes)


def test_the_task_id_says_that_labels_are_given():
    made = split(labelled(), profile=PROFILES["short"])
    assert made.task_id == "churn/v2/h=10d/labels=given/split=entity-60-20-20/valid=3/activity=access+video/rows=20000/history=32/epochs=5"
    assert made.notes[0] == "labels given with the data, horizon 10d; 320 users train, 80 test"
    assert made.flags == ("underpowered", "few-labels")


@pytest.mark.parametrize(("key", "value"), [("horizon", "28d"), ("eligible", "ever"), ("cutoffs", "1"), ("split", "time")])
def test_options_that_the_labels_have_settled_are_refused(key, value):
    with pytest.raises(ConfigError, match=f"{key}='{value}' cannot be set for made: its churn labels come with the data"):
        split(labelled(), {key: value})


def test_labels_without_a_horizon_or_too_few_are_refused():
    with pytest.raises(DataError, match="labels came without their horizon"):
        split(labelled(horizon=""))
    with pytest.raises(ProtocolError, match="2 labelled users cannot be split 60/20/20; give the labels of at least 5"):
        split(labelled(users=2, silent=0))
    with pytest.raises(ProtocolError, match="no event is of an activity kind"):
        split(replace(labelled(), activity=("wiki",)))


def test_one_class_only_is_a_reason():
    events = labelled()
    assert "one class only" in split(replace(events, labels=events.labels.with_columns(y=pl.lit(1, pl.Int8)))).reason


def test_the_details_of_a_run_find_their_rates():
    made = split(labelled())
    entry, both = {"status": "ok"}, ([{"prediction": np.array([0.2, 0.4])}], [{"prediction": np.array([0.1, 0.3])}])
    found = Churn().details(made, [ModelResult("m", "tuned", entry, entry, *both)])
    assert [r["predicted"] for r in found] == pytest.approx([0.2, 0.3])
    assert [(r["cutoff"], r["actual"]) for r in found] == [(k, made.facts["churn_by_cutoff"][k]) for k in ("valid", "test")]


def test_permuted_labels_bring_the_score_to_chance():
    made = split(labelled(users=2000))
    stage, truth, ctx = made.stages["final"], made.truths["final"], Context(horizon=10.0)
    rng = np.random.default_rng(0)
    scores = []
    for y in (stage.train.y, *(rng.permutation(stage.train.y) for _ in range(20))):
        model = RfmLogit({"C": 1.0})
        model.fit(replace(stage.train, y=y), ctx)
        scores.append(churn_metrics(truth.y, model.predict(stage.parts[0], ctx), base_rate=0.5)["roc_auc"][0])
    assert scores[0] > 0.7
    assert abs(np.mean(scores[1:]) - 0.5) < 0.07


def test_few_labelled_users_are_named_in_the_row_and_many_are_not():
    few, many = split(labelled(users=400)), split(labelled(users=1_400))
    assert "few-labels" in few.flags
    assert any(note.startswith("few labels: 320 users train, 80 test") for note in few.notes)
    assert "few-labels" not in many.flags
