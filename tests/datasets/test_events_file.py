"""Anybody's log is read in every form, with a map of its columns that is given or guessed; what is wrong is said."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import logging

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import DataError
from bench.sources.cache import read_cached
from bench_datasets.events import EventsFile, bench_datasets

UTC = dt.UTC
T0 = dt.datetime(2024, 1, 1, 10, tzinfo=UTC)
ROWS = [
    {"customer_id": "007", "ts": "2024-01-01 10:00:00", "what": "buy", "paid": 2.5, "thing": "a", "shop": 1},
    {"customer_id": "8", "ts": "2024-01-02 10:00:00", "what": "look", "paid": None, "thing": None, "shop": 2},
    {"customer_id": "007", "ts": "2024-01-03 10:00:00", "what": "buy", "paid": 1.0, "thing": "b", "shop": 1},
]
MAP = {"user": "customer_id", "time": "ts", "kind": "what", "value": "paid", "item": "thing"}


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, "bench")
    return lambda: caplog.text


def read(path, **options):
    return EventsFile().read(path, options)


def csv(path, *lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def times(events):
    return events.frame.sort("time")["time"].to_list()


def log_of(path, texts, head="user,time"):
    """Write one user's events at the given times."""
    return csv(path, head, *(f"u,{text}" for text in texts))


def written(folder, form):
    frame = pl.DataFrame(ROWS)
    path = folder / f"log.{form}"
    plain = form.removesuffix(".gz")
    if plain == "parquet":
        frame.with_columns(pl.col("ts").str.to_datetime("%Y-%m-%d %H:%M:%S")).write_parquet(path)
        return path
    if plain == "jsonl":
        content = "\n".join(json.dumps(row) for row in ROWS).encode()
    else:
        separator = {"csv": ",", "tsv": "\t", "semicolon.csv": ";", "pipe.txt": "|"}[plain]
        content = frame.write_csv(separator=separator, line_terminator="\r\n").encode()
    path.write_bytes(gzip.compress(content, mtime=0) if form.endswith(".gz") else content)
    return path


