"""NAB: regular series in csv files with labelled windows, kept in `labels/combined_windows.json`.

Windows include both of their ends. NAB's ends lie on the series' own steps, so a step is labelled where its time is
between them. Files that are not in the order of time are sorted; of several rows of one time the first in the file is
kept, the others are counted as "duplicate time".
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from bench.data.series import Series
from bench.errors import DataError
from bench.sources.cache import source_files

from ._social_text import read_table, readable, sniffed, suffix_of

HEADER = ["timestamp", "value"]
WINDOWS = "labels/combined_windows.json"
ABOVE = 2
"""How many folders above a series' own `WINDOWS` may lie (NAB's repository has data/realTweets and labels)."""
CONTENT = {(10, 158_631): "nab-realtweets", (7, 69_561): "nab-realknowncause"}
"""Files and rows of the two folders that hold users' activity and known causes."""

Windows: TypeAlias = tuple[tuple[str, str], ...]

log = logging.getLogger("bench")


@dataclass(frozen=True)
class Steps:
    """One file: its typed steps, what was dropped, and its windows (None: no labels are known)."""

    name: str
    rows: pl.DataFrame
    rows_read: int
    dropped: Mapping[str, int]
    windows: Windows | None


def nab_files(path: Path) -> list[Path]:
    """List the csv files with NAB's header: `path` itself, or those in the folder, its folders, or its `data`'s."""
    if path.is_file():
        return [path] if _is_series(path) else []
    found = sorted({*path.glob("*.csv"), *path.glob("*/*.csv"), *path.glob("data/*/*.csv")})
    return [f for f in found if _is_series(f)]


def read_nab(path: Path, fallback: str) -> Series:
    """Read all series at `path` with their labels; raise `DataError`."""
    source_files(path)
    files = nab_files(path)
    labels = _labels(files[0])
    names = _names(files)
    steps = [_steps(f, name, labels) for f, name in zip(files, names, strict=True)]
    rows_read = sum(s.rows_read for s in steps)
    dropped: Counter[str] = sum((Counter(s.dropped) for s in steps), Counter())
    return Series.build(
        pl.concat(s.rows for s in steps),
        name=CONTENT.get((len(files), rows_read), fallback),
        where=str(path),
        rows_read=rows_read,
        cleaning=dict(dropped),
        windows={s.name: s.windows for s in steps if s.windows is not None},
    )


def _is_series(file: Path) -> bool:
    return suffix_of(file) == ".csv" and sniffed(file) == HEADER


def _names(files: Sequence[Path]) -> list[str]:
    """Name each series by its file, with its folder where two files share a name."""
    often = Counter(f.name for f in files)
    return [f.name.split(".")[0] if often[f.name] == 1 else f"{f.parent.name}/{f.name.split('.')[0]}" for f in files]


def _labels(file: Path) -> tuple[Path, Mapping[str, Any]] | None:
    """Find and read the windows of all files; None, with a word, where none lie beside or above."""
    above = list(file.resolve().parents)[: ABOVE + 1]
    found = next((folder / WINDOWS for folder in above if (folder / WINDOWS).is_file()), None)
    if found is None:
        log.info("no %s beside or above %s: series are read without labels", WINDOWS, file.name)
        return None
    try:
        table = json.loads(found.read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"{found} is no JSON ({error}); download it again") from error
    if not isinstance(table, dict):
        raise DataError(f'{found} must map files to windows, {{"folder/file.csv": [[start, end], ...]}}')
    return found, table


def _steps(file: Path, name: str, labels: tuple[Path, Mapping[str, Any]] | None) -> Steps:
    rows = _typed(file)
    kept = rows.filter(pl.col("time").is_not_null())
    single = kept.filter(pl.col("time").is_first_distinct())
    dropped = {"bad time": len(rows) - len(kept), "duplicate time": len(kept) - len(single)}
    windows, label = None, pl.lit(None, pl.Boolean)
    if labels is not None:
        windows, spans = _windows(file, *labels)
        label = pl.any_horizontal(pl.lit(value=False), *[pl.col("time").is_between(*span) for span in spans])
    single = single.select(pl.lit(name).alias("series"), "time", "value", *([] if windows is None else [label.alias("label")]))
    return Steps(name, single, len(rows), {k: n for k, n in dropped.items() if n}, windows)


def _typed(file: Path) -> pl.DataFrame:
    """Read times (without a zone: taken as UTC) and values; a value that is missing or no number is null: not observed."""
    table = read_table(file).rows
    time = table["timestamp"].str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us")
    value = table["value"].cast(pl.Float64, strict=False)
    value = value.zip_with(value.is_finite().fill_null(value=False), value.clear(len(value)))
    if value.null_count() == len(value):
        raise DataError(f"{file}: column 'value' holds no number; write numbers with a decimal point")
    readable(time, table["timestamp"], file, "timestamp", "write YYYY-MM-DD HH:MM:SS")
    return pl.DataFrame({"time": time, "value": value})


def _windows(file: Path, source: Path, table: Mapping[str, Any]) -> tuple[Windows, list[pl.Series]]:
    """Look up a file's windows: as written, and as times (pairs); raise `DataError` where it has no entry."""
    key = f"{file.resolve().parent.name}/{file.name}"
    if key not in table:
        raise DataError(f"{source} says nothing of {key!r}; add it, with [] where it has no anomaly")
    try:
        written = tuple((str(start), str(end)) for start, end in table[key])
        spans = [pl.Series(pair).str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us") for pair in written]
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{source}: the windows of {key!r} cannot be read ({error}); write [[start, end], ...]") from error
    for pair, span in zip(written, spans, strict=True):
        if span[0] > span[1]:
            raise DataError(f"{source}: a window of {key!r} ends before it starts ({pair[0]} .. {pair[1]}); swap its ends")
    return written, spans
