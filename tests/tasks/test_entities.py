"""Entities of the anomaly task: given series step by step, users of a log chosen by their past, and where prefixes end."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.events import Events
from bench.data.series import Series
from bench.errors import ConfigError, ProtocolError
from bench.tasks.anomaly.entities import LEAST, Entities, _prefixes, from_log, from_series, with_incidents
from bench.tasks.clock import clock_of, own_clock
from bench.tasks.profiles import PROFILES
from bench_datasets._social_nab import read_nab

FULL, SMOKE = PROFILES["full"], PROFILES["smoke"]
START = datetime(2024, 1, 1, tzinfo=UTC)


def given_series(rows, labels=None, *, dated=True, gap=timedelta(hours=1)):
    """Make series from lists of values; None is missing."""
    frames = []
    for k, values in enumerate(rows):
        time = [START + i * gap for i in range(len(values))] if dated else [None] * len(values)
        frame = {"series": f"s{k}", "time": time, "value": values}
        frames.append(pl.DataFrame(frame, schema_overrides={"time": pl.Datetime("us", "UTC"), "value": pl.Float64}))
        if labels is not None:
            frames[-1] = frames[-1].with_columns(label=pl.Series(labels[k], dtype=pl.Boolean))
    return Series.build(pl.concat(frames), name="made")


def log(days=200, users=12, seed=0, extra=()):
    """Make a log in which user k is active on about k + 1 of 14 days; `extra`: more (user, day)."""
    rng = np.random.default_rng(seed)
    active = rng.random((users, days)) < (np.arange(1, users + 1) / 14)[:, None]
    active[:, days - 1] = True  # one end for all
    who, when = np.nonzero(active)
    pairs = [(f"u{k}", int(d)) for k, d in zip(who, when, strict=True)] + list(extra)
    frame = pl.DataFrame({
        "user": [u for u, _ in pairs], "time": [START + timedelta(days=d) for _, d in pairs], "kind": "buy", "value": 2.5, "item": None,
    })  # fmt: skip
    return Events.build(frame, name="made", activity=("buy",))


def counted(events, options=None, profile=FULL, *, simulated=False, among=None):
    return from_log(events, options or {}, profile, simulated=simulated, among=among)


# ---- given series


def test_series_are_laid_out_step_by_step_with_their_ends_aligned():
    found = from_series(given_series([[1.0, 2, 3], [4.0, None, 5, 6, 7]]), {})
    np.testing.assert_array_equal(found.values, [[np.nan, np.nan, 1, 2, 3], [4, np.nan, 5, 6, 7]])
    hour = 3_600_000_000
    assert np.diff(found.time[0, 2:]).tolist() == [hour, hour]
    assert found.clock.freq == "h"
    assert found.season == 24
    panel = found.panel()
    assert panel.start.tolist() == [2, 0]
    assert panel.mask.tolist() == [[False, False, True, True, True], [True, False, True, True, True]]
    assert panel.values.tolist() == [[0, 0, 1, 2, 3], [4, 4, 5, 6, 7]]


def test_time_out_of_order_is_sorted_and_labels_go_with_it():
    data = given_series([[1.0, 2, 3, 4]], [[False, False, True, False]])
    shuffled = Series.build(data.frame[[2, 0, 3, 1]], name="made")
    one, other = from_series(data, {}), from_series(shuffled, {})
    np.testing.assert_array_equal(other.values, one.values)
    assert other.labels.tolist() == one.labels.tolist() == [[False, False, True, False]]


def test_series_without_times_have_step_numbers_and_no_season():
    found = from_series(given_series([[1.0] * 30, [2.0] * 20], dated=False), {})
    assert found.clock.freq == ""
    assert found.season == 1
    assert found.panel().time.shape == (2, 30)
    assert from_series(given_series([[1.0] * 30], dated=False), {"season": "7"}).season == 7


def test_unlabelled_series_have_no_labels():
    assert from_series(given_series([[1.0] * 30]), {}).labels is None


def test_whether_values_are_counts_is_told_by_the_prefixes_alone():
    values = np.arange(200.0)
    assert from_series(given_series([values]), {}).counts
    later = np.where(np.arange(200) == 150, -1.0, values)
    assert from_series(given_series([later]), {}).counts
    early = np.where(np.arange(200) == 5, -1.0, values)
    assert not from_series(given_series([early]), {}).counts
    missing = np.where(np.arange(200) < 100, np.nan, -1.0)
    assert from_series(given_series([[None if np.isnan(v) else v for v in missing]]), {}).counts


def test_a_panel_holds_nothing_of_the_labels():
    data = given_series([np.arange(400.0)] * 2, [np.arange(400) >= 300, np.arange(400) < 0])
    turned = given_series([np.arange(400.0)] * 2, [np.arange(400) >= 200, np.arange(400) >= 399])
    one, other = from_series(data, {}).panel(), from_series(turned, {}).panel()
    for f in fields(one):
        assert np.array_equal(getattr(one, f.name), getattr(other, f.name)), f.name


# ---- where a prefix ends


def one_prefix(first, length=1000, share=0.3, width=10):
    labels = np.zeros((1, length), bool)
    labels[0, first : first + width] = True
    until, contaminated = _prefixes(labels, np.zeros(1, np.int64), length, share)
    return int(until[0]), bool(contaminated[0])


@pytest.mark.parametrize(
    ("first", "until", "contaminated"),
    [(900, 300, False), (300, 300, False), (299, 150, False), (150, 150, False), (149, 75, False), (75, 75, False), (74, 300, True),
     (0, 300, True)],
)  # fmt: skip
def test_a_prefix_is_halved_until_it_ends_before_the_first_labelled_step(first, until, contaminated):
    assert one_prefix(first) == (until, contaminated)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 999), st.floats(0.05, 0.9), st.integers(1, 1000))
def test_a_prefix_holds_no_labelled_step_unless_marked_and_tells_no_more_than_a_half(first, share, length):
    first = min(first, length - 1)
    until, contaminated = one_prefix(first, length, share)
    whole = int(share * length)
    assert contaminated == (until > first)
    if contaminated:
        assert until == whole
        assert first < max(2 * min(LEAST, length // 4), 1)
    else:
        assert until in {whole >> k for k in range(11)}
        assert until == whole or first < 2 * until + 1  # no shorter than needed


def test_prefixes_are_counted_from_each_series_own_start():
    labels = np.zeros((2, 1000), bool)
    labels[1, 600:] = True
    until, contaminated = _prefixes(labels, np.array([0, 500]), 1000, 0.3)
    assert until.tolist() == [300, 575]
    assert contaminated.tolist() == [False, False]


def test_a_labelled_step_that_was_not_observed_contaminates_nothing():
    values = [None if i == 10 else 1.0 for i in range(400)]
    found = from_series(given_series([values], [[i == 10 for i in range(400)]]), {})
    assert not found.contaminated.any()
    assert found.until.tolist() == [60]


def test_the_early_windows_of_tweets_shorten_prefixes_without_being_told(real):
    found = from_series(read_nab(real / "nab" / "realTweets", "tweets"), {})
    assert (found.clock.freq, found.season) == ("5min", 288)
    start = np.isfinite(found.values).argmax(axis=1)
    share = dict(zip(found.names, (0.15 * (found.values.shape[1] - start)).astype(int).tolist(), strict=True))
    length = {name: int(u - s) for name, u, s in zip(found.names, found.until, start, strict=True)}
    shortened = {name.rpartition("_")[2] for name in found.names if length[name] < share[name]}
    assert shortened == {"AAPL", "AMZN", "CVS", "PFE", "UPS"}  # those with a window inside the first 15 %
    assert not found.contaminated.any()
    first = found.labels.argmax(axis=1)
    assert (found.until < first).all(), "no prefix ends where a window begins"
    assert all(length[name] in {share[name] >> k for k in range(3)} for name in found.names)


# ---- series of different steps


def stepped(minutes, steps=300, label=True):
    """Make one series for each step in minutes; each repeats every day."""
    frames = []
    for k, step in enumerate(minutes):
        time = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=step * i) for i in range(steps)]
        day = np.sin(2 * np.pi * np.arange(steps) * step / 1440)
        frames.append(pl.DataFrame({"series": f"s{k}", "time": time, "value": day}))
        if label:
            frames[-1] = frames[-1].with_columns(label=pl.Series(np.arange(steps) >= steps - 20))
    return Series.build(pl.concat(frames), name="mixed")


def test_each_of_series_of_different_steps_has_the_season_of_its_own_step():
    found = from_series(stepped([60, 5, 30, 5]), {})
    assert found.names == ("s1", "s3", "s2", "s0")  # the shortest step first: equal ones stand side by side
    assert (found.freq, found.cycle, found.season) == ("5min+30min+h", "288+48+24", 288)
    words = "series of different steps stand together: 2 of 5min (season 288), 1 of 30min (season 48), 1 of h (season 24)"
    assert found.mixture == words
    panel = found.panel()
    assert panel.cycles.tolist() == [288, 288, 48, 24]
    np.testing.assert_allclose(found.values[2, -48:], found.values[2, -96:-48], atol=1e-12)  # the values went with the names
    phase = panel.known[..., 0]  # the phase of the season repeats after it, in each series' own steps
    for n, season in enumerate(panel.cycles):
        np.testing.assert_allclose(phase[n, season:], phase[n, :-season], atol=1e-6)
        assert np.ptp(phase[n]) > 1.4


def test_a_season_that_is_set_holds_for_every_step_and_one_step_needs_no_list_of_seasons():
    found = from_series(stepped([60, 5]), {"season": "12"})
    assert (found.freq, found.cycle, found.panel().cycles.tolist()) == ("5min+h", "12", [12, 12])
    same = from_series(stepped([5, 5]), {})
    assert (same.freq, same.cycle, same.seasons, same.mixture) == ("5min", "288", None, "")


def test_too_few_or_too_irregular_steps_are_no_step_of_their_own():
    common = clock_of(5 * 60_000_000)
    irregular = np.cumsum(np.tile([1, 2, 3, 4], 20)) * 60_000_000
    assert own_clock(np.arange(10) * 3_600_000_000, common) == common
    assert own_clock(np.arange(11) * 3_600_000_000, common).freq == "h"
    assert own_clock(irregular, common) == common


# ---- users of a log


def test_users_are_counted_by_day_and_those_active_most_in_the_training_part_are_taken():
    events = log()
    found = counted(events, {"users": "3"})
    assert found.names == ("u10", "u11", "u9")  # by name; the most active of twelve
    assert found.of_log
    assert found.counts
    assert found.season == 7
    assert found.values.shape == (3, 200)
    assert found.until.tolist() == [100] * 3
    n = int(events.frame.filter(pl.col("user").cast(pl.String) == "u9").height)
    assert np.nansum(found.values[found.names.index("u9")]) == n


def test_what_users_do_after_the_prefix_does_not_choose_them():
    quiet = log()
    burst = log(extra=[("u0", d) for d in range(100, 199)] * 50)
    assert counted(quiet, {"users": "3"}).names == counted(burst, {"users": "3"}).names
    before = log(extra=[("u0", d) for d in range(100)] * 50)
    assert "u0" in counted(before, {"users": "3"}).names


def test_the_latest_steps_are_kept_and_the_profile_caps_simulated_logs_alone():
    events = log(days=1300, users=14)
    given_, made = counted(events), counted(events, profile=SMOKE, simulated=True)
    assert given_.values.shape == (14, 1000)
    assert made.values.shape == (12, 200)
    last = int((START + timedelta(days=1299)).timestamp() * 1e6)
    assert given_.time[0, -1] == made.time[0, -1] == last
    assert "users=100/steps=1000" in given_.choices
    assert "users=12/steps=200" in made.choices


def test_among_names_the_users_that_may_be_taken():
    assert set(counted(log(), among=["u1", "u5"]).names) == {"u1", "u5"}


def test_values_are_summed_and_the_prefix_is_chosen_on_request():
    found = counted(log(), {"target": "sum", "prefix": "0.25", "freq": "W"})
    assert found.clock.freq == "W"
    assert found.season == 52
    assert not found.counts
    assert np.nanmax(found.values) > 2.5
    assert found.until[0] == int(0.25 * found.values.shape[1])
    assert found.choices == "target=sum/users=100/steps=1000/prefix=0.25"


def test_a_log_whose_users_all_come_later_than_the_training_part_is_refused():
    with pytest.raises(ProtocolError, match="no user is active in the training part"):
        counted(log(), among=[])


def test_incidents_of_users_are_their_labels_and_those_inside_the_prefix_are_marked():
    day = [START + timedelta(days=d) for d in range(200)]
    rows = [("u10", day[150], day[152], "bulk"), ("u11", day[20], day[23], "bulk"), ("*", day[170], day[171], "promotion")]
    table = pl.DataFrame(rows, schema=["user", "start", "end", "kind"], orient="row").with_columns(
        pl.col("start", "end").dt.replace_time_zone(None).dt.cast_time_unit("us")
    )
    found = with_incidents(replace(log(), incidents=table), {}, FULL, {"u10", "u11"}, simulated=False)
    assert found.names == ("u10", "u11")
    assert [np.flatnonzero(row).tolist() for row in found.labels] == [[150, 151], [20, 21, 22]]
    assert found.contaminated.tolist() == [False, True]


# ---- options and selection


@pytest.mark.parametrize("prefix", ["0", "1", "-1", "nan", "much", "0.04", "0.95"])
def test_a_prefix_that_is_no_share_is_refused(prefix):
    with pytest.raises(ConfigError, match="prefix="):
        from_series(given_series([[1.0] * 30]), {"prefix": prefix})


@pytest.mark.parametrize("season", ["0", "-7", "1.5", "week", "1000000", "²"])
def test_a_season_that_is_no_whole_number_is_refused(season):
    with pytest.raises(ConfigError, match="season="):
        from_series(given_series([[1.0] * 30]), {"season": season})


@pytest.mark.parametrize("key", ["users", "target", "freq"])
def test_what_only_logs_can_be_told_is_refused_for_series(key):
    with pytest.raises(ConfigError, match=f"--set {key}"):
        from_series(given_series([[1.0] * 30]), {key: "1"})


def test_entities_are_taken_in_the_order_given():
    found = from_series(given_series([[1.0] * 30, [2.0] * 20, [3.0] * 10], [[False] * 30, [True] * 20, [False] * 10]), {})
    taken: Entities = found.take(np.array([2, 0]))
    assert taken.names == ("s2", "s0")
    np.testing.assert_array_equal(taken.values, found.values[[2, 0]])
    assert taken.until.tolist() == found.until[[2, 0]].tolist()
    assert taken.labels.tolist() == found.labels[[2, 0]].tolist()
    assert taken.time.tolist() == found.time[[2, 0]].tolist()


@pytest.mark.parametrize("rows", [[[None] * 30], [[1.0]], [[1.0, 2, 3]], [[5.0] * 40], [[1e300, -1e300] * 20], [[None] * 30, [1.0]]])
def test_any_series_makes_a_panel_of_finite_numbers(rows):
    found = from_series(given_series(rows), {})
    panel = found.panel()
    assert np.isfinite(panel.values).all()
    assert ((panel.until >= panel.start) & (panel.until <= panel.steps)).all()
    assert np.isfinite(panel.known).all()
