"""The cache gives back what was read, notices every change, and never stops a read."""

from __future__ import annotations

import json
import logging
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import Mock

import polars as pl
import pyarrow as pa
import pytest

from bench.api import Dataset
from bench.data.events import Events
from bench.errors import DataError
from bench.sources.cache import cache_entries, cache_folder, clear_cache, read_cached, source_files


class Lines(Dataset):
    """Reads `user day` lines, and counts how often it was asked to."""

    name = "lines"

    def __init__(self) -> None:
        self.reads = 0

    def detect(self, path: Path) -> str | None:
        return "lines-txt"

    def read(self, path: Path, options: Mapping[str, str]) -> Events:
        self.reads += 1
        text = "".join(f.read_text() for f in source_files(path))
        rows = [line.split() for line in text.splitlines()]
        frame = pl.DataFrame({"user": [r[0] for r in rows], "time": [r[1] for r in rows], "note": [None, *[1] * (len(rows) - 1)]})
        frame = frame.with_columns(pl.col("time").str.to_datetime("%Y-%m-%d"))
        return Events.build(frame, name="some", activity=("event",), rows_read=9, cleaning={"no user": 2})


@pytest.fixture
def source(tmp_path) -> Path:
    file = tmp_path / "log.txt"
    file.write_text("7 2020-01-02\n10 2020-01-01\n")
    return file


def test_the_second_read_comes_from_the_cache_and_says_the_same(source):
    adapter = Lines()
    first, second = read_cached(adapter, source, {}), read_cached(adapter, source, {})
    assert (first.hit, second.hit, adapter.reads) == (False, True, 1)
    assert first.fingerprint == second.fingerprint
    assert first.data.frame.equals(second.data.frame)
    assert first.data.frame.schema == second.data.frame.schema
    assert (second.data.name, second.data.activity, second.data.rows_read) == ("some", ("event",), 9)
    assert second.data.cleaning == {"no user": 2}


def test_an_entry_tells_where_it_comes_from(source):
    read_cached(Lines(), source, {})
    [entry] = cache_entries()
    assert (entry.name, entry.form, entry.source, entry.rows) == ("some", "lines-txt", str(source.resolve()), 2)
    assert entry.bytes == sum(f.stat().st_size for f in (cache_folder() / entry.key).iterdir())


@pytest.mark.parametrize("change", ["content", "touched", "options", "version", "moved", "one more file"])
def test_every_change_of_the_source_or_the_reader_is_noticed(source, change):
    adapter, folder = Lines(), source.parent
    read_cached(adapter, folder, {})
    options = {"a": "b"} if change == "options" else {}
    if change == "content":
        source.write_text("8 2020-01-02\n10 2020-01-01\n")
    elif change == "touched":
        os.utime(source, (1, 1))
    elif change == "version":
        adapter.version = "2"  # type: ignore[misc]
    elif change == "moved":
        folder = folder.rename(folder.with_name("elsewhere"))
    elif change == "one more file":
        (folder / "more.txt").write_text("9 2020-01-03\n")
    assert not read_cached(adapter, folder, options).hit
    assert adapter.reads == 2


@pytest.mark.parametrize("damage", ["cut", "gone", "bits", "meta", "other meta"])
def test_a_damaged_entry_is_read_again_and_mended(source, damage, caplog):
    adapter = Lines()
    good = read_cached(adapter, source, {})
    entry = cache_folder() / cache_entries()[0].key
    parquet, meta = entry / "data.parquet", entry / "meta.json"
    content = parquet.read_bytes()
    if damage == "cut":
        parquet.write_bytes(content[:-20])
    elif damage == "gone":
        parquet.unlink()
    elif damage == "bits":
        parquet.write_bytes(content[:8] + bytes([content[8] ^ 1]) + content[9:])
    elif damage == "meta":
        meta.write_text("{")
    else:
        meta.write_text("[]")
    with caplog.at_level(logging.WARNING, "bench"):
        again = read_cached(adapter, source, {})
    assert (again.hit, again.fingerprint, adapter.reads) == (False, good.fingerprint, 2)
    assert "is damaged" in caplog.text
    assert read_cached(adapter, source, {}).hit


