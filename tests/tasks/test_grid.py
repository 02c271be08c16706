"""From a log or given series to a grid, against plain counting; the end of the log, the members, the missing steps."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.events import Events
from bench.data.series import Series
from bench.errors import ConfigError, ProtocolError
from bench.tasks import grid as module
from bench.tasks.clock import DAY, HOUR
from bench.tasks.grid import ALL, Grid, chosen, from_events, from_series

START = datetime(2024, 1, 1, tzinfo=UTC)


def log(rows, activity=("purchase",), **extra) -> Events:
    """Make a log of (user, hours after the start, kind, value, item)."""
    user, hour, kind, value, item = zip(*rows, strict=True)
    columns = {
        "user": user, "time": [START + timedelta(hours=h) for h in hour], "kind": kind, "value": pl.Series(value, dtype=pl.Float64),
        "item": pl.Series(item, dtype=pl.String), **extra,
    }  # fmt: skip
    return Events.build(pl.DataFrame(columns), name="made", activity=activity)


def random_rows(seed: int, n: int = 400, days: int = 60) -> list[tuple]:
    rng = np.random.default_rng(seed)
    hours = np.sort(rng.integers(0, days * 24, n))
    kinds = np.where(rng.random(n) < 0.2, "cancel", "purchase")
    items = [None if rng.random() < 0.1 else f"i{min(int(rng.gamma(1.0, 3.0)), 30)}" for _ in range(n)]
    users = [f"u{min(int(rng.gamma(1.0, 10.0)), 90)}" for _ in range(n)]
    return list(zip(users, hours.tolist(), kinds.tolist(), rng.gamma(2, 5, n).round(2).tolist(), items, strict=True))


def plain(rows, key, steps: int, *, kinds=("purchase",), target="count") -> dict[str, list[float]]:
    """Count by member and day, event by event; nothing before a member's first event."""
    cells: Counter = Counter()
    for user, hour, kind, value, item in rows:
        member = {"total": "total", "kind": kind, "item": item, "user": user}[key]
        if kind in kinds and member is not None and hour // 24 < steps:
            cells[member, hour // 24] += 1 if target == "count" else value
    found = {}
    for member in {m for m, _ in cells}:
        first = min(day for m, day in cells if m == member)
        found[member] = [float("nan")] * first + [float(cells[member, day]) for day in range(first, steps)]
    return found


def table(grid: Grid) -> dict[str, list[float]]:
    return dict(zip(grid.names, grid.values.tolist(), strict=True))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), target=st.sampled_from(["count", "sum"]))
@pytest.mark.parametrize("level", ["total", "kind", "item", "user"])
def test_a_log_is_counted_by_member_and_day_from_each_members_first_event(level: str, seed: int, target: str) -> None:
    rows = [("first", 0, "purchase", 1.0, "i0"), *random_rows(seed), ("last", 60 * 24 + 1, "purchase", 1.0, None)]
    grid = from_events(log(rows), {"level": level, "target": target})
    wanted = plain(rows, level, 60, kinds=("purchase", "cancel") if level == "kind" else ("purchase",), target=target)
    assert list(grid.names) == sorted(wanted)
    for name, values in table(grid).items():
        assert values == pytest.approx(wanted[name], nan_ok=True), name
    assert grid.clock.begin(grid.number[:1]) == int(START.timestamp() * 1e6)
    assert grid.counts == (target == "count")


