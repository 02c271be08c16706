"""The simulated ratings are shaped like MovieLens's, within loose bounds on distances between distributions."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import ks_2samp

from bench_datasets.netflix import Netflix

BOUNDS = {"log gap between active days": 0.25, "log ratings per user": 0.15, "weekly cycle": 0.08, "stars": 0.2}
"""Most that each distance may be: Kolmogorov-Smirnov for the first two, total variation for the others (0 same, 1 apart)."""


def log_gaps(events):
    days = events.frame.select("user", day=pl.col("time").dt.date()).unique().sort("user", "day")
    return np.log(days.select(pl.col("day").diff().over("user").dt.total_days().drop_nulls()).to_series().to_numpy())


def log_activity(events):
    return np.log(events.frame.group_by("user").len()["len"].to_numpy())


def weekday_shares(events):
    return np.bincount(events.frame["time"].dt.weekday(), minlength=8)[1:] / len(events)


def star_shares(events):
    return np.bincount(np.ceil(events.frame["value"].to_numpy()).astype(int), minlength=6)[1:] / len(events)


@pytest.fixture(scope="module")
def distances(real, tmp_path_factory):
    """Give each distance between MovieLens latest-small and a simulated site of as many customers."""
    folder = tmp_path_factory.mktemp("site")
    Netflix().simulate(folder, 671, 0)
    theirs, ours = Netflix().read(real / "movielens_latest_small" / "ratings.csv", {}), Netflix().read(folder, {})
    found = {
        "log gap between active days": ks_2samp(log_gaps(theirs), log_gaps(ours)).statistic,
        "log ratings per user": ks_2samp(log_activity(theirs), log_activity(ours)).statistic,
        "weekly cycle": np.abs(weekday_shares(theirs) - weekday_shares(ours)).sum() / 2,
        "stars": np.abs(star_shares(theirs) - star_shares(ours)).sum() / 2,
    }
    print()  # noqa: T201  pytest shows the table with -s
    for name, distance in found.items():
        print(f"{name:30} {distance:.3f} (at most {BOUNDS[name]})")  # noqa: T201
    return found


@pytest.mark.parametrize("name", BOUNDS)
def test_the_simulator_is_near_the_real_ratings(distances, name):
    assert distances[name] <= BOUNDS[name]


def test_the_simulated_users_are_active_on_more_days_than_those_of_movielens(real, tmp_path):
    """Keep a known difference in view: over half of MovieLens's users rate on one day only, which would make churn trivial."""
    Netflix().simulate(tmp_path, 671, 0)
    logs = Netflix().read(real / "movielens_latest_small" / "ratings.csv", {}), Netflix().read(tmp_path, {})
    shares = [(log.frame.group_by("user").agg(pl.col("time").dt.date().n_unique())["time"] == 1).mean() for log in logs]
    assert shares[0] == pytest.approx(386 / 671)
    assert 0.15 < shares[1] < 0.4
