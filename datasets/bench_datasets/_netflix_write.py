"""Write ratings in the Netflix Prize's raw form: a line `MOVIE_ID:` and below it `CUSTOMER_ID,RATING,YYYY-MM-DD`."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
import polars as pl

from bench.api import Array


def write_ratings(stream: BinaryIO, movie: Array, user: Array, rating: Array, day: Array) -> None:
    """Append ratings, sorted by movie: ints [E] each, `day` in days since 1970-01-01; a movie must not be split over two calls."""
    lines = pl.DataFrame({"user": _headed(movie, user), "rating": rating, "day": pl.Series(day).cast(pl.Int32).cast(pl.Date)})
    # without quoting, the line break inside a first field ends the movie's own line
    lines.write_csv(stream, include_header=False, quote_style="never", line_terminator="\n")


def write_pairs(stream: BinaryIO, movie: Array, user: Array) -> None:
    """Append the form of `probe.txt`, sorted by movie: `MOVIE_ID:` and below it the customers."""
    pl.DataFrame({"user": _headed(movie, user)}).write_csv(stream, include_header=False, quote_style="never", line_terminator="\n")


def _headed(movie: Array, user: Array) -> pl.Series:
    """Format the customers, [E]; before a movie's first one stands the movie's own line."""
    first = pl.Series(np.diff(movie, prepend=-1) != 0)
    names = pl.DataFrame({"movie": movie, "user": user, "first": first})
    text = pl.col("user").cast(pl.String)
    return names.select(pl.when("first").then(pl.format("{}:\n{}", "movie", text)).otherwise(text)).to_series()
