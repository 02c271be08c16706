"""The social adapter reads edges in every form and NAB's labelled series, counts what it drops, and says what is wrong."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import logging

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.api import Context
from bench.data.events import Events
from bench.data.series import Series
from bench.errors import ConfigError, DataError
from bench.metrics.churn import churn_metrics
from bench.sources.cache import read_cached
from bench.tasks.churn.task import Churn
from bench.tasks.profiles import PROFILES
from bench_datasets.social import Social, bench_datasets
from bench_plugins.rfm_logit import RfmLogit

T = 1_082_040_961
NAB = {  # rows and windows, as published
    "Twitter_volume_AAPL": (15_902, 4), "Twitter_volume_AMZN": (15_831, 4), "Twitter_volume_CRM": (15_902, 3),
    "Twitter_volume_CVS": (15_853, 3), "Twitter_volume_FB": (15_833, 2), "Twitter_volume_GOOG": (15_842, 3),
    "Twitter_volume_IBM": (15_893, 2), "Twitter_volume_KO": (15_851, 3), "Twitter_volume_PFE": (15_858, 4),
    "Twitter_volume_UPS": (15_866, 5), "nyc_taxi": (10_320, 5), "machine_temperature_system_failure": (22_695, 4),
    "cpu_utilization_asg_misconfiguration": (18_050, 1), "ambient_temperature_system_failure": (7_267, 2),
    "ec2_request_latency_system_failure": (4_032, 3), "rogue_agent_key_hold": (1_882, 2), "rogue_agent_key_updown": (5_315, 2),
}  # fmt: skip
REPEATED = {"machine_temperature_system_failure": 12, "ec2_request_latency_system_failure": 11}


def read(path, **options):
    return Social().read(path, options)


def written(folder, text, name="net.txt"):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    return path


def edges(events):
    """Give (user, item, seconds, value, kind) of every event, sorted."""
    seconds = pl.col("time").dt.timestamp("us") / 1e6
    rows = events.frame.select(
        pl.col("user").cast(pl.String), pl.col("item").cast(pl.String), seconds, "value", pl.col("kind").cast(pl.String)
    )
    return sorted(rows.rows(), key=str)


# ---- the published network


@pytest.fixture(scope="module")
def college(real):
    return read(real / "college_msg" / "CollegeMsg.txt")


def test_college_msg_is_read_whole(real, college):
    path = real / "college_msg" / "CollegeMsg.txt"
    assert (Social().detect(path), Social().detect(path.parent)) == ("snap", "snap")
    assert (college.name, len(college), college.rows_read, college.cleaning) == ("college-msg", 59_835, 59_835, {})
    assert college.users == 1_350
    assert college.frame["item"].n_unique() == 1_862
    assert college.frame.select("user", "item").n_unique() == 20_296
    assert (college.frame["time"].min(), college.frame["time"].max()) == (
        dt.datetime(2004, 4, 15, 14, 56, 1, tzinfo=dt.UTC),
        dt.datetime(2004, 10, 26, 7, 52, 22, tzinfo=dt.UTC),
    )
    assert read(path.parent).frame.equals(college.frame)
    assert (college.kinds, college.activity, college.frame["value"].null_count()) == (("message",), ("message",), 59_835)


def test_college_msg_booms_in_may_and_ends_in_a_tail(college):
    monthly = dict(college.frame.group_by(pl.col("time").dt.month()).len().iter_rows())
    assert (monthly[5], monthly[10]) == (37_698, 824)
    days = college.frame.group_by("user").agg(pl.col("time").dt.date().n_unique())["time"]
    assert (days.median(), days.max()) == (6, 107)


def test_duplicates_are_kept_and_told_or_dropped_and_counted(real, caplog):
    caplog.set_level(logging.INFO, "bench")
    assert len(read(real / "college_msg")) == 59_835
    assert "37 exact duplicates are kept" in caplog.text
    dropped = read(real / "college_msg", duplicates="drop")
    assert (len(dropped), dropped.cleaning, dropped.name) == (59_798, {"duplicate": 37}, "college-msg")


def test_receiving_adds_an_event_of_the_receiver(real, college):
    both = read(real / "college_msg", receive="true")
    assert (len(both), both.users, both.rows_read, both.activity) == (2 * 59_835, 1_899, 59_835, ("message", "receive"))
    got = both.frame.filter(pl.col("kind") == "receive")
    assert sorted(zip(got["item"].cast(pl.String), got["user"].cast(pl.String), got["time"], strict=True)) == sorted(
        zip(college.frame["user"].cast(pl.String), college.frame["item"].cast(pl.String), college.frame["time"], strict=True)
    )


def test_churn_on_college_msg_can_be_foreseen_in_part(college):
    split = Churn().split(college, {}, PROFILES["full"], 0)
    assert (split.facts["horizon_days"], split.facts["n_test"], split.flags) == (28.0, 247, ())
    model, stage, ctx = RfmLogit({"C": 1.0}), split.stages["final"], Context(horizon=28.0)
    model.fit(stage.train, ctx)
    assert 0.65 < churn_metrics(split.truths["final"].y, model.predict(stage.parts[0], ctx), base_rate=0.5)["roc_auc"][0] < 0.85


# ---- the published series


@pytest.fixture(scope="module")
def nab(real):
    return read(real / "nab")


def test_the_seventeen_series_have_their_rows_and_windows(real, nab):
    assert (Social().detect(real / "nab"), isinstance(nab, Series)) == ("nab-folder", True)
    assert (nab.rows_read, len(nab), nab.cleaning) == (228_192, 228_169, {"duplicate time": 23})
    rows = dict(nab.frame.group_by(pl.col("series").cast(pl.String)).len().iter_rows())
    assert {name: (rows[name] + REPEATED.get(name, 0), len(nab.windows[name])) for name in nab.names} == NAB


def test_a_part_of_nab_is_named_and_finds_the_labels_beside_it(real, nab):
    tweets, causes = (read(real / "nab" / folder) for folder in ("realTweets", "realKnownCause"))
    assert (tweets.name, causes.name) == ("nab-realtweets", "nab-realknowncause")
    assert (len(tweets.names), len(causes.names), tweets.cleaning) == (10, 7, {})
    one = read(real / "nab" / "realKnownCause" / "nyc_taxi.csv")
    assert (one.name, one.names, Social().detect(real / "nab" / "realKnownCause" / "nyc_taxi.csv")) == ("nyc_taxi", ("nyc_taxi",), "nab")
    text = pl.col("series").cast(pl.String)
    for part in (tweets, causes, one):
        assert part.frame.with_columns(text).equals(nab.frame.with_columns(text).filter(text.is_in(part.names)))


def test_windows_include_both_ends_and_cover_a_tenth(nab):
    assert nab.frame["label"].mean() == pytest.approx(0.1, abs=0.005)
    for name, windows in nab.windows.items():
        own = nab.frame.filter(pl.col("series") == name).with_columns(text=pl.col("time").dt.strftime("%Y-%m-%d %H:%M:%S%.6f"))
        inside = pl.any_horizontal(pl.col("text").is_between(pl.lit(start), pl.lit(end)) for start, end in windows)
        assert own.filter(inside)["label"].all()
        assert not own.filter(~inside)["label"].any()
        ends = own.filter(pl.col("text").is_in([e for window in windows for e in window]))
        assert len(ends) == 2 * len(windows)


def test_steps_are_in_the_order_of_time_and_the_first_of_one_time_is_kept(real, nab):
    for name in REPEATED:
        own = nab.frame.filter(pl.col("series") == name)
        assert own["time"].is_sorted()
        assert not own["time"].is_duplicated().any()
        raw = pl.read_csv(real / "nab" / "realKnownCause" / f"{name}.csv")
        first = dict(reversed(list(raw.iter_rows())))
        assert dict(zip(own["time"].dt.strftime("%F %T"), own["value"], strict=True)) == first


def test_real_data_comes_back_from_the_cache_unchanged(real):
    for folder in ("college_msg", "nab/realTweets"):
        first, second = (read_cached(Social(), real / folder, {}) for _ in range(2))
        assert (first.hit, second.hit, first.fingerprint) == (False, True, second.fingerprint)
        assert first.data.frame.equals(second.data.frame)


@pytest.mark.parametrize(
    "other", ["online_retail/by-day", "cdnow/CDNOW_sample.txt", "movielens_latest_small", "kddcup2015_mooc", "m4_hourly", "no such"]
)
def test_other_data_is_not_claimed(real, other):
    assert Social().detect(real / other) is None


# ---- forms that the tests write


@pytest.mark.parametrize(
    "text",
    [
        f"a b {T}\nc a {T + 1}\n",
        f"a\tb\t{T}\nc\ta\t{T + 1}",
        f"  a   b  {T} \r\n\r\nc\t a {T + 1}\r\n",
        f"# a network\n# src dst\n\na b {T}\n# in between\nc a {T + 1}\n",
        f"src dst time\na b {T}\nc a {T + 1}\n",
        f"#comment, with commas\ntime SRC dst\n{T} a b\n{T + 1} c a\n",
        f"\ufeffa b {T}\nc a {T + 1}\n",
        f"a,b,{T}\nc,a,{T + 1}.0\n",
    ],
)
def test_white_space_comments_and_headers_change_nothing(tmp_path, text):
    path = written(tmp_path, text)
    assert Social().detect(path) in {"snap", None}
    events = read(path)
    assert edges(events) == [("a", "b", T, None, "message"), ("c", "a", T + 1, None, "message")]
    assert (events.name, events.rows_read, events.cleaning) == ("net", 2, {})


def test_a_long_head_of_comments_is_skipped(tmp_path):
    assert len(read(written(tmp_path, "# a, b\n" * 5_000 + f"a b {T}\n"))) == 1


def test_packed_files_say_the_same(real, tmp_path, college):
    packed = tmp_path / "CollegeMsg.txt.gz"
    packed.write_bytes(gzip.compress((real / "college_msg" / "CollegeMsg.txt").read_bytes()))
    assert Social().detect(packed) == "snap"
    assert (read(packed).frame.equals(college.frame), read(packed).name) == (True, "college-msg")


@pytest.mark.parametrize(
    "text",
    [
        "6,2,4,1289241911.72836\r\n6,5,-2,1289241942\r\n",
        "source,target,rating,time\r\n6,2,4,1289241911.72836\r\n6,5,-2,1289241942\r\n",
        '"target", "source", "time", "weight"\n2, 6, 1289241911.72836, 4\n"5", "6", 1289241942, -2.0\n',
    ],
)
def test_weighted_edges_have_values_and_parts_of_a_second(tmp_path, text):
    path = written(tmp_path, text, "soc-sign.csv")
    assert Social().detect(path) == "snap-weighted"
    events = read(path)
    assert edges(events) == [("6", "2", 1289241911.72836, 4.0, "message"), ("6", "5", 1289241942.0, -2.0, "message")]
    assert events.frame["time"][0] == dt.datetime(2010, 11, 8, 18, 45, 11, 728360, tzinfo=dt.UTC)


def test_several_files_of_a_folder_are_kinds(tmp_path, caplog):
    caplog.set_level(logging.INFO, "bench")
    folder = tmp_path / "forum"
    written(folder, f"a b {T}\n", "messages.txt")
    written(folder, f"a b {T}\nb c {T}\n", "posts.csv")
    written(folder, "source: a forum\n", "README.txt")
    written(folder, "name,age\na,3\n", "people.csv")
    assert Social().detect(folder) == "snap-folder"
    events = read(folder, receive="true", duplicates="drop")
    assert (events.name, events.activity, events.cleaning) == ("forum", ("messages", "posts", "receive"), {})
    assert [e[4] for e in edges(events)].count("receive") == 3
    assert "passed over, for they hold no edges: people.csv" in caplog.text


def test_each_dropped_row_is_counted_under_the_first_reason_that_holds(tmp_path):
    good = "".join(f"{i},x,1,{T}\n" for i in range(300))
    bad = f",,x,never\n,b,1,{T}\na,b,1,never\na,b,x,{T}\na,a,1,{T}\na,a,1,{T}\na,b,1,{T * 1000}\n0,x,1,{T}\n"
    path = written(tmp_path, "source,target,rating,time\n" + good + bad)
    kept = read(path)
    assert kept.cleaning == {"no user": 2, "bad time": 2, "bad weight": 1, "self-loop": 2}
    assert (len(kept), kept.rows_read) == (301, 308)
    assert read(path, duplicates="drop").cleaning["duplicate"] == 1


IDS = st.sampled_from(["1", "2", "03", "b-4", "ü"])


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(IDS, IDS, st.integers(200_000_000, 2_000_000_000)), min_size=1, max_size=30),
    blank=st.sampled_from([" ", "\t", "  ", " \t "]),
    end=st.sampled_from(["\n", "\r\n", "\n\n", "\n# x y\n"]),
    receive=st.booleans(),
    drop=st.booleans(),
)
def test_the_reader_equals_a_plain_transcription(tmp_path_factory, rows, blank, end, receive, drop):
    path = written(tmp_path_factory.mktemp("net"), end.join(blank.join(map(str, row)) for row in rows))
    kept = [row for row in rows if row[0] != row[1]]
    repeated = len(kept) - len(set(kept))
    if drop:
        kept = list(dict.fromkeys(kept))
    wanted = [(a, b, float(t), None, "message") for a, b, t in kept]
    wanted += [(b, a, float(t), None, "receive") for a, b, t in kept] if receive else []
    counts = {"self-loop": sum(a == b for a, b, _ in rows), "duplicate": repeated if drop else 0}
    options = {"receive": str(receive).lower(), "duplicates": "drop" if drop else "keep"}
    if not wanted:
        with pytest.raises(DataError, match="no event is left"):
            read(path, **options)
        return
    events = read(path, **options)
    assert edges(events) == sorted(wanted, key=str)
    assert (events.rows_read, events.cleaning) == (len(rows), {k: n for k, n in counts.items() if n})


# ---- series that the tests write


def series(folder, rows=("2024-01-01 00:00:00,1", "2024-01-01 00:05:00,2", "2024-01-01 00:10:00,3"), windows=None, name="own/x.csv"):
    path = written(folder, "timestamp,value\n" + "\n".join(rows) + "\n", name)
    if windows is not None:
        written(folder, windows if isinstance(windows, str) else json.dumps(windows), "labels/combined_windows.json")
    return path


def test_a_window_of_one_step_labels_it_and_no_other(tmp_path):
    moment = "2024-01-01 00:05:00.000000"
    read_ = read(series(tmp_path, windows={"own/x.csv": [[moment, moment]]}))
    assert (read_.frame["label"].to_list(), read_.windows) == ([False, True, False], {"x": ((moment, moment),)})


def test_without_labels_nearby_series_are_read_and_it_is_said(tmp_path, caplog):
    caplog.set_level(logging.INFO, "bench")
    read_ = read(series(tmp_path))
    assert (read_.frame.columns, read_.windows) == (["series", "time", "value"], {})
    assert "no labels/combined_windows.json beside or above x.csv" in caplog.text


def test_missing_values_are_no_observation_and_repeated_times_keep_the_first(tmp_path):
    rows = ("2024-01-01 00:05:00,2", "2024-01-01 00:00:00,", "2024-01-01 00:05:00,9", "2024-01-01 00:10:00,x")
    read_ = read(series(tmp_path, rows, {"own/x.csv": []}))
    assert (read_.frame["value"].to_list(), read_.cleaning) == ([None, 2.0, None], {"duplicate time": 1})
    assert not read_.frame["label"].any()


def test_two_series_of_one_name_are_told_apart_by_their_folders(tmp_path):
    series(tmp_path)
    series(tmp_path, windows={"own/x.csv": [], "more/x.csv": []}, name="more/x.csv")
    assert read(tmp_path).names == ("more/x", "own/x")


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ("{", r"combined_windows\.json is no JSON"),
        ([], r"must map files to windows"),
        ({}, r"says nothing of 'own/x\.csv'; add it, with \[\]"),
        ({"own/x.csv": [["soon", "later"]]}, r"the windows of 'own/x\.csv' cannot be read"),
        ({"own/x.csv": 3}, r"the windows of 'own/x\.csv' cannot be read"),
        ({"own/x.csv": [["2024-01-02 00:00:00", "2024-01-01 00:00:00"]]}, r"ends before it starts.*swap its ends"),
    ],
)
def test_wrong_labels_are_errors_that_name_the_file(tmp_path, windows, message):
    with pytest.raises(DataError, match=message):
        read(series(tmp_path, windows=windows))


def test_unreadable_series_are_errors(tmp_path):
    with pytest.raises(DataError, match=r"column 'timestamp' cannot be read on 2 of 2 rows, first on row 1 \('1/2/24'\)"):
        read(series(tmp_path, ("1/2/24,1", "1/3/24,2")))
    with pytest.raises(DataError, match="column 'value' holds no number"):
        read(series(tmp_path, ("2024-01-01 00:00:00,high",)))


# ---- what is wrong with a file of edges


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"a b {T}\na b {T} 5\n", r"line 2 has more than 3 fields \('a b \d+ 5'\)"),
        (f"a b {T}000\nc d {T}000\n", r"column 'time' cannot be read on 2 of 2 rows, first on row 1.*milliseconds are too large"),
        (f"src dst when\na b {T}\n", r"no column 'time'; known: dst, src, when"),
        (f"src time dst time\na 1 b {T}\n", r"two columns have one name"),
        (f"1 {T}\n", r"the first line '1 \d+' has 2 fields; expected SRC DST UNIXTS"),
        (f"source,target,rating,time\na,b,good,{T}\n", r"column 'rating' holds no number on any row \(first: 'good'\)"),
        ("13 14 1082040,,,,961\n12 13 1082040962\n", r"the first line '13 14 1082040    961' has 5 fields"),
        ("src dst time\n", "no event is left after cleaning"),
        ("# nothing\n", "holds no row"),
        (f"a a {T}\n", r"no event is left after cleaning \(self-loop: 1\)"),
    ],
)
def test_unreadable_edges_are_errors_that_name_the_place(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(DataError, match=message) as error:
        read(path)
    assert "net.txt" in str(error.value)


def test_missing_empty_and_damaged_sources_are_errors(tmp_path):
    with pytest.raises(DataError, match="no file or folder"):
        read(tmp_path / "gone.txt")
    with pytest.raises(DataError, match=r"empty\.txt is empty"):
        read(written(tmp_path, "", "empty.txt"))
    damaged = tmp_path / "x.txt.gz"
    damaged.write_bytes(gzip.compress(b"a b 1\n" * 999)[:-9])
    with pytest.raises(DataError, match=r"cannot read .*x\.txt\.gz"):
        read(damaged)


def test_folders_that_are_no_log_say_what_to_give(tmp_path):
    written(tmp_path, "hello world\n", "README.txt")
    with pytest.raises(DataError, match="holds no file of edges; it needs lines SRC DST UNIXTS"):
        read(tmp_path)
    written(tmp_path, f"a b {T}\n", "deep/net.txt")
    with pytest.raises(DataError, match="give its folder deep"):
        read(tmp_path)
    written(tmp_path, f"a b {T}\n", "net.txt")
    (tmp_path / "net.txt.gz").write_bytes(gzip.compress(f"a b {T}\n".encode()))
    with pytest.raises(DataError, match="two files for kind 'net'"):
        read(tmp_path)


def test_unknown_choices_are_refused(tmp_path):
    path = written(tmp_path, f"a b {T}\n")
    with pytest.raises(ConfigError, match=r"social\.receive='yes' is unknown; known: false, true"):
        read(path, receive="yes")
    with pytest.raises(ConfigError, match=r"social\.duplicates='drops' is unknown; did you mean 'drop'"):
        read(path, duplicates="drops")
    with pytest.raises(ConfigError, match=r"social\.receive is for edges"):
        read(series(tmp_path), receive="true")


def test_the_plugin_offers_the_adapter_with_a_card(college):
    assert bench_datasets() == [Social]
    assert isinstance(college, Events)
    assert Social.card.activity == ("message",)
    assert set(Social.options) == {"receive", "duplicates"}