FORMS = ["csv", "csv.gz", "tsv", "semicolon.csv", "pipe.txt", "parquet", "jsonl", "jsonl.gz"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(tmp_path, form):
    events = read(written(tmp_path, form), **MAP)
    assert events.name == "log"
    assert events.frame.columns == ["user", "time", "kind", "value", "item", "shop"]
    assert [tuple(row) for row in events.frame.rows()] == [
        ("007", T0, "buy", 2.5, "a", 1),
        ("007", T0 + dt.timedelta(days=2), "buy", 1.0, "b", 1),
        ("8", T0 + dt.timedelta(days=1), "look", None, None, 2),
    ]
    assert (events.activity, events.rows_read, events.cleaning) == (("buy", "look"), 3, {})


@settings(deadline=None, max_examples=20)
@given(
    rows=st.lists(
        st.tuples(
            st.text("ab01 ;|'é", max_size=3),
            st.integers(10**9, 2 * 10**9),
            st.one_of(st.none(), st.floats(-1e6, 1e6).map(lambda x: round(x, 2))),
        ),
        min_size=3,
        max_size=9,
    )
)
def test_csv_parquet_and_json_lines_of_one_table_are_one_log(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("same")
    frame = pl.DataFrame(rows, schema={"user": pl.String, "time": pl.Int64, "value": pl.Float64}, orient="row")
    frame.write_csv(folder / "a.csv", quote_style="always")
    frame.write_parquet(folder / "a.parquet")
    frame.write_ndjson(folder / "a.jsonl")
    if (frame["user"].str.strip_chars() == "").all():
        return  # nobody is left
    logs = [read(folder / f"a.{form}", time_unit="s") for form in ("csv", "parquet", "jsonl")]
    for other in logs[1:]:
        assert other.frame.equals(logs[0].frame)
        assert other.cleaning == logs[0].cleaning


def test_a_folder_of_one_kind_is_one_log_and_what_lies_beside_is_named(tmp_path, said):
    folder = tmp_path / "2024"
    folder.mkdir()
    log_of(folder / "1.csv", ["2024-01-01"])
    log_of(folder / "2.csv", ["2024-01-02"])
    (folder / "README.md").write_text("words\n")
    (folder / "_SUCCESS").touch()
    events = read(folder)
    assert (events.name, len(events), EventsFile().detect(folder)) == ("2024", 2, "csv-folder")
    assert "passed over in 2024: README.md, _SUCCESS" in said()


def test_a_folder_of_two_kinds_or_of_none_is_refused(tmp_path):
    (tmp_path / "README.md").write_text("words\n")
    with pytest.raises(DataError, match=r"holds no table; it needs files of one kind: \.csv"):
        read(tmp_path)
    written(tmp_path, "csv")
    written(tmp_path, "jsonl")
    with pytest.raises(DataError, match=r"mixes csv \(log\.csv\) and jsonl \(log\.jsonl\)"):
        read(tmp_path)


def test_the_odd_file_of_a_folder_is_named(tmp_path):
    log_of(tmp_path / "1.csv", ["2024-01-01"])
    log_of(tmp_path / "2.csv", ["2024-01-02"], head="who,time")
    with pytest.raises(DataError, match=r"2\.csv: no column 'user'"):
        read(tmp_path)


# ---- the map


def test_obvious_names_are_guessed_and_the_guess_is_said(tmp_path, said):
    path = csv(tmp_path / "log.csv", "Customer ID,Event Time,event_type,Amount,product_id,note", "7,2024-01-01,buy,3,x,y")
    [row] = read(path).frame.rows(named=True)
    assert row == {"user": "7", "time": T0.replace(hour=0), "kind": "buy", "value": 3.0, "item": "x", "note": "y"}
    assert "user = Customer ID, time = Event Time, kind = event_type, value = Amount, item = product_id" in said()


@pytest.mark.parametrize(
    "head", ["CustomerID,InvoiceDate", "Customer ID,InvoiceDate", "cust_id,when", "household_key,order_date", "uid,ts"]
)
def test_common_names_of_the_field_are_guessed(tmp_path, head):
    [row] = read(csv(tmp_path / "log.csv", head, "7,2024-01-01")).frame.rows(named=True)
    assert (row["user"], row["time"]) == ("7", T0.replace(hour=0))


def test_a_guess_can_be_refused_and_a_given_name_wins(tmp_path):
    path = csv(tmp_path / "log.csv", "user,customer,time,kind,value", "a,b,2024-01-01,buy,3")
    [row] = read(path, user="customer", kind="none", value="none").frame.rows(named=True)
    assert (row["user"], row["kind"], row["value"]) == ("b", "event", None)
    # what had our names is kept under others
    assert (row["raw_user"], row["raw_kind"], row["raw_value"]) == ("a", "buy", 3)


def test_extra_columns_called_as_ours_get_names_that_are_free(tmp_path):
    path = csv(tmp_path / "log.csv", "user,time,type,kind,raw_kind,count,raw_count", "a,2024-01-01,buy,old,older,x,y")
    [row] = read(path, kind="type").frame.rows(named=True)
    assert (row["kind"], row["raw_raw_kind"], row["raw_kind"]) == ("buy", "old", "older")
    assert (row["raw_raw_count"], row["raw_count"]) == ("x", "y")


def test_parts_of_a_folder_agree_on_the_names_of_extra_columns(tmp_path):
    (tmp_path / "log").mkdir()
    csv(tmp_path / "log" / "a.csv", "user,time,type,kind", "a,2024-01-01,buy,first")
    csv(tmp_path / "log" / "b.csv", "user,time,type,kind,raw_kind", "b,2024-01-01,buy,second,other")
    assert read(tmp_path / "log", kind="type").frame["raw_raw_kind"].to_list() == ["first", "second"]


@pytest.mark.parametrize(
    ("head", "options", "words"),
    [
        ("customer_id,time", {"user": "customer"}, "no column 'customer'; did you mean 'customer_id'?"),
        ("customer_id,time", {"time": "tiem"}, "no column 'tiem'; did you mean 'time'?"),
        ("customer_id,time", {"kind": "zzz"}, "no column 'zzz'; known: customer_id, time"),
        ("custmer,time", {}, "no column is known as the user; did you mean 'custmer'? Name it with --user COLUMN"),
        ("user,BookingDate", {}, "no column is known as the time; did you mean 'BookingDate'? Name it with --time COLUMN"),
        ("x,y", {}, "no column is known as the user; it has x, y. Name it with --user COLUMN"),
    ],
)
def test_a_missing_column_is_named_with_the_likely_one(tmp_path, head, options, words):
    path = csv(tmp_path / "log.csv", head, "a,2024-01-01")
    with pytest.raises(DataError) as error:
        read(path, **options)
    assert "log.csv: " in str(error.value)
    assert words in str(error.value)


def test_extra_columns_pass_through_with_their_types_and_ids_keep_their_zeros(tmp_path):
    path = csv(tmp_path / "log.csv", "user,time,n,x,zip,reason,duplicate", "a,2024-01-01,3,1.5,01234,r,1", "b,2024-01-02,,2,99999,s,0")
    frame = read(path).frame
    assert [frame.schema[c] for c in ("n", "x", "zip", "reason", "duplicate")] == [pl.Int64, pl.Float64, pl.String, pl.String, pl.Int64]
    assert frame["n"].to_list() == [3, None]


def test_a_column_of_counts_is_taken_as_such_only_where_it_can_be_one(tmp_path, said):
    assert "count" in read(csv(tmp_path / "a.csv", "user,time,count", "a,2024-01-01,3")).frame.columns
    assert "count" not in read(csv(tmp_path / "b.csv", "user,time,count", "a,2024-01-01,0")).frame.columns
    assert "taken as the number of events" in said()
    assert "passes through as 'raw_count'" in said()


def test_nested_columns_are_left_out_and_named(tmp_path, said):
    (tmp_path / "a.jsonl").write_text('{"user": 1, "time": "2024-01-01", "props": {"a": 1}, "tags": ["x"]}\n')
    assert read(tmp_path / "a.jsonl").frame.columns == ["user", "time", "kind", "value", "item"]
    assert "left out, being no plain values: props, tags" in said()


# ---- times


@pytest.mark.parametrize(
    ("unit", "scale"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)]
)  # fmt: skip
def test_the_unit_of_unix_times_is_told_by_their_size_and_said(tmp_path, said, unit, scale):
    seconds = int(T0.timestamp())
    for form in ("csv", "parquet"):
        frame = pl.DataFrame({"user": ["a", "a"], "time": [seconds * scale, (seconds + 60) * scale]})
        path = tmp_path / f"log.{form}"
        frame.write_csv(path) if form == "csv" else frame.write_parquet(path)
        assert times(read(path)) == [T0, T0 + dt.timedelta(minutes=1)]
        assert times(read(path, time_unit=unit)) == [T0, T0 + dt.timedelta(minutes=1)]
    words = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}[unit]
    assert f"Unix times in {words}, by their size" in said()


