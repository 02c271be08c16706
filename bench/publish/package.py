"""Turn a finished run folder into what is published: rows and predictions by opaque ids, no raw data, no local path.

Members (users, series) are published as keyed digests. The key is the digest of the board's whole list of members with
the data's fingerprint: whoever has the data finds the list again, and with it every id; whoever lacks it would have to
guess the whole list at once, so that trying one customer number after the other leads nowhere.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from bench.board.merge import row_key
from bench.board.metrics import ranking_metric
from bench.board.ranking import rank
from bench.board.schema import Row, read_rows, rows_to_table, table_to_rows
from bench.data import arrow
from bench.errors import RunFolderError
from bench.execute.prediction_files import read_prediction
from bench.publish.pictures import pictures
from bench.publish.search_tables import tables
from bench.publish.store import MOST
from bench.runs.truth_seed import KEY
from bench.tasks.base import Prediction
from bench.tasks.lookup import task_named

Content: TypeAlias = bytes | Callable[[], bytes]
FORMAT = 1
"""Of a published run; raised whenever its files change their meaning."""
RUN = re.compile(r"[0-9a-f]{32}")
PREDICTION = re.compile(r"predictions/[A-Za-z0-9][A-Za-z0-9_-]{0,80}\.npz")
LOCAL = re.compile(r"(?<![\w./=+-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\:'\"]+[/\\])+([^\s/\\:'\"]*)")
"""A local path of at least two steps; its last one says enough."""
CONFIG = (
    "task",
    "options",
    "trials",
    "minutes",
    "seeds",
    "seed",
    "profile",
    "device",
    "job_seconds",
    "job_memory",
    "models",
    "params",
    "space",
    "portfolio",
)
"""Of the configuration, what is published; where the data and the plugins lie is not."""
MODEL = ("name", "source_hash", "job_source", "versions", "status", "reason")
ABOUT = ("written", "bench_version", "bench_source", "git_commit", "hardware")


@dataclass(frozen=True)
class Package:
    """One run ready to be published."""

    run: str
    """Its id: the digest of the manifest."""
    rows: Sequence[Row]
    files: Mapping[str, Content]
    """Name within the run's folder -> content, the manifest last; a prediction is packed when it is read."""
    sizes: Mapping[str, int]
    """Bytes of each file as it is published."""

    def read(self, name: str) -> bytes:
        """Return the bytes of a file as it is published."""
        return _read(self.files[name])


def package(folder: Path, *, with_figures: bool = False) -> Package:
    """Read a finished run folder; raise `RunFolderError` where it is unfinished, or not what the run wrote.

    `with_figures`: figures of single series too, which show the last values of a few.
    """
    about = _about(folder)
    rows = [_published(row) for row in rank(table_to_rows(read_rows(folder / "leaderboard.parquet")))]
    if not rows:
        raise RunFolderError(f"{folder}: the leaderboard has no row; there is nothing to publish")
    index = _index(folder, rows)
    files: dict[str, Content] = {
        "rows.parquet": parquet(rows_to_table(rows)),
        "run.json": dumped(_published_about(about, rows)),
        "predictions.parquet": parquet(arrow.table(index, INDEX)),
        "members.parquet": parquet(_members(folder, rows)),
    }
    searched, kept = tables(folder, parquet, scrubbed)
    boards = {entry["file"]: entry["task_id"] for entry in index} | kept
    rules = {row["task_id"]: partial(task_named(row["task"])().published, metric=ranking_metric(row)[0]) for row in rows}
    files |= {name: partial(packed, folder / name, rules[task_id]) for name, task_id in boards.items()}
    files |= {**pictures(folder, parquet, scrubbed, with_series=with_figures), **searched}
    manifest, sizes = _manifest(files, rows)
    run = hashlib.sha256(manifest).hexdigest()[:32]
    return Package(run, rows, {**files, "manifest.json": manifest}, {**sizes, "manifest.json": len(manifest)})


INDEX = pa.schema(
    [(name, pa.string()) for name in ("task_id", "dataset", "model", "tuning")] + [("seed", pa.int64()), ("file", pa.string())]
)
MEMBERS = pa.schema([(name, pa.string()) for name in ("task_id", "dataset", "member")])


def parquet(table: pa.Table) -> bytes:
    """Write a table as Parquet; the same table gives the same bytes."""
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def packed(path: Path, published: Callable[[Prediction], Prediction]) -> bytes:
    """Write what is published of a stored prediction, compressed: its numbers stay, to the last bit."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, arrays in enumerate(published(read_prediction(path))):
            for name, array in sorted(arrays.items()):
                member = io.BytesIO()
                np.lib.format.write_array(member, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
                # a fixed date: the same numbers give the same bytes
                about = zipfile.ZipInfo(f"{part}.{name}.npy", (1980, 1, 1, 0, 0, 0))
                archive.writestr(about, member.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=6)
    return sink.getvalue()


def _read(content: Content) -> bytes:
    return content if isinstance(content, bytes) else content()


def dumped(document: Mapping[str, Any]) -> bytes:
    """Write JSON; the same document gives the same bytes."""
    return json.dumps(document, indent=1, sort_keys=True).encode()


def opaque(records: Sequence[Mapping[str, Any]], fingerprint: str) -> list[str]:
    """Return each member of one board its id, in order; `records`: what each row of a prediction is of."""
    spelt = [json.dumps(record, sort_keys=True, default=str) for record in records]
    key = hashlib.sha256("\n".join(["bench-members/1", fingerprint, *spelt]).encode()).digest()
    return [hashlib.blake2b(text.encode(), key=key, digest_size=16).hexdigest() for text in spelt]


def digest(file: Path) -> str:
    """Return the sha256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def scrubbed(value: Any) -> Any:
    """Shorten every local path in a JSON value to its last step."""
    if isinstance(value, str):
        return LOCAL.sub(r"\1", value)
    if isinstance(value, Mapping):
        return {key: scrubbed(inner) for key, inner in value.items()}
    return [scrubbed(inner) for inner in value] if isinstance(value, list | tuple) else value


