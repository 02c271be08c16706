"""The ceiling of next events: who knows the law ranks best, and no worker sees anything of it."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from tasks.test_next_event import CIRCLE, circle, score

from bench.tasks.next_event.task import NextEvent
from bench.tasks.profiles import profile


def lawful(tmp_path, start=timedelta(0)):
    """Write the circle's law: after each event one step on with .8 + .2 / 12, else anywhere; before the first, evenly."""
    events = circle()
    log = events.frame.select(pl.col("user", "item").cast(pl.String), time=pl.col("time").dt.replace_time_zone(None))
    after = log.with_columns(start=pl.col("time") + pl.duration(microseconds=1), at=pl.col("item").str.slice(1).cast(pl.Int64))
    each = after.join(pl.DataFrame({"step": np.arange(CIRCLE)}), how="cross").with_columns(
        item=pl.format("i{}", ((pl.col("at") + pl.col("step")) % CIRCLE).cast(pl.String).str.zfill(2)),
        weight=pl.when(pl.col("step") == 1).then(0.8 + 0.2 / CIRCLE).otherwise(0.2 / CIRCLE),
    )
    each = each.filter(pl.col("start") >= pl.col("start").min() + start)
    each.select("user", "start", "item", "weight").write_parquet(tmp_path / "law.parquet")
    return events, dataclasses.replace(events, law=tmp_path / "law.parquet")


def only(events, **options):
    (split,) = NextEvent().splits(events, options, profile("smoke"), 0, simulated=True)
    return split


def test_who_knows_the_law_is_right_as_often_as_the_law_allows(tmp_path):
    split = only(lawful(tmp_path)[1])
    found = score(split, split.ceiling)
    assert found["hit_1"] == pytest.approx(0.8 + 0.2 / CIRCLE, abs=0.07)
    (ranking,) = split.ceiling
    assert NextEvent().invalid(split, "final", 0, ranking) == ""


def test_no_worker_sees_anything_of_the_law(tmp_path):
    without, with_law = (only(events) for events in lawful(tmp_path))
    assert without.ceiling == ()
    assert with_law.ceiling
    assert {name: stage.digest for name, stage in without.stages.items()} == {name: s.digest for name, s in with_law.stages.items()}
    for name in ("facts", "notes", "task_id", "columns", "context", "members"):
        assert getattr(without, name) == getattr(with_law, name)


def test_a_law_that_begins_after_the_cut_off_or_is_not_of_kinds_is_no_ceiling(tmp_path):
    assert only(lawful(tmp_path)[1], target="kind").ceiling == ()
    assert only(lawful(tmp_path, timedelta(days=29))[1]).ceiling == ()


def test_what_is_taken_once_is_not_ranked_again(tmp_path):
    split = only(lawful(tmp_path)[1], repeats="filtered", support="1", horizon="12d")
    (ranking,) = split.ceiling
    assert NextEvent().invalid(split, "final", 0, ranking) == ""
    inputs = split.stages["final"].parts[0]
    for row in range(len(inputs)):
        had = set(inputs.item[inputs.offsets[row] : inputs.offsets[row + 1]].tolist())
        assert not had & set(ranking["items"][row].tolist())
