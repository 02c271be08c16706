"""The parameters of the simulated rating site, and its clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.api import Array


@dataclass(frozen=True)
class Site:
    """The parameters of the model; lengths of time are in days of the site's clock."""

    start: str = "2021-01-04"
    """A Monday."""
    days: int = 728
    founders: float = 0.3
    """Share of customers who are there in the first month; the others join evenly until the end."""
    guests: float = 0.15
    """Share of customers who come for one visit only."""
    dropout_shape: float = 1.2
    """Shape of the gamma distribution of dropout rates; the Pareto's s."""
    dropout_scale: float = 320.0
    """The Pareto's beta: half of the others last at most (2 ** (1 / s) - 1) * beta."""
    rate_shape: float = 1.2
    """Shape of the gamma distribution of the rates at which visits come of themselves."""
    visits_a_day: float = 0.08
    slowing: float = 0.85
    """How much of that rate is gone at the end of a lifetime; it falls evenly."""
    breeding: float = 0.45
    """Mean number of later visits that a visit calls forth."""
    delay: float = 8.0
    """Mean days until then."""
    session: float = 5.5
    """Mean number of ratings of a visit; the first one has `least` more and `welcome` times as many."""
    spread: float = 0.8
    """Standard deviation of the log of that mean over customers."""
    welcome: float = 4.0
    least: int = 18
    week: tuple[float, ...] = (1.1, 1.05, 1.0, 0.95, 0.9, 0.9, 1.1)
    """Factors of Monday to Sunday."""
    winter: float = 0.15
    drives: int = 4
    """Days on which the site asks everybody to rate, labelled as incidents."""
    drive_factors: tuple[float, float] = (2.0, 3.0)
    bulk: float = 0.01
    """Share of customers who once rate in bulk, labelled as incidents."""
    bulk_ratings: tuple[int, int] = (150, 401)
    zipf: float = 0.9
    """Exponent of the popularity of movies."""
    library: float = 0.6
    """Share of movies that are there at the start; the others come out evenly until the end."""
    novelty: float = 6.0
    """How many times more popular a movie is on the day that it comes out."""
    novelty_days: float = 60.0
    drift: float = 0.15
    """Standard deviation of the change of log popularity in four weeks."""
    mean_rating: float = 3.6
    user_bias: float = 0.4
    movie_bias: float = 0.4
    noise: float = 0.9


@dataclass(frozen=True)
class Drives:
    """The rating drives: first day, day after the last and factor of each, [D]."""

    start: Array
    end: Array
    factor: Array


def drives(site: Site, rng: np.random.Generator) -> Drives:
    """Place rating drives of 3 to 7 days, one in each stretch of the log."""
    stretch = site.days / site.drives
    start = np.floor(np.arange(site.drives) * stretch + rng.uniform(35, stretch - 10, site.drives))
    return Drives(start, start + rng.integers(3, 8, site.drives), rng.uniform(*site.drive_factors, site.drives))


def clock(site: Site, asked: Drives) -> Array:
    """Tabulate the site's clock at the start of each day, float64 [days + 1]: it runs faster when people rate more."""
    day = np.arange(site.days)
    pace = np.array(site.week)[day % 7] * (1 + site.winter * np.cos(2 * np.pi * day / 365.25))
    on = (day[:, None] >= asked.start) & (day[:, None] < asked.end)  # [days, D]
    return np.concatenate([[0.0], np.cumsum(pace * np.where(on, asked.factor, 1.0).prod(axis=1))])