def _about(folder: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"{folder}: no finished run ({getattr(error, 'strerror', None) or error}); give the folder that bench run wrote"
        ) from error
    if not about.get("finished"):
        raise RunFolderError(f"{folder}: the run is not finished; give its command again to end it, then publish")
    return about


def _published(row: Row) -> Row:
    return {**row, "reason": scrubbed(row["reason"]), "plugin": scrubbed(row["plugin"])}


def _index(folder: Path, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """List the predictions behind the rows; raise where one is missing or has changed since it was scored."""
    import polars as pl

    try:
        found = pl.read_parquet(folder / "predictions.parquet").to_dicts()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RunFolderError(f"{folder}/predictions.parquet: not readable ({error}); give the run's command again") from None
    index = {row_key(entry): entry for entry in found}
    for row in rows:
        if row["status"] == "ok" and row_key(row) not in index:
            raise RunFolderError(f"{folder}: {row['model']} on {row['dataset']} has no stored prediction; give the run's command again")
    for entry in index.values():
        file = folder / entry["file"]
        if not PREDICTION.fullmatch(entry["file"]) or not file.is_file() or digest(file) != entry["sha256"]:
            raise RunFolderError(f"{file}: the prediction of {entry['model']} is gone or not what was scored; give the run's command again")
        if file.stat().st_size > MOST:
            raise RunFolderError(f"{file}: larger than {MOST:,} bytes, which no reader of a published board takes")
    return [{name: entry[name] for name in INDEX.names} for entry in index.values()]


def _members(folder: Path, rows: Sequence[Row]) -> pa.Table:
    import polars as pl

    frame = pl.read_parquet(folder / "members.parquet")
    prints = {(row["task_id"], row["dataset"]): row["fingerprint"] for row in rows}
    made = [line for board, fingerprint in prints.items() for line in _ids(frame, board, fingerprint)]
    return arrow.table(made, MEMBERS)


def _ids(frame: Any, board: tuple[str, str], fingerprint: str) -> Iterator[dict[str, str]]:
    import polars as pl

    if frame.is_empty():
        return
    own = frame.filter((pl.col("task_id") == board[0]) & (pl.col("dataset") == board[1])).drop("task_id", "dataset")
    # the columns of other tasks' boards stand in the same table, empty
    records = own.select(c for c in own.columns if own[c].null_count() < len(own)).to_dicts()
    for member in opaque(records, fingerprint):
        yield {"task_id": board[0], "dataset": board[1], "member": member}


def _published_about(about: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """Keep of `run.json` what is needed to score and to run again, and nothing of where things lie."""
    config = about["config"]
    words = [*config["datasets"]]
    simulated = {row["dataset"] for row in rows if row["simulated"]}
    datasets = [
        {
            **{name: found[name] for name in ("name", "fingerprint", "task_id", "adapter")},
            # made by its simulator anew, rather than read from a folder that holds a simulation
            "simulator": found["name"] in simulated and not config["source"] and (not words or found["adapter"] in words),
            "facts": {k: scrubbed(v) for k, v in found["facts"].items() if isinstance(v, bool | int | float | str)},
        }
        for found in about["datasets"]
    ]
    models = [{name: scrubbed(m[name]) for name in MODEL if name in m} for m in about["models"]]
    kept = {name: scrubbed(config.get(name)) for name in CONFIG}
    if KEY in (kept["options"] or {}):
        kept["options"] = {**kept["options"], KEY: str(about["truth_seed"])}
    return {**{name: about.get(name) for name in ABOUT}, "config": kept, "datasets": datasets, "models": models}


def _manifest(files: Mapping[str, Content], rows: Sequence[Row]) -> tuple[bytes, dict[str, int]]:
    """List every file with its digest and size; each is read once and not kept: together they may not fit the memory."""
    sizes, found = {}, {}
    for name, content in files.items():
        data = _read(content)
        sizes[name] = len(data)
        found[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    about = {"format": FORMAT, "files": found, "rows": len(rows), "created": max(row["created"] for row in rows).isoformat()}
    return dumped({**about, **versions(rows)}), sizes


def versions(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the versions by which the rows were scored and turned into a board, each with all values found."""
    names = ("schema_version", "aggregator", "protocol", "bench_version")
    return {name: sorted({row[name] for row in rows}, key=str) for name in names}
