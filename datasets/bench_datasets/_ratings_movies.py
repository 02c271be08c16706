"""Simulate what is rated and how: movies with drifting popularity come out over time; people and movies have biases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Array

from ._ratings_site import Site

SLICE = 28
"""Days for which popularity is held constant."""
MOST = 17_770
"""Movies of the Netflix Prize."""


@dataclass(frozen=True)
class Movies:
    """The movies: `birth` in days from the start (negative: before it), `bias` in stars, [M]; cumulated popularity, [S, M]."""

    birth: Array
    bias: Array
    cumulated: Array


def movies(site: Site, size: int, rng: np.random.Generator) -> Movies:
    """Draw the movies for a site of `size` customers: Zipf popularity that drifts and is highest when a movie comes out."""
    n = int(np.clip(round(120 * np.sqrt(size)), 200, MOST))
    slices = -(-site.days // SLICE)
    birth = np.where(rng.random(n) < site.library, -rng.exponential(365, n), rng.uniform(0, site.days, n))
    popularity = rng.permutation((np.arange(n) + 10.0) ** -site.zipf)
    steps = rng.normal(0, site.drift, (slices, n))
    age = (np.arange(slices)[:, None] + 0.5) * SLICE - birth  # [S, M]
    fresh = 1 + site.novelty * np.exp(-np.maximum(age, 0) / site.novelty_days)
    weight = np.where(age >= 0, popularity * np.exp(np.cumsum(steps, axis=0)) * fresh, 0.0)
    cumulated = np.cumsum(weight, axis=1)
    bias = rng.normal(0, site.movie_bias, n) + 0.1 * np.log(popularity / popularity.mean())
    return Movies(birth, bias, cumulated / cumulated[:, -1:])


def chosen(what: Movies, day: Array, rng: np.random.Generator) -> Array:
    """Choose a movie for each rating by the popularity of its day, int64 [E]."""
    slices, n = what.cumulated.shape
    row = day // SLICE
    # one search in the rows laid end to end: row r covers r to r + 1
    table = (what.cumulated + np.arange(slices)[:, None]).ravel()
    found = np.searchsorted(table, row + rng.random(len(day)), side="right")
    return np.asarray(np.minimum(found - row * n, n - 1))


def rated(site: Site, what: Movies, user: Array, movie: Array, day: Array, size: int, rng: np.random.Generator) -> Array:
    """Draw the stars, int8 [E]: biases of customer and movie, and a site that grows a little kinder with time."""
    bias = rng.normal(0, site.user_bias, size)
    mean = site.mean_rating + bias[user] + what.bias[movie] + 0.2 * (day / site.days - 0.5)
    return np.clip(np.rint(rng.normal(mean, site.noise)), 1, 5).astype(np.int8)
