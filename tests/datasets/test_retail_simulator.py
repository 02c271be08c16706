"""The simulated shop is seeded, written in the raw form, and neither trivial nor hopeless to forecast."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from bench.data.fingerprint import fingerprint
from bench.errors import ConfigError
from bench_datasets.retail import Retail
from bench_datasets.retail_simulator import Shop


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    Retail().simulate(folder, 1000, 0)
    return folder


@pytest.fixture(scope="module")
def events(folder):
    return Retail().read(folder, {})


@pytest.fixture(scope="module")
def visits(events):
    """Give the distinct (user, day) of purchases."""
    bought = events.frame.filter(pl.col("kind") == "purchase")
    return bought.select(user=pl.col("user").cast(pl.String), day=pl.col("time").dt.date()).unique().sort("user", "day")


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_log(tmp_path):
    prints = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        Retail().simulate(tmp_path / name, 50, seed)
        prints.append([(tmp_path / name / f).read_bytes() for f in ("sales.csv", "incidents.csv", "law.parquet", "simulation.json")])
    assert prints[0] == prints[1]
    assert all(a != c for a, c in zip(prints[0], prints[2], strict=True))
    logs = [Retail().read(tmp_path / name, {}) for name in "abc"]
    assert len({fingerprint(log, "retail/1") for log in logs}) == 2


def test_it_is_read_by_the_same_reader_under_its_own_name(folder, events):
    assert Retail().detect(folder) == "uci-csv"
    assert events.name == Retail.simulated_name
    assert events.users == 1000
    assert events.kinds == ("cancel", "purchase")
    assert set(events.cleaning) == {"no user", "duplicate"}
    assert 0.02 < events.cleaning["no user"] / events.rows_read < 0.05
    assert 30_000 < len(events) < 60_000


def test_invoices_are_numbered_in_the_order_of_time_and_never_as_the_real_ones(folder):
    raw = pl.read_csv(folder / "sales.csv", infer_schema=False)
    numbers = raw["InvoiceNo"].str.strip_prefix("C").cast(pl.Int64)
    assert numbers.is_sorted()
    assert raw["InvoiceDate"].is_sorted()
    assert numbers[0] > 600_000
    assert raw.group_by("InvoiceNo").agg(pl.col("CustomerID", "InvoiceDate").n_unique()).select(
        pl.col("CustomerID", "InvoiceDate").max()
    ).row(0) == (1, 1)
    back = raw.filter(pl.col("InvoiceNo").str.starts_with("C"))
    assert (back["Quantity"].cast(pl.Int64) < 0).all()
    assert not back.is_empty()


def test_the_shop_is_closed_on_saturdays_at_night_and_after_christmas(events):
    times = events.frame["time"]
    assert 6 not in times.dt.weekday().unique()
    assert times.dt.hour().is_between(8, 17).all()
    assert not times.dt.date().is_between(dt.date(2023, 12, 25), dt.date(2024, 1, 3)).any()


def test_christmas_and_promotions_lift_sales(events, folder):
    daily = events.frame.filter(pl.col("kind") == "purchase").group_by(day=pl.col("time").dt.date()).agg(pl.col("invoice").n_unique())
    autumn, summer = (
        daily.filter(pl.col("day").is_between(dt.date(2023, *a), dt.date(2023, *b)))["invoice"].mean()
        for a, b in (((11, 5), (12, 5)), ((7, 1), (9, 30)))
    )
    assert autumn > 1.3 * summer
    shop_wide = pl.read_csv(folder / "incidents.csv", try_parse_dates=True).filter(pl.col("user") == "*")
    assert shop_wide["kind"].unique().to_list() == ["promotion"]
    assert len(shop_wide) == Shop().promotions
    lifts = []
    for start, end in shop_wide.select(pl.col("start", "end").dt.date()).iter_rows():
        around = daily.filter(pl.col("day").is_between(start - dt.timedelta(21), end + dt.timedelta(21)))
        inside = pl.col("day").is_between(start, end, closed="left")
        lifts.append(around.filter(inside)["invoice"].mean() / around.filter(~inside)["invoice"].mean())
    assert np.mean(lifts) > 1.3


def test_bursts_are_labelled_where_customers_order_in_bulk(events, folder):
    bursts = pl.read_csv(folder / "incidents.csv", schema_overrides={"user": pl.String}, try_parse_dates=True).filter(pl.col("user") != "*")
    assert len(bursts) >= 5
    spent = events.frame.filter(pl.col("kind") == "purchase").with_columns(
        pl.col("user").cast(pl.String), pl.col("time").dt.replace_time_zone(None)
    )
    inside = spent.join_where(
        bursts.rename({"user": "who"}), pl.col("user") == pl.col("who"), pl.col("time") >= pl.col("start"), pl.col("time") < pl.col("end")
    )
    orders = inside.group_by("user").agg(pl.col("invoice").n_unique(), pl.col("quantity").median())
    assert len(orders) == len(bursts)
    assert (orders["invoice"] >= 6).all()
    assert (orders["quantity"] >= 20).all()


def test_customers_differ_and_the_average_is_as_documented(visits):
    days = visits.group_by("user").len()["len"]
    assert 8 < days.mean() < 16
    assert 0.1 < (days == 1).mean() < 0.35
    assert days.quantile(0.9) > 5 * days.median()


def test_most_who_leave_slow_down_first(visits):
    """Compare the last gaps of those gone for long with their own median gap: without slowing the ratio is near 1."""
    last_day = visits["day"].max()
    gaps = visits.with_columns(gap=pl.col("day").diff().over("user").dt.total_days())
    loyal = gaps.filter(pl.len().over("user") >= 10)
    own = loyal.group_by("user", maintain_order=True).agg(
        end=pl.col("day").last(), last=pl.col("gap").tail(3).mean(), usual=pl.col("gap").slice(0, pl.len() - 3).median()
    )
    gone = own.filter(pl.col("end") < last_day - dt.timedelta(91))
    there = own.filter(pl.col("end") >= last_day - dt.timedelta(14))
    ratio = [(g["last"] / g["usual"]).median() for g in (gone, there)]
    assert ratio[0] > 1.4 * ratio[1]


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


@pytest.mark.parametrize("horizon", [28, 91])
def test_churn_is_neither_trivial_nor_impossible(visits, horizon):
    test = visits["day"].max() - dt.timedelta(horizon)
    train = [seen(visits, test - dt.timedelta(horizon * k), horizon) for k in (1, 2, 3, 4)]
    x, y = seen(visits, test, horizon)
    model = LogisticRegression().fit(np.concatenate([a for a, _ in train]), np.concatenate([b for _, b in train]))
    assert len(y) >= 200
    assert 0.15 < y.mean() < 0.45
    assert 0.70 < roc_auc_score(y, model.decision_function(x)) < 0.88


@pytest.mark.parametrize("size", [1, 2, 5])
def test_tiny_shops_work(tmp_path, size):
    Retail().simulate(tmp_path, size, 3)
    assert Retail().read(tmp_path, {}).users == size


def test_a_shop_without_customers_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least 1 customer, got 0"):
        Retail().simulate(tmp_path, 0, 3)


def test_the_parameters_are_written_beside_the_log(folder):
    facts = json.loads((folder / "simulation.json").read_text())
    assert (facts["name"], facts["size"], facts["seed"]) == ("retail-sim", 1000, 0)
    assert facts["parameters"]["mean_gap"] == Shop().mean_gap
