"""Stored forecasts as frames: one long table, and the forms that Nixtla's tools and fev read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.errors import RunFolderError
from bench.tune.predictions import read_prediction

STANDING = ("tuned", "default")


def forecasts(folder: Path, models: Sequence[str] = ()) -> pl.DataFrame:
    """Read a run's final forecasts: `dataset, unique_id, cutoff, ds, model, tuning, seed, mean, q0.1 ... q0.9`.

    One row for each series, cut-off, step and final fit; `models` chooses, all by default. `cutoff` and `ds` are texts:
    times, or step numbers where the data has no time. Raises `RunFolderError` where the run holds no forecasts.
    """
    try:
        run = json.loads((folder / "run.json").read_text())
        index, members = (pl.read_parquet(folder / f"{name}.parquet") for name in ("predictions", "members"))
    except OSError as error:
        raise RunFolderError(f"run folder {folder}: {error.strerror or error}; finish the run first") from error
    facts = {(d["task_id"], d["name"]): d["facts"] for d in run["datasets"]}
    if run["config"]["task"] != "forecasting" or index.is_empty():
        raise RunFolderError(f"run folder {folder}: it holds no forecasts; give a finished run of --task forecasting")
    wanted = index.filter(pl.col("model").is_in(list(models))) if models else index
    frames = [_one(folder, row, facts[row["task_id"], row["dataset"]], members) for row in wanted.to_dicts()]
    return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()


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


def standing(frame: pl.DataFrame) -> pl.DataFrame:
    """Keep one fit for each model and data set: the tuned one where there is one, of the lowest seed."""
    order = pl.col("tuning").replace_strict({t: n for n, t in enumerate(STANDING)}, default=len(STANDING), return_dtype=pl.Int64)
    ranked = frame.with_columns(order=order)
    best = (
        ranked.sort("order", "seed").group_by("dataset", "model", maintain_order=True).first().select("dataset", "model", "tuning", "seed")
    )
    return frame.join(best, on=["dataset", "model", "tuning", "seed"], how="semi")


def to_nixtla(frame: pl.DataFrame) -> Any:
    """Give forecasts as Nixtla's `cross_validation` does, as a pandas frame.

    Columns: `unique_id, ds, cutoff`, and for each model its mean, median and the ends of its 80 and 60 % intervals:
    `MODEL, MODEL-median, MODEL-lo-80, MODEL-hi-80, ...`.
    """
    keys, wide = ["dataset", "unique_id", "ds", "cutoff"], None
    ends = {"mean": "", "q0.5": "-median", "q0.1": "-lo-80", "q0.9": "-hi-80", "q0.2": "-lo-60", "q0.8": "-hi-60"}
    for (model,), own in standing(frame).group_by("model", maintain_order=True):
        part = own.select(*keys, *[pl.col(c).alias(f"{model}{suffix}") for c, suffix in ends.items()])
        wide = part if wide is None else wide.join(part, on=keys, how="full", coalesce=True)
    return (wide if wide is not None else pl.DataFrame()).to_pandas()


def to_fev(frame: pl.DataFrame) -> Iterator[tuple[str, str, str, Any]]:
    """Yield (data set, model, cut-off, pandas frame), one row a series, as fev takes predictions.

    Columns: `item_id`, `predictions` (the median, a list of H numbers) and a list for each quantile, named by its level.
    """
    levels = [c for c in frame.columns if c.startswith("q")]
    for (dataset, model, cutoff), own in standing(frame).group_by("dataset", "model", "cutoff", maintain_order=True):
        lists = [pl.col("q0.5").alias("predictions"), *[pl.col(c).alias(c[1:]) for c in levels]]
        yield str(dataset), str(model), str(cutoff), own.group_by(item_id="unique_id", maintain_order=True).agg(lists).to_pandas()
