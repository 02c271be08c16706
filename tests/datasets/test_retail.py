"""The retail adapter reads every raw form, counts what it drops, and says what is wrong with a file."""

from __future__ import annotations

import datetime as dt
import gzip

import polars as pl
import pytest
import xlsxwriter

from bench.errors import DataError
from bench.sources.cache import read_cached
from bench_datasets._retail_forms import read_parts
from bench_datasets.retail import Retail, bench_datasets

UTC = dt.UTC
HEAD = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
HEAD_II = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country"
ROW = "600001,85123A,MUG,6,2012-01-02 08:26:00,2.5,17850.0,United Kingdom"


def read(path):
    return Retail().read(path, {})


def written(folder, *rows, head=HEAD, name="shop.csv", encoding="utf-8"):
    path = folder / name
    path.write_text("\n".join([head, *rows]) + "\n", encoding=encoding)
    return path


def row(**change):
    names = ("invoice", "item", "text", "quantity", "date", "price", "user", "country")
    return ",".join((dict(zip(names, ROW.split(","), strict=True)) | change).values())


def many(n, **first):
    """Give n rows that differ; the first ones are changed as asked: name=[text of row 1, text of row 2, ...]."""
    changes = [{name: texts[i] for name, texts in first.items() if i < len(texts)} for i in range(n)]
    return [row(**({"invoice": f"{600001 + i}"} | c)) for i, c in enumerate(changes)]


def counts(events, kind):
    return int((events.frame["kind"] == kind).sum())


# ---- the published files


def test_the_daily_files_are_read_as_one_log_with_every_dropped_row_counted(real):
    path = real / "online_retail" / "by-day"
    assert Retail().detect(path) == "uci-csv-folder"
    events = read(path)
    assert events.name == "online-retail"
    assert events.rows_read == 209_029
    assert events.cleaning == {"no user": 59_976, "duplicate": 1_726, "no price": 13}
    assert len(events) == 209_029 - 59_976 - 1_726 - 13
    assert events.users == 2_767  # all customers of the raw files: cleaning loses none
    assert (counts(events, "purchase"), counts(events, "cancel")) == (143_740, 3_574)
    assert events.frame["value"].sum() == pytest.approx(3_112_449.381)
    assert (events.frame["time"].min(), events.frame["time"].max().date()) == (
        dt.datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        dt.date(2011, 5, 31),
    )
    assert events.frame.columns == ["user", "time", "kind", "value", "item", "quantity", "invoice", "country"]


def test_the_daily_files_hold_the_published_counts_before_cleaning(real):
    files = sorted((real / "online_retail" / "by-day").glob("*.csv"))
    raw = pl.concat(read_parts(f)[0].table for f in files)
    assert len(raw) == 209_029
    assert raw["CustomerID"].null_count() == 59_976
    assert raw["CustomerID"].drop_nulls().n_unique() == 2_767
    assert raw["InvoiceNo"].str.starts_with("C").sum() == 3_783
    assert raw["InvoiceNo"].n_unique() == 10_783
    assert raw["StockCode"].n_unique() == 3_514
    assert raw["Description"].null_count() == 833
    assert len(raw) - raw.n_unique() == 1_747


def test_the_random_sample_is_read_in_its_own_date_form_with_lone_quotes(real):
    path = real / "online_retail" / "online-retail-sample.csv"
    assert Retail().detect(path) == "uci-csv"
    raw = read_parts(path)[0].table
    assert (len(raw), len(raw) - raw.n_unique(), raw["InvoiceNo"].str.starts_with("C").sum()) == (25_000, 14, 451)
    assert raw["Description"].str.contains('"', literal=True).any()
    events = read(path)
    assert events.name == "online-retail-sample"
    assert events.rows_read == 25_000
    assert events.cleaning == {"no user": 6_377, "duplicate": 12, "no price": 2}
    assert events.users == 3_238
    assert events.frame["value"].sum() == pytest.approx(219_472.331)
    assert (events.frame["time"].min().date(), events.frame["time"].max().date()) == (dt.date(2010, 12, 1), dt.date(2011, 12, 9))


@pytest.mark.parametrize(
    ("file", "form", "rows", "users", "discs", "dollars"),
    [
        ("CDNOW_master.txt", "cdnow-master", 69_659, 23_570, 167_881, 2_500_315.63),
        ("CDNOW_sample.txt", "cdnow-sample", 6_919, 2_357, 16_479, 244_091.94),
    ],
)
def test_cdnow_is_recognised_and_kept_whole(real, file, form, rows, users, discs, dollars):
    path = real / "cdnow" / file
    assert Retail().detect(path) == form
    events = read(path)
    assert (events.name, len(events), events.users, events.cleaning) == (form, rows, users, {})
    assert events.frame["quantity"].sum() == discs
    assert events.frame["value"].sum() == pytest.approx(dollars)
    assert events.kinds == ("purchase",)
    assert events.frame["item"].null_count() == rows
    assert (events.frame["time"].min().date(), events.frame["time"].max().date()) == (dt.date(1997, 1, 1), dt.date(1998, 6, 30))


