"""Several sets of series are one board: every series keeps its values and labels under its set's name; what differs is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from bench.data.events import Events
from bench.data.series import Series
from bench.errors import ConfigError
from bench.sources.load import Loaded
from bench.sources.pool import pooled, wanted
from bench_datasets.series import SeriesFile


def loaded(name, *, label=True, at=0.0):
    frame = pl.DataFrame({"series": ["a", "a", "b"], "time": [None] * 3, "value": [at, at + 1, at + 2]})
    frame = frame.with_columns(label=pl.Series([False, True, False])) if label else frame
    return Loaded(name, simulated=False, adapter=SeriesFile(), data=Series.build(frame, name=name), fingerprint=f"digest of {name}")


def test_every_series_keeps_its_values_and_labels_under_the_name_of_its_set():
    whole = pooled([loaded("one"), loaded("two", at=10.0)])
    assert whole.name == "one+two"
    assert whole.data.names == ("one/a", "one/b", "two/a", "two/b")
    assert whole.data.frame["value"].to_list() == [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]
    assert whole.data.frame["label"].to_list() == [False, True, False] * 2


def test_the_fingerprint_is_that_of_the_sets_and_their_order():
    assert len({pooled([loaded(name) for name in pair]).fingerprint for pair in ("ab", "ba", "ac")}) == 3


def test_what_does_not_go_together_is_refused_with_the_reason():
    with pytest.raises(ConfigError, match="'two' has series, time, value; give sets of one form"):
        pooled([loaded("one"), loaded("two", label=False)])
    with pytest.raises(ConfigError, match="two or more data sets"):
        pooled([loaded("one")])
    row = pl.DataFrame({"user": ["u"], "time": [datetime(2024, 1, 1, tzinfo=UTC)], "kind": ["buy"]})
    log = Events.build(row, name="log", activity=("buy",))
    with pytest.raises(ConfigError, match="'log' is a log"):
        pooled([loaded("one"), Loaded("log", simulated=False, adapter=SeriesFile(), data=log, fingerprint="x")])
    with pytest.raises(ConfigError, match="neither true nor false"):
        wanted("yes")
