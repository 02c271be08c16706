"""The fast reader of ratings equals a plain transcription on random files, and packing loses nothing."""

from __future__ import annotations

import datetime as dt
import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.events import Events, in_order
from bench_datasets import _netflix_blocks, _netflix_lines, _netflix_pack
from bench_datasets.netflix import Netflix

UTC = dt.UTC
FIELD = st.sampled_from(["1", "2", "30", "4294967294", "4294967295", "99999999999", "x", "", " 5", "-1", "1:", "\xe9"])
STARS = st.sampled_from(["1", "3", "5", "0", "6", "3.0", "3.5", "", "nan", "x", " 4 ", "129", "32769"])
DAYS = st.sampled_from(["2005-01-02", "1999-12-31", "2005-02-30", "2004-02-29", "", "02/01/2005", "2005-01-02 ", "soon"])
GOOD = st.builds(lambda u, r, d: f"{u},{r},{d}", st.integers(1, 40), st.integers(1, 5), st.sampled_from(["2005-01-02", "2004-02-29"]))
ANY = st.builds(lambda *f: ",".join(f), FIELD, STARS, DAYS)
HEADS = st.sampled_from(["1:", "2:", "17770:", "4294967295:", "x:", ":", " 3: "])
OTHER = st.sampled_from(["", " ", ",,", "5", "5,3", "5,3,2005-01-02,", "5,3,2005-01-02,x", '"5,3,2005-01-02', "5,3:,2005-01-02"])
FILE = st.lists(st.one_of(GOOD, GOOD, GOOD, st.sampled_from(["1:", "2:"]), ANY, HEADS, OTHER), max_size=40)


def said(frame):
    return frame.select(pl.col("user").cast(pl.String), pl.col("time").dt.epoch("s"), "value", pl.col("item").cast(pl.String)).rows()


def whole(text):
    text = text.strip()
    return int(text) if re.fullmatch(r"\d+", text, re.ASCII) and int(text) < 2**32 - 1 else None


def day(text):
    try:
        return dt.date.fromisoformat(text.strip()) if text.strip() else None
    except ValueError:
        return None


def stars(text):
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value in (1, 2, 3, 4, 5) else None


def transcribed(files):
    """Read the Netflix form line by line: (sorted ratings, counts, rows)."""
    found, counts, n = [], dict.fromkeys(("bad line", "bad date", "bad rating"), 0), 0
    for lines in files:
        movie = None
        for line in lines:
            fields = [f.strip() for f in line.split(",")]
            if not any(fields):
                continue
            alone = not any(fields[1:])
            if alone and fields[0].endswith(":"):
                number = fields[0][:-1]
                movie = whole(number)
                if re.fullmatch(r"\d+", number) and int(number) < 2**32:
                    continue
            n += 1
            user = whole(fields[0])
            if user is None or movie is None or len(fields) < 3 or not fields[2] or any(fields[3:4]):
                counts["bad line"] += 1
            elif day(fields[2]) is None:
                counts["bad date"] += 1
            elif stars(fields[1]) is None:
                counts["bad rating"] += 1
            else:
                found.append((str(user), day(fields[2]), stars(fields[1]), str(movie)))
    kept = sorted(set(found))
    return kept, {k: v for k, v in {**counts, "duplicate": len(found) - len(kept)}.items() if v}, n


@settings(deadline=None, max_examples=150)
@given(files=st.lists(FILE, min_size=1, max_size=3), size=st.sampled_from([16, 200, 1 << 20]), end=st.sampled_from(["\n", "\r\n"]))
def test_the_fast_reader_equals_a_plain_transcription(tmp_path_factory, files, size, end):
    folder = tmp_path_factory.mktemp("random")
    files = [["8:", "7,3,2005-01-02", *files[0]], *files[1:]]  # the first lines tell the form
    for i, lines in enumerate(files):
        (folder / f"combined_data_{i}.txt").write_bytes((end.join(lines) + end).encode())
    expected, counts, n = transcribed(files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_netflix_blocks.blocks, "__defaults__", (b"", size))
        patch.setattr(_netflix_lines.Tally, "refuse_many", lambda *_: None)
        events = Netflix().read(folder, {})
    assert (events.rows_read, events.cleaning) == (n, counts)
    seconds = [(u, int(dt.datetime.combine(d, dt.time(), UTC).timestamp()), r, m) for u, d, r, m in expected]
    assert said(events.frame) == seconds


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(*[st.integers(0, 2**32 - 2)] * 3, st.integers(2, 10)), min_size=1, max_size=30),
    st.sampled_from([1 << 26, 8]),
    st.sampled_from([64, 1]),
)
def test_packing_keeps_every_number_in_one_word_or_in_two(ratings, direct, word):
    user, item, time, half = zip(*ratings, strict=True)
    kinds = {"user": pl.UInt32, "item": pl.UInt32, "time": pl.UInt32, "half": pl.UInt8}
    chunk = pl.DataFrame({"user": user, "item": item, "time": time, "half": half}, schema=kinds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_netflix_pack, "DIRECT", direct)
        patch.setattr(_netflix_pack, "WORD", word)
        frame, repeated = _netflix_pack.sorted_frame([chunk, chunk], 1_000_000)
    distinct = sorted({(str(u), t, h / 2, str(i)) for u, i, t, h in ratings})
    assert repeated == 2 * len(ratings) - len(distinct)
    assert said(frame) == distinct


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from("cab"), st.integers(0, 2), st.sampled_from(["x", "y", None])), min_size=1),
    st.sampled_from(["abc", "cba", "abcd"]),
    st.booleans(),
)
def test_a_log_that_comes_as_sorted_categories_is_the_same_as_one_of_texts(rows, categories, ordered):
    rows = sorted(rows, key=lambda row: row[:2]) if ordered else rows
    user, time, item = zip(*rows, strict=True)
    texts = pl.DataFrame(
        {"user": user, "time": [dt.datetime(2024, 1, 1 + t, tzinfo=UTC) for t in time], "item": pl.Series(item, dtype=pl.String)}
    )
    made = texts.with_columns(pl.col("user").cast(pl.Enum(list(categories))), pl.col("item").cast(pl.Enum(["x", "y"])))
    one, other = (Events.build(frame, name="made", activity=()) for frame in (texts, made))
    assert one.frame.equals(other.frame)
    assert one.frame.schema == other.frame.schema
    assert in_order(one.frame.select("user", "time", "kind"))
