"""Read the titles of movies: `movie_titles.txt` of the Netflix Prize and MovieLens's three forms.

The Netflix Prize's file and MovieLens's older ones are Latin-1; titles hold commas that nothing quotes, years may be NULL.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from bench.errors import DataError

from ._netflix_blocks import unpacked

NAMES = ("movie_titles.txt", "movie_titles.csv", "movies.csv", "movies.dat", "u.item")
SEPARATORS = {".dat": "::", ".item": "|"}
YEAR_AT_END = r"\((\d{4})\)\s*$"


def read_titles(path: Path) -> pl.DataFrame:
    """Read a file of titles as `movie` (text), `year` (int, null: unknown) and `title`; raise `DataError`."""
    if path.name == "movies.csv":
        return _with_year(_quoted(path))
    lines = pl.DataFrame({"line": _text(path).splitlines()}, schema={"line": pl.String}).filter(pl.col("line").str.strip_chars() != "")
    netflix = path.suffix not in SEPARATORS
    names = ["movie", "year", "title"] if netflix else ["movie", "title", "rest"]
    parts = pl.col("line").str.splitn(SEPARATORS.get(path.suffix, ","), 3).struct.rename_fields(names).alias("parts")
    table = lines.select(parts, "line").unnest("parts").with_columns(pl.col("movie").str.strip_chars())
    bad = ~table["movie"].str.contains(r"^\d+$") | table["title"].is_null()
    if bad.any():
        raise DataError(f"{path}: {table['line'].filter(bad)[0][:80]!r} is no title; expected a line {','.join(names[:3]).upper()}")
    if not netflix:
        return _with_year(table)
    return table.select("movie", pl.col("year").str.strip_chars().cast(pl.Int32, strict=False), pl.col("title").str.strip_chars())


def titles_of(folder: Path) -> pl.DataFrame:
    """Read the titles that lie in a log's folder; raise `DataError` where none do."""
    found = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if found is None:
        raise DataError(f"folder {folder} holds no titles ({', '.join(NAMES)}); put the file there, or leave out netflix.titles")
    return read_titles(found)


def _text(path: Path) -> str:
    """Return a file's text; what is not UTF-8 is Latin-1, as the published files are."""
    with unpacked(path) as stream:
        content = stream.read()
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _quoted(path: Path) -> pl.DataFrame:
    """Read `movies.csv`, whose titles are quoted where they hold commas."""
    try:
        table = pl.read_csv(_text(path).encode(), infer_schema=False)
        return table.select(movie="movieId", title="title")
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: {reason}; expected the columns movieId and title, titles with commas in quotes") from error


def _with_year(table: pl.DataFrame) -> pl.DataFrame:
    """Read the year that MovieLens writes in brackets behind a title."""
    title = pl.col("title").str.strip_chars()
    return table.select("movie", year=title.str.extract(YEAR_AT_END).cast(pl.Int32), title=title)
