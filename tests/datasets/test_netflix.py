"""The netflix adapter reads every raw form, counts what it drops, and says what is wrong with a file."""

from __future__ import annotations

import datetime as dt
import gzip
import logging
import re

import polars as pl
import pytest

from bench.data.fingerprint import fingerprint
from bench.errors import ConfigError, DataError
from bench.sources.cache import read_cached
from bench_datasets import _netflix_blocks
from bench_datasets.netflix import Netflix, bench_datasets, read_titles

UTC = dt.UTC
NETFLIX = ("1:", "1488844,3,2005-09-06", "822109,5,2005-05-13", "10:", "1488844,4,2005-09-06", "9,1,1999-11-11")
TITLES = b'1,2003,Dinosaur Planet\n2,1999,Isle of Man TT, The, 1999\n3,NULL,Caf\xe9 Noir\n10,1982,Lone "quote\n'
CSV_HEAD = "userId,movieId,rating,timestamp"
RATINGS = [(1488844, 1, 3, 1125964800), (822109, 1, 5, 1115942400), (1488844, 10, 4, 1125964800), (9, 10, 1, 942278400)]
"""The same ratings as `NETFLIX`, the days as Unix seconds."""


def read(path, **options):
    return Netflix().read(path, options)


def written(folder, *lines, name="combined_data_1.txt", end="\n"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((end.join(lines) + end).encode())
    return path


def rows(events):
    frame = events.frame.select(pl.col("user", "item").cast(pl.String), pl.col("time").dt.epoch("s"), "value")
    return frame.select("user", "item", "value", "time").rows()


def many(n, *last):
    """Give a movie's line and n good ratings, then other lines."""
    return ["7:", *[f"{u},3,2005-01-02" for u in range(1, n + 1)], *last]


# ---- the published files


def test_movielens_is_recognised_and_kept_whole(real):
    path = real / "movielens_latest_small"
    assert Netflix().detect(path) == Netflix().detect(path / "ratings.csv") == "movielens-csv"
    events = read(path)
    assert (events.name, len(events), events.rows_read, events.users, events.cleaning) == (
        "movielens-latest-small",
        100_004,
        100_004,
        671,
        {},
    )
    frame = events.frame
    assert frame["item"].n_unique() == 9_066
    assert (frame["time"].min(), frame["time"].max()) == (
        dt.datetime(1995, 1, 9, 11, 46, 49, tzinfo=UTC),
        dt.datetime(2016, 10, 16, 17, 57, 24, tzinfo=UTC),
    )
    assert frame["value"].sum() == 354_375.0
    assert frame["value"].mean() == pytest.approx(3.5436082556697732)
    assert sorted(frame["value"].unique()) == [k / 2 for k in range(1, 11)]
    assert frame.columns == ["user", "time", "kind", "value", "item"]
    assert (events.kinds, events.activity) == (("rating",), ("rating",))


def test_movielens_says_the_same_read_line_by_line(real):
    path = real / "movielens_latest_small" / "ratings.csv"
    lines = [line.split(",") for line in path.read_text().split("\n")[1:] if line]
    expected = sorted((u, int(t), float(r), m) for u, m, r, t in lines)
    assert [(u, t, r, m) for u, m, r, t in rows(read(path))] == expected


def test_movielens_titles_are_added_on_demand(real):
    path = real / "movielens_latest_small"
    events = read(path, titles="true")
    assert events.frame.columns[-1] == "title"
    assert events.frame["title"].null_count() == 0
    titles = read_titles(path / "movies.csv")
    assert (len(titles), titles["year"].null_count()) == (9_125, 6)
    assert titles.filter(pl.col("movie") == "11").row(0) == ("11", 1995, "American President, The (1995)")
    pair = events.frame.select(pl.col("item", "title").cast(pl.String)).unique()
    assert pair.join(titles, left_on=["item", "title"], right_on=["movie", "title"], how="anti").is_empty()


def test_movielens_comes_back_from_the_cache_unchanged(real):
    first, second = (read_cached(Netflix(), real / "movielens_latest_small", {}) for _ in range(2))
    assert (first.hit, second.hit) == (False, True)
    assert first.fingerprint == second.fingerprint
    assert first.data.frame.equals(second.data.frame)


@pytest.mark.parametrize(
    "other",
    ["online_retail/by-day", "cdnow", "college_msg", "nab", "kddcup2015_mooc", "m4_hourly", "wp_page_views", "no such"],
)
def test_other_data_is_not_claimed(real, other):
    assert Netflix().detect(real / other) is None


# ---- the forms, all saying the same


def test_ratings_of_a_movie_follow_its_line_and_are_sorted_by_user_and_time(tmp_path):
    events = read(written(tmp_path, *NETFLIX))
    assert rows(events) == [
        ("1488844", "1", 3.0, 1125964800),
        ("1488844", "10", 4.0, 1125964800),
        ("822109", "1", 5.0, 1115942400),
        ("9", "10", 1.0, 942278400),
    ]
    assert (events.name, events.rows_read, events.cleaning) == ("combined_data_1", 4, {})


def test_all_forms_of_the_same_ratings_are_read_as_the_same_log(tmp_path):
    forms = {
        "netflix-combined": written(tmp_path, *NETFLIX),
        "netflix-mv": written(tmp_path / "mv", *NETFLIX[:3], name="mv_0000001.txt").parent,
        "movielens-csv": written(tmp_path, CSV_HEAD, *[f"{u},{m},{r}.0,{t}" for u, m, r, t in RATINGS], name="ratings.csv", end="\r\n"),
        "movielens-data": written(tmp_path, *[f"{u}\t{m}\t{r}\t{t}" for u, m, r, t in RATINGS], name="u.data"),
        "movielens-dat": written(tmp_path, *[f"{u}::{m}::{r}::{t}" for u, m, r, t in RATINGS], name="ratings.dat"),
    }
    written(tmp_path / "mv", *NETFLIX[3:], name="mv_0000010.txt")
    logs = {form: read(path) for form, path in forms.items()}
    assert {form: Netflix().detect(path) for form, path in forms.items()} == {form: form for form in forms}
    assert len({fingerprint(log, "netflix/1") for log in logs.values()}) == 1
    assert all(log.frame.equals(logs["netflix-combined"].frame) for log in logs.values())


def test_a_folder_of_combined_files_is_one_log(tmp_path):
    written(tmp_path, *NETFLIX[:3])
    written(tmp_path, *NETFLIX[3:], name="combined_data_2.txt")
    assert Netflix().detect(tmp_path) == "netflix-combined"
    events = read(tmp_path)
    assert (events.name, len(events)) == (tmp_path.name, 4)


def test_the_published_archive_is_read_from_either_folder(tmp_path, caplog):
    folder = tmp_path / "download"
    written(folder / "training_set", *NETFLIX[:3], name="mv_0000001.txt")
    written(folder / "training_set", *NETFLIX[3:], name="mv_0000010.txt")
    written(folder, "1:", "822109", name="probe.txt")
    written(folder, "1:", "1046323,2005-12-19", name="qualifying.txt")
    (folder / "movie_titles.txt").write_bytes(TITLES)
    with caplog.at_level(logging.INFO, "bench"):
        events = read(folder)
    assert (events.name, len(events)) == ("download", 4)
    assert "qualifying.txt holds no ratings and is passed over" in caplog.text
    for path in (folder, folder / "training_set"):
        assert Netflix().detect(path) == "netflix-mv"
        held = read(path, probe="hold-out", titles="true")
        assert held.cleaning == {"probe": 1}
        assert held.frame["title"].cast(pl.String).to_list() == ["Dinosaur Planet", 'Lone "quote', 'Lone "quote']


def test_a_packed_file_with_a_mark_and_other_line_ends_says_the_same(tmp_path):
    plain = read(written(tmp_path, *NETFLIX))
    path = tmp_path / "x.txt.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + "\r\n".join(NETFLIX).encode()))
    assert read(path).frame.equals(plain.frame)


def test_columns_are_found_by_name_and_others_passed_over(tmp_path):
    lines = [f"{t},x,{m},{u},{r}" for u, m, r, t in RATINGS]
    path = written(tmp_path, "timestamp,note,movieId,userId,rating", *lines, name="mine.csv")
    assert read(path).frame.equals(read(written(tmp_path, *NETFLIX)).frame)


def test_half_stars_are_on_movielens_scale_only(tmp_path):
    assert read(written(tmp_path, CSV_HEAD, "1,2,0.5,9", name="ratings.csv")).frame["value"].to_list() == [0.5]
    assert read(written(tmp_path, "1::2::3.5::9", name="ratings.dat")).frame["value"].to_list() == [3.5]
    assert read(written(tmp_path, *many(3, "9,3.5,2005-01-02"))).cleaning == {"bad rating": 1}


def test_ids_are_texts_and_large_ones_are_kept(tmp_path):
    big = 2**32 - 2
    path = written(tmp_path, CSV_HEAD, f"{big},{big},5,4294967295", f"7,{big},5,0", "70,8,5,5", name="ratings.csv")
    assert rows(read(path)) == [("4294967294", str(big), 5.0, 2**32 - 1), ("7", str(big), 5.0, 0), ("70", "8", 5.0, 5)]


# ---- cleaning


def test_every_dropped_row_is_counted_under_its_first_reason(tmp_path):
    bad = ["x,3,2005-01-02", "5,3", "5,3,2005-02-30", "5,0,2005-13-01", "5,6,2005-01-02", "5,,2005-01-02", "5,3,2005-01-02,9"]
    events = read(written(tmp_path, *many(400, *bad, "1,3,2005-01-02", "", " ")))
    assert events.rows_read == 408
    assert events.cleaning == {"bad line": 3, "bad date": 2, "bad rating": 2, "duplicate": 1}
    assert len(events) == 400


def test_only_the_same_rating_at_the_same_time_is_a_duplicate(tmp_path):
    lines = ("1:", "5,3,2005-01-02", "5,3,2005-01-02", "5,4,2005-01-02", "5,3,2005-01-03", "2:", "5,3,2005-01-02")
    events = read(written(tmp_path, *lines))
    assert (len(events), events.cleaning) == (4, {"duplicate": 1})


def test_the_probe_is_kept_unless_it_is_held_out(tmp_path):
    path = written(tmp_path, *NETFLIX, "9,1,1999-11-11")
    written(tmp_path, "1:", "822109", "10:", "9", "33", name="probe.txt")
    assert read(path).cleaning == read(path, probe="keep").cleaning == {"duplicate": 1}
    held = read(path, probe="hold-out")
    assert held.cleaning == {"probe": 3}
    assert [(u, m) for u, m, _, _ in rows(held)] == [("1488844", "1"), ("1488844", "10")]


def test_a_movie_without_a_readable_number_lends_no_ratings_to_the_one_before(tmp_path):
    events = read(written(tmp_path, *many(300), "8x:", "5,3,2005-01-02", "9:", "5,4,2005-01-02"))
    assert events.cleaning == {"bad line": 2}
    assert rows(events.__class__(events.frame.filter(pl.col("value") == 4), "x", ())) == [("5", "9", 4.0, 1104624000)]


def test_a_movie_is_not_carried_from_one_file_into_the_next(tmp_path):
    written(tmp_path, *many(300), name="mv_0000007.txt")
    written(tmp_path, "", "5,3,2005-01-02", "8:", "5,3,2005-01-02", name="mv_0000008.txt")
    events = read(tmp_path)
    assert (events.cleaning, len(events)) == ({"bad line": 1}, 301)


# ---- titles


def test_titles_keep_their_commas_letters_and_missing_years(tmp_path):
    path = tmp_path / "movie_titles.txt"
    path.write_bytes(TITLES)
    assert read_titles(path).rows() == [
        ("1", 2003, "Dinosaur Planet"),
        ("2", 1999, "Isle of Man TT, The, 1999"),
        ("3", None, "Café Noir"),
        ("10", 1982, 'Lone "quote'),
    ]
    path.write_bytes(TITLES.decode("latin-1").replace("\n", "\r\n").encode())
    assert read_titles(path)["title"][2] == "Café Noir"


def test_movielens_older_titles_are_read(tmp_path):
    written(tmp_path, "1::Toy Story (1995)::Animation|Comedy", name="movies.dat")
    (tmp_path / "u.item").write_bytes(b"1|Toy Story (1995)|01-Jan-1995||http://x|0\n2|Caf\xe9|\n")
    assert read_titles(tmp_path / "movies.dat").rows() == [("1", 1995, "Toy Story (1995)")]
    assert read_titles(tmp_path / "u.item").rows() == [("1", 1995, "Toy Story (1995)"), ("2", None, "Café")]


def test_a_movie_without_a_title_has_none(tmp_path):
    path = written(tmp_path, *NETFLIX)
    (tmp_path / "movie_titles.txt").write_bytes(b"10,1982,A\n")
    assert read(path, titles="true").frame["title"].cast(pl.String).to_list() == [None, "A", None, "A"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("movie_titles.txt", "1,2003\n", "'1,2003' is no title; expected a line MOVIE,YEAR,TITLE"),
        ("movie_titles.txt", "one,2003,X\n", "'one,2003,X' is no title"),
        ("movies.csv", "id,title\n1,X\n", "expected the columns movieId and title"),
    ],
)
def test_what_is_no_title_is_refused(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=words):
        read_titles(tmp_path / name)


