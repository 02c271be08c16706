"""The simulated rating site is seeded, written in the Netflix Prize's raw form, and neither trivial nor hopeless to forecast."""

from __future__ import annotations

import datetime as dt
import json
import re

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from bench.data.fingerprint import fingerprint
from bench.errors import ConfigError
from bench_datasets._ratings_site import Site
from bench_datasets.netflix import Netflix, read_titles

FILES = [f"combined_data_{i}.txt" for i in (1, 2, 3, 4)]
WRITTEN = sorted([*FILES, "movie_titles.txt", "probe.txt", "incidents.csv", "law.parquet", "simulation.json"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    Netflix().simulate(folder, 1000, 0)
    return folder


@pytest.fixture(scope="module")
def events(folder):
    return Netflix().read(folder, {})


@pytest.fixture(scope="module")
def visits(events):
    """Give the distinct (user, day) of ratings."""
    return events.frame.select(user=pl.col("user").cast(pl.String), day=pl.col("time").dt.date()).unique().sort("user", "day")


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_log(tmp_path):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        Netflix().simulate(tmp_path / name, 50, seed)
    a, b, c = ([(tmp_path / name / f).read_bytes() for f in WRITTEN] for name in "abc")
    assert a == b
    assert all(one != other for one, other in zip(a, c, strict=True))
    logs = [Netflix().read(tmp_path / name, {}) for name in "abc"]
    assert len({fingerprint(log, "netflix/1") for log in logs}) == 2


def test_it_is_read_by_the_same_reader_under_its_own_name(folder, events):
    assert sorted(f.name for f in folder.iterdir()) == WRITTEN
    assert Netflix().detect(folder) == "netflix-combined"
    assert (events.name, events.users, events.kinds, events.cleaning) == (Netflix.simulated_name, 1000, ("rating",), {})
    assert 80_000 < len(events) < 200_000
    assert events.rows_read == len(events)


def test_the_files_are_sorted_by_movie_and_not_by_time_and_about_equally_long(folder):
    sizes = [(folder / f).stat().st_size for f in FILES]
    assert max(sizes) < 1.3 * min(sizes)
    heads = [int(m) for f in FILES for m in re.findall(r"^(\d+):$", (folder / f).read_text(), re.MULTILINE)]
    assert heads == sorted(set(heads))
    movies = re.split(r"^\d+:\n", (folder / FILES[0]).read_text(), flags=re.MULTILINE)[1:]
    days = [[line.split(",")[2] for line in movie.splitlines()] for movie in movies]
    assert sum(d != sorted(d) for d in days) > len(days) / 2


def test_customers_have_numbers_with_gaps_and_rate_a_movie_once(events):
    numbers = events.frame["user"].unique().cast(pl.String).cast(pl.Int64)
    assert numbers.max() > 3 * len(numbers)
    assert events.frame.select(pl.struct("user", "item").is_duplicated().any()).item() is False
    assert sorted(events.frame["value"].unique()) == [1, 2, 3, 4, 5]
    assert 3.3 < events.frame["value"].mean() < 3.9


def test_titles_have_commas_letters_of_latin_1_and_missing_years(folder, events):
    assert b"\xe9" in (folder / "movie_titles.txt").read_bytes()
    titles = read_titles(folder / "movie_titles.txt")
    assert titles["title"].str.contains(",").any()
    assert titles["title"].str.contains("é").any()
    assert 0 < titles["year"].null_count() < 0.02 * len(titles)
    assert events.frame["item"].cast(pl.String).is_in(titles["movie"].implode()).all()


def test_the_probe_holds_some_of_each_customers_last_ratings(folder, events):
    held = Netflix().read(folder, {"probe": "hold-out"})
    assert set(held.cleaning) == {"probe"}
    assert len(held) + held.cleaning["probe"] == len(events)
    assert 0.005 < held.cleaning["probe"] / len(events) < 0.03
    latest = (
        events.frame.with_columns(pl.col("user", "item").cast(pl.String))
        .join(held.frame.with_columns(pl.col("user", "item").cast(pl.String)), on=["user", "item"], how="anti")
        .join(events.frame.group_by(pl.col("user").cast(pl.String)).agg(ninth=pl.col("time").top_k(9).min()), on="user")
    )
    assert len(latest) == held.cleaning["probe"]
    assert (latest["time"] >= latest["ninth"]).all()


def test_customers_join_over_time_and_differ(visits, events):
    joined = visits.group_by("user").agg(pl.col("day").min())["day"]
    assert 0.2 < (joined < dt.date(2021, 3, 1)).mean() < 0.45
    assert 0.2 < (joined > dt.date(2022, 1, 1)).mean() < 0.45
    days = visits.group_by("user").len()["len"]
    assert 0.1 < (days == 1).mean() < 0.4
    assert days.quantile(0.9) > 5 * days.median()
    assert events.frame.group_by("user").len()["len"].quantile(0.9) > 3 * events.frame.group_by("user").len()["len"].median()


def test_a_visit_calls_forth_others_soon_after_it(visits):
    """Compare the gaps that follow a gap of at most three days with all others of the same people: bursts make them shorter."""
    gaps = visits.with_columns(gap=pl.col("day").diff().over("user").dt.total_days()).with_columns(
        before=pl.col("gap").shift().over("user")
    )
    own = gaps.drop_nulls().filter(pl.len().over("user") >= 15).with_columns(usual=pl.col("gap").mean().over("user"))
    after = own.group_by(pl.col("before") <= 3).agg((pl.col("gap") / pl.col("usual")).mean())
    ratio = dict(after.iter_rows())
    assert ratio[True] < 0.95 * ratio[False]


def test_more_is_rated_on_mondays_and_during_drives_and_many_movies_on_one_day(events, visits, folder):
    week = np.bincount(visits["day"].dt.weekday(), minlength=8)[1:]
    assert week[[0, 6]].mean() > 1.1 * week[[4, 5]].mean()
    per_visit = events.frame.group_by("user", pl.col("time").dt.date()).len()["len"]
    assert per_visit.mean() > 5
    assert per_visit.quantile(0.99) > 40
    incidents = pl.read_csv(folder / "incidents.csv", try_parse_dates=True, schema_overrides={"user": pl.String})
    daily = visits.group_by("day").len()
    lifts = []
    for start, end in incidents.filter(pl.col("user") == "*").select("start", "end").iter_rows():
        around = daily.filter(pl.col("day").is_between(start - dt.timedelta(14), end + dt.timedelta(14)))
        inside = pl.col("day").is_between(start, end, closed="left")
        lifts.append(around.filter(inside)["len"].mean() / around.filter(~inside)["len"].mean())
    assert len(lifts) == Site().drives
    assert np.mean(lifts) > 1.3


def test_bulk_ratings_are_labelled(events, folder):
    bulk = pl.read_csv(folder / "incidents.csv", try_parse_dates=True, schema_overrides={"user": pl.String}).filter(pl.col("user") != "*")
    assert len(bulk) == 10
    daily = events.frame.group_by(user=pl.col("user").cast(pl.String), start=pl.col("time").dt.date()).len()
    assert (bulk.join(daily, on=["user", "start"])["len"] > 50).all()


def test_popular_movies_change_with_time_and_new_ones_come_out(events):
    frame = events.frame.with_columns(year=pl.col("time").dt.year())
    top = [set(frame.filter(pl.col("year") == y)["item"].value_counts(sort=True)["item"][:100].cast(pl.String)) for y in (2021, 2022)]
    assert 15 < len(top[0] & top[1]) < 90
    counts = frame["item"].value_counts(sort=True)["count"]
    assert 5 < counts[0] / counts[len(counts) // 4] < 200


def seen(visits, cutoff, horizon):
    """Give log(1 + [recency, active days, tenure]) of the eligible at `cutoff`, and whether they churned."""
    past = visits.filter(pl.col("day") <= cutoff).group_by("user", maintain_order=True)
    days = past.agg(
        recency=(pl.lit(cutoff) - pl.col("day").max()).dt.total_days(),
        n=pl.len(),
        tenure=(pl.lit(cutoff) - pl.col("day").min()).dt.total_days(),
    )
    days = days.filter(pl.col("recency") < horizon)
    back = visits.filter((pl.col("day") > cutoff) & (pl.col("day") <= cutoff + dt.timedelta(horizon)))["user"].unique()
    return np.log1p(days.select("recency", "n", "tenure").to_numpy().astype(float)), ~days["user"].is_in(back.implode()).to_numpy()


@pytest.mark.parametrize("horizon", [28, 56, 91])
def test_churn_is_neither_trivial_nor_impossible(visits, horizon):
    test = visits["day"].max() - dt.timedelta(horizon)
    train = [seen(visits, test - dt.timedelta(horizon * k), horizon) for k in (1, 2, 3)]
    x, y = seen(visits, test, horizon)
    model = LogisticRegression().fit(np.concatenate([a for a, _ in train]), np.concatenate([b for _, b in train]))
    assert len(y) >= 200
    assert 0.15 < y.mean() < 0.45
    assert 0.68 < roc_auc_score(y, model.decision_function(x)) < 0.92


@pytest.mark.parametrize("size", [1, 2, 5])
def test_tiny_sites_work(tmp_path, size):
    Netflix().simulate(tmp_path, size, 3)
    events = Netflix().read(tmp_path, {"probe": "hold-out", "titles": "true"})
    assert events.users == size
    assert events.cleaning["probe"] >= 1
    assert events.frame["title"].null_count() == 0


def test_a_site_without_customers_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least 1 customer, got 0"):
        Netflix().simulate(tmp_path, 0, 3)


def test_the_parameters_are_written_beside_the_log(folder):
    facts = json.loads((folder / "simulation.json").read_text())
    assert (facts["name"], facts["size"], facts["seed"]) == ("ratings-sim", 1000, 0)
    assert facts["parameters"]["breeding"] == Site().breeding