def test_fractions_of_a_unix_second_are_kept(tmp_path):
    assert times(read(log_of(tmp_path / "a.csv", [f"{T0.timestamp():.0f}.25"]))) == [T0.replace(microsecond=250_000)]


def test_small_numbers_are_no_unix_times_unless_the_unit_is_given(tmp_path):
    path = log_of(tmp_path / "a.csv", range(1, 60))
    with pytest.raises(DataError, match=r"'time' holds numbers too small for Unix times .* row 1 \('1'\).*give time_unit"):
        read(path)
    assert times(read(path, time_unit="s"))[0] == dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01 10:00:00", "2024-01-01T10:00:00", "2024-01-01 10:00", "2024-01-01 10:00:00.000", "2024/01/01 10:00:00",
        "2024-01-01T10:00:00Z", "2024-01-01 12:00:00+02:00", "2024-01-01T12:00:00+0200", "2024-01-01 12:00:00 +02:00",
        "2024-01-01 12:00:00+02", "2024-01-01 10:00:00 UTC", "20240101100000", " 2024-01-01 10:00:00 ",
    ],
)  # fmt: skip
def test_times_are_read_however_they_are_spelt(tmp_path, text):
    assert times(read(log_of(tmp_path / "a.csv", [text]))) == [T0]


def test_dates_alone_and_dates_in_digits_are_days(tmp_path):
    day = T0.replace(hour=0)
    pl.DataFrame({"user": ["u"], "time": [20240101]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"user": ["u"], "time": [dt.date(2024, 1, 1)]}).write_parquet(tmp_path / "b.parquet")
    assert times(read(tmp_path / "a.parquet")) == times(read(tmp_path / "b.parquet")) == [day]
    for text in ("2024-01-01", "20240101", "2024/01/01"):
        assert times(read(log_of(tmp_path / "a.csv", [text]))) == [day]