def test_the_cdnow_sample_names_users_as_the_master_does(real):
    master, sample = (read(real / "cdnow" / f"CDNOW_{n}.txt") for n in ("master", "sample"))
    assert (master.frame["value"] == 0).sum() == 80
    columns = [pl.col("user").cast(pl.String), "time", "value", "quantity"]
    assert sample.frame.select(columns).join(master.frame.select(columns), on=["user", "time", "value", "quantity"], how="anti").is_empty()


def test_a_packed_file_says_the_same(real, tmp_path):
    path = real / "cdnow" / "CDNOW_sample.txt"
    packed = tmp_path / "x.txt.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert Retail().detect(packed) == "cdnow-sample"
    assert read(packed).frame.equals(read(path).frame)


def test_folders_that_hold_two_logs_are_refused(real):
    with pytest.raises(DataError, match=r"online-retail-sample\.csv and the folder by-day.*give one"):
        read(real / "online_retail")
    with pytest.raises(DataError, match=r"several logs \(CDNOW_master\.txt, CDNOW_sample\.txt\); give one file"):
        read(real / "cdnow")


@pytest.mark.parametrize(
    "other", ["movielens_latest_small", "college_msg", "nab", "kddcup2015_mooc", "m4_hourly/Hourly-test.csv", "no such"]
)
def test_other_data_is_not_claimed(real, other):
    assert Retail().detect(real / other) is None


def test_real_logs_come_back_from_the_cache_unchanged(real):
    path = real / "online_retail" / "by-day"
    first, second = (read_cached(Retail(), path, {}) for _ in range(2))
    assert (first.hit, second.hit) == (False, True)
    assert first.fingerprint == second.fingerprint
    assert first.data.frame.equals(second.data.frame)


# ---- forms that the tests write


def workbook(path, *sheets, head=HEAD_II):
    """Write rows (invoice, code, text, quantity, time, price, user, country) with the cell types of the real workbooks."""
    with xlsxwriter.Workbook(path) as book:
        dates = book.add_format({"num_format": "m/d/yyyy h:mm"})
        for name, rows in sheets:
            sheet = book.add_worksheet(name)
            sheet.write_row(0, 0, head.split(","))
            for r, cells in enumerate(rows, start=1):
                for c, cell in enumerate(cells):
                    if isinstance(cell, dt.datetime):
                        sheet.write_datetime(r, c, cell, dates)
                    elif cell is not None:
                        sheet.write(r, c, cell)
    return path


def cells(invoice, day, user=13085, *, month=12, year=2010, code="85048", quantity=12, price=6.95):
    return (invoice, code, "LIGHTS", quantity, dt.datetime(year, month, day, 7, 45), price, user, "United Kingdom")  # noqa: DTZ001


def test_online_retail_as_a_workbook_is_read_like_its_csv(tmp_path):
    rows = [cells(600001, 1), cells("C600002", 2, quantity=-1), cells(600003, 3, None), cells(600004, 4, code=22752, price=0)]
    book = workbook(tmp_path / "shop.xlsx", ("Online Retail", rows), head=HEAD)
    lines = [",".join("" if c is None else str(c) for c in r) for r in rows]
    assert (Retail().detect(book), Retail().detect(written(tmp_path, *lines))) == ("uci-xlsx", "uci-csv")
    events = read(book)
    assert events.frame.equals(read(tmp_path / "shop.csv").frame)
    assert (events.name, events.cleaning) == ("shop", {"no user": 1, "no price": 1})
    assert events.frame.select("user", "item", "value", "quantity", "invoice").rows() == [
        ("13085", "85048", pytest.approx(83.4), 12, "600001"),
        ("13085", "85048", pytest.approx(-6.95), -1, "C600002"),
    ]


def test_online_retail_ii_counts_what_stands_in_both_sheets(tmp_path):
    shared = [cells(536365, 1), cells(536366, 9, None), cells(536366, 9, None)]
    first = [cells(489434, 1, year=2009), cells(489435, 2, year=2009), cells(489435, 2, year=2009), *shared]
    second = [*shared, cells(537879, 10, 12345), cells("C538000", 20, quantity=-2)]
    book = workbook(tmp_path / "online_retail_II.xlsx", ("Year 2009-2010", first), ("Year 2010-2011", second))
    assert Retail().detect(book) == "uci-ii-xlsx"
    events = read(book)
    assert events.name == "online-retail-ii"
    assert events.rows_read == 11
    assert events.cleaning == {"in both sheets": 3, "no user": 2, "duplicate": 1}
    assert (len(events), events.users, events.kinds) == (5, 2, ("cancel", "purchase"))