def test_any_column_is_a_level() -> None:
    rows = [("first", 0, "purchase", None, None), *random_rows(1, 49)]
    shops = ["north" if n % 3 else "south" for n in range(50)]
    grid = from_events(log(rows, shop=shops), {"level": "shop"})
    wanted = Counter(shop for shop, row in zip(shops, rows, strict=True) if row[2] == "purchase" and row[1] // 24 < grid.values.shape[1])
    assert {name: np.nansum(values) for name, values in table(grid).items()} == wanted


def test_numbers_are_a_level_too() -> None:
    rows = [("u", 0, "purchase", None, None), ("v", 24, "purchase", None, None)]
    assert from_events(log(rows, shop=[10, 9]), {"level": "shop"}).names == ("10", "9")


def test_merged_rows_count_for_as_many_events_as_they_stand_for() -> None:
    rows = [("u", 0, "purchase", None, None), ("v", 24, "purchase", None, None)]
    assert table(from_events(log(rows, count=[3, 4]), {"level": "total"})) == {"total": [3.0, 4.0]}


@pytest.mark.parametrize(
    ("hours", "days"),
    [
        ([0, 24, 48], 3),  # a log of days covers its last day
        ([0, 24, 48 + 22], 2),  # a log of hours that ends before the last hour of a day does not
        ([0, 24, 48 + 23], 3),
        ([0, 24, 48 + 23 + 58 / 60], 2),
        ([0, 24, 48 + 23 + 59 / 60], 3),
        ([0, 24, 48 + 23 + 3599 / 3600], 3),
        ([0, 24, 48 + 23 + 3598 / 3600], 2),
        ([0, 24, 48 + 12.5 + 1 / 3600], 2),
    ],
)
def test_the_last_day_counts_where_the_log_covers_it_to_its_end(hours: list[float], days: int) -> None:
    grid = from_events(log([("u", h, "purchase", None, None) for h in hours]), {"level": "total"})
    assert grid.values.shape == (1, days)


def test_the_log_ends_with_its_last_event_of_any_kind() -> None:
    rows = [("u", 0, "purchase", None, "a"), ("u", 30, "purchase", None, "a"), ("u", 24 * 4 + 1, "cancel", None, "a")]
    assert table(from_events(log(rows), {"level": "item"})) == {"a": [1.0, 1.0, 0.0, 0.0]}


@pytest.mark.parametrize(("freq", "last", "steps"), [("W", 6 * 24, 1), ("W", 5 * 24, 0), ("MS", 30 * 24, 1), ("MS", 59 * 24, 2)])
def test_weeks_and_months_are_dropped_where_the_log_ends_inside_them(freq: str, last: int, steps: int) -> None:
    events = log([("u", 0, "purchase", None, None), ("u", last, "purchase", None, None)])  # 2024 began on a Monday
    if not steps:
        with pytest.raises(ProtocolError, match="the log ends inside its first step of W; choose a smaller one with --set freq=h"):
            from_events(events, {"level": "total", "freq": freq})
        return
    assert from_events(events, {"level": "total", "freq": freq}).values.shape == (1, steps)


def test_members_that_appear_only_in_the_dropped_step_are_no_members() -> None:
    rows = [("u", 0, "purchase", None, "a"), ("u", 25, "purchase", None, "a"), ("u", 49, "purchase", None, "late")]
    assert from_events(log(rows), {"level": "item"}).names == ("a",)


def test_all_members_end_with_the_log() -> None:
    rows = [("u", 0, "purchase", None, "gone"), ("u", 24 * 9, "purchase", None, "new"), ("u", 24 * 10 + 1, "purchase", None, "new")]
    found = table(from_events(log(rows), {"level": "item"}))
    assert found["gone"] == [1.0] + [0.0] * 9
    assert found["new"] == pytest.approx([np.nan] * 9 + [1.0], nan_ok=True)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"level": "itme"}, ConfigError, "level='itme': made has no such column; did you mean 'item'"),
        ({"level": "time"}, ConfigError, "level='time': made has no such column; did you mean 'item'|known: item, kind, total, user"),
        ({"level": "value"}, ConfigError, "no such column"),
        ({"level": "count"}, ConfigError, "no such column"),
        ({"target": "mean"}, ConfigError, "target='mean' is unknown; use count .* or sum"),
        ({"target": "sum"}, ConfigError, "target='sum': made has no values; use --set target=count"),
        ({"level": "item"}, ProtocolError, "column 'item' is empty; choose another level, such as --set level=total"),
        ({"freq": "Q"}, ConfigError, "freq='Q' is no frequency"),
    ],
)
def test_what_a_log_cannot_give_is_refused_with_the_cure(options: dict, error: type[Exception], words: str) -> None:
    events = log([("u", 0, "purchase", None, None), ("u", 24, "purchase", None, None)], count=[1, 2])
    with pytest.raises(error, match=words):
        from_events(events, {"level": "total", **options})


