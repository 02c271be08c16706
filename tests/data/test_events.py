"""The canonical log: what it takes, what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.events import Events
from bench.errors import DataError

T = datetime(2024, 1, 1)  # noqa: DTZ001 - a time without zone is what is tested


def build(**columns: object) -> Events:
    return Events.build(pl.DataFrame(columns, strict=False), name="made", activity=("event",))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.sampled_from(["x", "y"])), min_size=1))
def test_events_are_sorted_by_user_and_time_and_none_is_lost(rows: list[tuple[str, int, str]]) -> None:
    user, day, kind = zip(*rows, strict=True)
    frame = build(user=user, time=[T + timedelta(days=d) for d in day], kind=kind).frame
    got = list(zip(frame["user"].cast(pl.String), frame["time"].dt.day(), frame["kind"].cast(pl.String), strict=True))
    assert got == sorted((u, d + 1, k) for u, d, k in rows)


def test_the_table_is_arrow_with_dictionary_strings_and_utc_microseconds() -> None:
    table = build(user=["b", "a"], time=[T, T], extra=[1, 2]).table
    assert table.schema.field("time").type == pa.timestamp("us", "UTC")
    assert all(pa.types.is_dictionary(table.schema.field(name).type) for name in ("user", "kind", "item"))
    assert table.column_names == ["user", "time", "kind", "value", "item", "extra"]
    assert table["user"].to_pylist() == ["a", "b"]


def test_ids_that_look_like_numbers_are_strings() -> None:
    assert build(user=[10, 9], time=[T, T]).frame["user"].cast(pl.String).to_list() == ["10", "9"]


def test_times_without_a_zone_are_utc_and_others_are_converted() -> None:
    assert build(user=["a"], time=[T]).frame["time"][0] == T.replace(tzinfo=UTC)
    paris = T.replace(tzinfo=timezone(timedelta(hours=1)))
    assert build(user=["a"], time=[paris]).frame["time"][0] == paris


def test_nan_is_a_missing_value() -> None:
    assert build(user=["a"], time=[T], value=[float("nan")]).frame["value"].to_list() == [None]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"time": [T]}, "no column 'user'; it has time"),
        ({"user": ["a", None], "time": [T, T]}, "column 'user' is empty at event 1"),
        ({"user": ["a", "b"], "time": [T, None]}, "column 'time' is empty at event 1"),
        ({"user": ["a"], "time": ["soon"]}, "column 'time' has type String, expected dates or times"),
        ({"user": ["a"], "time": [T], "value": ["much"]}, "column 'value' has type String, expected numbers"),
        ({"user": ["a"], "time": [T], "value": [float("inf")]}, "column 'value' is infinite at event 0"),
    ],
)
def test_a_broken_log_is_refused_with_column_and_row(columns: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        build(**columns)


def test_an_empty_log_is_refused_with_what_was_dropped() -> None:
    empty = pl.DataFrame({"user": [], "time": []}, schema={"user": pl.String, "time": pl.Datetime})
    with pytest.raises(DataError, match=r"no event is left after cleaning \(bad date: 3\)"):
        Events.build(empty, name="made", activity=(), cleaning={"bad date": 3})


def test_kinds_users_and_length_are_counted() -> None:
    events = build(user=["a", "b", "a"], time=[T, T, T], kind=["x", "y", "x"])
    assert (events.kinds, events.users, len(events)) == (("x", "y"), 2, 3)