def test_online_retail_ii_as_csv_is_read(tmp_path):
    path = written(tmp_path, row(), row(invoice="C600002", quantity="-1"), head=HEAD_II)
    assert Retail().detect(path) == "uci-ii-csv"
    assert counts(read(path), "cancel") == 1


def test_both_date_forms_and_both_spellings_of_a_user_say_the_same(tmp_path):
    one = read(written(tmp_path, row(), name="a.csv"))
    other = read(written(tmp_path, row(date="1/2/2012 8:26", user="17850"), name="b.csv"))
    short = read(written(tmp_path, row(date="1/2/12 8:26"), name="c.csv"))
    assert one.frame.equals(other.frame)
    assert one.frame.equals(short.frame)
    assert one.frame.select("user", "time").row(0) == ("17850", dt.datetime(2012, 1, 2, 8, 26, tzinfo=UTC))


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-8-sig"])
def test_accents_are_read_whatever_the_encoding(tmp_path, encoding):
    events = read(written(tmp_path, row(country="Curaçao"), encoding=encoding))
    assert events.frame["country"].to_list() == ["Curaçao"]


def test_each_dropped_row_is_counted_under_the_first_reason_that_holds(tmp_path):
    rows = [
        *many(300),
        row(user="", date="never", price="0"),
        row(user="nan"),
        row(date="never", invoice="a1", price="0"),
        row(),
        row(quantity="-1", invoice="700001"),
        row(quantity="-1", invoice="700002", price="0"),
        row(price="0", invoice="700003"),
        row(price="-1", invoice="700004"),
        row(price="dear", invoice="700005"),
    ]
    events = read(written(tmp_path, *rows))
    assert events.cleaning == {"no user": 2, "bad date": 1, "duplicate": 1, "bad number": 1, "stock correction": 2, "no price": 2}
    assert len(events) == 300


def test_a_text_with_a_comma_a_quote_or_a_line_break_is_one_text(tmp_path):
    rows = [row(text='"A, ""B"""'), row(text='FRAME 7" SINGLE', invoice="600002"), row(text='"two\nlines"', invoice="600003")]
    assert len(read(written(tmp_path, *rows))) == 3


def test_the_whole_folder_is_judged_for_duplicates(tmp_path):
    written(tmp_path, row(), name="1.csv")
    written(tmp_path, row(), row(invoice="600002"), name="2.csv")
    events = read(tmp_path)
    assert (events.name, events.cleaning, len(events)) == (tmp_path.name.split(".")[0], {"duplicate": 1}, 2)


def test_times_that_all_have_a_zone_become_utc(tmp_path):
    events = read(written(tmp_path, row(date="2012-01-02 08:26:00+02:00"), row(date="2012-01-02T08:26:00Z", invoice="600002")))
    assert events.frame["time"].to_list() == [dt.datetime(2012, 1, 2, h, 26, tzinfo=UTC) for h in (6, 8)]


# ---- what is wrong with a file


def test_a_missing_or_empty_source_is_named(tmp_path):
    (tmp_path / "empty.csv").touch()
    with pytest.raises(DataError, match=r"no file or folder .*gone\.csv"):
        read(tmp_path / "gone.csv")
    with pytest.raises(DataError, match=r"empty\.csv is empty"):
        read(tmp_path / "empty.csv")
    (tmp_path / "blank.csv").write_text("\n\n")
    with pytest.raises(DataError, match=r"blank\.csv"):
        read(tmp_path / "blank.csv")


def test_a_file_with_only_a_header_has_no_event(tmp_path):
    with pytest.raises(DataError, match=r"shop\.csv: no event is left"):
        read(written(tmp_path))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (HEAD.replace("CustomerID", "Customer"), "no column 'CustomerID'; did you mean 'Customer'?"),
        (HEAD_II.replace("Customer ID", "customer id"), "no column 'Customer ID'; did you mean 'customer id'?"),
        (HEAD.replace("InvoiceNo", "Nr"), "no column 'InvoiceNo'; known: Nr"),
        ("a,b,c,d,e,f,g,h", "no column 'InvoiceNo'; known: a, b, c"),
    ],
)
def test_a_missing_column_is_named_with_the_likely_spelling(tmp_path, head, message):
    with pytest.raises(DataError) as error:
        read(written(tmp_path, ROW, head=head))
    assert "shop.csv" in str(error.value)
    assert message in str(error.value)


def test_the_odd_file_of_a_folder_is_named(tmp_path):
    written(tmp_path, row(), name="1.csv")
    written(tmp_path, "1", head="x", name="2.csv")
    with pytest.raises(DataError, match=r"2\.csv: no column 'InvoiceNo'"):
        read(tmp_path)