def test_a_log_without_activity_is_refused_with_the_kinds_that_it_has() -> None:
    with pytest.raises(ProtocolError, match=r"no event is of an activity kind \(purchase\); the log has cancel"):
        from_events(log([("u", 0, "cancel", None, None)]), {"level": "total"})


def test_a_log_that_names_items_is_counted_by_item_and_any_other_as_a_whole() -> None:
    assert from_events(log([("u", 0, "purchase", None, "a"), ("u", 24, "purchase", None, None)]), {}).names == ("a",)
    assert from_events(log([("u", 0, "purchase", None, None), ("u", 24, "purchase", None, None)]), {}).names == ("total",)


def test_more_cells_than_memory_holds_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 30)
    rows = [("u", h * 24, "purchase", None, str(h % 3)) for h in range(11)]
    with pytest.raises(ProtocolError, match=r"made: 3 series of 11 steps are more than 30 cells; choose a coarser step"):
        from_events(log(rows), {"level": "item"})
    monkeypatch.undo()
    frame = pl.DataFrame({"series": "a", "time": [START, START + timedelta(microseconds=1), START + timedelta(days=30_000)], "value": 1.0})
    with pytest.raises(ProtocolError, match="cells; choose a coarser step"):
        from_series(Series.build(frame, name="given"), {})


def member_grid(values: list[list[float]], names: str) -> Grid:
    values = np.array(values)
    return Grid(tuple(names), values, np.arange(values.shape[1]), module.parse_clock("D"), counts=True)


def test_the_most_active_members_before_the_cut_off_are_chosen_whatever_comes_later() -> None:
    grid = member_grid([[1, 1, 99], [2, 2, 0], [3, 3, 0], [np.nan, np.nan, 999]], "abcd")
    best = chosen(grid, "item", 2, most=2)
    assert best.names == ("c", "b")
    assert best.values.tolist() == [[3, 3, 0], [2, 2, 0]]


def test_of_members_as_active_the_first_by_name_are_chosen() -> None:
    assert chosen(member_grid([[1, 0]] * 4, "dbca"), "item", 1, most=3).names == ("a", "b", "c")


def test_twenty_members_are_chosen_unless_told_otherwise() -> None:
    names = "abcdefghijklmnopqrstuvwxyz"
    assert "".join(chosen(member_grid([[n] for n in range(26)], names), "item", 1).names) == names[:5:-1]


def test_all_users_that_were_active_before_the_cut_off_are_chosen() -> None:
    grid = member_grid([[np.nan, 5.0], [1.0, 0.0], [np.nan, np.nan]] + [[0.0, 1.0]] * 30, "abc" + "x" * 30)
    assert len(chosen(grid, "user", 1, ALL).names) == 31
    assert len(chosen(grid, "user", 1, 5).names) == 5


def test_where_nobody_was_active_before_the_cut_off_the_level_is_refused() -> None:
    with pytest.raises(ProtocolError, match="level='item': no member has an event before the first test cut-off; choose another level"):
        chosen(member_grid([[np.nan, 1.0]], "a"), "item", 1)


def given_series(rows: dict[str, list], days: dict[str, list[int]] | None = None, test: int | dict[str, int] = 0) -> Series:
    """Make series of values at the days given, or without times; the last `test` steps of each are set aside."""
    parts = []
    for name, values in rows.items():
        times = [START + timedelta(days=d) for d in days[name]] if days else [None] * len(values)
        own = test[name] if isinstance(test, dict) else test
        columns = {
            "time": pl.Series(times, dtype=pl.Datetime("us", "UTC")), "value": pl.Series(values, dtype=pl.Float64),
            "test": [n >= len(values) - own for n in range(len(values))],
        }  # fmt: skip
        parts.append(pl.DataFrame({"series": name, **columns}))
    return Series.build(pl.concat(parts), name="given")


def test_series_without_times_are_right_aligned() -> None:
    grid = from_series(given_series({"long": [1, 2, 3, 4], "short": [8, 9]}), {})
    assert table(grid)["long"] == [1, 2, 3, 4]
    assert table(grid)["short"] == pytest.approx([np.nan, np.nan, 8, 9], nan_ok=True)
    assert (grid.clock.freq, grid.time.tolist()) == ("", [0, 1, 2, 3])


