"""Stored forecasts as frames: one long table, and the forms that Nixtla's tools and fev read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.errors import ConfigError, RunFolderError, suggest
from bench.execute.prediction_files import read_prediction

STANDING = ("tuned", "default")


def forecasts(folder: Path, models: Sequence[str] = ()) -> pl.DataFrame:
    """Read a run's final forecasts: `dataset, unique_id, cutoff, ds, model, tuning, seed, mean, q0.1 ... q0.9`.

    One row for each series, cut-off, step and final fit; `models` chooses, all by default. `cutoff` and `ds` are texts:
    times, or step numbers where the data has no time; a `cutoff` is the first step forecast. Raises `RunFolderError` where
    the run holds no forecasts, `ConfigError` for a model that it has none of.
    """
    try:
        run = json.loads((folder / "run.json").read_text())
        index, members = (pl.read_parquet(folder / f"{name}.parquet") for name in ("predictions", "members"))
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise RunFolderError(f"run folder {folder}: {getattr(error, 'strerror', '') or error}; finish the run first") from error
    facts = {(d["task_id"], d["name"]): d["facts"] for d in run["datasets"]}
    if run["config"]["task"] != "forecasting" or index.is_empty():
        raise RunFolderError(f"run folder {folder}: it holds no forecasts; give a finished run of --task forecasting")
    for name in models:
        if name not in (known := index["model"].unique().sort().to_list()):
            raise ConfigError(f"the run has no forecasts of {name!r}; {suggest(name, known)}")
    wanted = index.filter(pl.col("model").is_in(list(models))) if models else index
    frames = [_one(folder, row, facts[row["task_id"], row["dataset"]], members) for row in wanted.to_dicts()]
    return pl.concat(frames, how="diagonal_relaxed")


def _one(folder: Path, row: dict[str, Any], facts: dict[str, Any], members: pl.DataFrame) -> pl.DataFrame:
    own = members.filter((pl.col("task_id") == row["task_id"]) & (pl.col("dataset") == row["dataset"]))
    names, levels = own["unique_id"].to_numpy(), facts["levels"]
    base = {key: row[key] for key in ("dataset", "model", "tuning", "seed")}
    parts = []
    for cutoff, times, part in zip(facts["test_cutoffs"], facts["test_times"], read_prediction(folder / row["file"]), strict=True):
        n, horizon, _ = part["quantiles"].shape
        columns = {"unique_id": np.repeat(names, horizon), "ds": np.tile(np.array(times), n), "mean": part["mean"].ravel()}
        columns |= {f"q{level:g}": part["quantiles"][:, :, at].ravel() for at, level in enumerate(levels)}
        parts.append(pl.DataFrame(columns).with_columns(cutoff=pl.lit(cutoff), **{k: pl.lit(v) for k, v in base.items()}))
    order = ["dataset", "unique_id", "cutoff", "ds", "model", "tuning", "seed", "mean"]
    whole = pl.concat(parts)
    return whole.select(*order, *[c for c in whole.columns if c.startswith("q")])


def chosen_fits(frame: pl.DataFrame) -> pl.DataFrame:
    """Keep one fit for each model and data set: the tuned one where there is one, of the lowest seed."""
    order = pl.col("tuning").replace_strict({t: n for n, t in enumerate(STANDING)}, default=len(STANDING), return_dtype=pl.Int64)
    ranked = frame.with_columns(order=order)
    best = (
        ranked.sort("order", "seed").group_by("dataset", "model", maintain_order=True).first().select("dataset", "model", "tuning", "seed")
    )
    return frame.join(best, on=["dataset", "model", "tuning", "seed"], how="semi")


def to_long(frame: pl.DataFrame) -> Any:
    """Return the long table as a pandas frame; `cutoff` and `ds` are then times without a zone, or whole numbers."""
    return frame.with_columns(_typed(frame[name]) for name in ("cutoff", "ds")).to_pandas()


def _typed(texts: pl.Series) -> pl.Series:
    """Read times or step numbers; where several data sets have both, they stay texts."""
    steps = texts.str.contains(r"^-?\d+$")
    if steps.all():
        return texts.cast(pl.Int64)
    return texts if steps.any() else texts.str.to_datetime(time_unit="us", time_zone="UTC").dt.replace_time_zone(None)


def to_nixtla(frame: pl.DataFrame) -> Any:
    """Return forecasts side by side, as Nixtla's `cross_validation` does, as a pandas frame.

    Columns: `dataset, unique_id, ds, cutoff`, and for each model its mean, median and the ends of its 80 and 60 % intervals:
    `MODEL, MODEL-median, MODEL-lo-80, MODEL-hi-80, ...`. A `cutoff` is the first step forecast, where Nixtla's is the step
    before it.
    """
    keys, wide = ["dataset", "unique_id", "ds", "cutoff"], None
    ends = {"mean": "", "q0.5": "-median", "q0.1": "-lo-80", "q0.9": "-hi-80", "q0.2": "-lo-60", "q0.8": "-hi-60"}
    for (model,), own in chosen_fits(frame).group_by("model", maintain_order=True):
        part = own.select(*keys, *[pl.col(c).alias(f"{model}{suffix}") for c, suffix in ends.items()])
        wide = part if wide is None else wide.join(part, on=keys, how="full", coalesce=True)
    return to_long(wide.sort(keys, maintain_order=True)) if wide is not None else None


def to_fev(frame: pl.DataFrame) -> Iterator[tuple[str, str, str, Any]]:
    """Yield (data set, model, cut-off, pandas frame), one row a series, as fev takes predictions.

    Columns: `item_id`, `predictions` (the median, a list of H numbers) and a list for each quantile, named by its level.
    """
    levels = [c for c in frame.columns if c.startswith("q")]
    for (dataset, model, cutoff), own in chosen_fits(frame).group_by("dataset", "model", "cutoff", maintain_order=True):
        lists = [pl.col("q0.5").alias("predictions"), *[pl.col(c).alias(c[1:]) for c in levels]]
        yield str(dataset), str(model), str(cutoff), own.group_by(item_id="unique_id", maintain_order=True).agg(lists).to_pandas()
