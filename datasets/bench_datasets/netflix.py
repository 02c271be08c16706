"""Ratings: the Netflix Prize's training files, MovieLens in three forms; and simulated ratings.

`user` is the customer, `kind` is rating, `value` the rating in stars, `item` the movie. Netflix: days; MovieLens: Unix
seconds, UTC. Ids are whole numbers below 2^32 - 1, kept as text without leading zeros. Each row that is dropped is
counted under the first reason that holds for it (an error where more than 1 % hold one of the first three):

1. bad line: no customer's number, no movie's line above, a field that is missing or one too many
2. bad date: a day that does not exist; a time that is no whole number of seconds before 2106
3. bad rating: no number, or off the scale (whole stars from 1 to 5; MovieLens csv and dat: half stars from 0.5)
4. probe: a pair of `probe.txt`, with the option `probe=hold-out`
5. duplicate: the same customer, movie, time and rating as another row that was not dropped before
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import polars as pl

from bench.api import Dataset, DatasetCard, hookimpl
from bench.data.events import Events
from bench.errors import ConfigError, DataError, suggest

from . import _netflix_forms as forms
from ._netflix_lines import REASONS, Tally, chunks, pairs
from ._netflix_pack import sorted_frame
from ._netflix_titles import NAMES, read_titles, titles_of

__all__ = ["Netflix", "read_titles"]

ACTIVITY = ("rating",)
CHOICES = {"probe": ("keep", "hold-out"), "titles": ("false", "true")}
"""Values of each option, the default first."""
CONTENT = {
    (True, 100_480_507, 480_189): "netflix-prize",
    (False, 100_004, 671): "movielens-latest-small",
}
"""(Netflix form, rows read, users) of the published files."""
MICROSECONDS = 1_000_000
DAY = 86_400 * MICROSECONDS


class Netflix(Dataset):
    """Ratings of movies by their viewers."""

    name = "netflix"
    companions = (forms.PROBE, *NAMES)
    simulated_name = "ratings-sim"
    options: ClassVar[Mapping[str, str]] = {
        "probe": "keep (default) the ratings of probe.txt, or hold-out: drop and count them",
        "titles": "true: add the column title from movie_titles.txt (MovieLens: movies.csv, movies.dat, u.item)",
    }
    card: ClassVar[DatasetCard] = DatasetCard(
        title="Ratings: Netflix Prize, MovieLens",
        licence="Netflix Prize: its terms forbid passing the data on; MovieLens: research use, to be passed on under the same terms only",
        source="Netflix Prize (withdrawn in 2010, add your own copy by path); https://grouplens.org/datasets/movielens",
        citation="Bennett & Lanning 2007, The Netflix Prize, KDD Cup; Harper & Konstan 2015, doi:10.1145/2827872",
        activity=ACTIVITY,
        once=True,
        traps=(
            "Netflix Prize: the files are sorted by movie, not by time; times are days, many ratings share one",
            "Netflix Prize: the pairs of probe.txt are part of the training files; hold them out with netflix.probe=hold-out",
            "Netflix Prize: qualifying.txt holds no ratings and is passed over; the ratings were sampled and some perturbed",
            "Netflix Prize: customer numbers run to 2,649,429 with gaps; titles are Latin-1 with commas and NULL years",
            "MovieLens: users have at least 20 ratings, most of them of one day: few are active in any window",
            "MovieLens: there is no common period of observation; half stars came in 2003",
            "MovieLens latest-small: the edition of 2016 has 671 users and 100,004 ratings, that of 2018 610 and 100,836",
        ),
    )

    def detect(self, path: Path) -> str | None:
        """Name the raw form at `path`: `netflix-combined`, `movielens-csv`, ...; looks at first lines only."""
        return forms.form_of(path)

    def read(self, path: Path, options: Mapping[str, str]) -> Events:
        """Read and clean the ratings at `path`, a file or a folder; raise `DataError`."""
        chosen = _chosen(options)
        log, tally = forms.find_log(path), Tally()
        held = _held_out(log) if chosen["probe"] == "hold-out" else None
        read = [chunk for chunk in chunks(log, tally, held) if not chunk.is_empty()]
        tally.refuse_many(log.form)
        if not read:
            raise DataError(f"{path} holds no rating ({tally.rows:,} rows read); copy or download it again")
        frame, duplicates = sorted_frame(read, DAY if log.form.is_netflix else MICROSECONDS)
        if chosen["titles"] == "true":
            frame = frame.with_columns(title=_titles(frame, titles_of(log.folder)))
        users = len(frame["user"].dtype.categories)  # type: ignore[attr-defined]
        return Events.build(
            frame,
            name=CONTENT.get((log.form.is_netflix, tally.rows, users)) or self.plain_name(path),
            activity=ACTIVITY,
            where=str(path),
            rows_read=tally.rows,
            cleaning=_counts(tally, duplicates),
        )

    def simulate(self, folder: Path, size: int, seed: int) -> None:
        """Write the ratings of `size` simulated customers; see `ratings_simulator`."""
        from .ratings_simulator import simulate

        simulate(folder, size, seed)


def _chosen(options: Mapping[str, str]) -> dict[str, str]:
    """Return each option's value; raise `ConfigError` for one that it cannot have."""
    for key, value in options.items():
        if value not in CHOICES.get(key, ()):
            raise ConfigError(f"--set netflix.{key}={value}: no such choice; {suggest(value, CHOICES.get(key, ()))}")
    return {key: options.get(key, choices[0]) for key, choices in CHOICES.items()}


def _held_out(log: forms.Log) -> pl.Series:
    if not log.form.is_netflix:
        raise ConfigError(f"--set netflix.probe=hold-out: {log.files[0]} is of MovieLens, which has no probe; leave the option out")
    file = log.folder / forms.PROBE
    if not file.is_file():
        raise DataError(f"folder {log.folder} holds no {forms.PROBE}; put the file there, or leave out netflix.probe=hold-out")
    return pairs(file)


def _titles(frame: pl.DataFrame, titles: pl.DataFrame) -> pl.Series:
    """Return each rating's title as a category, [E]; null where the movie has none."""
    known = titles.unique("movie", keep="first")
    categories = pl.DataFrame({"movie": frame["item"].dtype.categories})  # type: ignore[attr-defined]
    of_item = categories.join(known, on="movie", how="left", maintain_order="left")["title"]
    of_item = of_item.cast(pl.Enum(of_item.drop_nulls().unique().sort()))
    return of_item.gather(frame["item"].to_physical())


def _counts(tally: Tally, duplicates: int) -> dict[str, int]:
    found = {**tally.dropped, "duplicate": duplicates}
    return {reason: found[reason] for reason in (*REASONS, "duplicate") if found.get(reason)}


@hookimpl
def bench_datasets() -> list[type[Dataset]]:
    """Offer the ratings adapter."""
    return [Netflix]
