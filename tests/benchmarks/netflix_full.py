"""A look-alike of the Netflix Prize's training files in full size, in the raw combined form, for benchmarks only.

100,480,507 ratings by 480,189 customers (numbers up to 2,649,429, with gaps) of 17,770 movies, 1999-11-11 to 2005-12-31,
in four files sorted by movie and not by time. Nobody rates a movie twice. Run it as
`python tests/benchmarks/netflix_full.py FOLDER [RATINGS]`; a smaller log keeps the customers and has fewer movies.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bench.api import Array
from bench_datasets._netflix_write import write_ratings

RATINGS, USERS, MOVIES, LAST_ID = 100_480_507, 480_189, 17_770, 2_649_429
DAYS = (10_906, 13_148)
"""1999-11-11 and 2005-12-31 as days since 1970-01-01."""
MOST, FEWEST = 232_944, 3
"""Ratings of the most and the least rated movie."""
BLOCK = 2_000_000


def movie_sizes(ratings: int, rng: np.random.Generator) -> Array:
    """Draw how often each movie is rated, int64 [M], with the sum `ratings`; a smaller log has fewer movies."""
    movies = max(4, round(MOVIES * min(1.0, ratings / RATINGS)))
    weight = rng.lognormal(0.0, 1.9, movies)
    size = np.clip(weight / weight.sum() * ratings, FEWEST, MOST)
    for _ in range(50):  # what clipping took is spread over the others
        size = np.clip(size * ratings / size.sum(), FEWEST, MOST)
    size = np.floor(size).astype(np.int64)
    order = np.argsort(size)[::-1]
    while (short := ratings - int(size.sum())) > 0:
        room = order[size[order] < MOST][:short]
        size[room] += 1
    return size


class Customers:
    """Hold the customers, the most active first, and choose those who rate a movie."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.weight = np.sort(rng.lognormal(0.0, 1.2, USERS) + 0.12)[::-1]
        self.total = np.concatenate([[0.0], np.cumsum(self.weight)])
        self.id = rng.choice(np.arange(1, LAST_ID + 1), USERS, replace=False)
        self.id[rng.integers(USERS)] = LAST_ID
        first, last = DAYS
        self.joined = (first + (last - first) * rng.beta(4.0, 1.6, USERS)).astype(np.int64)
        self.stays = np.minimum(1 + rng.exponential(350, USERS).astype(np.int64), last + 1 - self.joined)
        self.sessions = np.maximum(1, (4 * np.sqrt(self.weight) * rng.lognormal(0, 0.5, USERS) * 6).astype(np.int64))

    def of(self, size: int, rng: np.random.Generator) -> Array:
        """Choose `size` distinct customers with probabilities in proportion to activity (systematic sampling), int64 [size]."""
        # who is too active for a fair chance below one is certain to be among them
        need = np.arange(size, 0, -1)
        certain = int(np.argmax(self.weight[:size] * need <= self.total[-1] - self.total[:size]))
        left = size - certain
        stride = (self.total[-1] - self.total[certain]) / left
        points = self.total[certain] + (np.arange(left) + rng.random()) * stride
        found = np.searchsorted(self.total, points, side="right") - 1
        return np.concatenate([np.arange(certain), np.minimum(found, USERS - 1)])

    def days(self, who: Array, rng: np.random.Generator) -> Array:
        """Draw a day in one of each customer's sessions, int64 [E]."""
        session = (rng.random(len(who)) * self.sessions[who]).astype(np.int64)
        share = ((who * 2_654_435_761 + session * 40_503_000_017) % 1_000_003) / 1_000_003
        return self.joined[who] + (share * self.stays[who]).astype(np.int64)


def write(folder: Path, ratings: int = RATINGS, seed: int = 0) -> list[Path]:
    """Write four files into `folder`, in blocks; show progress on stderr."""
    rng = np.random.default_rng(seed)
    sizes, people = movie_sizes(ratings, rng), Customers(rng)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"combined_data_{k}.txt" for k in (1, 2, 3, 4)]
    bounds = np.linspace(0, len(sizes), 5).astype(int)
    began, done = time.perf_counter(), 0
    for file, first, last in zip(files, bounds[:-1], bounds[1:], strict=True):
        with file.open("wb") as stream:
            start = first
            while start < last:
                stop = start + max(1, int(np.searchsorted(np.cumsum(sizes[start:last]), BLOCK)))
                who = [people.of(int(n), rng) for n in sizes[start:stop]]
                movie = np.repeat(np.arange(start + 1, start + 1 + len(who)), sizes[start : start + len(who)])
                _block(stream, movie, np.concatenate(who), people, rng)
                done, start = done + len(movie), start + len(who)
                print(f"\r{done:,} of {ratings:,} ratings, {time.perf_counter() - began:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)
    return files


def _block(stream: BinaryIO, movie: Array, who: Array, people: Customers, rng: np.random.Generator) -> None:
    rating = np.clip(np.rint(rng.normal(3.6, 1.08, len(who))), 1, 5).astype(np.int8)
    write_ratings(stream, movie, people.id[who], rating, people.days(who, rng))


def main() -> None:
    ratings = int(sys.argv[2].replace("_", "")) if len(sys.argv) > 2 else RATINGS
    files = write(Path(sys.argv[1]), ratings)
    print(f"{ratings:,} ratings in {sum(f.stat().st_size for f in files):,} bytes")


if __name__ == "__main__":
    main()
