"""Long tables of several channels, one row a step and channel: brought into the wide form, a column for each channel."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from bench.errors import DataError

from ._any_table import column_named, guessed, typed
from ._tables import Part


def broadened(part: Part, options: Mapping[str, str], known: Mapping[str, tuple[str, ...]]) -> tuple[Part, Mapping[str, str]]:
    """Turn the channels of a long table into columns, where `channels` names the one column of their names; else change nothing.

    `known`: the usual names of the other columns. Returns the options that the wide table is read with. Raises `DataError`
    where a step has one channel twice, or rows of one step differ in their label.
    """
    given, table = options.get("channels", ""), part.table
    if given in {"", "all"} or "," in given or typed(table[column_named(given, table.columns, part.name)]).dtype != pl.String:
        return part, options
    others = [c for c in table.columns if c != given]
    value = options.get("value") or guessed(known["value"], others)
    if value is None:
        raise DataError(f"{part.name}: no column is known as the value of a channel; name it with --value COLUMN")
    column_named(value, table.columns, part.name)
    steps = [c for ours in ("series", "time") if (c := options.get(ours) or guessed(known[ours], others)) in others]
    index = [c for c in others if c != value]
    if table.select(pl.struct(*steps, given).is_duplicated().any()).item():
        raise DataError(
            f"{part.name}: a step has one channel of column {given!r} twice; give each once, or name the entities with --entity"
        )
    wide = table.pivot(on=given, index=index, values=value, maintain_order=True)
    if wide.select(pl.struct(*steps).is_duplicated().any()).item():
        odd = next(c for c in index if c not in steps)
        raise DataError(f"{part.name}: the rows of one step differ in column {odd!r}; give a step one value of it, or leave the column out")
    rest = {key: text for key, text in options.items() if key != "value"}
    return Part(part.name, wide), {**rest, "channels": "all"}
