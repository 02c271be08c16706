"""The simulated network is seeded, written in SNAP's form, self-exciting and reciprocal, and shaped like a real one."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import polars as pl
import pytest
from scipy.stats import ks_2samp

from bench.api import Context
from bench.errors import ConfigError
from bench.metrics.churn import churn_metrics
from bench.tasks.churn.task import Churn
from bench.tasks.profiles import PROFILES
from bench_datasets.social import Social
from bench_datasets.social_simulator import Network, simulate
from bench_plugins.rfm_logit import RfmLogit

HOUR = 3_600
FILES = ("messages.txt", "incidents.csv", "law.parquet", "simulation.json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    Social().simulate(folder, 1000, 0)
    return folder


@pytest.fixture(scope="module")
def events(folder):
    return Social().read(folder, {})


@pytest.fixture(scope="module")
def incidents(folder):
    return pl.read_csv(folder / "incidents.csv", try_parse_dates=True, schema_overrides={"user": pl.String})


def plain(events):
    return events.frame.select(pl.col("user", "item").cast(pl.String), "time", second=pl.col("time").dt.epoch("s"))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_log(tmp_path):
    prints = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        Social().simulate(tmp_path / name, 60, seed)
        prints.append([(tmp_path / name / f).read_bytes() for f in FILES])
    assert prints[0] == prints[1]
    assert all(a != c for a, c in zip(prints[0], prints[2], strict=True))


def test_it_is_read_by_the_same_reader_under_its_own_name(folder, events):
    assert Social().detect(folder) == "snap"
    assert (events.name, events.users, events.kinds, events.cleaning) == ("social-sim", 1000, ("message",), {})
    assert 20_000 < len(events) < 60_000


def test_the_file_is_in_the_order_of_time_and_nobody_writes_to_themselves(folder):
    raw = pl.read_csv(folder / "messages.txt", separator=" ", has_header=False, new_columns=["src", "dst", "time"])
    assert raw["time"].is_sorted()
    assert (raw["src"] != raw["dst"]).all()
    assert raw.select(pl.col("src", "dst").min().name.prefix("low "), pl.col("src", "dst").max()).row(0)[2:] <= (1000, 1000)
    first = dt.datetime.fromisoformat(Network().start).replace(tzinfo=dt.UTC).timestamp()
    assert raw["time"].is_between(first, first + Network().days * 86_400, closed="left").all()


def test_messages_excite_more_of_the_same_user(tmp_path):
    """Compare with a network without excitation: most gaps within an hour are caused by it."""
    shares = []
    for name, excited in (("with", 0.38), ("without", 0.0)):
        simulate(tmp_path / name, 500, 1, Network(self_excited=excited, answer_most=1e-9, spam=0.0, surges=1))
        gaps = plain(Social().read(tmp_path / name, {})).sort("user", "second").select(pl.col("second").diff().over("user"))["second"]
        shares.append((gaps.drop_nulls() < HOUR).mean())
    assert shares[0] > 0.25
    assert shares[1] < 0.08


def test_answers_follow_messages_within_minutes_to_hours(events):
    sent = plain(events).sort("second")
    back = sent.select(user="item", item="user", answered=pl.col("second")).sort("answered")
    pairs = sent.join_asof(back, left_on="second", right_on="answered", by=["user", "item"], strategy="forward", check_sortedness=False)
    delay = (pairs["answered"] - pairs["second"]).drop_nulls()
    assert len(delay) > 0.4 * len(sent)
    assert 5 * 60 < delay.median() < 6 * HOUR


def test_users_write_to_few_partners_and_some_are_popular(events):
    pairs = plain(events).group_by("user", "item").len()
    top = pairs.group_by("user").agg(share=pl.col("len").max() / pl.col("len").sum(), n=pl.col("len").sum()).filter(pl.col("n") >= 20)
    assert 0.2 < top["share"].median() < 0.8
    met = pairs.group_by("item").len()["len"]
    assert met.max() > 10 * met.median()


def test_nights_and_weekends_are_quiet(events):
    hour = plain(events).group_by(pl.col("time").dt.hour()).len().sort("time")["len"].to_numpy()
    assert hour[2:6].mean() < 0.25 * hour.mean()
    weekday = dict(plain(events).group_by(pl.col("time").dt.weekday()).len().iter_rows())
    assert weekday[6] < 0.8 * weekday[2]


def test_surges_lift_the_network_and_spam_is_a_burst_to_many(events, incidents):
    daily = plain(events).group_by(day=pl.col("time").dt.date()).len()
    surges, spam = (incidents.filter(pl.col("kind") == k) for k in ("surge", "spam"))
    assert (len(surges), surges["user"].unique().to_list()) == (Network().surges, ["*"])
    lifts = []
    for start, end in surges.select(pl.col("start", "end").dt.date()).iter_rows():
        around = daily.filter(pl.col("day").is_between(start - dt.timedelta(14), end + dt.timedelta(14)))
        inside = pl.col("day").is_between(start, end, closed="left")
        lifts.append(around.filter(inside)["len"].mean() / around.filter(~inside)["len"].mean())
    assert np.mean(lifts) > 1.4
    assert len(spam) >= 5
    for user, start, end in spam.select("user", "start", "end").iter_rows():
        within = pl.col("time").dt.replace_time_zone(None).is_between(start, end, closed="left")
        own = plain(events).filter((pl.col("user") == user) & within)
        assert (end - start, len(own) >= 30, own["item"].n_unique() >= 25) == (dt.timedelta(hours=2), True, True)


def auc(events, horizon):
    split = Churn().split(events, {"horizon": horizon}, PROFILES["full"], 0)
    model, stage = RfmLogit({"C": 1.0}), split.stages["final"]
    ctx = Context(horizon=split.facts["horizon_days"])
    model.fit(stage.train, ctx)
    return churn_metrics(split.truths["final"].y, model.predict(stage.parts[0], ctx), base_rate=0.5)["roc_auc"][0], split.facts["base_rate"]


@pytest.fixture(scope="module")
def several(tmp_path_factory, events):
    found = [events]
    for seed in (1, 2):
        folder = tmp_path_factory.mktemp("several")
        Social().simulate(folder, 1000, seed)
        found.append(Social().read(folder, {}))
    return found


@pytest.mark.parametrize("horizon", ["7d", "14d", "28d"])
def test_churn_is_neither_trivial_nor_impossible(several, horizon):
    scores, rates = zip(*(auc(e, horizon) for e in several), strict=True)
    assert all(0.65 < score < 0.90 for score in scores)
    assert 0.70 < np.mean(scores) < 0.87
    assert all(0.2 < rate < 0.5 for rate in rates)


def test_the_default_horizon_has_enough_test_users(several):
    for events in several:
        split = Churn().split(events, {}, PROFILES["short"], 0)
        assert (split.facts["horizon_days"], split.flags, split.reason) == (28.0, (), "")


def shape(events):
    """Measure what makes a network of messages: samples to compare by Kolmogorov-Smirnov, and shares."""
    log = plain(events).with_columns(day=pl.col("time").dt.date())
    users = log.group_by("user").agg(n=pl.len(), days=pl.col("day").n_unique(), partners=pl.col("item").n_unique())
    gaps = log.sort("user", "second").select(pl.col("second").diff().over("user"))["second"].drop_nulls()
    pairs = log.select("user", "item").unique()
    mutual = pairs.join(pairs.select(user="item", item="user"), on=["user", "item"], how="semi")
    hours = np.sort(log.group_by(pl.col("time").dt.hour()).len()["len"].to_numpy()) / len(log)
    samples = {"messages a sender": users["n"], "active days": users["days"], "partners": users["partners"], "gaps": gaps,
               "in-degree": pairs.group_by("item").len()["len"]}  # fmt: skip
    shares = {"mutual pairs": len(mutual) / len(pairs), "gaps under 1 h": (gaps < HOUR).mean(), "busiest 8 hours": hours[-8:].sum(),
              "messages of the top tenth": users["n"].sort()[-len(users) // 10 :].sum() / len(log)}  # fmt: skip
    return samples, shares


def test_its_shape_is_near_that_of_a_real_network(real, events):
    """Compare with CollegeMsg, loosely: distances of distributions, differences of shares; the table stands in the message."""
    (ours, our_shares), (theirs, their_shares) = shape(events), shape(Social().read(real / "college_msg", {}))
    table = {name: (ours[name].median(), theirs[name].median(), ks_2samp(ours[name], theirs[name]).statistic) for name in ours}
    table |= {name: (our_shares[name], share, abs(our_shares[name] - share)) for name, share in their_shares.items()}
    told = "\n".join(f"{name:26} simulated {a:9.3f}  CollegeMsg {b:9.3f}  distance {d:.3f}" for name, (a, b, d) in table.items())
    print(told)  # noqa: T201  shown with -s, and where the test fails
    assert all(distance < 0.3 for _, _, distance in table.values()), told


@pytest.mark.parametrize("size", [2, 3, 5])
def test_tiny_networks_work(tmp_path, size):
    Social().simulate(tmp_path, size, 3)
    assert Social().read(tmp_path, {}).users == size


def test_a_network_of_one_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least 2 users, got 1"):
        Social().simulate(tmp_path, 1, 3)


def test_the_parameters_are_written_beside_the_log_and_cascades_end(folder):
    facts = json.loads((folder / "simulation.json").read_text())
    assert (facts["name"], facts["size"], facts["seed"]) == ("social-sim", 1000, 0)
    assert facts["parameters"]["self_excited"] == Network().self_excited
    assert Network().self_excited + Network().answer_most < 1  # else two who always answer would never stop