# ---- what is wrong with a file


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            ["7:", "5,3,02/01/2005", "6,3,02/01/2005"],
            r"column 3 cannot be read on 2 of 2 rows, first on row 2 \('5,3,02/01/2005'\); write YYYY",
        ),
        (
            many(100, "5,9,2005-01-02", "5,9,2005-01-02"),
            r"column 2 cannot be read on 2 of 102 rows, first on row 102.*whole stars from 1 to 5",
        ),
        (many(100, "x", "y"), r"the line cannot be read on 2 of 102 rows, first on row 102 \('x'\); expected a line MOVIE_ID:"),
        (["7:"], r"holds no rating \(0 rows read\)"),
        (["5,3,2005-01-02"], r"row 1 is '5,3,2005-01-02', which begins no log of ratings"),
        (["7:", "5,2005-01-02"], r"holds no ratings \('5,2005-01-02', the form of qualifying.txt\)"),
        (["7:", "5", "6"], r"holds no ratings \('5', the form of probe.txt\)"),
        ([""], "begins no log of ratings"),
    ],
)
def test_a_broken_file_is_refused_with_file_column_row_and_cure(tmp_path, lines, words):
    path = written(tmp_path, *lines)
    with pytest.raises(DataError, match=re.escape(str(path)) + ".*" + words):
        read(path)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["userId,movieId,stars,timestamp", "1,2,3,4"], r"no column 'rating'"),
        (["userId,movieId,rating", "1,2,3"], r"no column 'timestamp'"),
        ([CSV_HEAD, "1,2,3,2005-01-02"], r"column 'timestamp' cannot be read on 1 of 1 rows, first on row 2 .*write Unix seconds"),
        ([CSV_HEAD, "1,2,3,1125964800000"], r"column 'timestamp' cannot be read"),
        ([CSV_HEAD, "1,2,10,4", "1,2,8,4"], r"column 'rating' cannot be read on 2 of 2 rows.*half stars from 0.5 to 5"),
        ([CSV_HEAD, '"1","2",3,4'], r"the line cannot be read on 1 of 1 rows.*without quotes"),
        ([CSV_HEAD], "holds no rating"),
    ],
)
def test_a_broken_table_is_refused_with_file_column_row_and_cure(tmp_path, lines, words):
    with pytest.raises(DataError, match=r"ratings\.csv.*" + words):
        read(written(tmp_path, *lines, name="ratings.csv"))


