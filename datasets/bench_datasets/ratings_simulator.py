"""Simulate a site that rents movies and asks for ratings: bursts of visits with dropout, drifting tastes, labelled incidents.

The model, customer by customer:

- Customers join over time. Lifetimes follow the Pareto/NBD (Schmittlein, Morrison & Colombo 1987,
  doi:10.1287/mnsc.33.1.1): exponential with gamma distributed dropout rates; some are guests of a single visit.
- Visits are a Hawkes process (Hawkes & Oakes 1974, doi:10.2307/3212693): they come of themselves at a gamma distributed
  rate, which falls over the lifetime, and each breeds others in the days after it. On a visit many movies are rated at
  once, on the first one most. So recency and frequency tell something of who will stay, and the pace of visits more.
- Time runs on the site's clock: a weekly and a yearly cycle, and rating drives that multiply everybody's rate.
- Movies come out over time; popularity is Zipf, drifts, and is highest when a movie is new (Koren 2010,
  doi:10.1145/1721654.1721677 describes such drift). Stars are biases of customer and movie plus noise.

Labelled incidents: drives (site-wide) and bulk ratings (a customer rates hundreds of movies on one day).
Everything is drawn from one numpy Generator: the same size and seed give the same bytes.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from bench.api import SIMULATION, Array
from bench.errors import ConfigError

from ._laws import write_law
from ._netflix_write import write_pairs, write_ratings
from ._ratings_movies import SLICE, Movies, chosen, movies, rated
from ._ratings_site import Drives, Site, clock, drives
from ._ratings_visits import people, sessions, visits

FILES = 4
EPOCH = dt.date(1970, 1, 1)
PROBE_LAST, PROBE_SHARE = 9, 0.2
"""As in the published data, the probe is drawn from each customer's last ratings."""
FIRST_WORDS = ("Silent", "Red", "Lost", "Café", "Last", "Señor", "Hidden", "Long", "Broken", "Été")
SECOND_WORDS = ("River, The", "Road", "Night, A", "Garden", "Winter", "Letter", "Promise, The", "City", "Voyage", "Mirror")


@dataclass(frozen=True)
class Ratings:
    """The ratings, [E] each, sorted by movie; nobody rates a movie twice."""

    user: Array
    movie: Array
    day: Array


def simulate(folder: Path, size: int, seed: int, site: Site | None = None) -> None:
    """Write `combined_data_1.txt` to `_4.txt`, `movie_titles.txt`, `probe.txt`, `incidents.csv`, `law.parquet`, `simulation.json`."""
    if size < 1:
        raise ConfigError(f"a simulated site needs at least 1 customer, got {size}")
    site = site or Site()
    rng = np.random.default_rng(seed)
    asked = drives(site, rng)
    what = movies(site, size, rng)
    user, day, bulk = _days(site, asked, size, rng)
    ratings = _distinct(user, chosen(what, day, rng), day)
    stars = rated(site, what, ratings.user, ratings.movie, ratings.day, size, rng)
    number = _numbers(size, rng)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, site, ratings, stars, number, rng)
    (folder / "movie_titles.txt").write_bytes(_titles(site, what, rng).encode("latin-1"))
    _incidents(site, asked, bulk, number).write_csv(folder / "incidents.csv")
    _law(folder, site, what)
    facts = {"adapter": "netflix", "name": "ratings-sim", "model": __doc__.splitlines()[0] if __doc__ else "", "size": size, "seed": seed}
    (folder / SIMULATION).write_text(json.dumps(facts | {"parameters": asdict(site)}, indent=1) + "\n", "utf-8")


def _days(site: Site, asked: Drives, size: int, rng: np.random.Generator) -> tuple[Array, Array, pl.DataFrame]:
    """Draw who rates on which day, one entry a rating, [E] each; and the bulk ratings among them."""
    ticks = clock(site, asked)
    who = people(site, ticks[-1], size, rng)
    visitor, time = visits(site, who, ticks[-1], rng)
    day = np.minimum(np.interp(time, ticks, np.arange(site.days + 1.0)).astype(np.int64), site.days - 1)
    n = sessions(site, who, visitor, time, rng)
    some = np.sort(rng.choice(len(visitor), min(len(visitor), max(1, round(size * site.bulk))), replace=False))
    n[some] += rng.integers(*site.bulk_ratings, len(some))
    return np.repeat(visitor, n), np.repeat(day, n), pl.DataFrame({"user": visitor[some], "day": day[some]})