def test_whether_the_day_or_the_month_comes_first_is_found_out_or_asked(tmp_path, said):
    third_of_april, fourth_of_march = dt.datetime(2024, 4, 3, 10, tzinfo=UTC), dt.datetime(2024, 3, 4, 10, tzinfo=UTC)
    assert times(read(log_of(tmp_path / "a.csv", ["03/04/2024 10:00", "31/12/2024 10:00"])))[0] == third_of_april
    assert times(read(log_of(tmp_path / "a.csv", ["03/04/2024 10:00", "12/31/2024 10:00"])))[0] == fourth_of_march
    assert times(read(log_of(tmp_path / "a.csv", ["03.04.2024 10:00"]))) == [third_of_april]
    american = ["3/4/2024 10:00:00 AM", "3/4/2024 11:00:00 PM", "3/14/2024 1:00:00 AM"]
    assert times(read(log_of(tmp_path / "a.csv", american)))[:2] == [fourth_of_march, fourth_of_march.replace(hour=23)]
    assert "the day comes first" in said()
    assert "the month comes first" in said()
    path = log_of(tmp_path / "a.csv", ["03/04/2024 10:00"])
    with pytest.raises(DataError, match=r"does not tell whether day or month comes first, row 1 \('03/04/2024 10:00'\); give date_order="):
        read(path)
    assert times(read(path, date_order="dmy")) == [third_of_april]
    assert times(read(path, date_order="mdy")) == [fourth_of_march]


def test_local_times_take_the_zone_and_the_odd_ones_follow_the_rule_and_are_counted(tmp_path, said):
    texts = ["2024-01-01 10:00:00", "2024-03-31 02:30:00", "2024-10-27 02:30:00"]
    winter, gone, twice = times(read(log_of(tmp_path / "a.csv", texts), zone="Europe/Berlin"))
    assert winter == T0.replace(hour=9)
    assert gone == dt.datetime(2024, 3, 31, 1, 30, tzinfo=UTC)  # 03:30 by the clock that has moved on
    assert twice == dt.datetime(2024, 10, 27, 0, 30, tzinfo=UTC)  # the first of both
    assert "1 local times occur twice, the first is meant; 1 do not exist and are moved on" in said()