def test_a_row_with_too_many_fields_is_shown(tmp_path):
    with pytest.raises(DataError, match=r"shop\.csv: .*Expected 8 columns, got 9.*quote texts"):
        read(written(tmp_path, row(), row(text="A, B")))


def test_a_few_bad_dates_are_counted_and_many_are_an_error(tmp_path):
    assert read(written(tmp_path, *many(300, date=["x", "31/12/2012 8:00", ""]))).cleaning == {"bad date": 3}
    assert read(written(tmp_path, *many(5, date=["x"]))).cleaning == {"bad date": 1}
    path = written(tmp_path, *many(300, date=["2012-01-02 08:26:00", "31/12/2012 8:00", "x", "x", "x"]))
    with pytest.raises(DataError) as error:
        read(path)
    for part in ("shop.csv", "'InvoiceDate'", "4 of 300 rows", "row 2 ('31/12/2012 8:00')", "write YYYY-MM-DD"):
        assert part in str(error.value)


def test_dates_that_all_fail_are_an_error_whatever_the_number_of_rows(tmp_path):
    with pytest.raises(DataError, match=r"'InvoiceDate' cannot be read on 1 of 1 rows, first on row 1 \('yesterday'\)"):
        read(written(tmp_path, row(date="yesterday")))


def test_many_bad_numbers_are_an_error(tmp_path):
    with pytest.raises(DataError, match=r"'UnitPrice' cannot be read on 2 of 5 rows, first on row 1 \('2\.5 GBP'\); write numbers"):
        read(written(tmp_path, *many(5, price=["2.5 GBP", "x"])))


def test_a_bad_row_of_a_folder_is_found_in_its_file(tmp_path):
    written(tmp_path, *many(3), name="1.csv")
    written(tmp_path, *many(3, date=["1/2/2012 8:26", "x", "x"]), name="2.csv")
    with pytest.raises(DataError, match=r"2\.csv: column 'InvoiceDate' cannot be read on 2 of 6 rows, first on row 2"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("dates", "message"),
    [
        (["2012-01-02 08:26:00", "2012-01-02 08:26:00+02:00"], "row 2 ('2012-01-02 08:26:00+02:00') has one"),
        ([f"2012-01-0{i} 08:26:00Z" for i in (1, 2, 3, 4)], "1 without: row 5 ('2012-01-02 08:26:00') has none"),
    ],
)
def test_mixed_zones_are_an_error_that_names_the_first_row_of_the_fewer(tmp_path, dates, message):
    path = written(tmp_path, *many(5, date=dates))
    with pytest.raises(DataError) as error:
        read(path)
    for part in ("shop.csv", "'InvoiceDate' mixes", message, "give all an offset"):
        assert part in str(error.value)


def test_cdnow_with_a_wrong_header_or_bad_dates_is_an_error(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text(" customer date number_of_cds dollar_value\n 1 19970101 1 2.00\n")
    with pytest.raises(DataError, match="no column 'customer_id'; did you mean 'customer'"):
        read(path)
    path.write_text(" 00001 19970101 1 2.00\n 00001 19971301 1 2.00\n 00001 19971401 1 2.00\n")
    with pytest.raises(DataError, match=r"column 'date' cannot be read on 2 of 3 rows, first on row 2 \('19971301'\)"):
        read(path)


def test_damaged_packed_files_and_workbooks_are_errors(tmp_path):
    packed = tmp_path / "x.csv.gz"
    packed.write_bytes(gzip.compress(b"a,b\n" * 100)[:-9])
    book = tmp_path / "x.xlsx"
    book.write_bytes(b"PK\x03\x04 no workbook")
    assert (Retail().detect(packed), Retail().detect(book)) == (None, None)
    for path in (packed, book):
        with pytest.raises(DataError, match=path.name):
            read(path)


def test_a_workbook_of_an_unknown_zip_version_is_not_recognised_and_no_traceback(tmp_path):
    book = workbook(tmp_path / "x.xlsx", ("Online Retail", []), head=HEAD)
    content = bytearray(book.read_bytes())
    # the version that is needed to unpack the first member, in the list at the end of the file
    content[content.index(b"PK\x01\x02") + 6] = 108
    book.write_bytes(content)
    assert Retail().detect(book) is None


def test_folders_without_a_log_say_what_to_give(tmp_path):
    (tmp_path / "README.txt").write_text("nothing here\n")
    with pytest.raises(DataError, match=r"holds no file of a retail log; it needs \.csv"):
        read(tmp_path)
    (tmp_path / "deep").mkdir()
    written(tmp_path / "deep", row())
    with pytest.raises(DataError, match="give its folder deep"):
        read(tmp_path)


def test_the_plugin_offers_the_adapter_with_a_card():
    assert bench_datasets() == [Retail]
    assert Retail.card.activity == ("purchase",)
