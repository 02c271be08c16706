"""Make variants of a run folder, and forge published ones as somebody would who also mends every digest."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from bench.board.schema import read_rows, rows_to_table, table_to_rows, write_rows
from bench.publish.package import dumped, parquet, versions
from bench.publish.publish import rebuild

Row = dict[str, Any]
Files = dict[str, bytes]


def variant(source: Path, folder: Path, change: Callable[[Row], Row], *, days: int = 1) -> Path:
    """Copy a run folder, with changed rows that are `days` newer."""
    shutil.copytree(source, folder)
    rows = [{**change(row), "created": row["created"] + timedelta(days=days)} for row in rows_of(folder)]
    write_rows(folder / "leaderboard.parquet", rows)
    renamed = {row["dataset"] for row in rows}
    if renamed != {"retail-sim"}:
        (name,) = renamed
        for file in ("predictions.parquet", "members.parquet", "trials.parquet", "choices.parquet"):
            pl.read_parquet(folder / file).with_columns(dataset=pl.lit(name)).write_parquet(folder / file)
        about = json.loads((folder / "run.json").read_text())
        about["datasets"] = [{**d, "name": name} for d in about["datasets"]]
        (folder / "run.json").write_text(json.dumps(about))
    return folder


def rows_of(folder: Path) -> list[Row]:
    return table_to_rows(read_rows(folder / "leaderboard.parquet"))


def board_of(place: Path) -> list[Row]:
    return table_to_rows(read_rows(place / "board.parquet"))


def run_of(place: Path) -> str:
    (commit,) = (place / "commits").iterdir()
    return commit.stem


def tree(place: Path) -> dict[str, bytes]:
    """Read every file of a place."""
    return {file.relative_to(place).as_posix(): file.read_bytes() for file in sorted(place.rglob("*")) if file.is_file()}


def forged(place: Path, change: Callable[[Files], None], *, whole: bool = True) -> str:
    """Change the files of the place's one run, mend manifest, id, commit and board, and return the new id."""
    old = run_of(place)
    folder = place / "runs" / old
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
    manifest = json.loads(files.pop("manifest.json"))
    change(files)
    manifest["files"] = {name: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)} for name, c in files.items()}
    if whole:
        manifest |= versions(pq.read_table(io.BytesIO(files["rows.parquet"])).to_pylist())
    files["manifest.json"] = dumped(manifest)
    run = hashlib.sha256(files["manifest.json"]).hexdigest()[:32]
    shutil.rmtree(folder)
    (place / "commits" / f"{old}.json").unlink()
    for name, content in files.items():
        file = place / "runs" / run / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (place / "commits" / f"{run}.json").write_bytes(dumped({"run": run}))
    if whole:
        rebuild(str(place))
    return run


def edited(files: Files, change: Callable[[Row], Row]) -> None:
    """Change the rows among the files of a run."""
    rows = pq.read_table(io.BytesIO(files["rows.parquet"])).to_pylist()
    files["rows.parquet"] = parquet(rows_to_table([change(row) for row in rows]))


def only(model: str, tuning: str = "default", **changes: Any) -> Callable[[Row], Row]:
    """Change the row of one model."""
    return lambda row: {**row, **changes} if (row["model"], row["tuning"]) == (model, tuning) else row


def prediction_file(files: Mapping[str, bytes], model: str, tuning: str = "default") -> str:
    index = pl.read_parquet(io.BytesIO(files["predictions.parquet"]))
    return str(index.filter((pl.col("model") == model) & (pl.col("tuning") == tuning))["file"].item())


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()
