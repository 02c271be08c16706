"""Simulate when people rate: they join over time, come in bursts of visits that breed visits, slow down and drop out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Array

from ._ratings_site import Site


@dataclass(frozen=True)
class People:
    """What differs between customers, [N] each; times are in days of the site's clock."""

    joined: Array
    gone: Array
    rate: Array
    """Visits a day that come of themselves."""
    session: Array
    """Mean number of ratings of a visit."""


def people(site: Site, end: float, size: int, rng: np.random.Generator) -> People:
    """Draw the customers: gamma rates and dropout (Pareto/NBD), lognormal sizes of visits, and guests who come once."""
    founder = rng.random(size) < site.founders
    joined = np.where(founder, rng.uniform(0, 30, size), rng.uniform(0, end, size))
    lifetime = rng.exponential(1, size) / rng.gamma(site.dropout_shape, 1 / site.dropout_scale, size)
    lifetime = np.where(rng.random(size) < site.guests, 0.0, lifetime)
    rate = rng.gamma(site.rate_shape, site.visits_a_day / site.rate_shape, size)
    return People(joined, joined + lifetime, rate, site.session * rng.lognormal(-0.5 * site.spread**2, site.spread, size))


def visits(site: Site, who: People, end: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw all visits as (customer, time on the clock), [V] each: a Hawkes process, generation by generation.

    The first generation is joining and the visits at the customer's own rate, which falls over the lifetime; each visit
    breeds a Poisson number of later ones after exponential delays (Hawkes & Oakes 1974, doi:10.2307/3212693).
    """
    size, until = len(who.rate), np.minimum(who.gone, end)
    own = np.repeat(np.arange(size), rng.poisson(who.rate * (until - who.joined)))
    time = rng.uniform(who.joined[own], until[own])
    age = (time - who.joined[own]) / (who.gone - who.joined)[own]
    kept = rng.random(len(own)) < 1 - site.slowing * age
    parents = (np.concatenate([np.arange(size), own[kept]]), np.concatenate([who.joined, time[kept]]))
    found = [parents]
    while len(parents[0]):
        bred = rng.poisson(site.breeding, len(parents[0]))
        user = np.repeat(parents[0], bred)
        time = np.repeat(parents[1], bred) + rng.exponential(site.delay, len(user))
        there = time < until[user]
        parents = (user[there], time[there])
        found.append(parents)
    return np.concatenate([u for u, _ in found]), np.concatenate([t for _, t in found])


def sessions(site: Site, who: People, user: Array, time: Array, rng: np.random.Generator) -> Array:
    """Draw how many movies are rated on each visit, int64 [V], at least one; the first visit is the longest."""
    first = time == who.joined[user]
    mean = who.session[user] * np.where(first, site.welcome, 1.0)
    # a gamma mean makes most visits short, while some go on and on
    return 1 + np.where(first, site.least, 0) + rng.poisson(mean * rng.gamma(0.7, 1 / 0.7, len(user)))
