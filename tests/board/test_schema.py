import math
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.board.schema import (
    AGGREGATOR,
    FLAGS,
    REQUIRED,
    SCHEMA,
    SCHEMA_VERSION,
    STATUSES,
    TUNINGS,
    read_rows,
    rows_to_table,
    table_to_rows,
    write_rows,
)
from bench.errors import RunFolderError
from bench.tasks.lookup import FIRST, task_named

WORDS = {"tuning": TUNINGS, "status": STATUSES}
TEXT = st.text(max_size=8)


def values_of(field):
    if field.name in WORDS:
        return st.sampled_from(WORDS[field.name])
    if field.name == "flags":
        return st.lists(st.sampled_from(FLAGS), max_size=3)
    kinds = {
        pa.string(): TEXT,
        pa.bool_(): st.booleans(),
        pa.float64(): st.floats(allow_nan=False),
        pa.int64(): st.integers(-(2**63), 2**63 - 1),
        pa.int32(): st.integers(-(2**31), 2**31 - 1),
        pa.timestamp("us", "UTC"): st.datetimes(timezones=st.just(UTC)),
    }
    return kinds[field.type]


ROW = st.fixed_dictionaries(
    {f.name: values_of(f) for f in SCHEMA if f.name in REQUIRED},
    optional={f.name: values_of(f) for f in SCHEMA if f.name not in (*REQUIRED, "schema_version", "aggregator")},
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ROW, max_size=3))
def test_a_row_survives_the_round_trip_through_parquet(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("board") / "leaderboard.parquet"
    write_rows(path, rows)
    back = table_to_rows(read_rows(path))
    assert [{k: v for k, v in row.items() if v is not None and k not in ("schema_version", "aggregator")} for row in back] == [
        {"flags": [], **row} for row in rows
    ]
    assert all((row["schema_version"], row["aggregator"]) == (SCHEMA_VERSION, AGGREGATOR) for row in back)


def test_the_columns_are_those_of_the_design():
    names = SCHEMA.names
    for metric in ("roc_auc", "captured_20", "mase", "total_wape", "vus_pr", "f1_at_01", "user_auc", "skill", "behind"):
        assert {metric, f"{metric}_low", f"{metric}_high"} <= set(names)
    assert len(names) == len(set(names))
    assert SCHEMA.field("flags").type == pa.list_(pa.string())
    assert SCHEMA.field("created").type == pa.timestamp("us", "UTC")


def test_what_is_missing_or_nan_is_null_and_numpy_scalars_are_welcome(row):
    one = row("a", np.float64(0.7), brier=math.nan, ece=np.float64("nan"), seed=np.int64(3), created=datetime(2026, 1, 2, tzinfo=UTC))
    (back,) = table_to_rows(rows_to_table([one]))
    assert (back["roc_auc"], back["seed"], back["brier"], back["ece"], back["mase"]) == (0.7, 3, None, None, None)
    assert back["flags"] == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"roc_acu": 0.7}, "no column 'roc_acu'; did you mean 'roc_auc'"),
        ({"status": "broken"}, "status 'broken' is not one of ok"),
        ({"tuning": "best"}, "tuning 'best'"),
        ({"flags": ["odd"]}, "flag 'odd'"),
        ({"model": None}, "model missing"),
    ],
)
def test_a_row_that_breaks_the_schema_is_refused_by_name(row, wrong, says):
    with pytest.raises(ValueError, match=says):
        rows_to_table([row("a", 0.5) | wrong])


def test_a_missing_file_and_one_that_is_no_parquet_are_told_apart(tmp_path):
    with pytest.raises(RunFolderError, match="no such leaderboard"):
        read_rows(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(RunFolderError, match="not a readable Parquet file"):
        read_rows(tmp_path / "text.parquet")


@pytest.mark.parametrize(("version", "cure"), [("99", "upgrade bench"), ("0", "derive the board again")])
def test_another_version_is_refused_with_the_cure(tmp_path, row, version, cure):
    table = rows_to_table([row("a", 0.5)]).replace_schema_metadata({"bench_schema_version": version})
    pq.write_table(table, tmp_path / "old.parquet")
    with pytest.raises(RunFolderError, match=cure):
        read_rows(tmp_path / "old.parquet")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop_columns(["status"]), "no status"),
        (lambda t: t.append_column("oops", pa.array([1.0])), "unknown oops"),
        (lambda t: t.drop_columns(["ece"]).append_column("ece", pa.array(["x"])), "ece is string, expected double"),
    ],
)
def test_a_file_that_lacks_a_required_column_or_has_a_strange_one_is_refused_by_name(tmp_path, row, change, words):
    pq.write_table(change(rows_to_table([row("a", 0.5)])), tmp_path / "other.parquet")
    with pytest.raises(RunFolderError, match=words):
        read_rows(tmp_path / "other.parquet")


@given(lost=st.sets(st.sampled_from([name for name in SCHEMA.names if name not in REQUIRED])), seed=st.randoms(use_true_random=False))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_file_that_lacks_metrics_or_any_column_that_is_not_required_is_read_with_null(tmp_path, row, lost, seed):
    whole = rows_to_table([row("a", 0.5, ceiling=0.9, tied=True)])
    names = [name for name in whole.column_names if name not in lost]
    seed.shuffle(names)
    pq.write_table(whole.select(names), tmp_path / "old.parquet")
    back = read_rows(tmp_path / "old.parquet")
    assert back.schema.equals(SCHEMA)
    assert table_to_rows(back) == [{**one, **dict.fromkeys(lost)} for one in table_to_rows(whole)]


def test_a_metric_of_a_task_that_is_not_installed_keeps_its_columns(tmp_path, row):
    found = {"fit_10": 0.2, "fit_10_low": 0.1, "fit_10_high": 0.3}
    write_rows(tmp_path / "a.parquet", [row("a", 0.5, **found), row("b", 0.4)])
    first, second = table_to_rows(read_rows(tmp_path / "a.parquet"))
    assert {name: first[name] for name in found} == found
    assert {second[name] for name in found} == {None}
    with pytest.raises(ValueError, match="no column 'fit_10'"):
        rows_to_table([row("a", 0.5, fit_10=0.2)])


def test_the_metric_columns_are_those_of_the_tasks():
    for task in FIRST:
        found = task_named(task)
        assert {f"{name}{end}" for name in found.metrics for end in ("", "_low", "_high")} <= set(SCHEMA.names)
        assert all(ranking.metric in found.metrics and ranking.second in found.metrics for ranking in found.rankings.values())
        assert all(ranking.higher == found.metrics[ranking.metric].higher_is_better for ranking in found.rankings.values())


def test_a_refused_row_leaves_the_file_as_it_was(tmp_path, row):
    path = tmp_path / "leaderboard.parquet"
    write_rows(path, [row("a", 0.5)])
    with pytest.raises(ValueError, match="no column"):
        write_rows(path, [row("a", 0.5, oops=1)])
    assert read_rows(path).num_rows == 1
    assert [p.name for p in tmp_path.iterdir()] == ["leaderboard.parquet"]