def test_a_bad_row_is_found_again_in_a_later_block_and_file(tmp_path, monkeypatch):
    monkeypatch.setattr(_netflix_blocks.blocks, "__defaults__", (b"", 64))
    written(tmp_path, *many(50))
    written(tmp_path, *many(30, "5,x,2005-01-02", "5,x,2005-01-02", "5,x,2005-01-02"), name="combined_data_2.txt")
    with pytest.raises(DataError, match=r"combined_data_2\.txt: column 2 .* 3 of 83 rows, first on row 32 \('5,x,2005-01-02'\)"):
        read(tmp_path)


def test_missing_and_mixed_sources_are_refused(tmp_path):
    with pytest.raises(DataError, match="no file or folder"):
        read(tmp_path / "none.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no file"):
        read(tmp_path / "empty")
    written(tmp_path, "hello", name="README.txt")
    with pytest.raises(DataError, match=r"holds no ratings; it needs combined_data_\*\.txt, mv_\*\.txt"):
        read(tmp_path)
    written(tmp_path, *NETFLIX)
    written(tmp_path, CSV_HEAD, name="ratings.csv")
    with pytest.raises(DataError, match=r"several logs \(combined_data_1\.txt, ratings\.csv\) that may overlap; give one"):
        read(tmp_path)
    written(tmp_path / "training_set", *NETFLIX, name="mv_0000001.txt")
    assert Netflix().detect(tmp_path) is None
    (tmp_path / "x.txt.gz").write_bytes(gzip.compress(b"1:\n5,3,2005-01-02\n")[:-9])
    with pytest.raises(DataError, match=r"cannot read .*x\.txt\.gz"):
        read(tmp_path / "x.txt.gz")