def test_a_cache_folder_that_cannot_be_written_costs_a_warning_and_no_result(source, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file" / "below"))
    with caplog.at_level(logging.WARNING, "bench"):
        assert not read_cached(Lines(), source, {}).hit
    assert "cannot keep" in caplog.text
    assert "BENCH_CACHE" in caplog.text


def test_a_full_disk_leaves_no_half_entry(source, monkeypatch, caplog):
    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    assert not read_cached(Lines(), source, {}).hit
    assert "No space left" in caplog.text
    assert list(cache_folder().iterdir()) == []


def test_a_source_that_changes_while_it_is_read_is_not_kept(source, caplog):
    class Racing(Lines):
        def read(self, path, options):
            events = super().read(path, options)
            with path.open("a") as stream:
                stream.write("11 2020-01-05\n")
            return events

    read_cached(Racing(), source, {})
    assert "changed while it was read" in caplog.text
    assert cache_entries() == []


def test_clearing_removes_entries_and_nothing_else(source):
    read_cached(Lines(), source, {})
    read_cached(Lines(), source, {"a": "b"})
    (cache_folder() / ".unfinished-1").mkdir()
    (cache_folder() / "mine.txt").touch()
    size = sum(e.bytes for e in cache_entries())
    assert clear_cache() == (2, size)
    assert [p.name for p in cache_folder().iterdir()] == ["mine.txt"]
    assert clear_cache() == (0, 0)


def test_without_the_variable_the_cache_is_where_the_platform_keeps_caches(monkeypatch):
    monkeypatch.delenv("BENCH_CACHE")
    assert "bench" in cache_folder().parts


def test_meta_is_plain_json(source):
    read_cached(Lines(), source, {})
    meta = json.loads((cache_folder() / cache_entries()[0].key / "meta.json").read_text())
    assert meta["cleaning"] == {"no user": 2}


@pytest.mark.parametrize(
    "error",
    [pl.exceptions.ComputeError("of\ntwo lines"), pa.ArrowInvalid("bad"), zipfile.BadZipFile("bad"), zlib.error("bad"), MemoryError()],
    ids=lambda error: type(error).__name__,
)
def test_what_a_library_says_of_a_file_is_one_line_that_names_it(source, monkeypatch, error):
    said = "not enough memory to read it (" if isinstance(error, MemoryError) else "cannot be read ("
    monkeypatch.setattr(Lines, "read", Mock(side_effect=error))
    with pytest.raises(DataError) as raised:
        read_cached(Lines(), source, {})
    words = str(raised.value)
    assert words.startswith(f"{source}: {said}")
    assert "\n" not in words


def test_a_missing_path_is_an_error_that_proposes_a_neighbour(source):
    with pytest.raises(DataError, match=r"no file or folder .*lgo\.txt; did you mean 'log\.txt'"):
        read_cached(Lines(), source.with_name("lgo.txt"), {})
    with pytest.raises(DataError, match=r"no file or folder .*; check the path"):
        read_cached(Lines(), source.parent / "no" / "such.txt", {})


def test_an_empty_file_and_an_empty_folder_are_errors(tmp_path):
    (tmp_path / "hollow").mkdir()
    (tmp_path / "none.csv").touch()
    with pytest.raises(DataError, match=r"none\.csv is empty"):
        read_cached(Lines(), tmp_path / "none.csv", {})
    with pytest.raises(DataError, match="hollow holds no file"):
        read_cached(Lines(), tmp_path / "hollow", {})


@pytest.mark.parametrize("place", ["truth.csv", "../truth.csv"])
def test_a_companion_that_changes_beside_or_above_the_source_renews_the_entry(source, place) -> None:
    class Labelled(Lines):
        companions = ("truth.csv",)

    adapter = Labelled()
    truth = source.parent / place
    truth.write_text("1\n")
    read_cached(adapter, source, {})
    assert read_cached(adapter, source, {}).hit
    truth.write_text("0 and more\n")
    assert not read_cached(adapter, source, {}).hit
    truth.unlink()
    assert not read_cached(adapter, source, {}).hit
    assert adapter.reads == 3


def test_the_adapters_that_look_beside_their_path_name_what_they_look_for() -> None:
    from bench_datasets.activity import Activity
    from bench_datasets.netflix import Netflix
    from bench_datasets.social import Social

    assert "truth.csv" in Activity.companions
    assert "labels/combined_windows.json" in Social.companions
    assert {"probe.txt", "movie_titles.txt"} <= set(Netflix.companions)
