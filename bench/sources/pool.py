"""Pool several data sets of series into one, so that a board of few series each becomes one of all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import polars as pl

from bench.data.series import Series
from bench.errors import ConfigError
from bench.sources.load import Loaded

OPTION = "pool"


def wanted(text: str | None) -> bool:
    """Read the option `pool`; raise `ConfigError` for what is neither true nor false."""
    if text not in {None, "true", "false"}:
        raise ConfigError(f"pool={text!r} is neither true nor false")
    return text == "true"


def pooled(found: Sequence[Loaded]) -> Loaded:
    """Put the series of all data sets into one, each named by its set; raise `ConfigError` where they do not go together."""
    for one in found:
        if not isinstance(one.data, Series):
            raise ConfigError(f"pool=true: data set {one.name!r} is a log; only sets of series are pooled")
    series = [one.data for one in found if isinstance(one.data, Series)]
    if len(series) < 2:
        raise ConfigError("pool=true goes with two or more data sets; give each with --dataset")
    first = series[0]
    for one, data in zip(found, series, strict=True):
        if data.frame.columns != first.frame.columns:
            ours, theirs = (", ".join(x.frame.columns) for x in (first, data))
            raise ConfigError(f"pool=true: {found[0].name!r} has the columns {ours}, {one.name!r} has {theirs}; give sets of one form")
    frames = [
        data.frame.with_columns(pl.concat_str(pl.lit(f"{one.name}/"), pl.col("series").cast(pl.String)).alias("series"))
        for one, data in zip(found, series, strict=True)
    ]
    name = "+".join(one.name for one in found)
    windows = {f"{one.name}/{key}": spans for one, data in zip(found, series, strict=True) for key, spans in data.windows.items()}
    data = Series.build(pl.concat(frames), name=name, rows_read=sum(s.rows_read for s in series), windows=windows)
    digest = hashlib.sha256("\n".join(one.fingerprint for one in found).encode()).hexdigest()
    notes = tuple(note for one in found for note in one.notes)
    return Loaded(name, any(one.simulated for one in found), found[0].adapter, data, digest[: len(found[0].fingerprint)], notes)