def _distinct(user: Array, movie: Array, day: Array) -> Ratings:
    """Keep each customer's first rating of a movie; sort by movie."""
    # one number holds movie, user and day: sorting it is fast and puts the first day first
    size = int(user.max()) + 1
    key = ((movie * size + user).astype(np.uint64) << np.uint64(16)) | day.astype(np.uint64)
    key.sort()
    pair = key >> np.uint64(16)
    key = key[np.concatenate([[True], pair[1:] != pair[:-1]])]
    pair = (key >> np.uint64(16)).astype(np.int64)
    return Ratings(pair % size, pair // size, (key & np.uint64(0xFFFF)).astype(np.int64))


def _law(folder: Path, site: Site, what: Movies) -> None:
    """Write each movie's popularity in each stretch of time: all that a rating's movie is drawn by."""
    weight = np.diff(what.cumulated, axis=1, prepend=0.0)  # [S, M]
    stretch, movie = np.nonzero(weight > 0)
    first = dt.datetime.fromisoformat(site.start)
    starts = pl.Series([first + dt.timedelta(days=SLICE * at) for at in range(len(weight))])
    write_law(folder, starts.gather(stretch), pl.Series(movie + 1).cast(pl.String), weight[stretch, movie])


def _numbers(size: int, rng: np.random.Generator) -> Array:
    """Draw the customers' numbers, int64 [N]: distinct, in no order, with gaps."""
    return rng.permutation(np.cumsum(rng.integers(1, 11, size)))


def _write(folder: Path, site: Site, ratings: Ratings, stars: Array, number: Array, rng: np.random.Generator) -> None:
    first = (dt.date.fromisoformat(site.start) - EPOCH).days
    # cut where a movie begins, the files about equally long
    bounds = np.searchsorted(ratings.movie, ratings.movie[np.linspace(0, len(stars) - 1, FILES + 1).astype(int)])
    bounds[-1] = len(stars)
    for i, (a, b) in enumerate(itertools.pairwise(bounds), start=1):
        part = slice(a, b)
        with (folder / f"combined_data_{i}.txt").open("wb") as stream:
            write_ratings(stream, ratings.movie[part] + 1, number[ratings.user[part]], stars[part], ratings.day[part] + first)
    held = _probe(ratings, rng)
    with (folder / "probe.txt").open("wb") as stream:
        write_pairs(stream, ratings.movie[held] + 1, number[ratings.user[held]])


def _probe(ratings: Ratings, rng: np.random.Generator) -> Array:
    """Choose ratings among each customer's last ones, sorted int [P], at least one."""
    order = np.lexsort((ratings.movie, -ratings.day, ratings.user))
    user = ratings.user[order]
    begin = np.concatenate([[True], user[1:] != user[:-1]])
    place = np.arange(len(user)) - np.flatnonzero(begin)[np.cumsum(begin) - 1]
    held = np.sort(order[(place < PROBE_LAST) & (rng.random(len(user)) < PROBE_SHARE)])
    return held if len(held) else order[:1]


def _titles(site: Site, what: Movies, rng: np.random.Generator) -> str:
    """Make titles as awkward as the real ones: commas, letters of Latin-1, NULL years."""
    n = len(what.birth)
    year = int(site.start[:4]) + np.floor(what.birth / 365).astype(np.int64)
    words = np.array([f"{a} {b}" for a in FIRST_WORDS for b in SECOND_WORDS])
    table = pl.DataFrame({"movie": np.arange(1, n + 1), "year": year, "words": words[rng.integers(len(words), size=n)]})
    spelt = pl.when(pl.Series(rng.random(n) < 0.005)).then(pl.lit("NULL")).otherwise(pl.col("year").cast(pl.String))
    lines = table.select(pl.format("{},{},{} {}\n", "movie", spelt, "words", "movie")).to_series()
    return "".join(lines)


def _incidents(site: Site, asked: Drives, bulk: pl.DataFrame, number: Array) -> pl.DataFrame:
    """List the labelled incidents: customer (* for all), first day, day after the last, kind."""
    drive = pl.DataFrame({"user": ["*"] * len(asked.start), "start": asked.start, "end": asked.end}).with_columns(
        kind=pl.lit("rating drive")
    )
    own = pl.DataFrame({"user": number[bulk["user"].to_numpy()], "start": bulk["day"], "end": bulk["day"] + 1})
    own = own.with_columns(pl.col("user").cast(pl.String), kind=pl.lit("bulk ratings"))
    first = (dt.date.fromisoformat(site.start) - EPOCH).days
    both = [table.with_columns((pl.col("start", "end") + first).cast(pl.Int32).cast(pl.Date)) for table in (drive, own)]
    return pl.concat(both).sort("start", "user")
