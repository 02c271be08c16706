"""The fingerprint depends on what a log says, and on nothing else."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.events import Events
from bench.data.fingerprint import fingerprint
from bench.errors import DataError

START = dt.datetime(2020, 1, 1)  # noqa: DTZ001

ROWS = st.lists(
    st.fixed_dictionaries({
        "user": st.sampled_from(["1", "2", "02"]),
        "time": st.integers(0, 2).map(lambda h: START + dt.timedelta(hours=h)),
        "kind": st.sampled_from(["purchase", "cancel"]),
        "value": st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1.5, -2.0, 1e300])),
        "item": st.one_of(st.none(), st.text(max_size=2)),
        "quantity": st.one_of(st.none(), st.integers(-2, 2)),
    }),
    min_size=1,
    max_size=12,
)  # fmt: skip
TYPES = {"user": pl.String, "time": pl.Datetime("us"), "kind": pl.String, "value": pl.Float64, "item": pl.String, "quantity": pl.Int64}


def log(rows, **more) -> Events:
    return Events.build(pl.DataFrame(rows, schema=TYPES), name="x", activity=("purchase",), **more)


def normal(rows):
    """Give the rows as a sorted list of texts: the same list, the same log."""
    plain = ([r[name] if name != "value" or r[name] is None else r[name] + 0.0 for name in TYPES] for r in rows)
    return sorted(map(repr, plain))


@settings(deadline=None, max_examples=30)
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter_even_at_the_same_user_and_time(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert fingerprint(log(rows), "a/1") == fingerprint(log(shuffled), "a/1")


@settings(deadline=None, max_examples=50)
@given(ROWS, ROWS)
def test_two_logs_have_one_fingerprint_exactly_when_they_say_the_same(one, other):
    assert (fingerprint(log(one), "a/1") == fingerprint(log(other), "a/1")) == (normal(one) == normal(other))


@settings(deadline=None, max_examples=30)
@given(ROWS, st.data())
def test_changing_any_one_value_changes_the_fingerprint(rows, data):
    at = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(sorted(TYPES)))
    new = {"user": "3", "time": START + dt.timedelta(days=9), "kind": "rating", "value": 77.0, "item": "other", "quantity": 9}
    changed = [r | ({name: new[name]} if i == at else {}) for i, r in enumerate(rows)]
    assert fingerprint(log(rows), "a/1") != fingerprint(log(changed), "a/1")


ONE = [
    {"user": "1", "time": START, "kind": "purchase", "value": 1.0, "item": "ab", "quantity": 1},
    {"user": "2", "time": START, "kind": "cancel", "value": None, "item": None, "quantity": None},
]


def test_dictionary_codes_and_chunks_do_not_matter():
    events = log(ONE)
    other = events.frame.with_columns(
        pl.col("user").cast(pl.String).cast(pl.Enum(["9", "2", "1"])),
        pl.col("item").cast(pl.String).cast(pl.Categorical),
    )
    chunked = pl.concat([other[:1], other[1:]], rechunk=False)
    assert chunked.n_chunks() == 2
    assert fingerprint(Events(chunked, "y", ("purchase",)), "a/1") == fingerprint(events, "a/1")


def test_the_order_of_extra_columns_does_not_matter_but_their_names_do():
    events = log(ONE)
    two = events.frame.with_columns(b=pl.lit("b"), a=pl.lit(1))
    turned = two.select(*events.frame.columns, "a", "b")
    prints = [fingerprint(Events(f, "x", ()), "a/1") for f in (two, turned, turned.rename({"a": "c"}), events.frame)]
    assert prints[0] == prints[1]
    assert len(set(prints[1:])) == 3


def test_the_version_and_the_cleaning_counts_matter():
    prints = [
        fingerprint(log(ONE), "a/1"),
        fingerprint(log(ONE), "a/2"),
        fingerprint(log(ONE, cleaning={"no user": 1}), "a/1"),
        fingerprint(log(ONE, cleaning={"no user": 2}), "a/1"),
        fingerprint(log(ONE, cleaning={"bad date": 1}), "a/1"),
    ]
    assert len(set(prints)) == 5
    both = [fingerprint(log(ONE, cleaning=c), "a/1") for c in ({"x": 1, "y": 2}, {"y": 2, "x": 1})]
    assert both[0] == both[1]


def test_a_null_is_neither_zero_nor_an_empty_text_nor_false():
    frame = log(ONE[:1]).frame
    prints = {
        fingerprint(Events(frame.with_columns(x=pl.lit(value, dtype)), "x", ()), "a/1")
        for value, dtype in [
            (None, pl.Int64), (0, pl.Int64), (None, pl.String), ("", pl.String), (None, pl.Boolean), (False, pl.Boolean),
            (0.0, pl.Float64), (0, pl.UInt64), (None, pl.Null), (dt.date(1970, 1, 1), pl.Date),
        ]
    }  # fmt: skip
    assert len(prints) == 10


def test_moving_letters_between_texts_changes_the_fingerprint():
    frame = log(ONE).frame
    prints = {
        fingerprint(Events(frame.with_columns(x=pl.Series(pair)), "x", ()), "a/1") for pair in (["ab", "c"], ["a", "bc"], ["c", "ab"])
    }
    assert len(prints) == 3


def test_minus_zero_is_zero_and_all_nans_are_one():
    frame = log(ONE).frame
    prints = [
        fingerprint(Events(frame.with_columns(x=pl.Series([v, 1.0])), "x", ()), "a/1") for v in (0.0, -0.0, float("nan"), -float("nan"))
    ]
    assert prints[0] == prints[1] != prints[2] == prints[3]


def test_the_fingerprint_is_pinned_so_that_no_release_changes_it_unseen():
    assert fingerprint(log(ONE, cleaning={"no user": 3}), "retail/1") == "9eb04ce83e267151168a97b65d2c78805a09c8436a4948badd2ee25bfaea5c4c"


def test_a_column_without_a_fingerprint_is_refused_by_name():
    frame = log(ONE).frame.with_columns(tags=pl.Series([["a"], ["b"]]))
    with pytest.raises(DataError, match=r"'tags' has type List\(String\).*cast it"):
        fingerprint(Events(frame, "x", ()), "a/1")
