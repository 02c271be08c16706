"""Registered data sets: kept in one file, found by name, run by default; damage and clashes are said."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from bench.errors import ConfigError, DataError
from bench.registry import discover
from bench.runs.config import Config
from bench.sources.load import Request, cache_frame, loaded, requested
from bench.sources.registered import Registered, forget, refuse_name, register, registered, sources_file


@pytest.fixture(autouse=True)
def own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CONFIG", str(tmp_path / "config"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text("who,when\na,2024-01-01\nb,2024-01-02\n")
    return path


def test_what_is_registered_is_found_again_sorted_by_name(log: Path) -> None:
    assert registered() == {}
    register("shop", Registered("events", str(log), {"user": "who", "time": "when"}))
    register("m4", Registered("series", "/m4", holds="series"))
    assert list(registered()) == ["m4", "shop"]
    assert registered()["shop"] == Registered("events", str(log), {"user": "who", "time": "when"}, "events")
    assert forget("m4").path == "/m4"
    assert list(registered()) == ["shop"]
    assert [f.name for f in sources_file().parent.iterdir()] == ["datasets.json"]


def test_forgetting_what_is_not_there_proposes_the_likely_name(log: Path) -> None:
    register("shop", Registered("events", str(log)))
    with pytest.raises(ConfigError, match="no registered data set 'shpo'; did you mean 'shop'"):
        forget("shpo")


def test_names_that_clash_or_that_no_file_could_have_are_refused(log: Path) -> None:
    register("shop", Registered("events", str(log)))
    for name, words in (
        ("retail", "is the name of an adapter"),
        ("shop", "is registered already, for .*bench data add --remove shop"),
        ("a=b", "is no name for a data set"),
        ("../x", "is no name"),
        ("", "is no name"),
    ):
        with pytest.raises(ConfigError, match=words):
            refuse_name(name, ["retail"])


@pytest.mark.parametrize("content", ["{", "[]", '{"shop": 1}', '{"shop": {"adapter": "events"}}', '{"shop": {"adapter": 1, "path": "x"}}'])
def test_a_damaged_list_is_named_with_the_cure(content: str) -> None:
    sources_file().parent.mkdir()
    sources_file().write_text(content)
    with pytest.raises(ConfigError, match=r"datasets\.json, the list of registered data sets, cannot be read .*; mend or delete it"):
        registered()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    monkeypatch.setenv("BENCH_CONFIG", str(log / "below"))
    with pytest.raises(ConfigError, match="set BENCH_CONFIG to a folder of your own"):
        register("shop", Registered("events", str(tmp_path)))


def test_without_the_variable_the_list_is_where_the_platform_keeps_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_CONFIG")
    assert "bench" in sources_file().parts


# ---- as data sets


def test_a_registered_name_is_read_with_its_options_and_names_the_data_set(log: Path) -> None:
    register("shop", Registered("events", str(log), {"user": "who", "time": "when"}))
    [request] = requested(["shop"], None, discover())
    data = loaded(request, discover(), {}, size=0, seed=0)
    assert (data.name, data.simulated, data.adapter.name, len(data.events)) == ("shop", False, "events", 2)


def test_the_options_of_a_run_win_over_the_registered_ones(log: Path) -> None:
    register("shop", Registered("events", str(log), {"user": "who", "time": "when", "duplicates": "drop"}))
    [request] = requested(["shop"], None, discover())
    data = loaded(request, discover(), {"user": "when"}, size=0, seed=0)
    assert data.events.frame["user"].to_list() == ["2024-01-01", "2024-01-02"]


def test_default_runs_include_registered_logs_and_leave_out_series_and_what_is_gone(
    log: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    register("shop", Registered("events", str(log)))
    register("gone", Registered("events", str(tmp_path / "gone.csv")))
    register("m4", Registered("series", str(log), holds="series"))
    with caplog.at_level(logging.WARNING, "bench"):
        names = [r.name for r in requested([], None, discover()) if r.name]
    assert names == ["shop"]
    assert "left out: data set 'gone'" in caplog.text
    both = requested([], None, discover(), holds=("events", "series"))
    assert [r.name for r in both if r.name] == ["m4", "shop"]
    assert Request("retail", None) in both


def test_an_unknown_name_proposes_registered_ones_too(log: Path) -> None:
    register("my-shop", Registered("events", str(log)))
    with pytest.raises(ConfigError, match="unknown dataset 'my-shpo'; did you mean 'my-shop'"):
        requested(["my-shpo"], None, discover())
    with pytest.raises(ConfigError, match="'my-shop' is registered with its own path; leave --source out"):
        requested(["my-shop"], str(log), discover())


def test_series_are_no_log_and_the_message_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ds,y\n2024-01-01,1\n")
    data = loaded(Request("series", tmp_path / "a.csv"), discover(), {}, size=0, seed=0)
    assert len(data.data) == 1
    with pytest.raises(DataError, match="data set 'a' holds series; churn needs an event log"):
        _ = data.events


# ---- own files in a configuration


def test_data_with_its_columns_is_the_adapter_events_with_its_options() -> None:
    config = Config("churn", data="log.csv", user="who", time="when", time_unit="ms", datasets=("retail",)).checked()
    same = Config(
        "churn", datasets=("retail", "events=log.csv"), options={"events.user": "who", "events.time": "when", "events.time_unit": "ms"}
    )
    assert config == same.checked()
    assert config.checked() == config
    assert config.folder() == same.folder()


def test_the_run_folder_depends_on_the_file_and_on_its_columns() -> None:
    folders = {
        Config("churn", **given).checked().folder()  # type: ignore[arg-type]
        for given in ({}, {"data": "a.csv"}, {"data": "b.csv"}, {"data": "a.csv", "user": "x"}, {"data": "a.csv", "zone": "Europe/Berlin"})
    }
    assert len(folders) == 5


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"user": "x"}, "--user goes with --data FILE"),
        ({"time_unit": "s"}, "--time-unit goes with --data FILE"),
        ({"data": ""}, "--data is empty"),
        ({"data": "a.csv", "datasets": ("events=b.csv",)}, "shares its options; for two of your own: bench data add"),
        ({"data": "a.csv", "datasets": ("retail", "netflix"), "source": "x"}, "--source goes with exactly one"),
    ],
)
def test_own_files_that_cannot_be_meant_are_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Config("churn", **given).checked()  # type: ignore[arg-type]


def test_frames_of_every_library_are_kept_as_one_file_named_by_content() -> None:
    frame = pl.DataFrame({"who": ["a", "b"], "n": [1, 2]})
    paths = {cache_frame(f) for f in (frame, frame.to_arrow(), frame.clone())}
    assert len(paths) == 1
    kept = cache_frame(pd.DataFrame({"who": ["a", "b"], "n": [1, 2]}))
    assert pl.read_parquet(kept).rows() == frame.rows()
    assert cache_frame(frame.with_columns(n=0)) not in paths
    config = Config("churn", data=frame, user="who").checked()
    assert config.datasets == (f"events={paths.pop()}",)


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(DataError, match="data is a object that cannot be kept"):
        cache_frame(object())


def test_an_entry_is_plain_json(log: Path) -> None:
    register("shop", Registered("events", str(log), {"user": "who"}))
    assert json.loads(sources_file().read_text())["shop"] == {
        "adapter": "events",
        "path": str(log),
        "options": {"user": "who"},
        "holds": "events",
    }
