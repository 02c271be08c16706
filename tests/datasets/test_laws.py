"""The law that a simulator writes is the one by which it draws: what came agrees with its probabilities."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest

from bench.data.law import read_law
from bench_datasets import ratings_simulator, social_simulator
from bench_datasets._ratings_movies import SLICE, chosen, movies
from bench_datasets._ratings_site import Site
from bench_datasets._social_cascade import Network, cascade, causeless, join
from bench_datasets._social_law import addressed
from bench_datasets.netflix import Netflix
from bench_datasets.retail import Retail
from bench_datasets.social import Social

DAY = 86_400_000_000
BINS = (0.0, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.01)


def test_whom_a_message_goes_to_comes_as_often_as_the_law_says():
    """Compare by bins of probability: a sum of (came - probability) has mean 0 under the true law, given all that went before."""
    network, rng = Network(), np.random.default_rng(0)
    clock = social_simulator._clock(network, *social_simulator._surges(network, rng))
    users = join(network, 600, clock[-1], rng)
    sent = cascade(causeless(network, users, clock[-1], rng), network, users, clock[-1], rng)
    message, target, weight = addressed(network, users, sent, np.flatnonzero(sent.time > 0.5 * clock[-1]))
    told = pl.DataFrame({"message": message, "weight": weight}).select(pl.col("weight") / pl.col("weight").sum().over("message"))
    chance, came = told["weight"].to_numpy(), target == sent.target[message]
    assert came.sum() == (sent.time > 0.5 * clock[-1]).sum()  # nobody is written to whom the law does not know
    for low, high in itertools.pairwise(BINS):
        inside = (chance >= low) & (chance < high)
        spread = np.sqrt((chance[inside] * (1 - chance[inside])).sum())
        assert abs(came[inside].sum() - chance[inside].sum()) < 3.5 * spread, f"{low} to {high}"
    assert chance[came].mean() > 0.4  # there is something to find


def test_the_law_of_the_shop_is_the_popularity_of_its_codes(tmp_path):
    Retail().simulate(tmp_path, 600, 0)
    law = read_law(tmp_path / "law.parquet")
    assert law.user == ("*",)
    sold = Retail().read(tmp_path, {}).frame.filter(pl.col("kind") == "purchase")["item"].cast(pl.String)
    table = pl.DataFrame({"item": law.item, "weight": law.weight}).join(sold.value_counts(name="n"), on="item", how="left")
    expected = (table["weight"] / table["weight"].sum() * len(sold)).to_numpy()
    often = expected > 20
    chi = ((table["n"].fill_null(0).to_numpy() - expected) ** 2 / expected)[often].sum()
    # a line that repeats another of its invoice is dropped: the most popular codes come a little less often
    assert abs(chi / often.sum() - 1) < 0.5
    assert often.sum() > 100


def test_the_law_of_the_rating_site_is_the_popularity_of_the_day(tmp_path):
    site, rng = Site(), np.random.default_rng(0)
    what = movies(site, 300, rng)
    ratings_simulator._law(tmp_path, site, what)
    law, first = read_law(tmp_path / "law.parquet"), np.datetime64(site.start, "us").astype(np.int64)
    number, items = law.item.cast(pl.Int64).to_numpy() - 1, len(what.birth)
    days = np.array([0, 27, 28, site.days - 1])
    where = law.at(["7"] * len(days), first + days * DAY)
    assert where.tolist() == [0, 0, 1, (site.days - 1) // SLICE]
    for day, chance in zip(days, law.weights(where, number, items), strict=True):
        assert chance.sum() == pytest.approx(1.0, abs=1e-4)
        drawn = np.bincount(chosen(what, np.full(20_000, day), rng), minlength=items)
        assert not drawn[chance == 0].any()  # nothing is rated before it is out
        often = chance * 20_000 > 5
        expected = chance[often] * 20_000
        chi = ((drawn[often] - expected) ** 2 / expected).mean()
        assert abs(chi - 1) < 4 * np.sqrt(2 / often.sum())


@pytest.mark.parametrize("adapter", [Retail, Social, Netflix])
def test_the_same_seed_writes_the_same_law_and_a_reader_of_the_log_passes_it_over(adapter, tmp_path):
    for name in ("a", "b"):
        adapter().simulate(tmp_path / name, 60, 3)
    assert (tmp_path / "a" / "law.parquet").read_bytes() == (tmp_path / "b" / "law.parquet").read_bytes()
    with_law = adapter().read(tmp_path / "a", {}).frame
    (tmp_path / "a" / "law.parquet").unlink()
    assert adapter().read(tmp_path / "a", {}).frame.equals(with_law)
