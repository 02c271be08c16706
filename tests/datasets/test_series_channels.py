"""Series of several channels are read alike from wide and long tables, csv and Parquet, one file or one an entity."""

from __future__ import annotations

import polars as pl
import pytest

from bench.data.series import CHANNEL
from bench.errors import ConfigError, DataError
from bench.runs.config import Config
from bench_datasets.series import SeriesFile

WIDE = pl.DataFrame(
    {
        "machine": ["a"] * 3 + ["b"] * 3,
        "ds": ["2024-01-01", "2024-01-02", "2024-01-03"] * 2,
        "heat": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "flow": [10.0, 20.0, 30.0, 40.0, 50.0, 60.0],
        "broken": [0, 0, 1, 0, 1, 0],
    }
)
NAMED = {"series": "machine", "label": "broken"}


def long():
    table = WIDE.unpivot(["flow", "heat"], index=["machine", "ds", "broken"], variable_name="sensor", value_name="reading")
    return table.sort("ds", "sensor")


def channels(series):
    return series.frame.select("series", *[f"{CHANNEL}{name}" for name in ("heat", "flow")], "label").rows()


EXPECTED = [
    (name, heat, flow, bool(label))
    for name, heat, flow, label in WIDE.select("machine", "heat", "flow", "broken").rows()
]  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_long_and_wide_tables_give_the_same_channels(tmp_path, form):
    for name, table in (("wide", WIDE), ("long", long())):
        getattr(table, f"write_{form}")(tmp_path / f"{name}.{form}")
    wide = SeriesFile().read(tmp_path / f"wide.{form}", {**NAMED, "channels": "heat,flow"})
    tall = SeriesFile().read(tmp_path / f"long.{form}", {**NAMED, "channels": "sensor", "value": "reading"})
    assert channels(wide) == EXPECTED
    assert channels(tall) == EXPECTED


def test_a_folder_of_semicolon_files_is_one_entity_each(tmp_path):
    for name in "ab":
        WIDE.filter(pl.col("machine") == name).drop("machine").write_csv(tmp_path / f"{name}.csv", separator=";")
    assert channels(SeriesFile().read(tmp_path, {"label": "broken"})) == EXPECTED


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pl.concat([long(), long().head(1)]), "twice"),
        (long().with_columns(broken=(pl.int_range(12) < 1).cast(pl.Int64)), "differ in column 'broken'"),
        (long().rename({"reading": "other"}), "no column 'reading'"),
    ],
)
def test_what_is_wrong_with_a_long_table_is_said(tmp_path, table, words):
    table.write_parquet(tmp_path / "long.parquet")
    with pytest.raises(DataError, match=words):
        SeriesFile().read(tmp_path / "long.parquet", {**NAMED, "channels": "sensor", "value": "reading"})


def test_named_channels_make_own_data_series_and_no_log():
    config = Config("anomaly", data="x.csv", entity="machine", channels="heat,flow", label="broken", time="ds").checked()
    assert config.datasets == ("series=x.csv",)
    wanted = {"series.series": "machine", "series.channels": "heat,flow", "series.label": "broken", "series.time": "ds"}
    assert config.options == wanted
    assert (config.data, config.entity, config.time) == (None, None, None)


def test_columns_of_a_log_and_of_series_are_not_named_together():
    with pytest.raises(ConfigError, match="--user names a column of a log and --label one of series"):
        Config("anomaly", data="x.csv", user="who", label="broken").checked()
