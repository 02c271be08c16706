"""Parse lines of ratings: text into columns of numbers, with a quick way for blocks of the Netflix form without a flaw."""

from __future__ import annotations

import numpy as np
import polars as pl

from ._netflix_blocks import Block
from ._netflix_forms import Form

NO_MOVIE = 2**32 - 1
"""Stands for the movie at the head of each file, until a movie's line comes; ids are below it."""
NETFLIX_FIELDS = ("user", "rating", "time")


def typed_lines(raw: pl.DataFrame, form: Form, movie: int) -> pl.DataFrame:
    """Return each line's numbers (null: unreadable) with `skip` (no row) and `line` (all fields are there), [lines].

    `raw`: the lines' texts, see `split`; `movie`: the one that the first lines belong to.
    """
    quick = _flawless(raw, movie) if form.fields == NETFLIX_FIELDS else None
    return raw.select(**_numbers(form, movie)) if quick is None else quick


def split(block: Block, form: Form) -> pl.DataFrame:
    """Split each line into texts: one column a field, named by position, and one for what is too much."""
    n = len(form.fields) + 1
    # the parser takes the number of fields from the first line, and a movie's line has only one
    head = form.separator.join("0" * n) + "\n"
    schema = {str(i): pl.String() for i in range(n)}
    text = b"".join([head.encode(), *block.parts])
    return pl.read_csv(
        text,
        separator=form.separator,
        schema=schema,
        has_header=False,
        quote_char=None,
        truncate_ragged_lines=True,
        encoding="utf8-lossy",
    ).slice(1)


def _flawless(raw: pl.DataFrame, movie: int) -> pl.DataFrame | None:
    """Parse lines of the Netflix form that are all flawless, in half the time; None where one is not.

    Only movies' lines may fail to be ratings; they are few, and each movie's number is then repeated down to the next.
    """
    user, rating = (pl.col(name).cast(kind, strict=False) for name, kind in (("0", pl.UInt32), ("1", pl.UInt8)))
    typed = raw.select(user=user, rating=rating, time=_day(pl.col("2")))
    numbers = (pl.col("user") < NO_MOVIE) & pl.col("rating").is_between(1, 5) & pl.col("time").is_not_null()
    good = typed.select(numbers.fill_null(value=False)).to_series()
    heads = raw.filter(~good)
    found = heads["0"].str.extract(r"^(\d+):$").cast(pl.UInt32, strict=False)
    others = [heads["1"].null_count(), heads["2"].null_count(), raw["3"].null_count()]
    if found.null_count() or others != [len(heads), len(heads), len(raw)]:
        return None
    at = np.concatenate([[0], (~good).arg_true().to_numpy(), [len(raw)]])
    movies, lines = np.concatenate([[movie], found.to_numpy()]).astype(np.uint32), np.diff(at)
    heads_alone = np.concatenate([lines[:1] == 0, lines[1:] == 1])
    if not heads_alone[movies == NO_MOVIE].all():
        return None
    return typed.with_columns(item=pl.Series(np.repeat(movies, lines)), half=pl.col("rating") * 2, skip=~good, line=good)


def _numbers(form: Form, movie: int) -> dict[str, pl.Expr]:
    text = {name: _stripped(pl.col(str(i))) for i, name in enumerate(form.fields) if name}
    rest = _stripped(pl.col(str(len(form.fields))))
    empty = pl.all_horizontal(column.is_null() for column in text.values())
    if form.is_netflix:
        heading = text["user"].str.ends_with(":") & pl.all_horizontal(True, *[text[n].is_null() for n in form.fields[1:]])
        number = text["user"].str.strip_suffix(":").cast(pl.UInt32, strict=False)
        item = pl.when(heading).then(number.fill_null(NO_MOVIE)).forward_fill().fill_null(pl.lit(movie, pl.UInt32))
        skip = empty | (heading & number.is_not_null()).fill_null(value=False)
    else:
        item, skip = text["item"].cast(pl.UInt32, strict=False), empty
    user = text["user"].cast(pl.UInt32, strict=False)
    # a rating may be empty and is then bad; without a time the line is short
    line = ((item < NO_MOVIE) & (user < NO_MOVIE)).fill_null(value=False) & rest.is_null()
    if "time" not in text:
        return {"user": user, "item": item, "time": pl.lit(0), "half": pl.lit(0), "skip": skip, "line": line}
    time, half = _time(text["time"], form), _half(text["rating"], form)
    return {"user": user, "item": item, "time": time, "half": half, "skip": skip, "line": line & text["time"].is_not_null()}


def _stripped(text: pl.Expr) -> pl.Expr:
    return text.str.strip_chars().replace({"": None})


def _time(text: pl.Expr, form: Form) -> pl.Expr:
    """Read days (Netflix) or Unix seconds before 2106."""
    if form.is_netflix:
        return _day(text)
    return text.cast(pl.UInt32, strict=False)


def _day(text: pl.Expr) -> pl.Expr:
    # remembering days that were parsed before takes longer than parsing
    return text.str.to_date("%Y-%m-%d", strict=False, cache=False).to_physical()


def _half(text: pl.Expr, form: Form) -> pl.Expr:
    """Read a rating as its number of half stars, uint8; null outside the scale."""
    half = text.cast(pl.Float32, strict=False) * 2
    step = 2 if form.whole else 1
    good = half.is_between(step, 10) & ((half / step).floor() * step == half)
    return pl.when(good).then(half).cast(pl.UInt8)