def test_missing_steps_of_given_series_are_known_to_be_missing() -> None:
    series = given_series({"a": [1, None, 3, 5], "b": [7, 8, 9, 6]}, {"a": [0, 1, 2, 4], "b": [2, 3, 4, 5]})
    grid = from_series(series, {})
    assert grid.values.tolist()[0] == pytest.approx([1, np.nan, 3, np.nan, 5, np.nan], nan_ok=True)
    panel = grid.panel(6, horizon=2, season=7)
    assert panel.values.tolist() == [[1, 1, 3, 3, 5, 5], [0, 0, 7, 8, 9, 6]]
    assert panel.mask.tolist() == [[True, False, True, False, True, False], [False, False, True, True, True, True]]
    assert panel.start.tolist() == [0, 2]
    assert panel.until.tolist() == [6, 6]


def test_of_two_values_in_one_step_the_last_stands_and_a_note_says_so() -> None:
    grid = from_series(given_series({"a": [1, 2, 3]}, {"a": [0, 1, 1]}), {"freq": "D"})
    assert grid.values.tolist() == [[1, 3]]
    assert grid.notes == ("given: 1 rows share a step with another of their series; the last stands",)


def test_a_given_test_part_is_as_long_in_every_series() -> None:
    rows = {"a": [1, 2, 3, 4], "b": [5, 6, 7]}
    assert from_series(given_series(rows, test=2), {}).fixed == 2
    with pytest.raises(ProtocolError, match="given test parts are 1 to 2 steps long; they must be of one length"):
        from_series(given_series(rows, test={"a": 2, "b": 1}), {})


@pytest.mark.parametrize("options", [{"level": "item"}, {"target": "sum"}, {"freq": "h"}])
def test_what_given_series_cannot_take_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=f"leave out --set {next(iter(options))}"):
        from_series(given_series({"a": [1, 2]}), options)


@pytest.mark.parametrize("freq", ["D", "h", "W", "MS", "15min"])
def test_every_cut_off_sees_the_same_calendar(freq: str) -> None:
    clock = module.parse_clock(freq)
    number = clock.number(np.array([int(START.timestamp() * 1e6)])) + np.arange(300)
    grid = Grid(("a",), np.ones((1, 300)), number, clock, counts=True)
    season = 12
    whole = grid.panel(290, 10, season)
    assert (whole.known.shape, whole.freq, whole.season) == ((1, 300, 8), freq, season)
    for until in (100, 111, 250):
        early = grid.panel(until, 10, season)
        assert early.time.tolist() == whole.time[:, : until + 10].tolist()
        assert early.known.tobytes() == whole.known[:, : until + 10].tobytes()
    assert whole.known[0, 0, :2].tolist() == whole.known[0, season, :2].tolist(), "the phase of the season comes back"
    assert np.allclose(np.arctan2(whole.known[0, :, 0], whole.known[0, :, 1]) % (2 * np.pi), number % 12 * np.pi / 6, atol=1e-5)


def test_a_panel_tells_of_counts_by_what_lies_before_its_cut_off() -> None:
    clock = module.parse_clock("h")
    values = np.array([[np.nan, 1.0, 2.0, -1.0, 5.0]])
    summed = Grid(("a",), values, np.arange(5), clock, counts=False)
    assert [summed.panel(until, 1, 1).counts for until in (2, 3, 4, 5)] == [True, True, False, False]


def test_a_panel_has_no_step_from_its_cut_off_on() -> None:
    grid = member_grid(np.arange(20.0).reshape(2, 10), "ab")
    panel = grid.panel(4, 3, 7)
    assert (panel.steps, panel.horizon, panel.time.shape) == (4, 3, (1, 7))
    assert panel.values.tolist() == [[0, 1, 2, 3], [10, 11, 12, 13]]
    assert panel.time[0].tolist() == [n * DAY for n in range(7)]


def test_the_hours_of_a_log_are_counted_in_utc() -> None:
    rows = [("u", h, "purchase", None, None) for h in (0, 1, 1, 5)]
    grid = from_events(log(rows), {"level": "total", "freq": "h"})
    assert grid.values.tolist() == [[1, 2, 0, 0, 0, 1]]
    assert np.diff(grid.time).tolist() == [HOUR] * 5
