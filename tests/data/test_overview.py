"""What happened over time: every event is counted once, and no stretch is left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.events import Events
from bench.data.overview import BINS, overview
from bench.data.series import Series

START = datetime(2024, 1, 1, tzinfo=UTC)
EVENTS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 400)), min_size=1, max_size=60)


def log(pairs: list[tuple[str, int]], days: float = 1.0) -> Events:
    frame = pl.DataFrame({"user": [u for u, _ in pairs], "time": [START + timedelta(days=days * d) for _, d in pairs], "kind": "x"})
    return Events.build(frame, name="log", activity=("x",))


@given(EVENTS)
def test_every_event_is_counted_once_and_every_gap_between_active_days_of_a_user(pairs: list[tuple[str, int]]) -> None:
    found = overview(log(pairs))
    assert sum(found["events"]) == found["total"] == len(pairs)
    assert sum(found["gaps"]) == sum(len({d for u, d in pairs if u == user}) - 1 for user in {u for u, _ in pairs})
    assert all(0 < users <= events or users == events == 0 for users, events in zip(found["users"], found["events"], strict=True))
    assert len(found["time"]) == len(found["events"]) <= BINS + 2


@pytest.mark.parametrize(("days", "step"), [(1 / 24, "hour"), (1, "day"), (5, "week"), (30, "month"), (400, "year")])
def test_the_steps_are_as_long_as_the_data_needs(days: float, step: str) -> None:
    found = overview(log([("a", 0), ("a", 100)], days))
    assert found["step"] == step
    assert sum(n == 0 for n in found["events"]) == len(found["events"]) - 2


def test_gaps_are_grouped_by_their_length_in_days() -> None:
    assert overview(log([("a", 0), ("a", 1), ("a", 3), ("b", 0), ("b", 28), ("b", 200)]))["gaps"] == [1, 1, 0, 0, 1, 0, 1]


def test_of_series_those_observed_are_counted_and_data_without_times_has_no_overview() -> None:
    times = [START + timedelta(days=d) for d in range(3)]
    frame = pl.DataFrame({"series": ["a"] * 3 + ["b"] * 3, "time": times * 2, "value": [1.0, None, 2.0, 3.0, 4.0, None]})
    found = overview(Series.build(frame, name="s"))
    assert found["step"] == "hour"
    assert found["observed"][::24] == [2, 1, 1]
    assert sum(found["observed"]) == 4
    untimed = Series.build(frame.with_columns(time=pl.lit(None, pl.Datetime("us", "UTC"))), name="s")
    assert overview(untimed) == {}


@given(EVENTS)
def test_a_log_that_is_looked_at_a_block_at_a_time_says_the_same(pairs: list[tuple[str, int]]) -> None:
    whole = overview(log(pairs))
    for block in (1, 7):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("bench.data.overview.BLOCK", block)
            assert overview(log(pairs)) == whole
    start = pl.col("time").dt.truncate({"hour": "1h", "day": "1d", "week": "1w", "month": "1mo"}[whole["step"]])
    active = log(pairs).frame.group_by(start).agg(pl.col("user").n_unique()).sort("time")["user"].to_list()
    assert [n for n in whole["users"] if n] == active
