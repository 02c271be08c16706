"""The clock of a grid against pandas: every step of every frequency has the next number, and begins when pandas says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import ConfigError
from bench.tasks.clock import DAY, HOUR, MINUTE, NO_TIME, WEEK, Clock, clock_of, guessed_clock, parse_clock

# as `--set freq` takes it -> as pandas spells it, microseconds, season, horizon
FREQUENCIES = {
    "15min": ("15min", 15 * MINUTE, 96, 48),
    "5min": ("5min", 5 * MINUTE, 288, 48),
    "h": ("h", HOUR, 24, 48),
    "D": ("D", DAY, 7, 14),
    "W": ("W-MON", WEEK, 52, 13),
    "2h": ("2h", 2 * HOUR, 12, 18),
    "MS": ("MS", 31 * DAY, 12, 18),
    "QS": ("QS", 92 * DAY, 4, 8),
    "YS": ("YS", 366 * DAY, 1, 6),
}


def micros(times: pd.DatetimeIndex) -> np.ndarray:
    return times.as_unit("us").asi8


@pytest.mark.parametrize("start", ["1965-03-01", "1999-12-27", "2024-01-01 00:00"])
@pytest.mark.parametrize("freq", FREQUENCIES)
def test_each_step_has_the_next_number_and_begins_where_pandas_has_it(freq: str, start: str) -> None:
    n = 200 if freq == "YS" else 500  # pandas knows no day after 2262
    times = micros(pd.date_range(start, periods=n, freq=FREQUENCIES[freq][0]))
    clock = parse_clock(freq)
    number = clock.number(times)
    assert (np.diff(number) == 1).all()
    assert (clock.begin(number) == times).all()
    assert (clock.number(times[1:] - 1) == number[:-1]).all()
    assert (clock.begin(np.arange(number[0], number[0] + n)) == times).all()


@pytest.mark.parametrize("freq", FREQUENCIES)
def test_step_season_and_horizon_go_with_the_frequency(freq: str) -> None:
    _, step, season, horizon = FREQUENCIES[freq]
    clock = parse_clock(freq)
    assert (clock.freq, clock.step, clock.season, clock.horizon) == (freq, step, season, horizon)


def test_weeks_begin_on_mondays() -> None:
    times = pd.date_range("1969-12-20", periods=3000, freq="D")
    clock = parse_clock("W")
    assert set(pd.to_datetime(clock.begin(clock.number(micros(times))), unit="us").day_name()) == {"Monday"}


def test_hours_are_those_of_utc_and_know_no_summer_time() -> None:
    berlin = pd.date_range("2024-03-30", "2024-04-01", freq="h", tz="Europe/Berlin")
    assert (np.diff(parse_clock("h").number(micros(berlin.tz_convert("UTC")))) == 1).all()


@given(time=st.integers(-(10**15), 4 * 10**15), freq=st.sampled_from(list(FREQUENCIES)))
def test_a_time_lies_inside_its_step(time: int, freq: str) -> None:
    clock, at = parse_clock(freq), np.array([time])
    number = clock.number(at)
    assert clock.begin(number) <= at < clock.begin(number + 1)


@pytest.mark.parametrize(
    ("text", "freq"),
    [("d", "D"), ("1D", "D"), ("24h", "D"), ("7D", "W"), ("60min", "h"), ("H", "h"), ("2W", "2W"), ("90min", "90min"), ("M", "MS")],
)  # fmt: skip
def test_one_step_has_one_name(text: str, freq: str) -> None:
    assert parse_clock(text).freq == freq
    assert parse_clock(freq) == parse_clock(text)


@pytest.mark.parametrize("text", ["", "0D", "-1h", "1.5h", "Q", "day", "2MS", "D D", "15"])
def test_what_is_no_frequency_is_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(ConfigError, match="is no frequency; write min, h, D, W or MS"):
        parse_clock(text)


@pytest.mark.parametrize("freq", FREQUENCIES)
def test_the_frequency_of_given_series_is_their_most_frequent_distance(freq: str) -> None:
    times = micros(pd.date_range("2020-01-06", periods=60, freq=FREQUENCIES[freq][0]))
    kept = np.delete(times, [5, 6, 30])  # with gaps, and a second series that begins elsewhere
    both, owner = np.concatenate([kept, times[20:]]), np.repeat([0, 1], [len(kept), 40])
    assert guessed_clock(both, owner) == parse_clock(freq)


def test_ends_of_months_are_months() -> None:
    assert guessed_clock(micros(pd.date_range("2020-01-31", periods=30, freq="ME")), np.zeros(30, int)).months


def test_thirteen_weeks_are_no_quarter_and_365_days_are_a_year() -> None:
    assert guessed_clock(np.arange(30) * 13 * WEEK, np.zeros(30, int)).freq == "13W"
    assert guessed_clock(np.arange(3) * 365 * DAY, np.zeros(3, int)).freq == "YS"


def test_four_weeks_are_no_month() -> None:
    assert guessed_clock(np.arange(30) * 4 * WEEK, np.zeros(30, int)).freq == "4W"


def test_series_of_one_step_are_daily() -> None:
    assert guessed_clock(np.array([5, 5 + HOUR]), np.array([0, 1])) == clock_of(DAY)


def test_steps_of_seconds_have_a_name() -> None:
    assert clock_of(1_000_000) == Clock("1s", 1_000_000)


def test_no_time_has_neither_season_nor_months() -> None:
    assert (NO_TIME.season, NO_TIME.months, NO_TIME.horizon) == (1, False, 18)
