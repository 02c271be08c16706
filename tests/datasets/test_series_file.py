"""Series are read in every form; a fixed test part and labels come along; what is wrong is said."""

from __future__ import annotations

import datetime as dt
import gzip
import logging

import polars as pl
import pytest

from bench.data.fingerprint import fingerprint
from bench.data.series import Series
from bench.errors import DataError
from bench.sources.cache import read_cached
from bench_datasets.series import SeriesFile, bench_datasets

UTC = dt.UTC


def read(path, **options):
    return SeriesFile().read(path, options)


def written(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def rows(series, *columns):
    return series.frame.select(columns or ["series", "value"]).rows()


# ---- real files


@pytest.mark.parametrize("place", ["m4_hourly", "m4_hourly/Hourly-train.csv"])
def test_m4_hourly_has_414_series_of_two_lengths_and_a_fixed_test_part(real, place):
    assert SeriesFile().detect(real / place) == "m4"
    series = read(real / place)
    assert (series.name, len(series.names), series.frame["time"].null_count()) == ("m4-hourly", 414, len(series))
    lengths = series.frame.group_by("series").agg(train=(~pl.col("test")).sum(), test=pl.col("test").sum())
    assert dict(lengths["train"].value_counts().iter_rows()) == {960: 245, 700: 169}
    assert lengths["test"].to_list() == [48] * 414
    assert (series.frame["value"].min(), series.frame["value"].max()) == (10, 703_008)
    first = series.frame.filter(pl.col("series") == "H1")
    assert first["value"][:3].to_list() == [605, 586, 586]
    assert not first["test"][:700].any()
    assert first["test"][700:].all()  # the test steps stand last, in order


def test_the_page_views_are_one_series_named_by_its_file(real):
    series = read(real / "wp_page_views" / "example_wp_log_peyton_manning.csv")
    assert (len(series), series.names) == (2_905, ("example_wp_log_peyton_manning",))
    assert (series.frame["time"].min(), series.frame["time"].max()) == tuple(
        dt.datetime(*day, tzinfo=UTC) for day in ((2007, 12, 10), (2016, 1, 20))
    )


def test_other_files_of_a_folder_are_named_and_passed_over(real, caplog):
    with caplog.at_level(logging.INFO, "bench"):
        series = read(real / "wp_page_views")
    assert (len(series), series.name) == (2_905, "wp_page_views")
    assert "passed over in wp_page_views: LICENSE, README.md, SHA256SUMS" in caplog.text


def test_a_folder_of_files_without_names_is_one_series_each(real):
    series = read(real / "nab" / "realTweets")
    assert (len(series), len(series.names)) == (158_631, 10)
    assert SeriesFile().detect(real / "nab" / "realTweets") == "single-folder"


def test_series_come_back_from_the_cache_unchanged(real):
    first, second = (read_cached(SeriesFile(), real / "m4_hourly", {}) for _ in range(2))
    assert (first.hit, second.hit) == (False, True)
    assert isinstance(second.data, Series)
    assert first.fingerprint == second.fingerprint
    assert first.data.frame.equals(second.data.frame)
    assert (second.data.name, second.data.rows_read, second.data.cleaning) == ("m4-hourly", len(first.data), {})


@pytest.mark.parametrize("other", ["cdnow", "college_msg", "kddcup2015_mooc", "no such"])
def test_other_data_is_not_claimed(real, other):
    assert SeriesFile().detect(real / other) is None


# ---- forms that the tests write


@pytest.mark.parametrize("names", [("unique_id", "ds", "y"), ("item_id", "timestamp", "target"), ("Series", "Time", "Value")])
@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet", "jsonl"])
def test_long_tables_say_the_same_under_all_names_and_forms(tmp_path, names, form):
    table = pl.DataFrame({"a": ["x", "y", "x"], "b": ["2024-01-02", "2024-01-01", "2024-01-01"], "c": [2.0, None, 1.0]})
    table = table.rename(dict(zip("abc", names, strict=True)))
    path = tmp_path / f"sales.{form}"
    if form == "parquet":
        table.write_parquet(path)
    elif form == "jsonl":
        table.write_ndjson(path)
    else:
        text = table.write_csv().encode()
        path.write_bytes(gzip.compress(text) if form.endswith(".gz") else text)
    series = read(path)
    assert SeriesFile().detect(path) == "long"
    assert rows(series) == [("x", 1.0), ("x", 2.0), ("y", None)]
    assert (series.name, series.frame["time"][0]) == ("sales", dt.datetime(2024, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("label", ["label", "is_anomaly", "anomaly"])
def test_labelled_series_keep_their_labels(tmp_path, label):
    path = written(tmp_path / "a.csv", f"timestamp,value,{label}", "2024-01-01 00:00:00,1,0", "2024-01-01 00:05:00,9,1")
    assert SeriesFile().detect(path) == "labelled"
    assert rows(read(path), "value", "label") == [(1.0, False), (9.0, True)]
    assert "label" not in read(path, label="none").frame.columns


def test_a_label_that_is_neither_0_nor_1_is_an_error_with_the_row(tmp_path):
    path = written(tmp_path / "a.csv", "timestamp,value,label", "2024-01-01,1,0", "2024-01-02,9,2")
    with pytest.raises(DataError, match=r"a\.csv: column 'label' must hold 0 or 1, row 2 \('2'\)"):
        read(path)


def test_columns_of_any_name_can_be_given(tmp_path):
    path = written(tmp_path / "a.csv", "shop,day,sold", "n,2024-01-01,3", "s,2024-01-01,4")
    assert rows(read(path, series="shop", time="day", value="sold")) == [("n", 3.0), ("s", 4.0)]


def test_whole_numbers_for_times_are_steps_and_missing_ones_are_filled(tmp_path):
    path = written(tmp_path / "a.csv", "unique_id,ds,y", "a,3,30", "a,1,10", "b,7,70", "b,8,80")
    series = read(path)
    assert rows(series) == [("a", 10.0), ("a", None), ("a", 30.0), ("b", 70.0), ("b", 80.0)]
    assert series.frame["time"].null_count() == 5


def test_numbers_too_far_apart_for_steps_and_repeated_steps_are_errors(tmp_path):
    with pytest.raises(DataError, match="too far apart for steps; write dates, or give time_unit"):
        read(written(tmp_path / "a.csv", "ds,y", "3600,1", "7200,2"))
    with pytest.raises(DataError, match="a series has one step twice"):
        read(written(tmp_path / "a.csv", "ds,y", "1,1", "1,2"))
    assert read(tmp_path / "a.csv", time_unit="s").frame["time"].null_count() == 0


def test_unix_times_dates_in_digits_and_zones_are_read_as_in_logs(tmp_path):
    unix = read(written(tmp_path / "a.csv", "ds,y", "1704103200,1", "1704106800,2"))
    assert unix.frame["time"][0] == dt.datetime(2024, 1, 1, 10, tzinfo=UTC)
    assert read(written(tmp_path / "b.csv", "ds,y", "20240101,1")).frame["time"][0] == dt.datetime(2024, 1, 1, tzinfo=UTC)
    zoned = read(written(tmp_path / "c.csv", "ds,y", "2024-01-01 10:00:00,1"), zone="Europe/Berlin")
    assert zoned.frame["time"][0] == dt.datetime(2024, 1, 1, 9, tzinfo=UTC)


def test_rows_without_a_name_or_a_date_are_counted_and_bad_values_are_missing(tmp_path):
    good = [f"a,2024-01-{1 + i % 28:02d} {i // 28:02d}:00:00,{i}" for i in range(300)]
    series = read(
        written(tmp_path / "a.csv", "unique_id,ds,y", *good, ",2024-01-01,1", "a,soon,1", "a,2024-02-01,NaN", "a,2024-02-02,dear")
    )
    assert series.cleaning == {"no series": 1, "bad date": 1}
    assert (len(series), series.rows_read, series.frame["value"].null_count()) == (302, 304, 2)
    with pytest.raises(DataError, match=r"column 'y' cannot be read on 2 of 2 rows, first on row 1 \('dear'\)"):
        read(written(tmp_path / "b.csv", "ds,y", "2024-01-01,dear", "2024-01-02,dear"))


# ---- the wide form


def wide(folder, train, test, names=("x-train.csv", "x-test.csv")):
    for name, lines in zip(names, (train, test), strict=True):
        width = max(len(line) for line in lines)
        head = ",".join(f'"V{i + 1}"' for i in range(width))
        written(
            folder / name, head, *(",".join(f'"{v}"' if v != "" else "" for v in [*line, *[""] * (width - len(line))]) for line in lines)
        )
    return folder


@pytest.mark.parametrize("names", [("x-train.csv", "x-test.csv"), ("train.csv", "test.csv"), ("Train.csv", "Test.csv")])
def test_empty_cells_end_a_series_and_one_inside_is_a_missing_value(tmp_path, names):
    folder = wide(tmp_path, [["a", 1, "", 3], ["b", 9]], [["b", 10], ["a", 4]], names)
    series = read(folder)
    assert rows(series, "series", "value", "test") == [
        ("a", 1.0, False), ("a", None, False), ("a", 3.0, False), ("a", 4.0, True), ("b", 9.0, False), ("b", 10.0, True),
    ]  # fmt: skip
    assert rows(read(folder / names[0])) == rows(series)


def test_the_order_of_steps_without_times_is_part_of_the_fingerprint(tmp_path):
    for name, values in (("one", [1, 2, 3]), ("two", [2, 1, 3]), ("three", [1, 2, 3])):
        (tmp_path / name).mkdir()
        wide(tmp_path / name, [["a", *values]], [["a", 4]])
    one, two, three = (fingerprint(read(tmp_path / n), "series/1") for n in ("one", "two", "three"))
    assert one == three != two


def test_a_wide_file_without_its_partner_and_two_sets_in_a_folder_are_errors(tmp_path):
    folder = wide(tmp_path, [["a", 1]], [["a", 2]])
    with pytest.raises(DataError, match=r"x-test\.csv is in M4's wide form.*give the train file"):
        read(folder / "x-test.csv")
    wide(tmp_path, [["a", 1]], [["a", 2]], ("z-train.csv", "z-test.csv"))
    with pytest.raises(DataError, match=r"holds several sets \(x-train\.csv, z-train\.csv\); give one train file"):
        read(folder)
    assert len(read(folder / "z-train.csv")) == 2


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        ([["a", 1], ["b", 1]], [["a", 2]], "x-test.csv: no series 'b' (1 stand in one file only)"),
        ([["a", 1]], [["a", 2], ["c", 2]], "x-train.csv: no series 'c'"),
        ([["a", 1], ["a", 1]], [["a", 2]], "x-train.csv: column 'V1' must name each series once"),
        ([["a", "x"]], [["a", 2]], "x-train.csv: column 'value' cannot be read"),
    ],
)
def test_what_is_wrong_with_wide_files_is_said(tmp_path, train, test, words):
    with pytest.raises(DataError) as error:
        read(wide(tmp_path, train, test))
    assert words in str(error.value)


# ---- what is wrong with a file


def test_a_table_that_is_no_series_is_named_with_the_likely_column(tmp_path):
    with pytest.raises(DataError, match=r"no column is known as the value; did you mean 'taget'\? Name it with --set series\.value="):
        read(written(tmp_path / "a.csv", "ds,taget", "2024-01-01,1"))
    with pytest.raises(DataError, match=r"no column 'sold'; did you mean 'solds'\?"):
        read(written(tmp_path / "b.csv", "ds,solds", "2024-01-01,1"), value="sold")


def test_a_table_of_something_else_in_a_folder_is_passed_over_and_two_forms_are_refused(tmp_path, caplog):
    written(tmp_path / "a.csv", "ds,y", "2024-01-01,1")
    written(tmp_path / "meta.csv", "shop,town", "1,x")
    with caplog.at_level(logging.INFO, "bench"):
        assert read(tmp_path).names == ("a",)
    assert "meta.csv is no table of series; it has shop, town" in caplog.text
    written(tmp_path / "b.csv", "unique_id,ds,y", "u,2024-01-01,1")
    with pytest.raises(DataError, match=r"a\.csv is single and .*b\.csv is long; give files of one form"):
        read(tmp_path)


def test_the_plugin_offers_the_adapter():
    assert bench_datasets() == [SeriesFile]
