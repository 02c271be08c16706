"""The law of a simulator: whose it is, when it holds, and what is refused."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from bench.data.law import read_law
from bench.errors import DataError

START = datetime(2024, 1, 1)  # noqa: DTZ001  laws are UTC without a zone, as incidents are
DAY = 86_400_000_000
ZERO = int((START - datetime(1970, 1, 1)).total_seconds() * 1e6)  # noqa: DTZ001


def table(*lines):
    return pl.DataFrame([(user, START + timedelta(days=day), item, float(w)) for user, day, item, w in lines],
                        schema=["user", "start", "item", "weight"], orient="row")  # fmt: skip


@pytest.fixture
def law(tmp_path):
    lines = [("b", 2, "y", 3), ("*", 5, "x", 1), ("*", 5, "y", 2), ("a", 1, "x", 1), ("a", 1, "z", 4), ("a", 3, "y", 1)]
    table(*lines).write_parquet(tmp_path / "law.parquet")
    return read_law(tmp_path / "law.parquet")


def test_a_user_has_the_latest_law_of_their_own_that_has_begun_then_everybodys_then_none(law):
    asked = [("a", 0), ("a", 1), ("a", 2.9), ("a", 3), ("a", 9), ("b", 1.9), ("b", 2), ("c", 4.9), ("c", 5), ("b", 7)]
    found = law.at([user for user, _ in asked], np.array([ZERO + round(day * DAY) for _, day in asked]))
    assert law.user == ("*", "a", "b")
    assert found.tolist() == [-1, 1, 1, 2, 2, -1, 3, -1, 0, 3]
    assert law.since == ZERO + DAY


def test_weights_stand_in_the_catalogues_columns_and_what_it_lacks_is_left_out(law):
    column = {"x": 1, "y": 0, "z": 2}  # of two items: z is in none
    number = np.array([column[item] for item in law.item])
    found = law.weights(np.array([1, -1, 0, 1]), number, 2)
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 1], [0, 0], [2, 1], [0, 1]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop("weight"), "no column 'weight'"),
        (lambda t: t.with_columns(weight=-pl.col("weight")), "no finite numbers from 0 on"),
        (lambda t: t.with_columns(weight=pl.lit(float("nan"))), "no finite numbers from 0 on"),
        (lambda t: t.with_columns(item=pl.lit(None, pl.String)), "empty fields"),
    ],
)
def test_a_file_that_is_no_law_is_refused_in_one_line(change, words, tmp_path):
    change(table(("a", 1, "x", 1))).write_parquet(tmp_path / "law.parquet")
    with pytest.raises(DataError, match=words) as caught:
        read_law(tmp_path / "law.parquet")
    assert "\n" not in str(caught.value)
    assert "law.parquet" in str(caught.value)