def test_options_that_cannot_be_followed_are_refused(tmp_path):
    path = written(tmp_path, *NETFLIX)
    with pytest.raises(ConfigError, match=r"netflix\.probe=holdout: no such choice; did you mean 'hold-out'"):
        read(path, probe="holdout")
    with pytest.raises(ConfigError, match=r"netflix\.titles=yes: no such choice"):
        read(path, titles="yes")
    with pytest.raises(DataError, match=r"holds no probe\.txt"):
        read(path, probe="hold-out")
    with pytest.raises(DataError, match=r"holds no titles \(movie_titles\.txt"):
        read(path, titles="true")
    with pytest.raises(ConfigError, match="MovieLens, which has no probe"):
        read(written(tmp_path, CSV_HEAD, "1,2,3,4", name="ratings.csv"), probe="hold-out")
    written(tmp_path, "1:", "a", "b", name="probe.txt")
    with pytest.raises(DataError, match=r"probe\.txt: the line cannot be read on 2 of 2 rows"):
        read(path, probe="hold-out")


def test_the_adapter_is_offered():
    assert bench_datasets() == [Netflix]
    assert Netflix.card.activity == ("rating",)
    assert "forbid" in Netflix.card.licence


def test_an_added_line_has_no_place(tmp_path):
    block = next(_netflix_blocks.blocks([written(tmp_path, "1:", "5,3,2005-01-02")], b"9:\n"))
    assert block.place(2) == (tmp_path / "combined_data_1.txt", 2, "5,3,2005-01-02")
    with pytest.raises(IndexError):
        block.place(9)
    assert [len(part) for part in block.parts] == [3, 18]