def test_times_with_a_zone_of_their_own_keep_it(tmp_path):
    path = log_of(tmp_path / "a.csv", ["2024-01-01T10:00:00Z"])
    assert times(read(path, zone="Europe/Berlin")) == [T0]
    pl.DataFrame({"user": ["u"], "time": [T0]}).write_parquet(tmp_path / "a.parquet")
    assert times(read(tmp_path / "a.parquet", zone="Europe/Berlin")) == [T0]
    pl.DataFrame({"user": ["u"], "time": [T0.replace(tzinfo=None)]}).write_parquet(tmp_path / "b.parquet")
    assert times(read(tmp_path / "b.parquet", zone="Europe/Berlin")) == [T0.replace(hour=9)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"zone": "Europe/Berlim"}, "zone 'Europe/Berlim' is no time zone; did you mean 'Europe/Berlin'?"),
        ({"time_unit": "sec"}, "option time_unit='sec' is unknown; use s, ms, us, ns"),
        ({"date_order": "ymd"}, "option date_order='ymd' is unknown; use dmy, mdy"),
        ({"duplicates": "no"}, "option duplicates='no' is unknown; use keep, drop"),
        ({"activity": "evnt"}, "activity=evnt: no event is of that kind; did you mean 'event'?"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(tmp_path, options, words):
    with pytest.raises(DataError) as error:
        read(log_of(tmp_path / "a.csv", ["2024-01-01"]), **options)
    assert words in str(error.value)


def test_mixed_zones_are_an_error_with_the_row(tmp_path):
    path = log_of(tmp_path / "a.csv", ["2024-01-01 10:00:00", "2024-01-01 10:00:00+02:00", "2024-01-01 11:00:00"])
    with pytest.raises(DataError, match=r"'time' mixes 1 times with a zone and 2 without: row 2 \('2024-01-01 10:00:00\+02:00'\) has one"):
        read(path)


def test_a_few_bad_dates_are_counted_and_many_are_an_error(tmp_path):
    good = [f"2024-01-{1 + i % 28:02d} 10:00:00" for i in range(300)]
    assert read(log_of(tmp_path / "a.csv", [*good, "soon", "", "0024-01-01"])).cleaning == {"bad date": 3}
    with pytest.raises(DataError, match=r"a\.csv: column 'time' cannot be read on 4 of 304 rows, first on row 301 \('soon'\); write"):
        read(log_of(tmp_path / "a.csv", [*good, *["soon"] * 4]))
    with pytest.raises(DataError, match=r"cannot be read on 1 of 1 rows"):
        read(log_of(tmp_path / "a.csv", ["soon"]))


def test_a_bad_date_of_a_folder_is_found_in_its_file(tmp_path):
    log_of(tmp_path / "1.csv", ["2024-01-01", "2024-01-02"])
    log_of(tmp_path / "2.csv", ["2024-01-01", "soon", "later"])
    with pytest.raises(DataError, match=r"2\.csv: column 'time' cannot be read on 2 of 5 rows, first on row 2 \('soon'\)"):
        read(tmp_path)


# ---- cleaning


def test_rows_without_a_user_are_dropped_and_ids_have_one_spelling(tmp_path):
    path = csv(tmp_path / "a.csv", "user,time", *(f"{u},2024-01-01" for u in ("17850.0", "", "nan", "NULL", "12.00")))
    events = read(path)
    assert events.cleaning == {"no user": 3}
    assert events.frame["user"].to_list() == ["12", "17850"]
    pl.DataFrame({"user": [17850.0, None, 12.0], "time": ["2024-01-01"] * 3}).write_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet").frame.equals(events.frame)
    mixed = read(csv(tmp_path / "b.csv", "user,time", "1.0,2024-01-01", "1.5,2024-01-01"))
    assert mixed.frame["user"].to_list() == ["1.0", "1.5"]


def test_exact_duplicates_are_kept_unless_asked(tmp_path):
    path = csv(tmp_path / "a.csv", "user,time,note", "a,2024-01-01,x", "a,2024-01-01,x", "a,2024-01-01,y")
    assert len(read(path)) == 3
    dropped = read(path, duplicates="drop")
    assert (len(dropped), dropped.cleaning) == (2, {"duplicate": 1})


def test_activity_counts_the_kinds_named(tmp_path):
    path = written(tmp_path, "csv")
    assert read(path, **MAP, activity="buy").activity == ("buy",)
    assert read(path, **MAP, activity="look, buy").activity == ("look", "buy")


def test_an_empty_kind_is_unknown(tmp_path):
    events = read(csv(tmp_path / "a.csv", "user,time,kind", "a,2024-01-01,", "a,2024-01-02,buy"))
    assert events.kinds == ("buy", "unknown")


def test_amounts_that_are_no_numbers_become_empty_and_many_are_an_error(tmp_path, said):
    rows = [f"a,2024-01-01,{v}" for v in [*range(300), "dear", ""]]
    events = read(csv(tmp_path / "a.csv", "user,time,value", *rows))
    assert (len(events), events.frame["value"].null_count()) == (302, 2)
    assert "1 values are no numbers" in said()
    with pytest.raises(DataError, match=r"column 'value' cannot be read on 2 of 3 rows, first on row 1 \('1,5'\)"):
        read(csv(tmp_path / "b.csv", "user;time;value", "a;2024-01-01;1,5", "a;2024-01-01;2,5", "a;2024-01-01;2"))


def test_infinite_amounts_of_a_parquet_file_become_empty(tmp_path):
    pl.DataFrame({"user": ["a"] * 200, "time": [T0] * 200, "value": [1.0] * 199 + [float("inf")]}).write_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet").frame["value"].null_count() == 1


# ---- files


def test_old_encodings_and_marks_of_order_are_read(tmp_path):
    for encoding in ("utf-8", "utf-8-sig", "latin-1", "utf-16"):
        path = tmp_path / "a.csv"
        path.write_text("user,time,town\na,2024-01-01,Curaçao\n", encoding=encoding)
        assert read(path).frame["town"].to_list() == ["Curaçao"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"user,time\n", "no event is left"),
        ("a.csv", b"user,time\na,2024-01-01,x\n", "Expected 2 columns, got 3"),
        ("a.csv", b"user,user,time\na,b,2024-01-01\n", "a.csv"),
        ("a.jsonl", b'{"user": 1, "time": "2024-01-01"}\n{"user"\n', "line 2 is no JSON"),
        ("a.jsonl", b'{"user": 1, "time": "2024-01-01"}\n[1]\n', "line 2 is no JSON object"),
        ("a.json", b'[{"user": 1}]', "is a JSON array; write JSON lines"),
        ("a.parquet", b"PAR1 nothing", "cannot be read as Parquet"),
        ("a.xlsx", b"PK\x03\x04", "is no table of text, Parquet or JSON lines"),
        ("a.csv.gz", gzip.compress(b"user,time\na,2024-01-01\n" * 99, mtime=0)[:-9], "cannot read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_cure(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read(path)
    assert name in str(error.value)
    assert words in str(error.value)


def test_a_missing_file_is_an_error_that_proposes_a_neighbour(tmp_path):
    written(tmp_path, "csv")
    with pytest.raises(DataError, match=r"no file or folder .*lg\.csv; did you mean 'log\.csv'"):
        read(tmp_path / "lg.csv")


def test_what_was_guessed_is_said_again_when_the_log_comes_from_the_cache(tmp_path):
    path = log_of(tmp_path / "a.csv", [int(T0.timestamp())])
    first, second = (read_cached(EventsFile(), path, {}) for _ in range(2))
    assert (first.hit, second.hit) == (False, True)
    words = ("columns guessed: user = user, time = time", "column 'time': Unix times in seconds, by their size")
    assert first.notes == second.notes == words
    assert logging.getLogger("bench").level == logging.NOTSET


@pytest.mark.parametrize(
    ("place", "options", "rows", "users", "cleaning"),
    [
        ("movielens_latest_small/ratings.csv", {"value": "rating", "item": "movieId"}, 100_004, 671, {}),
        ("online_retail/by-day", {"user": "CustomerID", "time": "InvoiceDate"}, 149_053, 2_767, {"no user": 59_976}),
        ("online_retail/online-retail-sample.csv", {"user": "CustomerID", "time": "InvoiceDate"}, 18_623, 3_239, {"no user": 6_377}),
    ],
)
def test_real_logs_are_read_whole(real, place, options, rows, users, cleaning):
    events = read(real / place, **options)
    assert (len(events), events.users, events.cleaning) == (rows, users, cleaning)


def test_only_tables_whose_user_and_time_can_be_guessed_are_claimed(real, tmp_path):
    detect = EventsFile().detect
    assert detect(real / "movielens_latest_small" / "ratings.csv") == "csv"
    assert [detect(written(tmp_path, f)) for f in ("csv.gz", "parquet", "jsonl")] == ["csv", "parquet", "jsonl"]
    for other in ("m4_hourly", "cdnow/CDNOW_master.txt", "college_msg", "no such"):
        assert detect(real / other) is None


def test_the_plugin_offers_the_adapter_which_has_no_simulator():
    assert bench_datasets() == [EventsFile]
    assert EventsFile.simulated_name == ""
