"""M4's wide form: one series a row, its name first and its values from the left; train and test in two files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bench.data.series import Series
from bench.errors import DataError

from ._any_table import columns_of, read_part, stem
from ._tables import Part, Stack, numbers, refuse_many

CONTENT = {
    ("Y", 23_000, 6): "m4-yearly",
    ("Q", 24_000, 8): "m4-quarterly",
    ("M", 48_000, 18): "m4-monthly",
    ("W", 359, 13): "m4-weekly",
    ("D", 4_227, 14): "m4-daily",
    ("H", 414, 48): "m4-hourly",
}
"""First letter of the names, series and test steps of the published files."""
TRAIN, TEST = "train", "test"


@dataclass(frozen=True)
class Pair:
    """The two files of one set."""

    train: Path
    test: Path
    given: Path
    """What the user gave: the folder or the train file."""


def pair_at(path: Path) -> Pair | None:
    """Find a train file with the test file beside it, at `path` or in it; None where there is none in the wide form.

    Several pairs in one folder raise `DataError`: each has its own frequency.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    found = [Pair(f, partner, path) for f in files if (partner := _partner(f)) is not None and is_wide(f) and is_wide(partner)]
    if len(found) > 1:
        names = ", ".join(p.train.name for p in found)
        raise DataError(f"folder {path} holds several sets ({names}); give one train file, its test file is found beside it")
    return found[0] if found else None


def read_wide(pair: Pair) -> Series:
    """Read both files; the test steps follow the train steps of the same series."""
    train, test = (_unpivoted(read_part(file)) for file in (pair.train, pair.test))
    ids = [set(frame["series"].unique()) for frame in (train, test)]
    odd = sorted(ids[0] ^ ids[1])
    if odd:
        where = pair.test if odd[0] in ids[0] else pair.train
        raise DataError(f"{where}: no series {odd[0]!r} ({len(odd)} stand in one file only); give the two files of one set")
    frame = pl.concat([train.with_columns(test=pl.lit(value=False)), test.with_columns(test=pl.lit(value=True))])
    longest = max(test.group_by("series").len()["len"].to_list(), default=0)
    name = CONTENT.get((min(ids[0])[:1], len(ids[0]), longest)) or stem(pair.given).lower()
    return Series.build(frame.with_columns(time=pl.lit(None)), name=name, where=str(pair.given))


def _partner(file: Path) -> Path | None:
    """Return the test file that goes with a train file, by its name."""
    if not file.is_file() or not file.name.lower().removesuffix(".gz").endswith("train.csv"):
        return None
    at = file.name.lower().rindex(TRAIN)
    word = {"train": "test", "Train": "Test", "TRAIN": "TEST"}.get(file.name[at : at + len(TRAIN)], TEST)
    partner = file.with_name(file.name[:at] + word + file.name[at + len(TRAIN) :])
    return partner if partner.is_file() else None


def is_wide(file: Path) -> bool:
    """Return whether a header counts its columns: V1, V2, V3, or a name and then 1, 2, 3."""
    columns = columns_of(file)[:5]
    return len(columns) > 1 and any(columns[1:] == [f"{v}{i}" for i in range(at, at + len(columns) - 1)] for v, at in (("V", 2), ("", 1)))


def _unpivoted(part: Part) -> pl.DataFrame:
    """Turn one row a series into one row a step; the empty cells after a series' last value are no steps."""
    names = part.table.columns
    long = part.table.rename({names[0]: "series"}).unpivot(index="series", variable_name="column", value_name="value")
    raw = Stack(long, [Part(part.name, long)], {"value": ("value",)})
    values, empty = numbers(raw, "value"), long["value"].str.strip_chars().replace("", None).is_null()
    refuse_many(values.zip_with(~empty, pl.repeat(0.0, len(values), eager=True)), raw, "value", "write numbers with a decimal point")
    if long["series"].null_count() or part.table[names[0]].is_duplicated().any():
        raise DataError(f"{part.name}: column {names[0]!r} must name each series once; mend the file")
    lasting = pl.col("value").is_not_null().cum_max(reverse=True).over("series")
    return long.select("series", value=values).filter(lasting)
