"""The cuts of the next-event task: nothing later in any input, moments instead of made-up orders, a catalogue of the past."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.events import Events
from bench.errors import ConfigError, ProtocolError
from bench.tasks.next_event.log import prepare, user_blocks
from bench.tasks.next_event.protocol import DAY, Catalogue, Protocol, catalogue, choose, day
from bench.tasks.next_event.rows import stage_rows, training

FIRST = 19_000


def log_of(user, days, item, kind="buy", name="log") -> Events:
    time = np.round(np.asarray(days, float) * DAY).astype(np.int64) + FIRST * DAY
    frame = pl.DataFrame({
        "user": [f"u{u}" for u in user],
        "time": pl.Series(time).cast(pl.Datetime("us", "UTC")),
        "kind": kind if not isinstance(kind, str) else [kind] * len(time),
        "item": [None if i is None else f"i{i}" for i in item],
    })  # fmt: skip
    return Events.build(frame, name=name, activity=("buy",))


def random_log(seed: int, events: int = 400) -> Events:
    rng = np.random.default_rng(seed)
    days = np.sort(np.round(rng.uniform(0, 100, events), 1))  # to a tenth of a day: moments are shared
    return log_of(rng.integers(0, 12, events), days, rng.integers(0, 20, events))


def cut(events: Events, protocol: Protocol | None = None, **options):
    log = prepare(events, options.get("target", "item"))
    protocol = protocol or choose(log, options, options.get("target", "item"), events.name, once=options.pop("once", False))
    return log, protocol, catalogue(log, protocol, events.name)


def test_the_test_is_the_last_tenth_of_the_events_floored_to_a_day_and_validation_as_long_before_it():
    _, protocol, _ = cut(log_of([1] * 200, np.linspace(0, 99.9, 200), [1, 2] * 100))
    assert (protocol.test, protocol.end) == ((FIRST + 90) * DAY, (FIRST + 100) * DAY)
    assert protocol.valid == (FIRST + 80) * DAY
    assert protocol.task_id("rows=all") == (
        "next-event/v1/target=item/asked=successive/h=10d/support=5/repeats=counted/catalogue=full/rows=all"
    )


def test_a_horizon_may_be_given_and_one_that_leaves_no_history_is_refused_with_dates():
    events = log_of([1] * 200, np.linspace(0, 99.9, 200), [1, 2] * 100)
    _, protocol, _ = cut(events, horizon="20d")
    assert protocol.test == (FIRST + 80) * DAY
    with pytest.raises(ProtocolError, match=r"2022-01-08 to 2022-04-18 leaves no history .* 60d each"):
        cut(events, horizon="60d")
    with pytest.raises(ConfigError, match="asked='best' is unknown; give successive or last"):
        cut(events, asked="best")
    with pytest.raises(ConfigError, match="support='few'"):
        cut(events, support="few")


def test_the_catalogue_comes_from_before_the_first_cut_off_the_most_frequent_first():
    days = [*range(80), 81, 82, *range(90, 98)]
    item = [*([1] * 30 + [2] * 44 + [3] * 4 + [4] * 2), 3, 3, *[5] * 8]
    _, _, found = cut(log_of([1] * len(days), days, item))
    assert found.names == ("i2", "i1"), "3 has four events before validation, 5 has none"


def test_items_of_one_moment_are_one_row_and_its_history_ends_before_it():
    events = log_of([1] * 9 + [2] * 3, [0, 1, 2, 3, 4, 5, 9, 9, 9, 0, 6, 9], [1, 2, 1, 2, 1, 2, 1, 2, 2, 1, 2, 1])
    log, protocol, found = cut(events, horizon="1d", support="1")
    assert (log.tied, log.merged) == (2, 1)
    rows = stage_rows(log, (protocol.test, protocol.end), found, protocol)
    assert rows.targets.group.tolist() == rows.inputs.group.tolist()
    assert rows.inputs.lengths.tolist() == [6, 2]
    assert np.diff(rows.targets.offsets).tolist() == [2, 1]
    assert rows.targets.repeat.all()


def test_of_equal_moments_the_order_is_not_that_of_the_file():
    user, days, item = [1] * 40, np.repeat(np.arange(4), 10), list(range(10)) * 4
    one, other = (prepare(log_of(user, days, i), "item") for i in (item, [*reversed(item[:10]), *item[10:]]))
    assert (one.code == other.code).all()
    assert one.code[:10].tolist() != sorted(one.code[:10])


def test_successive_asks_every_moment_and_last_one_a_user():
    events = log_of([1] * 20 + [2] * 20, [*np.arange(0, 20), *np.arange(0, 20) + 0.5], [1, 2] * 20)
    log, protocol, found = cut(events, horizon="4d")
    every = stage_rows(log, (protocol.test, protocol.end), found, protocol)
    assert every.inputs.lengths.tolist() == [16, 17, 18, 19] * 2
    assert every.targets.last.tolist() == [False, False, False, True] * 2
    last = stage_rows(log, (protocol.test, protocol.end), found, replace(protocol, asked="last"))
    assert last.inputs.lengths.tolist() == [19, 19]
    assert last.targets.item.tolist() == every.targets.item[[3, 7]].tolist()


def test_where_items_are_taken_once_a_repeat_is_no_question():
    events = log_of([1] * 12, [*range(10), 10.2, 10.4], [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 1, 4])
    log, protocol, found = cut(events, horizon="1d", support="1", once=True)
    assert protocol.once
    assert "repeats=filtered" in protocol.task_id("")
    rows = stage_rows(log, (protocol.test, protocol.end), found, protocol)
    assert len(rows.inputs) == 0, "1 was had, 4 is not in the catalogue"
    assert (rows.had, rows.outside) == (1, 1)


def test_cancellations_and_events_without_an_item_are_no_choice_but_kinds_count_all():
    days, kind = np.arange(40.0), ["buy", "cancel"] * 20
    events = log_of([1] * 40, days, [1, 2, 3, None] * 10, kind)
    assert prepare(events, "item").names == ("i1", "i2", "i3")
    assert len(prepare(events, "item").code) == 20
    log = prepare(events, "kind")
    assert (log.names, len(log.code)) == (("buy", "cancel"), 40)
    with pytest.raises(ProtocolError, match="fewer than two kinds"):
        prepare(log_of([1, 1], [0, 1], [1, 2]), "kind")


def changed_after(events: Events, protocol: Protocol, moment: int, seed: int) -> tuple[Events, Events]:
    """Delete all events from a moment on; and give them other users, items and times, new ones among them."""
    rng = np.random.default_rng(seed)
    early = events.frame.filter(pl.col("time").to_physical() < moment).with_columns(pl.col("user", "kind", "item").cast(pl.String))
    n = 60
    time = np.sort(rng.integers(moment, protocol.end, n))
    late = pl.DataFrame({
        "user": [f"u{u}" for u in rng.integers(-5, 20, n)],
        "time": pl.Series(time).cast(pl.Datetime("us", "UTC")),
        "kind": [("buy", "aaa", "zzz")[k] for k in rng.integers(0, 3, n)],
        "value": [None] * n,
        "item": [f"i{i}" for i in rng.integers(-9, 40, n)],
    }, schema=early.schema)  # fmt: skip
    builds = (Events.build(frame, name="log", activity=("buy", "aaa")) for frame in (early, pl.concat([early, late])))
    return tuple(builds)


def same(one, other) -> bool:
    pairs = ((getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_later_event_changes_a_bit_of_what_a_model_learns_from(seed):
    events = random_log(seed)
    log, protocol, found = cut(events)
    for cutoff in (protocol.valid, protocol.test):
        seen = training(log, cutoff, found, protocol)
        for other in changed_after(events, protocol, cutoff, seed):
            log_2, _, found_2 = cut(other, protocol)
            assert same(seen, training(log_2, cutoff, found_2, protocol))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_event_of_a_moment_or_later_changes_a_bit_of_the_history_asked_with(seed):
    events = random_log(seed)
    log, protocol, found = cut(events)
    rows = stage_rows(log, (protocol.test, protocol.end), found, protocol)
    at = int(np.random.default_rng(seed).integers(len(rows.inputs)))
    moment, one = int(rows.moment[at]), rows.inputs.take(np.array([at]))
    user = int(rows.inputs.group[at])
    for other in changed_after(events, protocol, moment, seed):
        log_2, _, found_2 = cut(other, protocol)
        history = training(log_2, moment, found_2, protocol)
        mine = history.take(history.group == user)
        for name in ("item", "kind", "time"):
            assert np.array_equal(getattr(mine, name), getattr(one, name)), name


def test_the_order_of_the_files_rows_changes_nothing():
    events = random_log(5)
    mixed = Events.build(events.frame.sample(fraction=1.0, shuffle=True, seed=1), name="log", activity=("buy",))
    (log, protocol, found), (log_2, protocol_2, found_2) = cut(events), cut(mixed)
    assert protocol == protocol_2
    assert same(training(log, protocol.test, found, protocol), training(log_2, protocol.test, found_2, protocol))


def test_a_catalogue_of_one_item_is_refused_with_the_cure():
    with pytest.raises(ProtocolError, match=r"1 items have 5 events before .*; two are needed|two are needed; give --set support=1"):
        cut(log_of([1] * 40, np.arange(40.0), [1] * 37 + [2] * 3))
    assert day(0) == "1970-01-01"
    assert isinstance(cut(random_log(1))[2], Catalogue)


@pytest.mark.parametrize("block", [1, 7, 100])
def test_a_log_that_is_sorted_a_block_of_users_at_a_time_is_the_same(monkeypatch, block):
    events = random_log(3)
    twice = Events.build(pl.concat([events.frame, events.frame.head(50)]), name="log", activity=("buy",))
    whole = prepare(twice, "item")
    assert (whole.merged, whole.tied) != (0, 0)
    key = list(zip(whole.user, whole.code, strict=True))
    assert whole.first.tolist() == [pair not in key[:at] for at, pair in enumerate(key)]
    moments = list(zip(whole.user, whole.time, strict=True))
    assert whole.tied == sum(moments.count(moment) > 1 for moment in moments)
    monkeypatch.setattr("bench.tasks.next_event.log.BLOCK", block)
    assert len(list(user_blocks(whole.user))) > 1
    parts = prepare(twice, "item")
    assert same(parts, whole)
    assert np.array_equal(parts.first, whole.first)
